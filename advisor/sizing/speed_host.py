"""Prompts that the processor computes: weights in RAM that no device takes over."""

import math
import re
from typing import Final

from advisor.hardware.rig import Rig, Simd
from advisor.sizing import speed_sums as sums
from advisor.sizing.placement import HOST
from advisor.sizing.plan import SpeedTerm
from advisor.sizing.speed_data import HostCosts, Vectors
from advisor.sizing.speed_load import Load
from advisor.sizing.speed_machine import Machine
from advisor.sizing.speed_terms import FLOPS, touched

_ON_ARM: Final = re.compile(r"(?i)apple|gb10|gh200|gb200|jetson|thor|orin")
"""Devices whose computers have such processors."""


def on_processor(
    load: Load, box: Machine, ubatch: int, *, used: float, built: float | None
) -> list[tuple[SpeedTerm, float]] | str:
    """Arithmetic and reading of prompts, by a probe or by the processor's cores.

    ``used``: share of the experts that a token uses. ``built``: when llama.cpp was, in years; None:
    lately.
    """
    cores, spread = box.rig.host.cores, box.host.prefill_spread
    if box.host_rate is not None:
        work = 2 * float(load.columns[sums.DENSE_Q : sums.EXPERTS_16 + 1].sum())
        work += float(load.prefill_attention[FLOPS])
        seconds = work / box.host_rate
        rate = f"{work / 1e9:,.3g} GFLOP a token at {box.host_rate / 1e12:,.3g} TFLOP/s"
        spread = box.calibration.reading_spread(spread)
    elif cores is None:
        return (
            "Prefill on the CPU is unknown, as it is not told how many cores there are. "
            "A probe measures it."
        )
    else:
        kind = simd_of(box.rig)
        tiled = in_tiles(box.host, kind, built)
        seconds = arithmetic(box.host, load, cores, ubatch, used=used, tiled=tiled, kind=kind)
        rate = f"on {cores} cores, as measured runs reached by type"
        if kind is not None:
            rate += f" with {_NAMES[kind]}"
        else:
            spread = math.hypot(spread, _unnamed(box.host, tiled=tiled))
        if tiled:
            rate += f", in tiles (llama.cpp of {box.host.tiled.since} or later)"
    read = float(touched(load.columns, used, ubatch))
    memory = read / ((box.host_gbs or 1e-9) * 1e9) / ubatch
    once = f"{read / 1e9:,.3g} GB per micro-batch of {ubatch} at {box.host_gbs or 0:,.0f} GB/s"
    return [
        (SpeedTerm("CPU: arithmetic", seconds, rate, HOST), spread),
        (SpeedTerm("CPU: read weights", memory, once, HOST), spread),
    ]


_NAMES: Final[dict[Simd, str]] = {
    "avx512_vnni": "AVX-512 VNNI", "avx2": "AVX2", "arm": "ARM's instructions",
}  # fmt: skip


def simd_of(rig: Rig) -> Simd | None:
    """The vector instructions of a rig's processor; None where they are not known."""
    if rig.host.simd is None and any(
        _ON_ARM.search(f"{d.architecture} {d.table_id or d.name}") for d in rig.devices
    ):
        return "arm"
    return rig.host.simd


def _unnamed(host: HostCosts, *, tiled: bool) -> float:
    """Spread of a processor that may have AVX-512 or not: half of the distance."""
    more, less = host.vectors["avx512_vnni"], host.vectors["avx2"]
    ratio = more.tiled / less.tiled if tiled else more.plain / less.plain
    return abs(math.log(ratio)) / 2


def in_tiles(host: HostCosts, kind: Simd | None, built: float | None) -> bool:
    """Whether llama.cpp unpacks weights into tiles that a whole micro-batch is multiplied with.

    On x86 alone (ggml-cpu/tiled/tiled.cpp:ggml_tiled_supported).
    """
    return kind != "arm" and (built is None or built >= host.tiled.year)


def arithmetic(
    host: HostCosts,
    load: Load,
    cores: int,
    ubatch: int,
    *,
    used: float,
    tiled: bool,
    kind: Simd | None,
) -> float:
    """Seconds per token of a prompt that so many cores take for its arithmetic."""
    seconds = 0.0
    dense = (sums.DENSE, sums.HARD_DENSE, [sums.DENSE_Q, sums.DENSE_16], float(ubatch))
    experts = (sums.EXPERTS, sums.HARD_EXPERTS, [sums.EXPERTS_Q, sums.EXPERTS_16], ubatch * used)
    for read, hard, parameters, rows in (dense, experts):
        by_type: dict[str, float] = dict(
            zip(sums.GROUPS, map(float, load.columns[read]), strict=True)
        )
        for name, size in zip(sums.HARD, map(float, load.columns[hard]), strict=True):
            by_type[name] = size
            by_type[sums.HARD_GROUPS[name]] -= size
        weights = {name: size / _BYTES_EACH[name] for name, size in by_type.items() if size > 0}
        if weights:
            each = sum(
                n / _rate(host, name, rows if tiled else 0.0, kind) for name, n in weights.items()
            )
            work = 2 * float(load.columns[parameters].sum())
            seconds += work * each / sum(weights.values())
    attention = float(load.prefill_attention[FLOPS]) / host.attention_gflops
    state = float(load.columns[sums.STATE]) / host.prefill_state_gbs
    return (seconds + attention + state) / (cores * 1e9)


def _rate(host: HostCosts, name: str, rows: float, kind: Simd | None) -> float:
    """10**9 operations per second and core; ``rows``: tokens that a matrix is multiplied with."""
    known = host.vectors[kind] if kind else _ANY
    plain, tiled = host.prefill_gflops[name] * known.plain, host.tiled
    if rows < tiled.least_rows or name not in tiled.gflops:
        return plain
    # What is unpacked takes as long as multiplying so many rows with it.
    reached = rows / (rows + tiled.unpacking_rows)
    return max(plain, tiled.gflops[name] * known.tiled * reached)


_ANY: Final = Vectors(plain=1.0, tiled=1.0)


_BYTES_EACH: Final[dict[str, float]] = {
    "f32": 4.0, "f16": 2.0, "bf16": 2.0, "q8": 1.0625, "q6": 0.82, "q5": 0.688, "q4": 0.5625,
    "fp4": 0.531, "q3": 0.43, "q2": 0.328, "iq4": 0.531, "iq3": 0.406, "iq2": 0.28, "iq1": 0.2,
}  # fmt: skip
"""Of a weight, about: it only shares out a token's arithmetic among types."""
