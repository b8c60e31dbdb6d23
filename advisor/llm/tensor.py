"""Tensors as GGUF stores them: a name, a shape and a type. A model is a list of these."""

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Final


@dataclass(frozen=True, slots=True)
class TensorType:
    """How ggml stores values: ``block`` values take ``size`` bytes."""

    name: str
    ggml_id: int
    block: int
    size: int

    @property
    def bpw(self) -> float:
        """Bits per weight."""
        return self.size * 8 / self.block

    def row_bytes(self, n: int) -> int:
        """Bytes of a row of ``n`` values (ggml.c:ggml_row_size). ``n`` must be whole blocks."""
        if self.block == 1:
            return n * self.size
        if n % self.block:
            message = (
                f"a row of {n} values is not a whole number of {self.name} blocks of {self.block}"
            )
            raise ValueError(message)
        return n // self.block * self.size


# ggml.c:type_traits of llama.cpp b11434; ids are ggml.h:enum ggml_type. Removed types are left out.
_TYPES: Final = (
    TensorType("F32", 0, 1, 4),
    TensorType("F16", 1, 1, 2),
    TensorType("Q4_0", 2, 32, 18),
    TensorType("Q4_1", 3, 32, 20),
    TensorType("Q5_0", 6, 32, 22),
    TensorType("Q5_1", 7, 32, 24),
    TensorType("Q8_0", 8, 32, 34),
    TensorType("Q8_1", 9, 32, 36),
    TensorType("Q2_K", 10, 256, 84),
    TensorType("Q3_K", 11, 256, 110),
    TensorType("Q4_K", 12, 256, 144),
    TensorType("Q5_K", 13, 256, 176),
    TensorType("Q6_K", 14, 256, 210),
    TensorType("Q8_K", 15, 256, 292),
    TensorType("IQ2_XXS", 16, 256, 66),
    TensorType("IQ2_XS", 17, 256, 74),
    TensorType("IQ3_XXS", 18, 256, 98),
    TensorType("IQ1_S", 19, 256, 50),
    TensorType("IQ4_NL", 20, 32, 18),
    TensorType("IQ3_S", 21, 256, 110),
    TensorType("IQ2_S", 22, 256, 82),
    TensorType("IQ4_XS", 23, 256, 136),
    TensorType("I8", 24, 1, 1),
    TensorType("I16", 25, 1, 2),
    TensorType("I32", 26, 1, 4),
    TensorType("I64", 27, 1, 8),
    TensorType("F64", 28, 1, 8),
    TensorType("IQ1_M", 29, 256, 56),
    TensorType("BF16", 30, 1, 2),
    TensorType("TQ1_0", 34, 256, 54),
    TensorType("TQ2_0", 35, 256, 66),
    TensorType("MXFP4", 39, 32, 17),
    TensorType("NVFP4", 40, 64, 36),
    TensorType("Q1_0", 41, 128, 18),
    TensorType("Q2_0", 42, 64, 18),
)

TYPES: Final = {t.name: t for t in _TYPES}
TYPES_BY_ID: Final = {t.ggml_id: t for t in _TYPES}


@dataclass(frozen=True)
class Tensor:
    """One tensor. ``shape`` is in ggml order: ``shape[0]`` (ne0) is the contiguous row length."""

    name: str
    shape: tuple[int, ...]
    type: TensorType

    @cached_property
    def n_elements(self) -> int:
        """Number of values."""
        return prod(self.shape)

    @cached_property
    def nbytes(self) -> int:
        """Bytes in the file, without padding (ggml.c:ggml_nbytes of a contiguous tensor)."""
        return self.n_elements // self.shape[0] * self.type.row_bytes(self.shape[0])
