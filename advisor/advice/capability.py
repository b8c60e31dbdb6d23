"""What a rig can run at one context, at a glance: every model in its usual file type, best first.

The order is that of ``picks``; only one file type of each model is sized, so it comes sooner.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from advisor.advice.closer import Closer
from advisor.advice.picks import Pick, Wish, likely_order, picks
from advisor.hardware.rig import Rig
from advisor.llm.catalogue import CatalogueEntry
from advisor.sizing.calibration import Calibration
from advisor.sizing.plan import Verdict
from advisor.sizing.settings import RunSettings

IN_RAM: Final[tuple[Verdict, ...]] = ("offload",)


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
) -> Capability:
    """Size every entry once at the wish's context, or at what it was trained for if shorter.

    ``arrived`` is told the share (0 to 1) of the catalogue that is sized and what runs so far, the
    likeliest first. Ends early, with what it has, when ``cancelled``.
    """
    place = {entry.id: at for at, entry in enumerate(likely_order(entries))}
    found: list[Pick] = []
    for pick in picks(
        entries, rig, wish, settings, calibration=calibration, usual_type=True, cancelled=cancelled
    ):
        found.append(pick)
        arrived((place[pick.entry.id] + 1) / len(place), _ordered(wish.ctx, found))
    closer = Closer(rig, wish, settings, calibration, usual_type=True)
    answer = _ordered(wish.ctx, found)
    while not cancelled():
        told = answer.best(IN_RAM, dense=False)
        if told is None or not told.rough:
            break
        # What is said of the rig in a sentence is what the plan says.
        found.remove(told)
        planned = closer.planned(told)
        found += [] if planned is None else [planned]
        answer = _ordered(wish.ctx, found)
    return answer


def _ordered(ctx: int, found: Sequence[Pick]) -> Capability:
    return Capability(ctx, tuple(sorted(found, key=lambda pick: pick.order)))
