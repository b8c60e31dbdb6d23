"""What a rig can run at one context, at a glance: every model of the catalogue, best first.

Order and file types are those of ``picks``. A first look, each model in its usual file type, comes
in a fraction of the time.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from advisor.advice.closer import Closer
from advisor.advice.picks import Pick, likely_order, picks
from advisor.advice.wish import Wish
from advisor.hardware.rig import Rig
from advisor.llm.catalogue import CatalogueEntry
from advisor.sizing.calibration import Calibration
from advisor.sizing.plan import Verdict
from advisor.sizing.settings import RunSettings

IN_RAM: Final[tuple[Verdict, ...]] = ("offload",)
_ABLEST: Final = 15
"""So many have their file type before the rest of a first look gets theirs."""


@dataclass(frozen=True, slots=True)
class Capability:
    """All models that run at all, the best first."""

    ctx: int
    models: tuple[Pick, ...]

    def suggestions(self, count: int) -> tuple[Pick, ...]:
        """The best of each maker that fits wholly, at most ``count``; none known to be too slow."""
        found: dict[str, Pick] = {}
        for pick in self.models:
            if pick.whole and (pick.fast or pick.cell.decode is None):
                found.setdefault(pick.entry.maker, pick)
        return tuple(found.values())[:count]

    def best(self, verdicts: tuple[Verdict, ...], *, dense: bool | None = None) -> Pick | None:
        """The best model with one of these verdicts."""
        for pick in self.models:
            if pick.cell.verdict in verdicts and dense in {None, pick.dense}:
                return pick
        return None


def capability(
    entries: Sequence[CatalogueEntry],
    rig: Rig,
    wish: Wish,
    settings: RunSettings,
    *,
    calibration: Calibration | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    arrived: Callable[[float, Capability], None] = lambda _share, _found: None,
    looked: Callable[[Capability], None] = lambda _found: None,
) -> Capability:
    """Size every entry at the wish's context, or at what it was trained for if shorter.

    ``arrived`` is told the share (0 to 1) of the first look that is done and what runs so far, the
    likeliest first; ``looked`` all that runs in its usual file type, and the same list again when
    the ablest are in the file type that suits the rig best. Ends early, with what it has, when
    ``cancelled``.
    """

    def sized(*, usual: bool) -> Iterator[Pick]:
        return picks(
            entries, rig, wish, settings,
            calibration=calibration, usual_type=usual, cancelled=cancelled,
        )  # fmt: skip

    def closed(found: Sequence[Pick], *, usual: bool) -> Capability:
        """With the plan of what is said of the rig in a sentence."""
        closer = Closer(rig, wish, settings, calibration, usual_type=usual)
        known, answer = list(found), _ordered(wish.ctx, found)
        while not cancelled():
            told = answer.best(IN_RAM, dense=False)
            if told is None or not told.rough:
                break
            known.remove(told)
            planned = closer.planned(told)
            known += [] if planned is None else [planned]
            answer = _ordered(wish.ctx, known)
        return answer

    place = {entry.id: at for at, entry in enumerate(likely_order(entries))}
    found: list[Pick] = []
    for pick in sized(usual=True):
        found.append(pick)
        arrived((place[pick.entry.id] + 1) / len(place), _ordered(wish.ctx, found))
    first = closed(found, usual=True)
    if cancelled():
        return first
    looked(first)
    before = {pick.entry.id: pick for pick in first.models}
    settled: dict[str, Pick] = {}
    for pick in sized(usual=False):
        settled[pick.entry.id] = pick
        if len(settled) == _ABLEST:
            known = [settled.get(name, old) for name, old in before.items()]
            looked(closed(known, usual=False))
    if cancelled():
        return _ordered(wish.ctx, [*(before | settled).values()])
    return closed([*settled.values()], usual=False)


def _ordered(ctx: int, found: Sequence[Pick]) -> Capability:
    return Capability(ctx, tuple(sorted(found, key=lambda pick: pick.order)))
