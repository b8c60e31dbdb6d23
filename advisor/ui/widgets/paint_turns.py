"""Costly painting spread over turns of the event loop, so that no frame takes all of it at once."""

import contextlib
import time
from collections.abc import Generator
from typing import Final

import shiboken6
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QWidget

BUDGET_S: Final = 0.005
"""Seconds of costly painting in one turn: a third of a frame, the rest is for everything else."""


class PaintTurns:
    """Shared by widgets that paint something costly into a pixmap of their own.

    The first of a turn is always allowed; one that is not is painted again in the next turn.
    """

    def __init__(self) -> None:
        self._spent = 0.0
        self._counting = False
        self._put_off: dict[QWidget, None] = {}
        """Widgets that are painted again in the next turn."""

    def allows(self, widget: QWidget) -> bool:
        """Whether ``widget`` may paint now; if not, it is updated soon."""
        if self._spent < BUDGET_S:
            return True
        self._put_off[widget] = None
        return False

    @contextlib.contextmanager
    def painting(self) -> Generator[None]:
        """What is done inside counts against this turn."""
        if not self._counting:
            self._counting = True
            QTimer.singleShot(0, self._next)
        began = time.perf_counter()
        yield
        self._spent += time.perf_counter() - began

    def _next(self) -> None:
        self._spent, self._counting = 0.0, False
        put_off, self._put_off = self._put_off, {}
        for widget in put_off:
            if shiboken6.isValid(widget):
                widget.update()


turns: Final = PaintTurns()
