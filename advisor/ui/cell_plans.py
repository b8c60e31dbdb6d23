"""What plans say of a matrix's cells whose speed is a guess, worked out behind the window."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from PySide6.QtCore import QObject, Signal

from advisor.sizing.plan import Plan, Verdict
from advisor.ui import fit_cells
from advisor.ui.paced import Paced

Key = tuple[str, int]
"""File type and context."""
_KEPT: Final = 12
"""Questions whose answers are kept."""


class Said(NamedTuple):
    """What a plan says of its cell."""

    verdict: Verdict
    headroom: int | None
    """Bytes left where it is tightest."""
    decode_tps: float | None


@dataclass(frozen=True, slots=True)
class _Answers:
    question: fit_cells.Question
    said: dict[Key, Said] = field(default_factory=dict[Key, Said])


class CellPlans(QObject):
    """Answers to the present question, and to some before it. Works on nothing until ``go``."""

    told = Signal()
    """One more cell has its plan's speed."""

    def __init__(self, owner: QObject) -> None:
        super().__init__(owner)
        self._kept: list[_Answers] = []
        """The present question last."""
        self._cells: Callable[[], Iterable[fit_cells.GuessedCell]] = tuple
        self._paced = Paced(self, self._next, lambda made: self._have(*made))

    def ask(self, question: fit_cells.Question) -> None:
        """Another question: what was planned for the one before it is kept, and no more of it."""
        if self._kept and self._kept[-1].question == question:
            return
        self.stop()
        known = next((kept for kept in self._kept if kept.question == question), None)
        others = [kept for kept in self._kept if kept is not known]
        self._kept = [*others[1 - _KEPT :], known or _Answers(question)]

    def said(self, key: Key) -> Said | None:
        """What a cell's plan says, None while it is not planned."""
        return self._kept[-1].said.get(key) if self._kept else None

    def take(self, key: Key, plan: Plan) -> bool:
        """Keep what a plan says that somebody asked for; whether that is new."""
        speed = plan.speed.decode_tps
        said = Said(plan.verdict, plan.headroom, None if speed is None else speed.mid)
        new = self.said(key) != said
        self._kept[-1].said[key] = said
        return new

    def go(self, cells: Callable[[], Iterable[fit_cells.GuessedCell]]) -> None:
        """Plan what is not planned yet. ``cells``: all of them, first what is looked at most."""
        self._cells = cells
        self._paced.start()

    def stop(self) -> None:
        """Nobody looks; what is being planned is dropped."""
        self._paced.stop()

    def _next(self) -> Callable[[], tuple[Key, Plan]] | None:
        cell = next((cell for cell in self._cells() if self.said(cell.key) is None), None)
        if cell is None:
            return None
        question = self._kept[-1].question
        return lambda: (cell.key, fit_cells.plan_cell(cell, question))

    def _have(self, key: Key, plan: Plan) -> None:
        self.take(key, plan)
        self.told.emit()
