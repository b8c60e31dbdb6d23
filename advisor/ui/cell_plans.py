"""What plans say of a matrix's cells whose speed is a guess, worked out behind the window.

One cell after the other, each a job of its own, with a rest as long as the work after each: half a
core at most is busy, and between two cells the window is as quiet as without.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Final, NamedTuple

from PySide6.QtCore import QObject, QTimer, Signal

from advisor.sizing.plan import Plan, Verdict
from advisor.ui import fit_cells
from advisor.ui.jobs import Job, run_task

Key = tuple[str, int]
"""File type and context."""
_KEPT: Final = 12
"""Questions whose answers are kept."""
_LEAST_REST_MS: Final = 4


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
        self._next: Callable[[], fit_cells.GuessedCell | None] = lambda: None
        self._job: Job | None = None
        self._rest = QTimer(self, singleShot=True)
        self._rest.timeout.connect(self._plan_one)

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
        self._next = lambda: next((cell for cell in cells() if self.said(cell.key) is None), None)
        if self._job is None and not self._rest.isActive():
            self._rest.start(_LEAST_REST_MS)

    def stop(self) -> None:
        """Nobody looks; what is being planned is dropped."""
        self._rest.stop()
        if self._job is not None:
            self._job.cancel()
            self._job = None

    def _plan_one(self) -> None:
        cell = self._next()
        if cell is None:
            return
        question = self._kept[-1].question

        def work(_job: Job) -> tuple[Plan, float]:
            began = perf_counter()
            plan = fit_cells.plan_cell(cell, question)
            return plan, perf_counter() - began

        def done(result: tuple[Plan, float]) -> None:
            plan, taken = result
            self._job = None
            self.take(cell.key, plan)
            self.told.emit()
            self._rest.start(max(_LEAST_REST_MS, round(1000 * taken)))

        self._job = run_task(work, on_result=done, on_error=lambda _error: self.stop(), owner=self)
