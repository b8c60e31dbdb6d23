"""Bounds for every pair of build and variant, as arrays, so that most need no closer look.

Every bound flatters a pair. Size: weights and caches without buffers, drivers and margins. Speed:
the engine's own prediction on one reference card that holds everything, with its reading scaled to
the fastest card's bandwidth and its arithmetic to all cards together, less a fifth for what other
cards may do better; whatever has to lie in RAM is read faster than any published run did.
"""

import functools
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
from advisor.hardware import table
from advisor.hardware.imagined import device_from_entry
from advisor.hardware.rig import Rig
from advisor.sizing import memory
from advisor.sizing.placement import Placement
from advisor.sizing.settings import RunSettings
from advisor.sizing.speed import predict

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_CHANGES_SOMETHING: Final = 2
_FLATTERED: Final = 0.8
_LATENCY: Final = frozenset({"Launches and waits", "Per token"})
"""Terms of ``advisor.sizing.speed`` that no bandwidth shortens."""
_RAM_REACHED: Final = 0.75
"""No published run with experts in RAM read it faster than 0.52 of its theoretical bandwidth."""


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
    tflops: Floats
    """Of all cards together; 0 where one is not known."""
    possible: NDArray[np.bool_]


def _builds(shelf: Sequence[Build], usage: Usage) -> _Builds:
    n = len(shelf)
    rows = np.zeros((7, n))
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
            sum(d.fp16_tflops or 0.0 for d in devices)
            if all(d.fp16_tflops for d in devices)
            else 0.0,
        )
    vram, bandwidth, ram, ram_bandwidth, fixed, added, tflops = rows
    return _Builds(
        vram=vram,
        bandwidth=bandwidth,
        ram=ram,
        ram_bandwidth=ram_bandwidth,
        fixed=fixed,
        added=added,
        tflops=tflops,
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


@functools.cache
def _reference_rig() -> Rig:
    """The card whose predictions rest on the most published runs."""
    entry = table.find("RTX 4090")
    if entry is None:
        raise LookupError("the GPU table has no RTX 4090")
    return Rig(name="reference", devices=(device_from_entry(entry),), imagined=True)


def _reference(variant: Variant, usage: Usage) -> tuple[float, float, float]:
    """Seconds × GB/s and seconds of latency per token, prompt tokens per second and TFLOPS.

    Without a prediction: the weights read once without any loss, and no time for prompts.
    """
    rig = _reference_rig()
    card = rig.devices[0]
    bandwidth, rate = card.bandwidth_gbs or 1.0, card.fp16_tflops or 1.0
    model = variant.model
    settings = variant.settings(RunSettings(), usage).model_copy(
        update={"n_gpu_layers": "all", "n_cpu_moe": 0}
    )
    layers = model.hp.n_layer_all if model.hp is not None else 0
    speed = predict(model, rig, settings, Placement(layer_device=(0,) * (layers + 1)))
    if speed.decode_tps is None:
        dense, used, _ = variant.bytes_read
        return (dense + used) / 1e9, 0.0, float("inf")
    latency = sum(t.seconds for t in speed.decode_terms if t.name in _LATENCY)
    scaling = max(0.0, 1 / speed.decode_tps.mid - latency)
    prefill = float("inf") if speed.prefill_tps is None else speed.prefill_tps.mid / rate
    return scaling * bandwidth, latency, prefill


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
    inside = 1 - slow / (dense + used)[None, :]
    reference = np.array([_reference(v, usage) for v in wanted]).reshape(n_variants, 3)
    with np.errstate(divide="ignore", invalid="ignore"):
        seconds = reference[:, 0][None, :] / rows.bandwidth[:, None] + reference[:, 1][None, :]
        seconds = np.where(inside > 0, seconds * inside * _FLATTERED, 0.0)
        reach = rows.ram_bandwidth[:, None] * (1e9 * _RAM_REACHED)
        seconds += np.where(slow > 0, slow / reach, 0.0)
        speed = np.where(seconds > 0, 1 / seconds, 0.0)
        prefill = reference[:, 2][None, :] * rows.tflops[:, None] / _FLATTERED
        prompt = np.where(rows.tflops[:, None] > 0, float(usage.new_tokens) / prefill, 0.0)
        busy = (prompt + usage.output_tokens / speed) * usage.requests_per_month
    in_time = prompt <= (float("inf") if usage.max_ttft_s is None else usage.max_ttft_s)
    cost = rows.fixed[:, None] + rows.added[:, None] * busy
    possible = (
        (outside <= rows.ram[:, None])
        & rows.possible[:, None]
        & (speed > 0)
        & (speed >= usage.min_decode_tps)
        & in_time
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
