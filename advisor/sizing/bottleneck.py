"""Which place takes how much of the time, which of them holds the others back, and why."""

from collections.abc import Sequence
from dataclasses import dataclass

from advisor.basis import Explanation, Term
from advisor.sizing.placement import HOST
from advisor.sizing.plan import Plan, SpeedTerm
from advisor.sizing.speed_prefill import CACHE_COPIED, COPIED
from advisor.units import size as people

_EVEN = 1.05
"""A card that takes so much more of the time than it holds is not said to hold others back."""
_REDUCE = "All-reduce"


@dataclass(frozen=True, slots=True)
class PlaceTime:
    """One place's part of the time per token, or per token of a prompt."""

    where: int | None
    """Device; -1 the host; None what passes between places."""
    name: str
    """``"RTX 4090 (CUDA0)"``, ``"RAM"``, ``"Between devices"``."""
    seconds: float
    share: float
    largest: SpeedTerm
    """What takes most of it."""


def _name(plan: Plan, where: int | None) -> str:
    if where is None:
        return "Between devices"
    if where == HOST:
        return "RAM"
    device = plan.devices[where]
    return f"{device.title} ({device.name})" if len(plan.devices) > 1 else device.title


def by_place(plan: Plan, terms: Sequence[SpeedTerm]) -> tuple[PlaceTime, ...]:
    """The terms by place, devices in their order, then RAM, then what lies between."""
    total = sum(term.seconds for term in terms)
    places = {term.where for term in terms}
    order = [d for d in range(len(plan.devices)) if d in places]
    order += [where for where in (HOST, None) if where in places]
    found: list[PlaceTime] = []
    for where in order:
        here = [term for term in terms if term.where == where]
        seconds = sum(term.seconds for term in here)
        largest = max(here, key=lambda term: term.seconds)
        found.append(PlaceTime(where, _name(plan, where), seconds, seconds / total, largest))
    return tuple(found)


_DOING = {
    "read weights": "reading weights",
    "read experts": "reading experts",
    "read kv cache": "reading the KV cache",
    "launches and waits": "starting kernels and waiting for them",
    "per token": "what a token costs outside the blocks",
    "start layers": "starting layers",
    "hand over": "handing over",
    "network": "the network",
    "matrices": "multiplying matrices",
    "experts": "multiplying the experts' matrices",
    "memory": "reading weights",
    "latency": "starting kernels",
    "copy kv cache from ram": "copying the KV cache from RAM",
    "copy weights from ram": "copying weights from RAM",
    "all-reduce": "sums across the cards",
}
"""Terms as what time goes to; one that is not here is called so already."""


def _doing(term: SpeedTerm) -> str:
    name = term.name.rsplit(": ", 1)[-1].lower()
    return _DOING.get(name, name)


def _what(term: SpeedTerm, of: str = "") -> str:
    """What a term's time goes to: ``"reading experts (each 7.2 GB at …)"``."""
    what = _doing(term)
    return f"{what} ({of}{term.detail})" if term.detail and term.detail not in what else what


def _between_cards(plan: Plan, cards: Sequence[PlaceTime], worst: PlaceTime) -> str:
    """Cards of a layer split work one after another; which kind of them takes too long."""
    title = plan.devices[worst.where or 0].title
    alike = [card for card in cards if plan.devices[card.where or 0].title == title]
    if len(alike) == len(cards):
        part = sum(card.largest.seconds for card in alike) / sum(card.seconds for card in alike)
        what = _what(worst.largest, "each ")
        return f"The cards work one after another; {part:.0%} of their time goes to {what}."
    held = {d: d_plan.weights + (d_plan.context or 0) for d, d_plan in enumerate(plan.devices)}
    part = sum(held[card.where or 0] for card in alike) / max(sum(held.values()), 1)
    share = sum(card.share for card in alike) / sum(card.share for card in cards)
    name = worst.name if len(alike) == 1 else f"{len(alike)}x {title}"
    if share <= part * _EVEN:
        return (
            f"No card holds back the others: {name} takes {share:.0%} of the cards' time for "
            f"{part:.0%} of what lies on them."
        )
    return (
        f"{name} holds back decoding: {share:.0%} of the cards' time for {part:.0%} of what lies "
        f"on them, mostly {_what(worst.largest)}."
    )


def decode_bottleneck(plan: Plan) -> str:
    """What holds back decoding, in a sentence; empty where the speed is unknown."""
    places = by_place(plan, plan.speed.decode_terms)
    if not places:
        return ""
    worst = max(places, key=lambda place: place.seconds)
    share, what = f"{worst.share:.0%}", _what(worst.largest)
    cards = [place for place in places if place.where is not None and place.where != HOST]
    if len(places) == 1:
        part = worst.largest.seconds / worst.seconds
        said = f"{part:.0%} of a token's time goes to {what}."
    elif worst.where is None:
        said = f"The link holds back decoding: {share} of a token's time, mostly {what}."
    elif worst.where == HOST:
        said = (
            f"RAM holds back decoding: {share} of a token's time, mostly {what}. Less of the model "
            "in RAM, or faster RAM, helps; faster cards hardly do."
        )
    elif plan.settings.split_mode == "tensor":
        said = f"Every token waits for {worst.name}: {share} of its time, mostly {what}."
    elif len(cards) == 1:
        said = f"{worst.name} takes {share} of a token's time, mostly {what}."
    else:
        said = _between_cards(plan, cards, worst)
    return said


def prefill_bottleneck(plan: Plan) -> str:
    """What holds back reading a prompt; empty where that speed is unknown."""
    terms = plan.speed.prefill_terms
    places = by_place(plan, terms)
    if not places:
        return ""
    total = sum(place.seconds for place in places)
    for name, words in (
        (COPIED, "PCIe holds back prompts: {share} of their time copies weights from RAM, {what}."),
        (
            CACHE_COPIED,
            "PCIe holds back prompts: {share} of their time copies the KV cache from RAM, {what}.",
        ),
        (_REDUCE, "The link holds back prompts: {share} of their time goes to sums, {what}."),
    ):
        term = next((term for term in terms if term.name == name), None)
        if term is not None and term.seconds > total / 2:
            return words.format(share=f"{term.seconds / total:.0%}", what=term.detail)
    worst = max(places, key=lambda place: place.seconds)
    what = _doing(worst.largest)
    part = worst.largest.seconds / worst.seconds
    if len(places) == 1:
        return f"{part:.0%} of a prompt's time goes to {what}."
    if worst.where is None:
        return f"{worst.largest.seconds / total:.0%} of a prompt's time goes to {what}."
    return f"{worst.name} takes {worst.share:.0%} of a prompt's time, {part:.0%} of it {what}."


def layers_of(plan: Plan, place: PlaceTime) -> str:
    """``"layers 0–40"``; empty for RAM and what lies between."""
    if place.where is None or place.where == HOST:
        return ""
    layers = plan.devices[place.where].layers
    if len(layers) < 2:
        return f"layer {layers[0]}" if layers else ""
    return f"layers {layers[0]}–{layers[-1]}"


def _holds(plan: Plan, where: int | None) -> tuple[str, ...]:
    if where is None:
        return ()
    memory = plan.host if where == HOST else plan.devices[where]
    return (
        f"It holds {people(memory.weights)} of weights and {people(memory.context)} of caches.",
    )


def explain_place(plan: Plan, place: PlaceTime) -> Explanation:
    """A place's time per token as the sum of its terms."""
    here = [term for term in plan.speed.decode_terms if term.where == place.where]
    shown = " + ".join(f"{term.seconds * 1000:.3g}" for term in here)
    return Explanation(
        title=f"{place.name}, time per token",
        formula=f"{shown} = {place.seconds * 1000:.3g} ms",
        terms=tuple(
            Term(
                name=term.name.rsplit(": ", 1)[-1],
                value=term.seconds * 1000,
                unit="ms",
                source=term.detail,
            )
            for term in here
        ),
        basis=plan.speed.basis,
        notes=_holds(plan, place.where),
    )
