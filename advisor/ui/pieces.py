"""Something long that is made in steps, as many of them at once as a frame has time for."""

import time
from collections.abc import Iterator
from typing import Final

BUDGET_S: Final = 0.005
"""Processor time from which on the next step waits for another turn."""


class Pieces:
    """Steps of a generator: it yields where another turn of the event loop may go on."""

    def __init__(self, steps: Iterator[None]) -> None:
        self._steps: Iterator[None] | None = steps

    @property
    def complete(self) -> bool:
        """Whether all of it is made."""
        return self._steps is None

    def some(self) -> bool:
        """Make a little more; whether something is left."""
        until = time.thread_time() + BUDGET_S
        while self._step():
            if time.thread_time() > until:
                return True
        return False

    def all(self) -> None:
        """Make the rest now: somebody needs it."""
        while self._step():
            pass

    def _step(self) -> bool:
        if self._steps is None:
            return False
        try:
            next(self._steps)
        except StopIteration:
            self._steps = None
        return self._steps is not None
