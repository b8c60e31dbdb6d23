"""Parts of a layer's experts in RAM (``-ot``), where whole layers of them leave devices half empty.

``--n-cpu-moe`` moves the experts of whole layers, the first ones, so up to a layer's worth of
memory stays empty on every device. Here a device that has room takes one more layer with a third or
two thirds of its experts, and the device that holds the last layer in RAM takes a part of it back.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Final

from advisor.hardware.rig import Rig
from advisor.llm.model import Model
from advisor.sizing.allocation import Allocation, Room, allocate
from advisor.sizing.calibration import Calibration
from advisor.sizing.goal import goal_seconds
from advisor.sizing.layer_bytes import LayerBytes, layer_bytes
from advisor.sizing.settings import RunSettings
from advisor.sizing.verdict import headrooms

WORTH: Final = 0.02
"""A longer command line has to save so much of the time."""
_IN_RAM: Final[Mapping[int, str]] = {
    2: r"blk\.{il}\.ffn_down_(ch|)exps=CPU",
    1: r"blk\.{il}\.ffn_(up|gate|gate_up)_(ch|)exps=CPU",
}
"""What goes to RAM where so many thirds of a layer's experts stay on the device."""
_LOOKS: Final = 8


@dataclass(frozen=True, slots=True)
class _Shares:
    """Layers per device that holds any, and the thirds of experts that devices take in addition."""

    counts: tuple[int, ...]
    devices: tuple[int, ...]
    away: int
    """Layers with all experts in RAM, the first ones."""
    holder: int
    """Place in ``devices`` of the one that holds the last of them."""
    thirds: tuple[int, ...]
    """By place; of the holder for the last layer away, of those behind for one more layer."""

    def settings(self, asked: RunSettings, n_devices: int) -> RunSettings | None:
        """In numbers; None where a layer would have to come from nowhere."""
        more = [int(third > 0) for third in self.thirds]
        moved = sum(more[self.holder + 1 :])
        away = self.away - moved - more[self.holder]
        counts = [
            count + (more[place] if place > self.holder else 0)
            for place, count in enumerate(self.counts)
        ]
        counts[self.holder] -= moved
        if away < 0 or counts[self.holder] < 0:
            return None
        starts = [0, *accumulate(counts)]
        parts = [
            _IN_RAM[third].format(il=away if place == self.holder else starts[place])
            for place, third in enumerate(self.thirds)
            if third
        ]
        split = [0.0] * n_devices
        for device, count in zip(self.devices, counts, strict=True):
            split[device] = float(count)
        return asked.model_copy(
            update={
                "n_cpu_moe": away,
                "tensor_split": tuple(split) if moved else asked.tensor_split,
                "override_tensor": tuple(parts),
            }
        )


def in_parts(
    model: Model,
    rig: Rig,
    settings: RunSettings,
    space: Room,
    calibration: Calibration | None = None,
) -> RunSettings:
    """``settings`` as the solver left them, or faster ones with parts of experts in RAM.

    By exact bytes, keeping the margin. Settings that were not the solver's to choose, or with
    layers in RAM, come back as they are.
    """
    away = settings.n_cpu_moe
    whole = settings.n_gpu_layers == "all" and settings.split_mode in {"layer", "none"}
    if not isinstance(away, int) or away < 1 or not whole or settings.override_tensor:
        return settings
    loads = layer_bytes(model, settings, space.backends[0])
    allocation = allocate(model, settings, space.backends, space.free)
    before = goal_seconds(model, rig, settings, allocation.placement, calibration)
    shares = None if loads is None else _begin(allocation, space, settings, loads, away)
    if before is None or shares is None:
        return settings
    found = _holding(model, settings, space, shares)
    if found is None:
        return settings
    placement = allocate(model, found, space.backends, space.free).placement
    after = goal_seconds(model, rig, found, placement, calibration)
    return found if after is not None and after < before * (1 - WORTH) else settings


def _holding(
    model: Model, settings: RunSettings, space: Room, shares: _Shares
) -> RunSettings | None:
    """The first of ever fewer thirds that keeps the margin by exact bytes; None: none does."""
    for _ in range(_LOOKS):
        found = shares.settings(settings, len(space.free))
        if found is None or not any(shares.thirds):
            return None
        left = headrooms(allocate(model, found, space.backends, space.free), space)
        short = [
            place
            for place, device in enumerate(shares.devices)
            if (left[device] or 0) < settings.margin
        ]
        if not short and (left[-1] or 0) >= 0:
            return found
        fewer = list(shares.thirds)
        for place in short or range(len(fewer)):
            fewer[place] = max(fewer[place] - 1, 0)
        if fewer == list(shares.thirds):
            # A card that takes nothing more is short by a larger buffer: the first one that does
            # gives way.
            fewer[next(place for place, third in enumerate(fewer) if third)] -= 1
        shares = replace(shares, thirds=tuple(fewer))
    return None


def _begin(
    allocation: Allocation, space: Room, settings: RunSettings, loads: LayerBytes, away: int
) -> _Shares | None:
    """As many thirds as the room that is left promises; None where nothing is promised."""
    owners = allocation.placement.layer_device
    devices = tuple(sorted(set(owners)))
    if min(devices) < 0 or not loads.experts[away - 1]:
        return None
    counts = tuple(owners.count(device) for device in devices)
    holder = devices.index(owners[away - 1])
    left = headrooms(allocation, space)
    starts = [0, *accumulate(counts)]
    thirds = [0] * len(devices)
    for place in range(holder, len(devices)):
        room = (left[devices[place]] or 0) - settings.margin
        # The layer that comes is like the one before it.
        il = away - 1 if place == holder else starts[place] - 1
        extra = 0 if place == holder else loads.dense[il] + loads.context[il]
        if (loads.experts[il] and settings.split_mode == "layer") or place == holder:
            thirds[place] = min(max((room - extra) * 3 // max(loads.experts[il], 1), 0), 2)
    if not settings.kv_offload and any(thirds[holder + 1 :]):
        thirds[holder + 1 :] = [0] * (len(devices) - holder - 1)
    return _Shares(counts, devices, away, holder, tuple(thirds)) if any(thirds) else None
