"""Picks as their plans have them.

A list guesses at what leaves the devices by bytes alone; a plan asks the solver, which also weighs
compute buffers, the devices' speeds and parts of layers. That takes a tenth of a second, so a list
is closed up behind its first look, what people see of it first.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from advisor.advice.best_type import BestType, find
from advisor.advice.picks import Pick, offered, pick_of
from advisor.advice.wish import Wish
from advisor.errors import RigAdvisorError
from advisor.hardware.rig import Rig
from advisor.sizing import size
from advisor.sizing.calibration import Calibration
from advisor.sizing.matrix import Cell, Matrices
from advisor.sizing.settings import FIT, RunSettings


@dataclass(frozen=True)
class Closer:
    """Works out what a list only guessed, under the questions that it was asked with."""

    rig: Rig
    wish: Wish
    settings: RunSettings
    calibration: Calibration | None = None
    usual_type: bool = False
    """Whether the list knows one file type of each model only."""
    _matrices: Matrices = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """One look at the rig for all of them."""
        made = Matrices(self.rig, self.settings, calibration=self.calibration)
        object.__setattr__(self, "_matrices", made)

    def planned(self, pick: Pick) -> Pick | None:
        """The pick with its plan's speed; in another file type where that makes one better.

        None where nothing of it runs after all.
        """
        known: dict[str, Cell] = {}
        now: Pick | None = pick
        while now is not None and now.rough and now.cell.file_type not in known:
            cell = known[now.cell.file_type] = self._as_planned(now)
            fast = self.wish.fast(now.model, cell.decode)
            if cell.verdict == now.cell.verdict and (
                fast == now.fast or now.placed or self.usual_type
            ):
                return replace(now, cell=cell, fast=fast, planned=True)
            now = self._chosen_again(now, known)
        return None if now is None else replace(now, planned=True)

    def _as_planned(self, pick: Pick) -> Cell:
        settings = self.settings.model_copy(update={"ctx": pick.ctx, **FIT})
        try:
            plan = size(
                pick.model,
                self.rig,
                settings,
                calibration=self.calibration,
                finely=True,
                longest=False,
            )
        except RigAdvisorError:
            return pick.cell
        verdict = "no" if plan.verdict == "no" else pick.cell.verdict
        return pick.cell._replace(verdict=verdict, decode=plan.speed.decode_tps)

    def _chosen_again(self, pick: Pick, known: dict[str, Cell]) -> Pick | None:
        """The best by what is ``known`` now of its file types."""
        types = [name for name in pick.entry.file_types if offered(pick.entry, name)]
        search = BestType(pick.entry, types, pick.ctx, self.wish, known=known)
        find([search], self._matrices)
        return pick_of(search, self.wish)


def closed_up(
    found: Sequence[Pick],
    closer: Closer,
    *,
    top: int | None = None,
    in_sight: Callable[[], range] = lambda: range(0),
) -> Iterator[list[Pick]]:
    """The list in its order with one guess less at a time, until none of the ``top`` is left.

    Lines ``in_sight`` first, then from the top.
    """
    lines = sorted(found, key=lambda pick: pick.order)
    while rough := [at for at, pick in enumerate(lines[:top]) if pick.rough]:
        seen = in_sight()
        at = next((at for at in rough if at in seen), rough[0])
        planned = closer.planned(lines[at])
        lines[at : at + 1] = [] if planned is None else [planned]
        lines.sort(key=lambda pick: pick.order)
        yield list(lines)
