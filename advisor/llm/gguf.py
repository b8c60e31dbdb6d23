"""GGUF header reader: metadata and tensor list of a file, however large, without trusting it.

Layout and rules follow llama.cpp (ggml/src/gguf.cpp:gguf_init_from_reader). Only pages that hold
the header are touched; token and merge lists are stepped over, not read.
"""

import mmap
import re
import stat
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from advisor.errors import BadModelFile
from advisor.llm.gguf_strings import skip_strings
from advisor.llm.tensor import TYPES_BY_ID, Tensor, TensorType

# Bounds on what is believed of a header, far above any real one: the largest vocabularies have
# about 0.3 million tokens and 0.5 million merges, unmerged experts about 50,000 tensors.
MAX_STRINGS: Final = 1 << 21
MAX_STRING_BYTES: Final = 1 << 27
MAX_TENSORS: Final = 1 << 15
MAX_KEYS: Final = 1 << 16
MAX_KEY_LENGTH: Final = (1 << 16) - 1
MAX_NAME: Final = 63
"""Bytes of a tensor name: ggml.h:GGML_MAX_NAME less the final NUL."""
MAX_DIMS: Final = 4
EAGER_BYTES: Final = 1 << 16
"""A string or array up to this size is read at once, while ``EAGER_TOTAL`` lasts."""
EAGER_TOTAL: Final = 1 << 22

_STRING: Final = 8
_ARRAY: Final = 9
_BOOL: Final = 7
# gguf.h:enum gguf_type, as struct formats.
_FORMATS: Final[Mapping[int, str]] = {
    0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d",
}  # fmt: skip
_STRUCTS: Final = {code: struct.Struct("<" + text) for code, text in _FORMATS.items()}
_U32: Final = struct.Struct("<I")
_U64: Final = struct.Struct("<Q")
_INT64_MAX: Final = (1 << 63) - 1
MAX_UNFINISHED: Final = 1 << 44
"""Bytes of a file that may be a download which goes on; a header that claims more is damaged."""
_PART: Final = re.compile(r"^(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf$")

Scalar = int | float | bool | str


@dataclass(frozen=True, slots=True)
class LazyValue:
    """A long string or array that was stepped over. ``read`` fetches it."""

    path: Path
    offset: int
    """Where its bytes start in the file (for strings in arrays: the first length)."""
    nbytes: int
    length: int
    """Number of elements; of bytes for a string."""
    element: int
    """gguf_type of the elements; 8 is string."""
    is_array: bool

    def read(self) -> str | tuple[Scalar, ...]:
        """The value itself. Raises BadModelFile when the file has changed meanwhile."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                data = file.read(self.nbytes)
        except OSError as error:
            message = f"{self.path.name} can no longer be read: {error.strerror}."
            raise BadModelFile(message) from error
        if len(data) != self.nbytes:
            message = f"{self.path.name} has become shorter since its header was read."
            raise BadModelFile(message)
        if not self.is_array:
            return data.decode("utf-8", "replace")
        if self.element != _STRING:
            return _numbers(data, 0, self.element, self.length)
        return tuple(_strings(data, self.length, self.path.name))


Value = Scalar | tuple[Scalar, ...] | LazyValue


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """One entry of the tensor list. ``offset`` counts from the start of its part's file."""

    name: str
    shape: tuple[int, ...]
    type: TensorType
    offset: int
    nbytes: int
    part: int = 0


@dataclass(frozen=True)
class GgufHeader:
    """What a GGUF file (all of its parts) says about itself."""

    path: Path
    """The first part."""
    version: int
    alignment: int
    metadata: Mapping[str, Value]
    """Of the first part. Long lists are LazyValue: see ``length`` and ``strings``."""
    tensors: tuple[GgufTensor, ...]
    data_offset: int
    """Start of the tensor data in the first part: the size of its header with padding."""
    file_bytes: int
    """Size of all parts."""
    parts: tuple[Path, ...]
    missing: int = 0
    """Bytes at the end of the parts that are not there yet (read as unfinished only)."""

    def length(self, key: str) -> int | None:
        """Number of elements of an array (or bytes of a string), None without that key."""
        value = self.metadata.get(key)
        if isinstance(value, LazyValue):
            return value.length
        return len(value) if isinstance(value, str | tuple) else None

    def strings(self, key: str) -> tuple[str, ...] | None:
        """A list of strings, read from the file if needed; None without that key."""
        value = self.metadata.get(key)
        if isinstance(value, LazyValue):
            value = value.read()
        if not isinstance(value, tuple):
            return None
        return tuple(str(item) for item in value)

    def model_tensors(self) -> tuple[Tensor, ...]:
        """The tensor list as sizing wants it, in file order."""
        return tuple(Tensor(t.name, t.shape, t.type) for t in self.tensors)


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
        if first.exists():
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
        if not path.exists():
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
            message = f"{path.name} is not a GGUF file: it has only {status.st_size} bytes."
            raise BadModelFile(message)
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        message = f"{path.name} cannot be read: {error.strerror or error}."
        raise BadModelFile(message) from error
    with data:
        return _Parser(path, data, part, unfinished=unfinished).parse()


class _Parser:
    """One pass over one file. Every length is compared with what the file can hold before use."""

    def __init__(self, path: Path, data: mmap.mmap, part: int, *, unfinished: bool) -> None:
        self.path = path
        self.data = data
        self.size = len(data)
        self.name = path.name
        self.part = part
        self.unfinished = unfinished
        self.missing = 0
        self.pos = 0
        self.eager_left = EAGER_TOTAL
        self.strings_left = MAX_STRINGS
        self.string_bytes_left = MAX_STRING_BYTES
        self.key_bytes_left = EAGER_TOTAL

    def fail(self, why: str, detail: str = "") -> NoReturn:
        message = f"{self.name} {why}"
        raise BadModelFile(message, detail=detail)

    def truncated(self) -> NoReturn:
        self.fail("ends in the middle of its header. Download it again.", f"at byte {self.pos}")

    def u32(self) -> int:
        if self.pos + 4 > self.size:
            self.truncated()
        (value,) = _U32.unpack_from(self.data, self.pos)
        self.pos += 4
        return int(value)

    def u64(self) -> int:
        if self.pos + 8 > self.size:
            self.truncated()
        (value,) = _U64.unpack_from(self.data, self.pos)
        self.pos += 8
        return int(value)

    def text(self, limit: int, what: str) -> str:
        length = self.u64()
        if length > limit:
            self.fail(f"is damaged: a {what} of {length:,} bytes.", f"at byte {self.pos}")
        if self.pos + length > self.size:
            self.truncated()
        raw = self.data[self.pos : self.pos + length]
        self.pos += length
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            self.fail(f"is damaged: a {what} is not text.", f"at byte {self.pos}")

    def parse(self) -> GgufHeader:
        version, n_tensors, n_keys = self.preamble()
        metadata: dict[str, Value] = {}
        for _ in range(n_keys):
            key = self.text(min(MAX_KEY_LENGTH, self.key_bytes_left), "metadata key")
            self.key_bytes_left -= len(key)
            if not key or key in metadata:
                self.fail(f'is damaged: the metadata key "{key[:80]}" is empty or occurs twice.')
            metadata[key] = self.value(key)
        alignment = metadata.get("general.alignment", 32)
        if (
            not isinstance(alignment, int)
            or not 0 < alignment <= 1 << 31
            or alignment & (alignment - 1)
        ):
            self.fail(f"is damaged: its alignment is {alignment!r}, not a power of two.")
        entries = [self.tensor_info() for _ in range(n_tensors)]
        start = -(-self.pos // alignment) * alignment
        tensors = self.lay_out(entries, start, alignment)
        return GgufHeader(
            path=self.path,
            version=version,
            alignment=alignment,
            metadata=metadata,
            tensors=tensors,
            data_offset=start,
            file_bytes=self.size,
            parts=(self.path,),
            missing=self.missing,
        )

    def preamble(self) -> tuple[int, int, int]:
        if self.data[:4] != b"GGUF":
            self.fail("is not a GGUF file.", f"it starts with {self.data[:4]!r}")
        self.pos = 4
        version = self.u32()
        if version & 0xFFFF == 0 and version:
            self.fail("was written for big-endian computers; llama.cpp cannot load it here.")
        if version == 1:
            self.fail("is a GGUF of version 1, which llama.cpp no longer loads. Get a newer file.")
        if version not in {2, 3}:
            self.fail(f"is a GGUF of version {version}; this app and llama.cpp know 2 and 3.")
        n_tensors, n_keys = self.u64(), self.u64()
        if n_tensors > MAX_TENSORS or n_keys > MAX_KEYS:
            self.fail(f"is damaged: it claims {n_tensors:,} tensors and {n_keys:,} metadata keys.")
        return version, n_tensors, n_keys

    def value(self, key: str) -> Value:
        kind = self.u32()
        if kind == _STRING:
            return self.string_value()
        if kind == _ARRAY:
            return self.array(key)
        shape = _STRUCTS.get(kind)
        if shape is None:
            self.fail(f'is damaged: "{key[:80]}" has the unknown metadata type {kind}.')
        if self.pos + shape.size > self.size:
            self.truncated()
        (value,) = shape.unpack_from(self.data, self.pos)
        self.pos += shape.size
        return value  # pyright: ignore[reportAny] - struct's result, one of the scalar types

    def string_value(self) -> str | LazyValue:
        length = self.u64()
        start = self.pos
        if length > self.size - start:
            self.truncated()
        self.pos += length
        if length <= min(EAGER_BYTES, self.eager_left):
            self.eager_left -= length
            return self.data[start : self.pos].decode("utf-8", "replace")
        return LazyValue(self.path, start, length, length, _STRING, is_array=False)

    def array(self, key: str) -> tuple[Scalar, ...] | LazyValue:
        element, length = self.u32(), self.u64()
        start = self.pos
        if element == _STRING:
            self.skip_strings(key, length)
        else:
            shape = _STRUCTS.get(element)
            if shape is None:
                self.fail(f'is damaged: "{key[:80]}" is a list of the unknown type {element}.')
            if length > (self.size - start) // shape.size:
                self.truncated()
            self.pos += length * shape.size
        nbytes = self.pos - start
        # A Python object costs some 40 bytes whatever the element's size in the file.
        cost = nbytes + 40 * length
        if cost > min(EAGER_BYTES, self.eager_left):
            return LazyValue(self.path, start, nbytes, length, element, is_array=True)
        self.eager_left -= cost
        raw = self.data[start : self.pos]
        if element == _STRING:
            return tuple(_strings(raw, length, self.name))
        return _numbers(raw, 0, element, length)

    def skip_strings(self, key: str, length: int) -> None:
        if length > (self.size - self.pos) // 8:
            self.truncated()
        if length > self.strings_left:
            self.fail(
                f'is damaged: with "{key[:80]}" it claims more than {MAX_STRINGS:,} list entries.'
            )
        self.strings_left -= length
        limit = min(self.size, self.pos + self.string_bytes_left)
        end = skip_strings(self.data, self.pos, length, limit)
        if end is None:
            if limit == self.size:
                self.truncated()
            self.fail(f'is damaged: "{key[:80]}" takes more than {MAX_STRING_BYTES >> 20} MiB.')
        self.string_bytes_left -= end - self.pos
        self.pos = end

    def tensor_info(self) -> tuple[str, tuple[int, ...], TensorType, int]:
        name = self.text(MAX_NAME, "tensor name")
        n_dims = self.u32()
        if n_dims > MAX_DIMS:
            self.fail(f'is damaged: tensor "{name}" has {n_dims} dimensions.')
        if self.pos + 8 * n_dims + 12 > self.size:
            self.truncated()
        fields: tuple[int, ...] = struct.unpack_from(f"<{n_dims}QIQ", self.data, self.pos)
        self.pos += 8 * n_dims + 12
        shape, type_id, offset = fields[:n_dims] or (1,), fields[-2], fields[-1]
        type_ = TYPES_BY_ID.get(type_id)
        if type_ is None:
            self.fail(
                f'stores tensor "{name}" in type {type_id}, which llama.cpp b11434 does not know: '
                "the file is damaged, newer than this app, or made for a fork of llama.cpp."
            )
        elements = 1
        for n in shape:
            elements *= n
        if elements > _INT64_MAX or any(n == 0 for n in shape) or shape[0] % type_.block:
            self.fail(f'is damaged: tensor "{name}" of type {type_.name} has the shape {shape}.')
        return name, shape, type_, offset

    def lay_out(
        self,
        entries: list[tuple[str, tuple[int, ...], TensorType, int]],
        start: int,
        alignment: int,
    ) -> tuple[GgufTensor, ...]:
        expected = 0
        tensors: list[GgufTensor] = []
        names: set[str] = set()
        for name, shape, type_, offset in entries:
            if name in names:
                self.fail(f'is damaged: tensor "{name}" occurs twice.')
            names.add(name)
            if offset != expected:
                self.fail(
                    f'is damaged: tensor "{name}" does not follow the one before it.',
                    f"offset {offset}, expected {expected}",
                )
            elements = 1
            for n in shape:
                elements *= n
            nbytes = elements // type_.block * type_.size
            tensors.append(GgufTensor(name, shape, type_, start + offset, nbytes, self.part))
            expected += -(-nbytes // alignment) * alignment
        end = tensors[-1].offset + tensors[-1].nbytes if tensors else self.pos
        if end > self.size and self.unfinished and end <= MAX_UNFINISHED:
            self.missing = end - self.size
        elif end > self.size:
            self.fail(
                f"is truncated: it has {self.size:,} of {end:,} bytes. "
                "Finish the download, or download it again."
            )
        return tuple(tensors)


def _numbers(data: bytes, offset: int, element: int, length: int) -> tuple[Scalar, ...]:
    values: tuple[Scalar, ...] = struct.unpack_from(f"<{length}{_FORMATS[element]}", data, offset)
    return values


def _strings(data: bytes, length: int, name: str) -> Iterator[str]:
    pos = 0
    for _ in range(length):
        if pos + 8 > len(data):
            message = f"{name} has changed since its header was read."
            raise BadModelFile(message)
        (size,) = _U64.unpack_from(data, pos)
        pos += 8
        yield data[pos : pos + size].decode("utf-8", "replace")
        pos += size
