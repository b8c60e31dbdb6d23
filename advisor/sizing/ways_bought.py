"""Ways out of red and slow cells by what is not there yet: cards, machines, other models."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from advisor.hardware.rig import Rig
from advisor.hardware.table import is_module
from advisor.sizing.plan import Verdict
from advisor.sizing.settings import FIT
from advisor.sizing.ways_out import AtMost, Case, Change, Kind, Offer, Other, free

_MORE_CARDS = 3
"""As many more cards of a kind are tried."""
_MOST_CARDS = 8
"""A machine with more is none that one puts cards into."""
_TRIED = 100
"""Plans of one kind that are made, each counted by the square of its devices, as it takes about as
long; what bytes and data sheets rule out needs none."""
_FITS: frozenset[Verdict] = frozenset({"fits"})
"""Nobody buys what leaves less than the margin."""
_WHOLE = {"n_gpu_layers": "all", "n_cpu_moe": 0, "tensor_split": (), "split_mode": "layer"}
_FIT = {**_WHOLE, **FIT}


def takes_cards(case: Case) -> bool:
    """Whether the machine has slots: no laptop, no shared memory, no board of modules."""
    devices = case.rig.devices
    return not (
        case.rig.host.laptop
        or any(d.unified or d.laptop or is_module(d.table_id or d.name) for d in devices)
    )


def gpu(case: Case) -> Iterator[Change]:
    """More of the last card."""
    if not case.rig.devices or not takes_cards(case):
        return
    card = case.rig.devices[-1]
    added = card.model_copy(
        update={"memory_used": 0, "uuid": None, "pci_address": None, "processes": ()}
    )
    for count in range(1, min(_MORE_CARDS, _MOST_CARDS - len(case.rig.devices)) + 1):
        devices = (*case.rig.devices, *[added] * count)
        rig = case.rig.model_copy(update={"devices": devices, "imagined": True})
        found = case.change(
            "gpu",
            f"Add another {card.name}" if count == 1 else f"Add {count} more {card.name}",
            "A new or second-hand card, a slot and the power for it.",
            5.0 + count,
            rig=rig,
            by_hand=True,
        )
        if found and _used(found, case):
            yield found
            return


def cards(case: Case, found: Sequence[Change]) -> Iterator[Change]:
    """The cheapest cards that are enough, other than those of changes that were found."""
    yield from _cheapest(case, "card", 6.5, case.instead.cards(), found)


def machines(case: Case, found: Sequence[Change]) -> Iterator[Change]:
    """The cheapest other machine that is enough."""
    yield from _cheapest(case, "machine", 9.0, case.instead.machines(), found)


def _cheapest(
    case: Case, kind: Kind, size: float, offers: Iterable[Offer], found: Sequence[Change]
) -> Iterator[Change]:
    tried = 0
    seen = {_devices(change.rig) for change in found}
    for offer in offers:
        alike = _devices(offer.rig)
        margin = case.settings.margin
        if alike in seen or case.hopeless(case.model, offer.rig, _FIT, left=margin):
            continue
        # More RAM beside the same cards does not help what lies on cards.
        seen.add(alike)
        if tried > _TRIED:
            return
        tried += max(len(alike), 1) ** 2
        title, cost = offer.title, offer.cost
        way = case.change(
            kind, title, cost, size, rig=offer.rig, fields=_WHOLE, accept=_FITS, by_hand=True
        )
        if way and _used(way, case):
            yield way
            return


def _used(change: Change, case: Case) -> bool:
    """Whether a run lies on more than what is here: the solver may leave a card idle.

    A card that other programs fill is another one than a new card of its kind.
    """
    both = zip(change.rig.devices, change.plan.devices, strict=True)
    used = Counter((device.name, device.memory_used or 0) for device, of in both if of.layers)
    return not used <= Counter((d.name, d.memory_used or 0) for d in case.rig.devices)


def _devices(rig: Rig) -> tuple[tuple[object, ...], ...]:
    """What tells the devices of rigs apart, in any order."""
    return tuple(sorted((d.name, d.memory_total or 0, d.memory_used or 0) for d in rig.devices))


def _at_most(case: Case) -> AtMost:
    """What all memory holds, and what the fastest of it reads in the time for a token."""
    host, devices = case.rig.host, case.rig.devices
    rates = [device.bandwidth_gbs for device in devices] or [host.ram_bandwidth_gbs]
    if case.least_tps is None or None in rates or case.settings.split_mode != "layer":
        return AtMost(free(case.rig))
    return AtMost(free(case.rig), max(rate or 0.0 for rate in rates) * 1e9 / case.least_tps)


def siblings(case: Case) -> Iterator[Change]:
    """The ablest smaller model of the same maker that is enough here."""
    yield from _ablest(case, "sibling", case.instead.siblings(_at_most(case)))


def models(case: Case) -> Iterator[Change]:
    """The ablest smaller model of another maker that is enough here."""
    yield from _ablest(case, "model", case.instead.models(_at_most(case)))


def _ablest(case: Case, kind: Kind, others: Iterable[Other]) -> Iterator[Change]:
    tried = 0
    for other in others:
        model = other.model
        if case.hopeless(model, case.rig, FIT):
            continue
        if tried > _TRIED:
            return
        # Every model has graphs of its own.
        tried += max(len(case.rig.devices), 3) ** 2
        title = f"Take {model.name} in {model.file_type}"
        away = 3.0 + other.away
        if way := case.change(kind, title, other.cost, away, model=model, by_hand=True):
            yield way
            return
