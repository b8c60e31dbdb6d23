"""How long the event loop is busy at once, by the processor time of the window's thread."""

import time
from collections.abc import Callable

from PySide6.QtWidgets import QApplication


class Turns:
    """Milliseconds of processor time of each turn of the event loop."""

    def __init__(self, app: QApplication) -> None:
        self.taken: list[float] = []
        self._last = time.thread_time()
        app.eventDispatcher().aboutToBlock.connect(self._end)

    def _end(self) -> None:
        now = time.thread_time()
        self.taken.append(1000 * (now - self._last))
        self._last = now

    def of(self, act: Callable[[], object], wait: Callable[[], object]) -> list[float]:
        """The turns from ``act`` to the end of ``wait``, the longest first."""
        self.taken.clear()
        act()
        wait()
        return sorted(self.taken, reverse=True)
