"""How busy the processor is, and how much of that is other programs' doing."""

import contextlib
import sys
import time
from typing import Final

import psutil

_FAMILY_S: Final = 5.0
"""Seconds between looks for processes that the child started: finding them takes milliseconds."""


class Processor:
    """Shares of all cores together since the last reading. Read on one thread."""

    def __init__(self) -> None:
        self._before: tuple[float, float, float] | None = None
        self._family: list[psutil.Process] = []
        self._pid: int | None = None
        self._looked = 0.0

    def read(self, pid: int) -> tuple[float, float] | None:
        """Percent that is busy, and percent that is neither the child's, ``pid``, nor ours.

        None at first, and where too little time has passed.
        """
        whole, idle = _seconds()
        own = self._of_child(pid) + time.process_time()
        before, self._before = self._before, (whole, idle, own)
        if before is None or whole - before[0] <= 0:
            return None
        passed = whole - before[0]
        busy = 1 - (idle - before[1]) / passed
        # Clocks of processes and of the whole tick apart, so a share may come out below zero.
        ours = max(0.0, own - before[2]) / passed
        return 100 * min(1.0, max(0.0, busy)), 100 * max(0.0, busy - ours)

    def _of_child(self, pid: int) -> float:
        now = time.monotonic()
        if pid != self._pid or (sys.platform != "linux" and now - self._looked > _FAMILY_S):
            self._pid, self._looked, self._family = pid, now, []
            with contextlib.suppress(psutil.Error):
                child = psutil.Process(pid)
                # On Linux the child becomes llama.cpp; elsewhere it may stand above it.
                below = [] if sys.platform == "linux" else child.children(recursive=True)
                self._family = [child, *below]
        seconds = 0.0
        for process in self._family:
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                seconds += times.user + times.system
        return seconds


def _seconds() -> tuple[float, float]:
    """Seconds of all cores together since boot, and those that were idle."""
    times = psutil.cpu_times()._asdict()
    # A guest's time is part of its host's (proc_stat(5)).
    whole = sum(s for name, s in times.items() if name not in {"guest", "guest_nice"})
    return whole, times["idle"] + times.get("iowait", 0.0)
