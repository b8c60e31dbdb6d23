"""The child of a probe with what it started: on Linux it becomes llama.cpp itself, on other systems
it stands above it and does nothing (``advisor.engine.worker``).
"""

import contextlib
import sys
import time
from typing import Final

import psutil

_LOOK_S: Final = 1.0
"""Seconds between looks for processes that the child started: finding them takes milliseconds."""


class Family:
    """A child and, where it ``stands_above`` llama.cpp, all below it. Used on one thread."""

    def __init__(self, *, stands_above: bool = sys.platform != "linux") -> None:
        self._stands_above = stands_above
        self._pid: int | None = None
        self._members: list[psutil.Process] = []
        self._looked = 0.0

    def seconds(self, pid: int) -> float | None:
        """Processor time that they have taken; None where nobody is left, or ours to see."""
        known: list[float] = []
        for process in self._of(pid):
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                known.append(times.user + times.system)
        return sum(known) if known else None

    def resident(self, pid: int) -> int | None:
        """Bytes of memory that they hold; None as above."""
        known: list[int] = []
        for process in self._of(pid):
            with contextlib.suppress(psutil.Error):
                known.append(process.memory_info().rss)
        return sum(known) if known else None

    def _of(self, pid: int) -> list[psutil.Process]:
        now = time.monotonic()
        if pid != self._pid or (self._stands_above and now - self._looked > _LOOK_S):
            self._pid, self._looked, self._members = pid, now, []
            with contextlib.suppress(psutil.Error):
                child = psutil.Process(pid)
                self._members = [child]
                if self._stands_above:
                    self._members += child.children(recursive=True)
        return self._members
