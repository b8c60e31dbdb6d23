"""What a GGUF header says, and its long values, which are fetched when they are asked for."""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from advisor.errors import BadModelFile
from advisor.llm.tensor import Tensor, TensorType

STRING: Final = 8
"""gguf_type of a string."""
# gguf.h:enum gguf_type, as struct formats.
FORMATS: Final[Mapping[int, str]] = {
    0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d",
}  # fmt: skip
_U64: Final = struct.Struct("<Q")

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
        if self.element != STRING:
            return numbers(data, self.element, self.length)
        return tuple(strings(data, self.length, self.path.name))


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


def numbers(data: bytes, element: int, length: int) -> tuple[Scalar, ...]:
    """The elements of an array of numbers."""
    values: tuple[Scalar, ...] = struct.unpack_from(f"<{length}{FORMATS[element]}", data)
    return values


def strings(data: bytes, length: int, name: str) -> Iterator[str]:
    """The elements of an array of strings. Raises BadModelFile where they end too early."""
    pos = 0
    for _ in range(length):
        if pos + 8 > len(data):
            message = f"{name} has changed since its header was read."
            raise BadModelFile(message)
        (size,) = _U64.unpack_from(data, pos)
        pos += 8
        yield data[pos : pos + size].decode("utf-8", "replace")
        pos += size
