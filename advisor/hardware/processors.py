"""Vector instructions of processors, by what the system tells or by their names.

llama.cpp multiplies prompts with AVX-512 VNNI where a processor has it, else with AVX2
(ggml-cpu/tiled/tiled-kernel.cpp); on ARM it has kernels of other speeds.
"""

import functools
import re
from typing import Literal

from pydantic import BaseModel, ConfigDict

from advisor import resources
from advisor.hardware.rig import Simd


class _Kind(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    pattern: str
    simd: Literal["avx512_vnni", "avx2"]
    source: str


class _Kinds(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    date: str
    note: str
    kinds: tuple[_Kind, ...]


@functools.cache
def _kinds() -> tuple[tuple[re.Pattern[str], Simd], ...]:
    table = resources.load(_Kinds, "processors.json")
    return tuple((re.compile(kind.pattern, re.IGNORECASE), kind.simd) for kind in table.kinds)


_ARM = re.compile(
    r"(?i)\barm|apple|cortex|neoverse|grace|ampere|altra|graviton|snapdragon|oryon|kryo|tegra"
    r"|raspberry"
)


def simd_of_name(cpu: str) -> Simd | None:
    """What a processor of this name has; None where its name does not tell."""
    name = re.sub(r"\((?:r|tm)\)", "", cpu, flags=re.IGNORECASE)
    if _ARM.search(name):
        return "arm"
    return next((simd for pattern, simd in _kinds() if pattern.search(name)), None)


def simd_of_flags(flags: str) -> Simd | None:
    """The same of the line ``flags`` of Linux's /proc/cpuinfo; None where there is none."""
    told = set(flags.split())
    # The kernel needs them all (tiled-kernel.cpp: __AVX512VNNI__, __AVX512VL__, __AVX512DQ__).
    if {"avx512_vnni", "avx512vl", "avx512dq"} <= told:
        return "avx512_vnni"
    return "avx2" if "avx2" in told else None
