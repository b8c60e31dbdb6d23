"""The least time that a card of a kind can take, for many models and kinds of cards at once.

The formulas of ``speed`` with everything on one card of that kind: several such cards, or some of
the model in RAM, only add to it. Measured rows may make a case faster than the formula; so much is
granted to every case beforehand.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from advisor.hardware.rig import Device, Rig
from advisor.llm.model import Model
from advisor.sizing import speed_prefill
from advisor.sizing import speed_sums as sums
from advisor.sizing.bench_rows import bench_data
from advisor.sizing.build_dates import built_year
from advisor.sizing.calibration import Calibration
from advisor.sizing.placement import Placement
from advisor.sizing.settings import RunSettings
from advisor.sizing.speed_data import speed_data
from advisor.sizing.speed_load import layer_caches
from advisor.sizing.speed_machine import DeviceSpeed, least_times, machine
from advisor.sizing.speed_similar import Case, correction
from advisor.sizing.speed_sums import Floats
from advisor.sizing.speed_terms import ENTRIES, Work, decode_parts, prefill_parts, touched

_DECODE_GRANTED: Final = 0.85
_PREFILL_GRANTED: Final = 0.65
_PREFILL_APART: Final = 0.9
"""No correction of a model without rows of its own was below these factors on the time, but for
prefill on cards whose rows say less of any model (``_prefill_on``); where a model has rows, the
fastest of them counts (tests/advice hold every bound against predictions). On a card's rows any
model counts for so much less time: it may be better known than one that is like none of them, and
what is known better stands less far below what is likeliest (``Similar.centre``)."""


@dataclass(frozen=True, slots=True)
class Ideal:
    """What one model asks of whatever runs it, for one question. Nothing is placed yet."""

    model: Model
    depth: int
    columns: Floats | None
    """``speed_sums`` of the whole model; None where they are not known."""
    cache_bytes: float = 0.0
    attention_flops: float = 0.0
    prefill_attention: tuple[float, ...] = (0.0,) * ENTRIES
    """Along the prompt: ``speed_terms.FLOPS`` to ``CAMPED``."""
    used: float = 1.0
    """Share of the experts that one token uses."""
    built: float | None = None
    flash: bool = True
    """Both as in ``speed_similar.Case``."""
    experts_in_ram: float = 1.0
    """How much longer RAM takes for a byte of experts than for one of 4 bits and more, at least."""


@dataclass(frozen=True, slots=True)
class Least:
    """Seconds per token by kind of card (rows) and model (columns)."""

    decode: Floats
    prefill: Floats
    copy: Floats
    """Bytes per second from RAM, by kind; infinite where the link is not known."""
    asked: Sequence[Ideal]
    devices: Sequence[tuple[DeviceSpeed | None, Calibration]]

    def hand_over(self, kind: int) -> float:
        """Seconds for which the next device waits; 0 where nothing is known of the kind."""
        device, _ = self.devices[kind]
        return 0.0 if device is None else device.costs.hand_over_us * 1e-6

    def closely(self, kind: int, model: int) -> float:
        """``decode``, with what similar cases say in place of what is granted to every case."""
        asked, (device, calibration) = self.asked[model], self.devices[kind]
        seconds, (granted, _) = float(self.decode[kind, model]), _granted(asked.model.shape)
        if device is None or asked.model.shape in _fastest():
            return seconds
        hp = asked.model.hp
        case = Case(
            model=asked.model.shape,
            gpu=device.gpu,
            backend=device.backend,
            speed_class=device.class_key,
            file_type=asked.model.file_type,
            experts=bool(hp and hp.n_expert),
            depth=asked.depth,
            built=None if calibration.of_devices else asked.built,
            flash=asked.flash,
        )
        return seconds / granted * math.exp(correction("decode", case, 0).error)


def ideal(model: Model, settings: RunSettings) -> Ideal:
    """``settings.depth``: where the prompt begins; an answer is no sooner."""
    known = sums.model_sums(model)
    if known is None:
        return Ideal(model, settings.depth, None)
    cached, flops, along = layer_caches(known, settings)
    return Ideal(
        model,
        settings.depth,
        known.layers.sum(axis=0),
        float(cached.sum()),
        float(flops.sum()),
        tuple(along.sum(axis=0).tolist()),
        known.n_expert_used / known.n_expert if known.n_expert else 1.0,
        built_year(settings.built),
        settings.flash_attn != "off",
        _few_bits(known.layers[:, sums.EXPERTS]),
    )


def _few_bits(experts: Floats) -> float:
    """Of the block whose experts have the most bits: those of other blocks may stay on a card."""
    held = experts[experts.sum(axis=1) > 0]
    if not len(held):
        return 1.0
    return float((held @ least_times() / held.sum(axis=1)).min())


def least(
    kinds: Sequence[tuple[Device, Calibration]], asked: Sequence[Ideal], ubatch: int
) -> Least:
    """The least time of every model on every kind of card.

    Where nothing is known of a card or a model it is 0: nothing can be ruled out.
    """
    columns = np.array(
        [np.zeros(sums.COLUMNS) if a.columns is None else a.columns for a in asked]
    ).reshape(len(asked), sums.COLUMNS)
    cache, flops, used = (
        np.array([getattr(a, name) for a in asked])
        for name in ("cache_bytes", "attention_flops", "used")
    )
    along = np.array([a.prefill_attention for a in asked]).reshape(len(asked), ENTRIES)
    read = touched(columns, used, ubatch)
    groups = [speed_prefill.type_group(a.model.file_type) for a in asked]
    factors = np.array([speed_data().prefill_groups[g] if g else 1.0 for g in groups])
    is_bf16 = np.array([a.model.file_type == "BF16" for a in asked])
    granted = np.array([_granted(a.model.shape) for a in asked]).reshape(len(asked), 2).T
    decode = np.zeros((len(kinds), len(asked)))
    prefill = np.zeros((len(kinds), len(asked)))
    copy = np.full(len(kinds), np.inf)
    devices = [(_alone(device, calibration), calibration) for device, calibration in kinds]
    for i, (found, calibration) in enumerate(devices):
        if found is None or not asked:
            continue
        parts = decode_parts(found.constants, Work(columns, cache, flops))
        decode[i] = (parts.total + found.costs.fixed_us * 1e-6) * granted[0]
        if found.copy_rate is not None:
            copy[i] = found.copy_rate
        if found.matrix_rate is None:
            continue
        plain = speed_prefill.constants(found, asked[0].model, calibration.prefill_factor)
        constants = replace(
            plain,
            type_factor=factors,
            bf16=np.where(is_bf16, found.costs.bf16_prefill, 1.0),
        )
        prompt = prefill_parts(constants, columns, along, read, ubatch, used=used)
        prefill[i] = prompt.total * np.minimum(granted[1], _prefill_on(found, asked))
    unknown = [a.columns is None for a in asked]
    decode[:, unknown] = prefill[:, unknown] = 0.0
    return Least(decode, prefill, copy, asked, devices)


def _prefill_on(device: DeviceSpeed, asked: Sequence[Ideal]) -> Floats:
    """What rows of this card and of builds of the time say of any model's prefill, as a factor."""
    told = [(bool(a.model.hp and a.model.hp.n_expert), a.built, a.flash) for a in asked]
    known = {
        (experts, built, flash): _PREFILL_APART
        * math.exp(
            correction(
                "prefill",
                Case(
                    model="",
                    gpu=device.gpu,
                    backend=device.backend,
                    speed_class=device.class_key,
                    file_type="",
                    experts=experts,
                    depth=0,
                    built=built,
                    flash=flash,
                ),
                0,
            ).error
        )
        for experts, built, flash in set(told)
    }
    return np.array([known[key] for key in told])


def _alone(device: Device, calibration: Calibration) -> DeviceSpeed | None:
    alone = device.model_copy(update={"host_index": 0})
    rig, placement = Rig(name="", devices=(alone,)), Placement(layer_device=(0,))
    # As fast as copies can be.
    box = machine(rig, placement, calibration, mmap=False)
    return None if isinstance(box, str) else box.devices[0]


@functools.cache
def _fastest() -> dict[str, tuple[float, float]]:
    """By shape of model the lowest errors of its rows, as factors on decode and prefill time."""
    found: dict[str, tuple[float, float]] = {}
    for row in bench_data().rows:
        decode, prefill = found.get(row.shape, (1.0, 1.0))
        found[row.shape] = (
            min(decode, math.exp(row.decode_error or 0.0)),
            min(prefill, math.exp(row.prefill_error or 0.0)),
        )
    return found


def _granted(shape: str) -> tuple[float, float]:
    decode, prefill = _fastest().get(shape, (1.0, 1.0))
    return min(decode, _DECODE_GRANTED), min(prefill, _PREFILL_GRANTED)
