"""Notice that a child no longer moves: no word, no progress, no work."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from advisor.engine.process import EngineProcess
from advisor.probe.family import Family

_STEP_S: Final = 0.1
ASLEEP_S: Final = 5.0
"""After so long without a look the computer slept, or this program was stopped: the child's silence
says nothing. Windows' clock goes on meanwhile, Linux' and macOS' do not."""
_GROWTH: Final = 1 << 10
"""KiB of memory that count as progress while loading."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a child may be silent, in seconds."""

    idle_s: float = 30.0
    """Silent, and not using the processor either: it waits for something that won't come."""
    silent_s: float = 600.0
    """Silent, however busy it is."""


class Watchdog:
    """Calls ``give_up`` once when a child is silent for too long."""

    def __init__(self, limits: Limits, give_up: Callable[[], None]) -> None:
        self._limits = limits
        self._give_up = give_up
        self._process: EngineProcess | None = None
        self._touched = 0.0
        self._worked = 0.0
        self._cpu = 0.0
        self._family = Family()
        self._resident = 0
        self._next = 0.0
        self._looked = 0.0
        self._lock = threading.Lock()
        self.silent_s: float | None = None
        """How long it had been silent when it was given up; None if it was not."""

    def start(self, process: EngineProcess) -> None:
        """Watch a child from now on."""
        with self._lock:
            self._touched = self._worked = self._looked = time.monotonic()
            self._process = process

    def stop(self) -> None:
        """Watch no more."""
        with self._lock:
            self._process = None

    def touch(self) -> None:
        """It said something."""
        self._touched = self._worked = time.monotonic()

    def look(self, resident_kib: float | None) -> None:
        """Check; called often. ``resident_kib`` is its memory now."""
        moment = time.monotonic()
        with self._lock:
            process = self._process
            if process is None or moment < self._next:
                return
            self._next = moment + _STEP_S
            missed, self._looked = moment - self._looked, moment
            if missed > ASLEEP_S:
                self._touched += missed
                self._worked += missed
            if resident_kib is not None and abs(resident_kib - self._resident) > _GROWTH:
                self._resident = int(resident_kib)
                self._worked = moment
            cpu = self._cpu_seconds(process.pid)
            if cpu is None or cpu > self._cpu + 0.02:
                self._cpu = cpu or 0.0
                self._worked = moment
            idle = moment - self._worked
            silent = moment - self._touched
            if idle < self._limits.idle_s and silent < self._limits.silent_s:
                return
            self.silent_s = silent
            self._process = None
        self._give_up()

    def _cpu_seconds(self, pid: int | None) -> float | None:
        return None if pid is None else self._family.seconds(pid)
