"""Write GGUF headers: metadata, tensor table and the place of every tensor's data, nothing else.

Format: ggml/docs/gguf.md, version 3. Data follows in table order, each tensor padded to the
alignment (gguf.cpp:gguf_init_from_file refuses gaps beyond it).
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from advisor.llm.tensor import Tensor

Scalar = str | bool | int | float
GgufValue = Scalar | Sequence[Scalar]

ALIGNMENT: Final = 32
"""GGUF's default ``general.alignment``."""

_UINT32, _INT32, _FLOAT32, _BOOL, _STRING, _ARRAY, _UINT64, _INT64 = 4, 5, 6, 7, 8, 9, 10, 11
_PACK: Final = {
    _UINT32: struct.Struct("<I"),
    _INT32: struct.Struct("<i"),
    _FLOAT32: struct.Struct("<f"),
    _BOOL: struct.Struct("<?"),
    _UINT64: struct.Struct("<Q"),
    _INT64: struct.Struct("<q"),
}


@dataclass(frozen=True, slots=True)
class RawArray:
    """An array that is encoded already: ``data`` holds ``count`` values of GGUF type ``kind``."""

    kind: int
    count: int
    data: bytes


STRINGS: Final = _STRING
INT32S: Final = _INT32
FLOAT32S: Final = _FLOAT32


@dataclass(frozen=True)
class Layout:
    """An encoded header and where each tensor's data begins."""

    header: bytes
    """Everything before the data, padded to the alignment."""
    offsets: tuple[int, ...]
    """Byte position of each tensor in the file."""
    total: int
    """Bytes of the whole file."""


def padded(size: int, alignment: int = ALIGNMENT) -> int:
    """``size`` rounded up to a whole number of ``alignment``."""
    return -(-size // alignment) * alignment


def string(text: str) -> bytes:
    """A GGUF string: length as u64, then UTF-8."""
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def _integer_type(values: Iterable[int]) -> int:
    low = high = 0
    for value in values:
        low, high = min(low, value), max(high, value)
    if low < 0:
        return _INT32 if low >= -(1 << 31) and high < 1 << 31 else _INT64
    return _UINT32 if high < 1 << 32 else _UINT64


def _type_of(values: Sequence[Scalar]) -> int:
    """The GGUF type that llama.cpp's reader expects for these values: u32, f32, bool or string."""
    if any(isinstance(v, str) for v in values):
        return _STRING
    if all(isinstance(v, bool) for v in values):
        return _BOOL
    if any(isinstance(v, float) for v in values):
        return _FLOAT32
    return _integer_type(int(v) for v in values)


def _scalar(kind: int, value: Scalar) -> bytes:
    return string(str(value)) if kind == _STRING else _PACK[kind].pack(value)


def wide(values: Sequence[int]) -> RawArray:
    """An array of u64, for keys that llama.cpp reads at that width only."""
    pack = _PACK[_UINT64].pack
    return RawArray(_UINT64, len(values), b"".join(pack(value) for value in values))


def encode_value(value: GgufValue | RawArray) -> bytes:
    """Type tag and value of one metadata entry."""
    if isinstance(value, RawArray):
        return struct.pack("<IIQ", _ARRAY, value.kind, value.count) + value.data
    if isinstance(value, (str, bool, int, float)):
        kind = _type_of((value,))
        return struct.pack("<I", kind) + _scalar(kind, value)
    kind = _type_of(value)
    head = struct.pack("<IIQ", _ARRAY, kind, len(value))
    return head + b"".join(_scalar(kind, v) for v in value)


def layout(metadata: Mapping[str, GgufValue | RawArray], tensors: Sequence[Tensor]) -> Layout:
    """The header of a file with this metadata and these tensors, in this order."""
    parts = [struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(metadata))]
    for key, value in metadata.items():
        parts += (string(key), encode_value(value))
    position = 0
    relative: list[int] = []
    for tensor in tensors:
        parts += (
            string(tensor.name),
            struct.pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *tensor.shape),
            struct.pack("<IQ", tensor.type.ggml_id, position),
        )
        relative.append(position)
        position += padded(tensor.nbytes)
    header = b"".join(parts)
    header = header.ljust(padded(len(header)), b"\0")
    return Layout(
        header, tuple(len(header) + offset for offset in relative), len(header) + position
    )
