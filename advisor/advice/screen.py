"""Bounds for every pair of build and variant, as arrays, so that most need no closer look.

Every bound flatters a pair. Size: weights and caches without buffers, drivers and margins. Speed:
the engine's own prediction on one reference card that holds everything, with its reading scaled to
the fastest card's bandwidth and its arithmetic to all cards together, less three tenths for what
other cards may do better; whatever has to lie in RAM is read faster than any published run did.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from advisor.advice.shelf import Floats, Shelf
from advisor.advice.skyline import Ints
from advisor.advice.usage import Usage
from advisor.advice.variants import Variant
from advisor.hardware import table
from advisor.hardware.imagined import device_from_entry
from advisor.hardware.rig import Rig
from advisor.sizing import memory
from advisor.sizing.placement import Placement
from advisor.sizing.settings import RunSettings
from advisor.sizing.speed import predict

_FLATTERED: Final = 0.7
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


@dataclass(frozen=True, slots=True)
class Reference:
    """What a variant reads and how fast the reference card is with it, for one usage."""

    dense: int
    used: int
    experts: int
    context: float
    """Bytes of caches."""
    scaling: float
    """Seconds per token × GB/s."""
    latency: float
    """Seconds per token that no bandwidth shortens."""
    prefill: float
    """Prompt tokens per second and TFLOPS."""


def reference(variant: Variant, usage: Usage) -> Reference:
    """Worked out once for a variant and a usage's lengths."""
    return Reference(
        *variant.bytes_read, _context_bytes(variant, usage), *_reference(variant, usage)
    )


def space(shelf: Shelf, known: Sequence[Reference], quality: Sequence[int], usage: Usage) -> Space:
    """Bounds for every pair that can possibly meet the need.

    ``known`` and ``quality``: of every variant.
    """
    n_variants = len(known)
    figures = np.array(
        [(v.dense, v.used, v.experts, v.context, v.scaling, v.latency, v.prefill) for v in known],
        dtype=np.float64,
    ).reshape(n_variants, 7)
    dense, used, experts, context, scaling, latency, per_tflops = figures.T[:, None, :]
    outside = np.maximum(0.0, dense + experts + context - shelf.vram[:, None])
    of_experts = np.minimum(outside, experts)
    share = np.divide(used, experts, out=np.ones_like(used), where=experts > 0)
    slow = of_experts * share + np.minimum(outside - of_experts, dense)
    inside = 1 - slow / (dense + used)
    with np.errstate(divide="ignore", invalid="ignore"):
        seconds = scaling / shelf.bandwidth[:, None] + latency
        seconds = np.where(inside > 0, seconds * inside * _FLATTERED, 0.0)
        reach = shelf.ram_bandwidth[:, None] * (1e9 * _RAM_REACHED)
        seconds += np.where(slow > 0, slow / reach, 0.0)
        speed = np.where(seconds > 0, 1 / seconds, 0.0)
        prefill = per_tflops * shelf.tflops[:, None] / _FLATTERED
        prompt = np.where(shelf.tflops[:, None] > 0, float(usage.new_tokens) / prefill, 0.0)
        busy = (prompt + usage.output_tokens / speed) * usage.requests_per_month
    in_time = prompt <= (float("inf") if usage.max_ttft_s is None else usage.max_ttft_s)
    saved = 0.0 if usage.idle == "off" else shelf.idle_w
    second = np.maximum(0.0, shelf.busy_w - saved) / 3.6e6 * float(usage.electricity_price)
    cost = shelf.fixed(usage)[:, None] + second[:, None] * busy
    possible = (
        (outside <= shelf.ram[:, None])
        & shelf.affordable(usage)[:, None]
        & (speed > 0)
        & (speed >= usage.min_decode_tps)
        & in_time
        & (busy <= float(usage.hours_per_month) * 3600)
    )
    build, variant = np.nonzero(possible)
    qualities = np.array(quality, dtype=np.int64)
    return Space(
        build=build.astype(np.int64),
        variant=variant.astype(np.int64),
        cost=cost[build, variant],
        speed=speed[build, variant],
        quality=qualities[variant],
    )
