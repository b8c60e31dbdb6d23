"""One pass over the header of one GGUF file, which is not trusted.

Layout and rules follow llama.cpp (ggml/src/gguf.cpp:gguf_init_from_reader). Only pages that hold
the header are touched; token and merge lists are stepped over, not read.
"""

import mmap
import struct
from pathlib import Path
from typing import Final, NoReturn

from advisor.errors import BadModelFile
from advisor.llm.gguf_header import (
    FORMATS,
    STRING,
    GgufHeader,
    GgufTensor,
    LazyValue,
    Scalar,
    Value,
    numbers,
    strings,
)
from advisor.llm.gguf_strings import skip_strings
from advisor.llm.tensor import TYPES_BY_ID, TensorType

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

_ARRAY: Final = 9
_STRUCTS: Final = {code: struct.Struct("<" + text) for code, text in FORMATS.items()}
_U32: Final = struct.Struct("<I")
_U64: Final = struct.Struct("<Q")
_INT64_MAX: Final = (1 << 63) - 1
MAX_UNFINISHED: Final = 1 << 44
"""Bytes of a file that may be a download which goes on; a header that claims more is damaged."""


def parse_part(path: Path, data: mmap.mmap, part: int, *, unfinished: bool) -> GgufHeader:
    """The header of one part. Raises BadModelFile; ``unfinished`` as in gguf.read_header."""
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
            self.fail(
                "is not a GGUF file, although it may be called one. Download it again, or open "
                "one that ends in .gguf.",
                f"it starts with {self.data[:4]!r}",
            )
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
        if kind == STRING:
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
        return LazyValue(self.path, start, length, length, STRING, is_array=False)

    def array(self, key: str) -> tuple[Scalar, ...] | LazyValue:
        element, length = self.u32(), self.u64()
        start = self.pos
        if element == STRING:
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
        if element == STRING:
            return tuple(strings(raw, length, self.name))
        return numbers(raw, element, length)

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
