"""How busy the processor is, and how much of that is other programs' doing."""

import time

import psutil

from advisor.probe.family import Family


class Processor:
    """Shares of all cores together since the last reading. Read on one thread."""

    def __init__(self) -> None:
        self._before: tuple[float, float, float] | None = None
        self._family = Family()

    def read(self, pid: int) -> tuple[float, float] | None:
        """Percent that is busy, and percent that is neither the child's, ``pid``, nor ours.

        None at first, and where too little time has passed.
        """
        whole, idle = _seconds()
        own = (self._family.seconds(pid) or 0.0) + time.process_time()
        before, self._before = self._before, (whole, idle, own)
        if before is None or whole - before[0] <= 0:
            return None
        passed = whole - before[0]
        busy = 1 - (idle - before[1]) / passed
        # Clocks of processes and of the whole tick apart, so a share may come out below zero.
        ours = max(0.0, own - before[2]) / passed
        return 100 * min(1.0, max(0.0, busy)), 100 * max(0.0, busy - ours)


def _seconds() -> tuple[float, float]:
    """Seconds of all cores together since boot, and those that were idle."""
    times = psutil.cpu_times()._asdict()
    # A guest's time is part of its host's (proc_stat(5)).
    whole = sum(s for name, s in times.items() if name not in {"guest", "guest_nice"})
    return whole, times["idle"] + times.get("iowait", 0.0)
