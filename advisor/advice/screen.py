"""Bounds for every pair of build and variant, as arrays, so that most need no closer look.

Every bound can only flatter a pair: weights and caches without buffers, drivers and margins, the
fastest card's bandwidth for everything in fast memory, and no latency.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from advisor.advice import power
from advisor.advice.builds import Build
from advisor.advice.options import EFFORT
from advisor.advice.usage import Usage
from advisor.advice.variants import Variant
from advisor.sizing import memory
from advisor.sizing.placement import Placement
from advisor.sizing.settings import RunSettings

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_CHANGES_SOMETHING: Final = 2


@dataclass(frozen=True, eq=False)
class Space:
    """The pairs that the bounds do not rule out, as flat arrays."""

    build: Ints
    variant: Ints
    cost: Floats
    """Lowest possible expected cost a month, in the user's currency."""
    speed: Floats
    """Highest possible decode speed, tokens per second."""
    quality: Ints


@dataclass(frozen=True, eq=False)
class _Builds:
    """One row per build."""

    vram: Floats
    bandwidth: Floats
    """GB/s of the fastest card."""
    ram: Floats
    ram_bandwidth: Floats
    fixed: Floats
    """Cost a month before the first request."""
    added: Floats
    """Cost of a busy second."""
    possible: NDArray[np.bool_]


def _builds(shelf: Sequence[Build], usage: Usage) -> _Builds:
    n = len(shelf)
    rows = np.zeros((6, n))
    possible = np.ones(n, dtype=bool)
    watts: dict[object, tuple[float, float]] = {}
    price_kwh, hours = float(usage.electricity_price), float(usage.hours_per_month)
    kept = float((1 - usage.resale_share) / usage.horizon_months * usage.usd_rate)
    budget = float("inf") if usage.budget is None else float(usage.budget / usage.usd_rate)
    for i, build in enumerate(shelf):
        host, devices = build.rig.host, build.rig.devices
        usd = float(build.usd)
        possible[i] = not build.impossible and not build.unpriced and usd <= budget
        key = build.signature[0]
        if key not in watts:
            draw = power.estimate(build.rig)
            watts[key] = (draw.busy.mid, draw.idle.mid) if draw else (0.0, 0.0)
        busy, idle = watts[key]
        fixed = usd * kept
        if EFFORT[build.kind] >= _CHANGES_SOMETHING:
            fixed += float(usage.worth_changing)
        if usage.idle == "counts":
            fixed += idle * hours / 1000 * price_kwh
        added = max(0.0, busy - (0.0 if usage.idle == "off" else idle)) / 3.6e6 * price_kwh
        shared = any(d.unified for d in devices)
        rows[:, i] = (
            sum(d.memory_free or 0 for d in devices),
            max((d.bandwidth_gbs or 0.0 for d in devices), default=0.0),
            0 if shared else host.ram_available or host.ram_total or 0,
            0 if shared else host.ram_bandwidth_gbs or 0.0,
            fixed,
            added,
        )
    vram, bandwidth, ram, ram_bandwidth, fixed, added = rows
    return _Builds(
        vram=vram,
        bandwidth=bandwidth,
        ram=ram,
        ram_bandwidth=ram_bandwidth,
        fixed=fixed,
        added=added,
        possible=possible,
    )


def _context_bytes(variant: Variant, usage: Usage) -> float:
    """Caches of the wanted context, all on one device; 0 where the rule is not known."""
    model = variant.model
    layers = model.hp.n_layer_all if model.hp is not None else 0
    settings = variant.settings(RunSettings(), usage).model_copy(
        update={"n_gpu_layers": "all", "n_cpu_moe": 0}
    )
    placement = Placement(layer_device=(0,) * (layers + 1))
    context = memory.context(model, settings, placement, ("cuda",))
    return 0.0 if context is None else float(sum(context.devices) + context.host)


def space(shelf: Sequence[Build], wanted: Sequence[Variant], usage: Usage) -> Space:
    """Bounds for every pair that can possibly meet the need."""
    rows = _builds(shelf, usage)
    n_variants = len(wanted)
    read = np.array([v.bytes_read for v in wanted], dtype=np.float64).reshape(n_variants, 3)
    dense, used, experts = read[:, 0], read[:, 1], read[:, 2]
    caches: dict[tuple[str, str], float] = {}
    for variant in wanted:
        key = (variant.model.id, variant.kv)
        if key not in caches:
            caches[key] = _context_bytes(variant, usage)
    context = np.array([caches[v.model.id, v.kv] for v in wanted])
    outside = np.maximum(0.0, (dense + experts + context)[None, :] - rows.vram[:, None])
    of_experts = np.minimum(outside, experts[None, :])
    share = np.divide(used, experts, out=np.ones(n_variants), where=experts > 0)
    slow = of_experts * share[None, :] + np.minimum(outside - of_experts, dense[None, :])
    fast = (dense + used)[None, :] - slow
    with np.errstate(divide="ignore", invalid="ignore"):
        seconds = np.where(fast > 0, fast / (rows.bandwidth[:, None] * 1e9), 0.0)
        seconds += np.where(slow > 0, slow / (rows.ram_bandwidth[:, None] * 1e9), 0.0)
        speed = np.where(seconds > 0, 1 / seconds, 0.0)
        busy = usage.output_tokens / speed * usage.requests_per_month
    cost = rows.fixed[:, None] + rows.added[:, None] * busy
    possible = (
        (outside <= rows.ram[:, None])
        & rows.possible[:, None]
        & (speed > 0)
        & (speed >= usage.min_decode_tps)
        & (busy <= float(usage.hours_per_month) * 3600)
    )
    build, variant = np.nonzero(possible)
    qualities = np.array([v.quality for v in wanted], dtype=np.int64)
    return Space(
        build=build.astype(np.int64),
        variant=variant.astype(np.int64),
        cost=cost[build, variant],
        speed=speed[build, variant],
        quality=qualities[variant],
    )
