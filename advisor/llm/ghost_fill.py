"""Random numbers in ggml's storage types: what a ghost's few filled tensors hold.

A quantized block is random bytes with a sane scale in the place where its struct keeps one
(ggml/src/ggml-common.h:block_*), so that no value decodes to infinity or NaN.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from advisor.llm.tensor import TensorType

Bytes = npt.NDArray[np.uint8]

SCALE: Final = 1 / 512
"""Scale written into blocks: decoded weights stay well inside ±1, as trained ones do."""

_SCALE_OFFSETS: Final[dict[str, tuple[int, ...]]] = {
    "Q4_0": (0,),
    "Q4_1": (0, 2),
    "Q5_0": (0,),
    "Q5_1": (0, 2),
    "Q8_0": (0,),
    "Q2_K": (80, 82),
    "Q3_K": (108,),
    "Q4_K": (0, 2),
    "Q5_K": (0, 2),
    "Q6_K": (208,),
    "IQ1_S": (0,),
    "IQ2_XXS": (0,),
    "IQ2_XS": (0,),
    "IQ2_S": (0,),
    "IQ3_XXS": (0,),
    "IQ3_S": (0,),
    "IQ4_NL": (0,),
    "IQ4_XS": (0,),
    "TQ1_0": (52,),
    "TQ2_0": (64,),
}
"""Byte offsets of the half-precision scales inside one block."""

_SECOND_SCALES: Final[dict[str, float]] = {
    "Q4_1": -7.5,
    "Q5_1": -15.5,
    "Q2_K": 1.5,
    "Q4_K": 7.5,
    "Q5_K": 15.5,
}
"""Of types with a second scale: it times the first, so that decoded values are 0 in the mean.

Unsigned quants alone would give all tokens one direction in common, and so the same experts."""

_E8M0_OFFSET: Final = {"MXFP4": 0}
_E8M0_SCALE: Final = 118
"""2**(118 - 127): the exponent byte nearest to SCALE."""

_IQ1_M_SCALES: Final = 48
"""block_iq1_m keeps the nibbles of its scale in the top bits of four u16 at this offset."""


SLOW_ZEROS: Final = frozenset(_E8M0_OFFSET)
"""Types whose holes a processor multiplies slowly: a scale byte of 0 means 2**-128 there
(ggml-impl.h:ggml_e8m0_to_fp32_half), a denormal number, and each product with it takes an assist.
Decoding a ghost of gpt-oss 20B with its experts in RAM: 4.8 tok/s, filled 32.0 (Xeon, 2026-11-26).
A scale of 0 in any other type is the number 0, and those are as fast as filled."""


def can_fill(kind: TensorType) -> bool:
    """Whether random numbers of this type can be made."""
    return kind.name in _SCALE_OFFSETS or kind.name in {"F32", "F16", "BF16", "IQ1_M", "MXFP4"}


def random_values(kind: TensorType, count: int, rng: np.random.Generator) -> Bytes:
    """``count`` random values, a whole number of blocks, as bytes. Raises ValueError otherwise."""
    if count % kind.block:
        message = f"{count} values are not whole blocks of {kind.name}"
        raise ValueError(message)
    if kind.name in {"F32", "F16", "BF16"}:
        return _floats(kind.name, count, rng)
    if not can_fill(kind):
        message = f"no random values for type {kind.name}"
        raise ValueError(message)
    blocks = rng.integers(0, 256, (count // kind.block, kind.size), dtype=np.uint8)
    half = np.array([SCALE], dtype="<f2").view(np.uint8)
    first, *second = _SCALE_OFFSETS.get(kind.name, ()) or (None,)
    if first is not None:
        blocks[:, first : first + 2] = half
    if first is not None and not second:
        # Signed quants reach one step further below 0 than above it.
        blocks[:, first + 1] ^= rng.integers(0, 2, len(blocks), dtype=np.uint8) << 7
    for offset in second:
        scaled = np.array([SCALE * _SECOND_SCALES[kind.name]], dtype="<f2")
        blocks[:, offset : offset + 2] = scaled.view(np.uint8)
    if kind.name in _E8M0_OFFSET:
        blocks[:, _E8M0_OFFSET[kind.name]] = _E8M0_SCALE
    if kind.name == "IQ1_M":
        bits = int(half.view("<u2")[0])
        for place in range(4):
            at = _IQ1_M_SCALES + 2 * place + 1
            blocks[:, at] = (blocks[:, at] & 0x0F) | (((bits >> (4 * place)) & 0xF) << 4)
    return blocks.reshape(-1)


def _floats(name: str, count: int, rng: np.random.Generator) -> Bytes:
    values = rng.standard_normal(count, dtype=np.float32)
    values *= np.float32(0.05)
    if name == "F32":
        return values.view(np.uint8)
    if name == "F16":
        return values.astype("<f2").view(np.uint8)
    return (values.view("<u4") >> 16).astype("<u2").view(np.uint8)


def ones(kind: TensorType, count: int) -> Bytes:
    """``count`` times 1.0, for norms and rope factors (always float types in llama.cpp)."""
    values = np.ones(count, dtype=np.float32)
    if kind.name == "F16":
        return values.astype("<f2").view(np.uint8)
    if kind.name == "BF16":
        return (values.view("<u4") >> 16).astype("<u2").view(np.uint8)
    return values.view(np.uint8)
