"""What every layer costs on every device and in RAM, in seconds: what a placement is chosen by.

The same formulas as a prediction's, layer by layer; their sum over a placement is its time but for
what depends on the placement as a whole, so a solver ranks with these and asks the prediction last.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from advisor.hardware.rig import Rig
from advisor.llm.model import Model
from advisor.sizing import speed_prefill
from advisor.sizing import speed_sums as sums
from advisor.sizing.calibration import IDENTITY, Calibration
from advisor.sizing.goal import goal_settings, weights_of
from advisor.sizing.placement import HOST, Placement
from advisor.sizing.settings import RunSettings, first_device
from advisor.sizing.speed_decode import device_correction
from advisor.sizing.speed_load import (
    caches_copied,
    caches_read,
    layer_caches,
    works_on_caches,
)
from advisor.sizing.speed_machine import (
    DeviceSpeed,
    Machine,
    attention_effort,
    host_seconds,
    machine,
)
from advisor.sizing.speed_sums import Floats, ModelSums
from advisor.sizing.speed_terms import (
    Number,
    Work,
    decode_parts,
    pipelined,
    prefill_parts,
    touched,
)
from advisor.sizing.steps import Steps

_RAM_SLOWER = 20.0
"""Where no speed is known: RAM against the slowest device, bytes for bytes."""


@dataclass(frozen=True, eq=False)
class LayerCosts:
    """Seconds per layer, the last being the output layer, for what the goal counts."""

    whole: Floats
    """Per device (first axis) and layer, with its experts."""
    thin: Floats
    """The same with the layer's experts in RAM; their part there is ``experts``."""
    host: Floats
    """Per layer that lies in RAM as a whole."""
    experts: Floats
    """Per layer, what its experts cost in RAM."""
    steps: Steps
    """For every device in use."""
    once: float
    """Where any device is in use: outside the blocks, less the hand-over that the first has not."""
    prompt: Floats | None = None
    """The part of ``whole`` that devices work off in a pipeline, if they do; None: nothing."""
    pipeline: Callable[[float], float] = lambda _stages: 1.0
    """Share of it that is left, by the time of all devices over that of the slowest."""


def layer_costs(
    model: Model,
    rig: Rig,
    settings: RunSettings,
    layer_bytes: Sequence[int],
    calibration: Calibration | None = None,
) -> LayerCosts:
    """Costs for the settings' goal.

    Without any basis the bytes of each layer over the bandwidth of its memory stand for them.
    """
    known = sums.model_sums(model)
    everywhere = Placement(layer_device=(*range(len(rig.devices)), HOST))
    box = machine(
        rig, everywhere, calibration or IDENTITY, first=first_device(settings), mmap=settings.mmap
    )
    if known is None or isinstance(box, str) or box.host_gbs is None:
        return _by_bytes(rig, layer_bytes)
    judged = goal_settings(settings)
    once, prompt = weights_of(rig, judged)
    found = _decode(model, known, judged, box)
    if not prompt:
        return found
    added = _prefill(model, known, judged, box)
    ubatch = min(judged.ubatch_size, judged.batch_size, judged.n_prompt)
    power = min(device.costs.pipeline for device in box.devices.values())
    return LayerCosts(
        prompt=prompt * added.whole,
        pipeline=lambda stages: float(pipelined(stages, judged.n_prompt, ubatch, power)),
        whole=once * found.whole + prompt * added.whole,
        thin=once * found.thin + prompt * added.thin,
        host=once * found.host + prompt * added.host,
        experts=once * found.experts + prompt * added.experts,
        steps=found.steps.times(once, added.steps, prompt),
        once=once * found.once,
    )


def _by_bytes(rig: Rig, layer_bytes: Sequence[int]) -> LayerCosts:
    known = [device.bandwidth_gbs for device in rig.devices if device.bandwidth_gbs]
    slowest = min(known, default=1.0)
    rates = [device.bandwidth_gbs or slowest for device in rig.devices]
    sizes = np.array(layer_bytes, dtype=float)
    whole = np.array([sizes / (rate * 1e9) for rate in rates])
    host = sizes * _RAM_SLOWER / (slowest * 1e9)
    steps = Steps(0.0, (0,) * len(rates))
    return LayerCosts(whole, np.zeros_like(whole), host, host, steps, 0.0)


def _steps(
    model: Model, known: ModelSums, box: Machine, *, each: float, ubatch: int = 1, logits: bool
) -> Steps:
    """Seconds per token as ``speed`` and ``speed_prefill`` count them.

    A network that is not known counts as a hand-over.
    """
    machine = tuple(device.host_index for device in box.devices.values())
    there, back = [0.0], [0.0]
    for host in range(1, max(machine, default=0) + 1):
        link = box.rig.link_to(host)
        way = returns = each
        if link is not None:
            rate = link.bandwidth_gbs * 1e9
            way = returns = link.latency_us * 1e-6 / ubatch + known.n_embd * 4 / rate
            returns += model.hp.n_vocab * 4 / rate if logits and model.hp is not None else 0.0
        there.append(way)
        back.append(returns)
    return Steps(each, machine, tuple(there), tuple(back))


def _total(parts: Iterable[Number]) -> Floats:
    return sum((np.asarray(part) for part in parts), np.zeros(1))


def _without_experts(columns: Floats) -> Floats:
    # A batch's arithmetic stays on the device, which gets its experts copied.
    thin = columns.copy()
    thin[:, sums.EXPERTS] = 0.0
    thin[:, sums.HARD_EXPERTS] = 0.0
    thin[:, sums.ALL_EXPERTS] = 0.0
    return thin


def _decode(model: Model, known: ModelSums, settings: RunSettings, box: Machine) -> LayerCosts:
    cached, flops, _prompt = layer_caches(known, settings)
    on_host = np.zeros_like(cached)
    full, thin = known.layers, _without_experts(known.layers)
    alone = known.layers - thin
    alone[:, sums.MOE] = known.layers[:, sums.MOE]
    n = len(known.layers)
    host = _total(host_seconds(box, full, cached, flops))
    alone[:, sums.STATE] = alone[:, sums.BLOCKS] = 0.0
    experts = _total(host_seconds(box, alone, np.zeros(n), np.zeros(n), alone[:, sums.MOE]))
    copied = caches_copied(settings, kv_offload=settings.kv_offload)
    if copied:
        on_host = cached / (box.cache_rate or np.inf)
    elif not settings.kv_offload:
        on_host = np.asarray(host_seconds(box, np.zeros_like(full), cached, flops)[2])
        cached, flops = np.zeros(n), np.zeros(n)
    alike = len(box.devices) if len(box.kinds) == 1 else 0

    def on(device: DeviceSpeed, columns: Floats) -> Floats:
        change = device_correction(model, settings, device, alike, box)
        effort = flops * attention_effort(device.backend, settings)
        parts = decode_parts(device.constants, Work(columns, cached, effort))
        return np.asarray(parts.total) * math.exp(change.error) + on_host

    step = max(device.costs.hand_over_us for device in box.devices.values()) * 1e-6
    fixed = max(device.costs.fixed_us for device in box.devices.values()) * 1e-6
    return LayerCosts(
        whole=np.array([on(device, full) for device in box.devices.values()]),
        thin=np.array([on(device, thin) for device in box.devices.values()]),
        host=host,
        experts=experts,
        steps=_steps(model, known, box, each=step, logits=True),
        once=fixed - step,
    )


def _prefill(model: Model, known: ModelSums, settings: RunSettings, box: Machine) -> LayerCosts:
    """Per prompt token. What lies in RAM is copied to a device for every micro-batch."""
    _cached, _flops, prompt = layer_caches(known, settings)
    if works_on_caches(settings, kv_offload=settings.kv_offload):
        # The processor's, wherever a block lies: the same for all placements.
        prompt = np.zeros_like(prompt)
    ubatch = min(settings.ubatch_size, settings.batch_size, settings.n_prompt)
    used = known.n_expert_used / known.n_expert if known.n_expert else 1.0
    full, thin = known.layers, _without_experts(known.layers)
    moved = full - thin
    # Their arithmetic is the first device's, wherever their layer lies.
    work = np.zeros_like(full)
    for part in (sums.EXPERTS_Q, sums.EXPERTS_16):
        work[:, part] = np.where(moved[:, sums.ALL_EXPERTS] > 0, full[:, part], 0.0)
    thin = thin - work
    # Without a known link the copy counts as slow as one lane of PCIe 3.0.
    copied = 1 / ((box.copy_rate or 1e9) * ubatch)
    distinct = box.host.distinct(ubatch)

    def on(device: DeviceSpeed, columns: Floats, along: Floats | None = None) -> Floats:
        constants = speed_prefill.constants(
            device, model, box.calibration.prefill_factor, flash=settings.flash_attn != "off"
        )
        read = touched(columns, used, ubatch)
        attention = prompt if along is None else along
        parts = prefill_parts(constants, columns, attention, read, ubatch, used=used)
        seconds = np.asarray(parts.total)
        change = speed_prefill.device_correction(model, known, settings, device, box)
        return seconds * math.exp(change.error)

    first = next(iter(box.devices.values()))
    first = box.devices.get(first_device(settings), first)
    # Blocks in RAM: as speed_load.read_in_batches has them.
    lent = np.zeros_like(full)
    for part in (*sums.ARITHMETIC, sums.BLOCKS):
        lent[:, part] = full[:, part]
    from_ram = caches_read(known, settings) / ((box.cache_rate or np.inf) * ubatch)
    kept = from_ram * (not settings.kv_offload)
    return LayerCosts(
        whole=np.array([on(device, full) + kept for device in box.devices.values()]),
        thin=np.array([on(device, thin) + kept for device in box.devices.values()]),
        host=np.asarray(touched(full, used, distinct)) * copied
        + from_ram
        + on(first, lent, prompt),
        experts=np.asarray(touched(moved, used, distinct)) * copied
        + on(first, work, np.zeros_like(prompt)),
        steps=_steps(model, known, box, each=0.0, ubatch=ubatch, logits=False),
        once=0.0,
    )
