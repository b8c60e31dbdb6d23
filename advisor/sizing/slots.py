"""What moving a card to another PCI Express slot would change, by the speed model's own terms.

Decoding sends kilobytes over a slot. What needs its bandwidth is a prompt: weights in RAM are
copied to the first card for every micro-batch, sums of a tensor split go over every card's slot,
and a layer split hands a micro-batch's hidden state on.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from advisor.basis import Range
from advisor.hardware.rig import Device, PcieLink, Rig
from advisor.llm.model import Model
from advisor.sizing.allocation import place_model, room
from advisor.sizing.calibration import Calibration
from advisor.sizing.interconnect import hand_over_bytes, link_of, pcie_gbs
from advisor.sizing.placement import HOST
from advisor.sizing.plan import Plan
from advisor.sizing.speed import predict
from advisor.sizing.speed_data import speed_data
from advisor.units import rate

_NARROW, _WIDE = 4, 16
"""Lanes of the slots that boards offer beside the first one, and of the first one."""
_NOTICED = 0.02
"""A smaller change of a speed is none."""


@dataclass(frozen=True, slots=True)
class SlotChange:
    """One card in a slot of another width. Speeds are the middle of their ranges, tok/s."""

    where: int
    name: str
    now: str
    """``"PCIe 4.0 x16"``."""
    then: str
    decode: tuple[float, float] | None
    """Now and then; None where it is not known."""
    prefill: tuple[float, float] | None

    @property
    def matters(self) -> bool:
        """Whether a person would notice."""
        pairs = [pair for pair in (self.decode, self.prefill) if pair is not None]
        return any(abs(after / before - 1) >= _NOTICED for before, after in pairs)

    @property
    def sentence(self) -> str:
        """What would change."""
        parts = [
            f"{what} {rate(pair[1])} instead of {rate(pair[0])}"
            for what, pair in (("prompts", self.prefill), ("decoding", self.decode))
            if pair is not None and abs(pair[1] / pair[0] - 1) >= _NOTICED
        ]
        said = "; ".join(parts) if parts else "about the same speed"
        return f"{self.name} in an {self.then} slot instead of {self.now}: {said}."


def _link(device: Device) -> tuple[int, int] | None:
    generation = device.pcie.max_generation or device.pcie.generation
    width = device.pcie.max_width or device.pcie.width
    return (generation, width) if generation and width else None


def _handed(plan: Plan, model: Model, rig: Rig, changed: int) -> float:
    """Seconds per prompt token by which hand-overs over one card's slot would last longer.

    Only the difference is asked for: the measured prefill rates include hand-overs at x16.
    """
    used = [d for d, device in enumerate(plan.devices) if device.layers]
    if changed not in used or model.hp is None or plan.settings.split_mode != "layer":
        return 0.0
    place = used.index(changed)
    borders = (place > 0) + (place < len(used) - 1)
    link = _link(rig.devices[changed])
    gbs = pcie_gbs(*link) if link and link_of(rig.devices[changed]) else None
    if not borders or gbs is None:
        return 0.0
    return borders * hand_over_bytes(model.hp) / (gbs * 1e9 * speed_data().pcie.share)


def _pair(before: Range | None, after: Range | None, more: float) -> tuple[float, float] | None:
    if before is None or after is None:
        return None
    return before.mid, 1 / (1 / after.mid + more)


def slot_changes(
    model: Model, rig: Rig, plan: Plan, calibration: Calibration | None = None
) -> tuple[SlotChange, ...]:
    """For every card in use with a known slot: x4 instead of more, x16 instead of less.

    ``plan``: resolved, of this model on this rig; the placement stays as it is.
    """
    settings = plan.settings
    space = room(rig, calibration)
    placement = place_model(model, settings, space.backends, space.free)
    in_ram = placement.offloads
    if len(rig.devices) < 2 and not in_ram:
        return ()
    found: list[SlotChange] = []
    for index, device in enumerate(rig.devices):
        link = _link(device)
        used = index in placement.places - {HOST} or (in_ram and index == 0)
        if link is None or device.unified or device.host_index or not used:
            continue
        generation, width = link
        for lanes in {_NARROW, _WIDE} - {width}:
            if (lanes == _NARROW) == (width < _NARROW):
                continue
            other = _with_lanes(rig, index, generation, lanes)
            then = predict(model, other, settings, placement, calibration)
            more = _handed(plan, model, other, index) - _handed(plan, model, rig, index)
            found.append(
                SlotChange(
                    where=index,
                    name=f"{device.name} ({plan.devices[index].name})",
                    now=f"PCIe {generation}.0 x{width}",
                    then=f"x{lanes}",
                    decode=_pair(plan.speed.decode_tps, then.decode_tps, 0.0),
                    prefill=_pair(plan.speed.prefill_tps, then.prefill_tps, more),
                )
            )
    return tuple(found)


def _with_lanes(rig: Rig, index: int, generation: int, lanes: int) -> Rig:
    pcie = PcieLink(max_generation=generation, max_width=lanes)
    devices = tuple(
        device.model_copy(update={"pcie": pcie}) if number == index else device
        for number, device in enumerate(rig.devices)
    )
    return rig.model_copy(update={"devices": devices})


def slot_sentences(changes: Sequence[SlotChange]) -> tuple[str, ...]:
    """What is worth saying: every change that matters; else once that no slot does."""
    matter = tuple(change.sentence for change in changes if change.matters)
    if matter or not changes:
        return matter
    return ("No card's slot matters here: x4 or x16 changes neither speed by 2%.",)
