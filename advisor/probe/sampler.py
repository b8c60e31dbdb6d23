"""Sample the child, the host and the devices while a probe runs, 25 times a second."""

import contextlib
import mmap
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import psutil

from advisor.hardware.cgroups import MemoryLimit, memory_limit
from advisor.hardware.nvml import POWER_LIMITED
from advisor.probe.family import Family
from advisor.probe.processor import Processor
from advisor.probe.spill import SharedMemory
from advisor.probe.trace import Fresh, Quantity, Recorder, Trace

INTERVAL_S: Final = 0.04
_SELDOM: Final = 10
"""Samples between readings that cost more: swap, and shared GPU memory on Windows."""
HOST: Final = "host"

Sample = dict[tuple[str, Quantity], float | None]


@dataclass(frozen=True, slots=True)
class DeviceSample:
    """One device at one moment. Bytes, watts, °C, percent; None could not be read."""

    name: str
    """llama.cpp's device name."""
    used: int | None = None
    process: int | None = None
    """Held by the child alone, where the driver says."""
    utilisation: float | None = None
    power_w: float | None = None
    temperature_c: float | None = None
    pcie_bytes_s: int | None = None
    throttled: str = ""
    """Why its clocks are lowered; empty when they are not."""
    lost: bool = False
    """It answered before and does not now."""


class DeviceSource(Protocol):
    """Where device samples come from; read on the sampling thread."""

    def start(self) -> None:
        """Begin reading."""
        ...

    def close(self) -> None:
        """End reading."""
        ...

    def read(self, pid: int | None) -> tuple[DeviceSample, ...]:
        """The newest sample of every device; ``pid`` is the child."""
        ...


class NoDevices:
    """A machine without accelerators, or without a way to watch them."""

    def start(self) -> None:
        """Nothing to begin."""

    def close(self) -> None:
        """Nothing to end."""

    def read(self, pid: int | None) -> tuple[DeviceSample, ...]:
        """Nothing."""
        del pid
        return ()


@dataclass(frozen=True, slots=True)
class ChildMemory:
    """Memory of the child, in bytes."""

    resident: int
    file: int | None
    """The part of it that are pages of mapped files; None where the system does not say."""


def child_memory(pid: int, family: Family | None = None) -> ChildMemory | None:
    """Resident memory of a child, None when it is gone or not ours to see.

    ``family``: keeps what it started between readings, where that counts.
    """
    if sys.platform == "linux":
        try:
            with open(f"/proc/{pid}/statm", "rb") as file:  # noqa: PTH123
                pages = file.read().split()
        except OSError:
            return None
        # statm is a fraction of the cost of status, and this is read 25 times a second.
        size = mmap.PAGESIZE
        resident, shared = int(pages[1]) * size, int(pages[2]) * size
        return ChildMemory(resident, shared) if resident else None  # a zombie has none
    resident = (family or Family()).resident(pid)
    return None if resident is None else ChildMemory(resident, None)


def child_swap(pid: int) -> int | None:
    """Bytes of a process that were swapped out; None where the system does not say."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:  # noqa: PTH123
            for line in file:
                if line.startswith(b"VmSwap:"):
                    return int(line.split()[1]) << 10
    except OSError:
        pass
    return None


def available_memory(limit: MemoryLimit | None) -> int:
    """Bytes of RAM that could be given to programs, as far as a container's limit goes."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, ValueError, IndexError):
            with open("/proc/meminfo", "rb") as file:  # noqa: PTH123
                head = file.read(256)
            known = int(head.split(b"MemAvailable:", 1)[1].split(None, 1)[0]) << 10
            return known if limit is None else min(known, limit.left())
    return psutil.virtual_memory().available


def power_limited(throttled: str) -> bool:
    """Whether clocks were lowered for nothing but the power limit."""
    return set(throttled.split(", ")) <= POWER_LIMITED


def _family(pid: int) -> list[int]:
    with contextlib.suppress(psutil.Error):
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    return [pid]


def _kib(value: int | None) -> int | None:
    return None if value is None else value >> 10


class Sampler:
    """Runs in its own thread between ``start`` and ``stop``; readable from any thread."""

    def __init__(
        self,
        devices: DeviceSource,
        *,
        on_sample: Callable[[int, Sample], None] | None = None,
        interval: float = INTERVAL_S,
    ) -> None:
        self._devices = devices
        self._on_sample = on_sample
        self._interval = interval
        self._recorder = Recorder()
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._started = 0.0
        self._tick = 0
        self._swapped: int | None = None
        self._processor = Processor()
        self._limit = memory_limit()
        self._family = Family()
        self._shares: tuple[float, float] | None = None
        self._spill = SharedMemory() if sys.platform == "win32" else None
        self._shared: int | None = None
        self.pid: int | None = None
        """The child, once there is one."""
        self.throttled: dict[str, str] = {}
        """Devices whose clocks were lowered at some time, and why: what is worse than the power
        limit comes in place of it."""
        self.throttled_ms: dict[str, int] = {}
        """When that was first seen."""
        self.lost: set[str] = set()
        """Devices that stopped answering."""

    def start(self, started: float) -> None:
        """Begin. ``started`` is the probe's start on ``time.monotonic``."""
        self._started = started
        self._devices.start()
        self._thread = threading.Thread(target=self._run, name="probe-sampler", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End, and wait for the thread."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._devices.close()
            if self._spill is not None:
                self._spill.close()

    @property
    def elapsed_ms(self) -> int:
        """Milliseconds since the probe's start."""
        return int((time.monotonic() - self._started) * 1000)

    def trace(self) -> Trace:
        """Everything sampled so far."""
        with self._lock:
            return self._recorder.trace()

    def since(self, index: int) -> Fresh:
        """Samples from ``index`` on, cheaply: for a plot that follows."""
        with self._lock:
            return self._recorder.since(index)

    def take(self) -> None:
        """Take one sample now: the last before a child ends, whether or not the thread had a turn
        since it began to work."""
        with self._turn:
            values = self.sample()
            at = self.elapsed_ms
            with self._lock:
                self._recorder.add(at, values)
            if self._on_sample is not None:
                self._on_sample(at, values)

    def sample(self) -> Sample:
        """Read everything once."""
        values: Sample = {(HOST, "available"): _kib(available_memory(self._limit))}
        pid = self.pid
        child = child_memory(pid, self._family) if pid is not None else None
        if child is not None and pid is not None:
            values[HOST, "used"] = _kib(child.resident)
            values[HOST, "file"] = _kib(child.file)
            if self._tick % _SELDOM == 0:
                self._swapped = _kib(child_swap(pid))
                self._shared = _kib(self._spill.read(_family(pid))) if self._spill else None
                self._shares = self._processor.read(pid)
            values[HOST, "swap"] = self._swapped
            if self._shared is not None:
                values[HOST, "shared"] = self._shared
            if self._shares is not None:
                whole, others = self._shares
                values[HOST, "utilisation"] = round(whole, 1)
                values[HOST, "others"] = round(others, 1)
        self._tick += 1
        for device in self._devices.read(self.pid):
            values[device.name, "used"] = _kib(device.used)
            values[device.name, "process"] = _kib(device.process)
            values[device.name, "utilisation"] = device.utilisation
            values[device.name, "power"] = device.power_w
            values[device.name, "temperature"] = device.temperature_c
            values[device.name, "pcie"] = _kib(device.pcie_bytes_s)
            if device.lost:
                self.lost.add(device.name)
            before = self.throttled.get(device.name)
            worse = before is None or (
                power_limited(before) and not power_limited(device.throttled)
            )
            if device.throttled and worse:
                self.throttled[device.name] = device.throttled
                self.throttled_ms[device.name] = self.elapsed_ms
        return values

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stopping.is_set():
            self.take()
            due += self._interval
            wait = due - time.monotonic()
            if wait < -1:  # the machine was asleep or very busy: do not catch up
                due = time.monotonic()
            self._stopping.wait(max(0.001, wait))
