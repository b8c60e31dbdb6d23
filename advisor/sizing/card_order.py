"""What another order or split of the cards would change.

llama.cpp fills them in the order it is given, each by its free memory. The first also takes
everything that a prompt needs from RAM, over its own slot.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from advisor.basis import Range
from advisor.errors import SettingsError
from advisor.hardware.rig import Device, Rig
from advisor.llm.model import Model
from advisor.sizing.calibration import Calibration
from advisor.sizing.interconnect import link_of
from advisor.sizing.other_splits import nothing_asked, unlike
from advisor.sizing.plan import Plan
from advisor.sizing.planner import device_names, size
from advisor.sizing.settings import FIT, RunSettings
from advisor.units import tokens

_WORTH_TOKENS = 1024
_WORTH_SPEED = 1.03
_WORTH_PROMPTS = 1.10
"""Less is not worth a change."""
_RANK = {"unknown": 0, "no": 0, "offload": 1, "tight": 2, "fits": 3}


@dataclass(frozen=True, slots=True)
class CardOrder:
    """One order and what it changes. ``rig`` has its cards in that order."""

    rig: Rig
    plan: Plan
    sentence: str


def _orders(devices: tuple[Device, ...]) -> Iterator[tuple[int, ...]]:
    """Orders that may matter: backwards, by memory or bandwidth either way, by slot."""
    usual = range(len(devices))
    sizes = [float(device.memory_total or 0) for device in devices]
    rates = [device.bandwidth_gbs or 0.0 for device in devices]
    found = {tuple(reversed(usual))}
    for values in (sizes, rates):
        for backwards in (False, True):
            found.add(tuple(sorted(usual, key=values.__getitem__, reverse=backwards)))
    slots = [(link_of(device) or (0.0, ""))[0] for device in devices]
    found.add(tuple(sorted(usual, key=lambda d: -slots[d])))
    alike = [(device.name, slot) for device, slot in zip(devices, slots, strict=True)]
    for order in sorted(found):
        if [alike[d] for d in order] != alike:
            yield order


def _times(before: Range | None, after: Range | None) -> float:
    return 1.0 if before is None or after is None else after.mid / before.mid


def _gains(longer: int, faster: float, sooner: float) -> list[str]:
    """What is gained, in words; nothing where one is gained by losing another."""
    no_shorter, no_slower = longer > -_WORTH_TOKENS, faster > 1 / _WORTH_SPEED
    if not (no_shorter and no_slower and sooner > 1 / _WORTH_PROMPTS):
        return []
    gains: list[str] = []
    if longer >= _WORTH_TOKENS:
        gains.append(f"+{tokens(longer)} context")
    if faster >= _WORTH_SPEED:
        gains.append(f"+{faster - 1:.0%} decode speed")
    if sooner >= _WORTH_PROMPTS:
        gains.append(f"+{sooner - 1:.0%} prompt speed")
    return gains


def better_split(
    model: Model,
    rig: Rig,
    settings: RunSettings,
    plan: Plan,
    calibration: Calibration | None = None,
) -> str:
    """A split of unlike cards that decodes faster, and what it costs; empty where none does.

    ``plan``: of the same run as llama.cpp splits it by itself.
    """
    if not (unlike(rig) and nothing_asked(settings) and _RANK[plan.verdict] > _RANK["offload"]):
        return ""
    found = size(model, rig, settings.model_copy(update=FIT), calibration=calibration)
    faster = _times(plan.speed.decode_tps, found.speed.decode_tps)
    if _RANK[found.verdict] < _RANK[plan.verdict] or faster < _WORTH_SPEED:
        return ""
    shares = ",".join(f"{share:g}" for share in found.settings.tensor_split)
    sooner = _times(plan.speed.prefill_tps, found.speed.prefill_tps)
    cost = "" if sooner > 1 / _WORTH_PROMPTS else f", prompts {sooner - 1:.0%}"
    longest = found.max_ctx or 0
    if longest < (plan.max_ctx or 0):
        cost += f", at most {tokens(longest)} of context"
    return (
        f"{_how_split(found)} (-ts {shares}; -ngl fit chooses it): +{faster - 1:.0%} decode "
        f"speed{cost}."
    )


def _how_split(plan: Plan) -> str:
    """“Split the layers by speed”, or over which cards alone: a slow one may better hold none."""
    used = [device for device in plan.devices if device.layers]
    if len(used) == len(plan.devices):
        return "Split the layers by speed"
    counts = Counter(device.title for device in plan.devices)
    *others, last = (f"{d.title} ({d.name})" if counts[d.title] > 1 else d.title for d in used)
    if not others:
        return f"Put all layers on {last}"
    return f"Split the layers over {', '.join(others)} and {last} alone"


def better_order(
    model: Model,
    rig: Rig,
    settings: RunSettings,
    plan: Plan,
    calibration: Calibration | None = None,
) -> CardOrder | None:
    """The order that lets the longest context fit, or else is fastest; None where none helps.

    ``plan``: of the same run in the present order.
    """
    if settings.tensor_split or settings.split_mode != "layer":
        return None
    names = device_names(rig.devices)
    best: tuple[tuple[int, int, float], CardOrder] | None = None
    for order in _orders(rig.devices):
        other = rig.model_copy(update={"devices": tuple(rig.devices[d] for d in order)})
        try:
            found = size(model, other, settings, calibration=calibration)
        except SettingsError:
            continue
        if _RANK[found.verdict] < _RANK[plan.verdict]:
            continue
        longer = (found.max_ctx or 0) - (plan.max_ctx or 0)
        faster = _times(plan.speed.decode_tps, found.speed.decode_tps)
        sooner = _times(plan.speed.prefill_tps, found.speed.prefill_tps)
        gains = _gains(longer, faster, sooner)
        if not gains:
            continue
        which = ",".join(names[d] for d in order)
        sentence = f"Swap the order of the cards (-dev {which}): {', '.join(gains)}."
        rank = (_RANK[found.verdict], longer, faster * sooner)
        if best is None or rank > best[0]:
            best = rank, CardOrder(other, found, sentence)
    return None if best is None else best[1]


def better_cards(
    model: Model,
    rig: Rig,
    settings: RunSettings,
    plan: Plan,
    calibration: Calibration | None = None,
) -> str:
    """What a faster split or else a better order would change, in a sentence; empty for neither."""
    split = better_split(model, rig, settings, plan, calibration)
    if split:
        return split
    order = better_order(model, rig, settings, plan, calibration)
    return "" if order is None else order.sentence
