"""Vector instructions by what the system says or by a processor's name."""

import pytest

from advisor.hardware.compose import parse_rig
from advisor.hardware.processors import simd_of_flags, simd_of_name


@pytest.mark.parametrize(
    "name",
    [
        "AMD EPYC 9654 96-Core Processor",
        "AMD EPYC 9V74 80-Core Processor",
        "AMD EPYC 4545P 16-Core Processor",
        "AMD Ryzen 9 7950X 16-Core Processor",
        "AMD Ryzen 7 7840HS w/ Radeon 780M Graphics",
        "AMD Ryzen 7 PRO 8700GE w/ Radeon 780M Graphics",
        "AMD Ryzen 7 9800X3D 8-Core Processor",
        "AMD Ryzen AI 9 HX 370 w/ Radeon 890M",
        "AMD RYZEN AI MAX+ 395 w/ Radeon 8060S",
        "AMD Ryzen Threadripper PRO 7965WX 24-Cores",
        "Intel(R) Xeon(R) Platinum 8358 CPU @ 2.60GHz",
        "INTEL(R) XEON(R) PLATINUM 8568Y+",
        "Intel(R) Xeon(R) 6975P-C",
        "Intel(R) Core(TM) i9-10900X CPU @ 3.70GHz",
        "11th Gen Intel(R) Core(TM) i7-1165G7 @ 2.80GHz",
        "11th Gen Intel(R) Core(TM) i9-11900KF @ 3.50GHz",
    ],
)
def test_processors_with_avx512_vnni(name: str) -> None:
    assert simd_of_name(name) == "avx512_vnni"


@pytest.mark.parametrize(
    "name",
    [
        "AMD EPYC 7763 64-Core Processor",
        "AMD Ryzen 9 5950X 16-Core Processor",
        "AMD Ryzen 5 7530U with Radeon Graphics",
        "AMD Ryzen 7 7735HS with Radeon Graphics",
        "AMD Ryzen Threadripper 3970X 32-Core Processor",
        "Intel(R) Core(TM) i7-8086K CPU @ 4.00GHz",
        "Intel(R) Core(TM) i9-10900F CPU @ 2.80GHz",
        "12th Gen Intel(R) Core(TM) i5-12600K",
        "12th Gen Intel(R) Core(TM) i5-1235U",
        "13th Gen Intel(R) Core(TM) i3-1315U",
        "Intel(R) Core(TM) i9-14900K",
        "Intel(R) Core(TM) Ultra 9 285K",
        "Intel(R) N100",
        "Intel(R) Xeon(R) CPU E5-2698 v4 @ 2.20GHz",
        "Intel(R) Xeon(R) Gold 6148 CPU @ 2.40GHz",
    ],
)
def test_processors_with_avx2_alone(name: str) -> None:
    assert simd_of_name(name) == "avx2"


@pytest.mark.parametrize("name", ["Apple M3 Ultra", "Neoverse-V2", "Snapdragon X Elite"])
def test_processors_of_arm(name: str) -> None:
    assert simd_of_name(name) == "arm"


@pytest.mark.parametrize(
    "name", ["", "AMD EPYC", "Intel(R) Xeon(R) Processor", "AMD Ryzen Z1 Extreme"]
)
def test_a_name_that_does_not_tell(name: str) -> None:
    assert simd_of_name(name) is None


def test_flags_of_linux() -> None:
    assert simd_of_flags("fpu avx avx2 avx512f avx512dq avx512vl avx512_vnni") == "avx512_vnni"
    assert simd_of_flags("fpu avx avx2 avx512f avx512dq avx512vl") == "avx2", "Skylake"
    assert simd_of_flags("fpu avx") is None
    assert simd_of_flags("") is None


def test_a_rig_in_words_has_its_processors() -> None:
    assert parse_rig("RTX 4090 + Ryzen 9 7950X + 64 GB DDR5-6000").host.simd == "avx512_vnni"
    assert parse_rig("CPU only 64 GB DDR5-6000").host.simd is None
