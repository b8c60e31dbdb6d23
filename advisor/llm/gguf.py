"""Metadata and tensor list of a GGUF file and its parts, however large, without trusting it."""

import mmap
import re
import stat
from pathlib import Path
from typing import Final

from advisor.errors import BadModelFile
from advisor.files import is_missing
from advisor.llm.gguf_header import GgufHeader, GgufTensor, LazyValue
from advisor.llm.gguf_parser import MAX_TENSORS, parse_part

__all__ = ["GgufHeader", "GgufTensor", "LazyValue", "read_header"]

_PART: Final = re.compile(r"^(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf$")


def read_header(path: Path, *, unfinished: bool = False) -> GgufHeader:
    """Read the header of a GGUF file; of all parts when it is split.

    Any part may be named. unfinished: weights may be missing, as in a download that goes on or
    was broken off; every part's header must be there. Raises BadModelFile when the file is not a
    GGUF, is truncated, is of a version or type that llama.cpp b11434 cannot read, or states
    lengths that cannot be true.
    """
    named = _PART.match(path.name)
    if named and int(named["number"]) != 1:
        first = path.with_name(f"{named['stem']}-00001-of-{named['count']}.gguf")
        if not is_missing(first):
            path = first
        else:
            message = (
                f"{path.name} is part of a split model; its first part is missing: {first.name}."
            )
            raise BadModelFile(message)
    head = _read_part(path, 0, unfinished=unfinished)
    count = head.metadata.get("split.count", 1)
    if not isinstance(count, int) or count <= 1:
        return head
    return _with_parts(head, count, unfinished=unfinished)


def _with_parts(head: GgufHeader, count: int, *, unfinished: bool) -> GgufHeader:
    named = _PART.match(head.path.name)
    if not named or int(named["count"]) != count:
        message = (
            f"{head.path.name} is the first of {count} parts, but is not named "
            f"…-00001-of-{count:05d}.gguf, so the others cannot be found. Restore its name."
        )
        raise BadModelFile(message)
    if head.metadata.get("split.no", 0) != 0:
        message = f"{head.path.name} says that it is not the first part. Restore the parts' names."
        raise BadModelFile(message)
    tensors = list(head.tensors)
    parts = [head.path]
    total, missing = head.file_bytes, head.missing
    for number in range(2, count + 1):
        path = head.path.with_name(f"{named['stem']}-{number:05d}-of-{count:05d}.gguf")
        if is_missing(path):
            message = (
                f"Part {number} of {count} is missing: {path.name}. Put it beside the others; what "
                "it holds is listed in it alone."
            )
            raise BadModelFile(message)
        part = _read_part(path, number - 1, unfinished=unfinished)
        if part.metadata.get("split.no") != number - 1:
            message = f"{path.name} does not say that it is part {number} of this model."
            raise BadModelFile(message)
        tensors += part.tensors
        parts.append(path)
        total += part.file_bytes
        missing += part.missing
        if len(tensors) > MAX_TENSORS:
            message = f"{head.path.name} claims more than {MAX_TENSORS:,} tensors."
            raise BadModelFile(message)
    names = {t.name for t in tensors}
    expected = head.metadata.get("split.tensors.count", len(tensors))
    if len(names) != len(tensors) or expected != len(tensors):
        message = (
            f"The parts of {head.path.name} do not belong together: "
            f"{len(names)} different tensors of {expected}."
        )
        raise BadModelFile(message)
    return GgufHeader(
        path=head.path,
        version=head.version,
        alignment=head.alignment,
        metadata=head.metadata,
        tensors=tuple(tensors),
        data_offset=head.data_offset,
        file_bytes=total,
        parts=tuple(parts),
        missing=missing,
    )


def _read_part(path: Path, part: int, *, unfinished: bool) -> GgufHeader:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            message = f"{path.name} is not a file."
            raise BadModelFile(message)
        if status.st_size < 24:
            held = f"has only {status.st_size} bytes" if status.st_size else "is empty"
            message = f"{path.name} is not a GGUF file: it {held}. Download it again."
            raise BadModelFile(message)
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        message = f"{path.name} cannot be read: {error.strerror or error}."
        raise BadModelFile(message) from error
    with data:
        return parse_part(path, data, part, unfinished=unfinished)
