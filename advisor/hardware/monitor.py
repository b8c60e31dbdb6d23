"""One thread that follows every device and the host into ring buffers of fixed size."""

import math
import threading
import time
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from advisor.hardware import detect
from advisor.hardware.nvml import throttle_words
from advisor.hardware.nvml_library import NvmlError, NvmlLibrary
from advisor.hardware.readings import DEVICE_COLUMNS, HOST_COLUMNS, NAN, Sensor
from advisor.hardware.rig import Process, Rig
from advisor.hardware.sensors import HostSensor, sensors_for

Series = NDArray[np.float64]


@dataclass(frozen=True)
class DeviceSample:
    """One device at one moment; None is unknown. Bytes, W, °C, MHz, bytes per second, 0 to 1."""

    used: int | None
    process: int | None
    """What the watched program holds."""
    utilisation: float | None
    memory_utilisation: float | None
    power_w: float | None
    temperature_c: float | None
    clock_mhz: float | None
    throttle: tuple[str, ...]
    pcie_rx: float | None
    pcie_tx: float | None
    processes: tuple[Process, ...]
    """Who holds memory; renewed about once a second."""
    lost: bool
    """It answered before and does not now."""


@dataclass(frozen=True)
class HostSample:
    """The host at one moment; None is unknown. Bytes, 0 to 1."""

    used: int | None
    available: int | None
    swap_used: int | None
    cpu: float | None
    process: int | None
    """Resident memory of the watched program and its children."""
    process_file: int | None
    """The part of it that are pages of files."""


@dataclass(frozen=True)
class Sample:
    """Everything at one moment."""

    time: float
    """Seconds on time.monotonic()."""
    devices: tuple[DeviceSample, ...]
    host: HostSample


@dataclass(frozen=True)
class Window:
    """A stretch of history, oldest first. NaN where there was no reading."""

    times: Series
    """Seconds on time.monotonic()."""
    _devices: NDArray[np.float64]
    _host: NDArray[np.float64]

    def device(self, index: int, quantity: str) -> Series:
        """One quantity of one device; the names are `readings.DEVICE_COLUMNS`."""
        return self._devices[:, index, DEVICE_COLUMNS.index(quantity)]

    def host(self, quantity: str) -> Series:
        """One quantity of the host; the names are `readings.HOST_COLUMNS`."""
        return self._host[:, HOST_COLUMNS.index(quantity)]

    @property
    def rate_hz(self) -> float | None:
        """Samples per second over this stretch."""
        if len(self.times) < 2 or self.times[-1] <= self.times[0]:
            return None
        return float((len(self.times) - 1) / (self.times[-1] - self.times[0]))


@dataclass
class _Ring:
    """Rows of fixed number, the oldest overwritten."""

    devices: int
    rows: int
    times: Series = field(init=False)
    device: NDArray[np.float64] = field(init=False)
    host: NDArray[np.float64] = field(init=False)
    count: int = 0

    def __post_init__(self) -> None:
        self.times = np.full(self.rows, NAN)
        self.device = np.full((self.rows, self.devices, len(DEVICE_COLUMNS)), NAN)
        self.host = np.full((self.rows, len(HOST_COLUMNS)), NAN)

    def push(self, now: float, device: NDArray[np.float64], host: Series) -> None:
        at = self.count % self.rows
        self.times[at], self.device[at], self.host[at] = now, device, host
        self.count += 1

    def order(self, since: float) -> NDArray[np.intp]:
        """Places of the rows not older than ``since``, oldest first."""
        kept = min(self.count, self.rows)
        places = np.arange(self.count - kept, self.count) % self.rows
        return places[np.searchsorted(self.times[places], since) :]


class Monitor:
    """Follows a rig's devices and its host. Start it, read it from any thread, stop it.

    ``rig`` None: this machine, detected in the thread. 20 samples a second by default, ten
    minutes of history. A device that is lost reads as unknown until it is back.
    """

    _PROCESSES_EVERY = 20
    _WATCHED_EVERY = 5
    """Ticks between looks at who holds memory, alone and while a program is watched."""
    _FAMILY_EVERY = 40
    """Ticks between searches for new children of the watched program: each walks all of /proc."""

    def __init__(
        self, rig: Rig | None = None, *, interval_s: float = 0.05, history_s: float = 600.0
    ) -> None:
        self._rig = rig
        self._interval = interval_s
        self._rows = max(2, int(history_s / interval_s))
        self._lock = threading.Lock()
        self._ring: _Ring | None = None
        self._sensors: list[Sensor] = []
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._watch: int | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> "Monitor":
        """Begin sampling in a thread of its own; a second call changes nothing."""
        if self._thread is None:
            self._stop.clear()
            self._thread = threading.Thread(target=self._run, name="monitor", daemon=True)
            self._thread.start()
        return self

    def stop(self, timeout_s: float = 2.0) -> None:
        """End sampling. Returns after ``timeout_s`` at most, even while a driver call hangs."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
            self._thread = None

    def wait_ready(self, timeout_s: float) -> bool:
        """Until the first sample is there; False when it did not come in time."""
        return self._ready.wait(timeout_s)

    @property
    def ticks(self) -> int:
        """Samples taken since it was started."""
        with self._lock:
            return 0 if self._ring is None else self._ring.count

    def watch(self, pid: int | None) -> None:
        """Follow one program's memory, its children included; None: nobody."""
        self._watch = pid

    def latest(self) -> Sample | None:
        """The newest sample, None before the first."""
        with self._lock:
            ring = self._ring
            if ring is None or ring.count == 0:
                return None
            at = (ring.count - 1) % ring.rows
            now = float(ring.times[at])
            device, host = ring.device[at].copy(), ring.host[at].copy()
            held = [(sensor.processes, sensor.lost) for sensor in self._sensors]
        devices = tuple(
            _device_sample(row, *state) for row, state in zip(device, held, strict=True)
        )
        return Sample(time=now, devices=devices, host=_host_sample(host))

    def window(self, seconds: float) -> Window:
        """The last ``seconds`` of history; fewer when it has not run as long."""
        with self._lock:
            ring = self._ring
            if ring is None:
                none = np.empty(0)
                return Window(none, np.empty((0, 0, len(DEVICE_COLUMNS))), np.empty((0, 6)))
            places = ring.order(time.monotonic() - seconds)
            return Window(ring.times[places], ring.device[places], ring.host[places])

    def _run(self) -> None:
        with ExitStack() as stack:
            rig = self._rig if self._rig is not None else detect()
            nvml: NvmlLibrary | None = None
            if any(device.vendor == "NVIDIA" for device in rig.devices):
                try:
                    nvml = stack.enter_context(NvmlLibrary())
                except NvmlError:
                    nvml = None
            host = HostSensor()
            stack.callback(host.close)
            sensors = sensors_for(rig.devices, nvml)
            for sensor in sensors:
                stack.callback(sensor.close)
            with self._lock:
                self._sensors = sensors
                self._ring = _Ring(devices=len(sensors), rows=self._rows)
            self._loop(rig, host, sensors)

    def _loop(self, rig: Rig, host: HostSensor, sensors: list[Sensor]) -> None:
        row = np.full((len(sensors), len(DEVICE_COLUMNS)), NAN)
        host_row = np.full(len(HOST_COLUMNS), NAN)
        shared = [i for i, device in enumerate(rig.devices) if device.unified]
        watching: int | None = None
        tick = 0
        due = time.monotonic()
        while not self._stop.is_set():
            if self._watch != watching:
                watching = self._watch
                host.watch(watching)
            host.read(host_row, tick)
            for index, sensor in enumerate(sensors):
                sensor.read(row[index], tick)
            for index in shared:
                # A GPU without memory of its own holds what the machine holds.
                if math.isnan(row[index, 0]):
                    row[index, 0] = host_row[0]
            self._list_processes(host, sensors, row, tick, watching=watching is not None)
            with self._lock:
                if self._ring is not None:
                    self._ring.push(time.monotonic(), row, host_row)
            self._ready.set()
            if sensors:
                turn = tick // len(sensors)
                sensors[tick % len(sensors)].slow(row[tick % len(sensors)], turn)
            tick += 1
            due += self._interval
            now = time.monotonic()
            # A late tick is made good by the next; when a slow driver call ate more than that, go
            # on from here instead of catching up.
            if now - due > self._interval:
                due = now
            self._stop.wait(max(0.0, due - now))

    def _list_processes(
        self,
        host: HostSensor,
        sensors: Iterable[Sensor],
        row: NDArray[np.float64],
        tick: int,
        *,
        watching: bool,
    ) -> None:
        if tick % (self._WATCHED_EVERY if watching else self._PROCESSES_EVERY):
            return
        if tick % self._FAMILY_EVERY == 0:
            host.refresh_family()
        for index, sensor in enumerate(sensors):
            sensor.list_processes(row[index], host.family)


def _whole(value: float) -> int | None:
    return None if math.isnan(value) else int(value)


def _real(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _device_sample(row: Series, processes: tuple[Process, ...], lost: bool) -> DeviceSample:
    throttle = _whole(row[7])
    return DeviceSample(
        used=_whole(row[0]),
        process=_whole(row[1]),
        utilisation=_real(row[2]),
        memory_utilisation=_real(row[3]),
        power_w=_real(row[4]),
        temperature_c=_real(row[5]),
        clock_mhz=_real(row[6]),
        throttle=() if throttle is None else throttle_words(throttle),
        pcie_rx=_real(row[8]),
        pcie_tx=_real(row[9]),
        processes=processes,
        lost=lost,
    )


def _host_sample(row: Series) -> HostSample:
    return HostSample(
        used=_whole(row[0]),
        available=_whole(row[1]),
        swap_used=_whole(row[2]),
        cpu=_real(row[3]),
        process=_whole(row[4]),
        process_file=_whole(row[5]),
    )
