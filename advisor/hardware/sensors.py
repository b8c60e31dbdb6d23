"""What the monitor reads on every tick, as cheaply as it can be read."""

import math
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from advisor.hardware import cgroups
from advisor.hardware.drm_clients import DrmClients
from advisor.hardware.linux_gpus import cards
from advisor.hardware.nvml import clock_events, read_processes
from advisor.hardware.nvml_library import LOST, UNANSWERABLE, NvmlError, NvmlLibrary
from advisor.hardware.readings import NAN, Row, Sensor, held_by
from advisor.hardware.rig import Device, Process
from advisor.hardware.sensors_apple import AppleSensor
from advisor.hardware.sensors_linux import SENSORS as LINUX_SENSORS
from advisor.hardware.sensors_windows import WindowsCounters


class NvmlSensor:
    """One NVIDIA GPU. A call that is not supported is not asked again; a lost GPU is."""

    _RETRY = 40
    """Ticks between attempts to find a lost GPU again."""

    def __init__(
        self,
        nvml: NvmlLibrary,
        device: Device,
        index: int,
        windows: WindowsCounters | None = None,
    ) -> None:
        """``windows``: counters that know what programs hold where NVML does not (WDDM)."""
        self._windows = windows
        self._nvml = nvml
        self._uuid = device.uuid
        self._index = index
        self.lost = True
        self.processes: tuple[Process, ...] = ()
        self._asked: list[tuple[int, int, Callable[[Row, int], None]]] = []
        self._handle: object = None
        self._find()

    def _find(self) -> None:
        try:
            if self._uuid:
                self._handle = self._nvml.call("nvmlDeviceGetHandleByUUID", self._uuid)
            else:
                self._handle = self._nvml.call("nvmlDeviceGetHandleByIndex", self._index)
        except NvmlError:
            self.lost = True
            return
        self.lost = False
        # Column, ticks between readings, reader: the driver refreshes these at its own pace, and
        # asking more often costs more than it tells.
        self._asked = [
            (0, 1, self._memory),
            (2, 3, self._utilisation),
            (4, 2, lambda row, at: self._number(row, at, "nvmlDeviceGetPowerUsage", 1e-3)),
            (5, 10, lambda row, at: self._number(row, at, "nvmlDeviceGetTemperature", 1, 0)),
            (6, 5, lambda row, at: self._number(row, at, "nvmlDeviceGetClockInfo", 1, 1)),
            (7, 5, self._throttle),
        ]

    def read(self, row: Row, tick: int) -> None:
        """See `Sensor.read`."""
        if self.lost:
            row[:] = NAN
            if tick % self._RETRY == 0:
                self._find()
            return
        for entry in tuple(self._asked):
            at, every, reader = entry
            if tick % every:
                continue
            try:
                reader(row, at)
            except NvmlError as error:
                row[at] = NAN
                if error.code in LOST:
                    self._gone(row)
                    return
                if error.code in UNANSWERABLE:
                    self._asked.remove(entry)

    def _gone(self, row: Row) -> None:
        self.lost = True
        self.processes = ()
        row[:] = NAN

    def _number(self, row: Row, at: int, call: str, scale: float, *rest: int) -> None:
        row[at] = self._nvml.call(call, self._handle, *rest) * scale

    def _memory(self, row: Row, at: int) -> None:
        row[at] = self._nvml.memory(self._handle)[2]

    def _utilisation(self, row: Row, at: int) -> None:
        rates = self._nvml.call("nvmlDeviceGetUtilizationRates", self._handle)
        row[at], row[at + 1] = rates.gpu / 100, rates.memory / 100

    def _throttle(self, row: Row, at: int) -> None:
        row[at] = clock_events(self._nvml, self._handle)

    def slow(self, row: Row, turn: int) -> None:
        """See `Sensor.slow`: PCIe throughput, which NVML counts over 20 ms while it blocks."""
        if self.lost:
            return
        counter = turn % 2  # nvml.h, nvmlPcieUtilCounter_t: 0 transmitted, 1 received, in KB/s
        try:
            rate = self._nvml.call("nvmlDeviceGetPcieThroughput", self._handle, counter)
        except NvmlError:
            row[8 + (1 - counter)] = NAN
            return
        row[8 + (1 - counter)] = rate * 1000.0

    def list_processes(self, row: Row, watched: frozenset[int]) -> None:
        """See `Sensor.list_processes`."""
        if self.lost:
            return
        try:
            self.processes = read_processes(self._nvml, self._handle)[0]
        except NvmlError:
            self._gone(row)
            return
        row[1] = held_by(self.processes, watched)
        if math.isnan(row[1]) and watched and self._windows is not None:
            row[1] = self._windows.held(self._index, watched)

    def close(self) -> None:
        """NVML itself is closed by who opened it."""
        if self._windows is not None:
            self._windows.close()


class NoSensor:
    """A device that no driver interface here can follow."""

    lost = False
    processes: tuple[Process, ...] = ()

    def read(self, row: Row, tick: int) -> None:
        """Nothing to read: the row stays unknown."""

    def slow(self, row: Row, turn: int) -> None:
        """Nothing to read."""

    def list_processes(self, row: Row, watched: frozenset[int]) -> None:
        """Nothing to read."""

    def close(self) -> None:
        """Nothing is open."""


def sensors_for(
    devices: Sequence[Device], nvml: NvmlLibrary | None, root: Path = Path("/")
) -> list[Sensor]:
    """A sensor for each device, in order."""
    if sys.platform == "darwin":
        return [AppleSensor() if device.vendor == "Apple" else NoSensor() for device in devices]
    windows = WindowsCounters(devices) if sys.platform == "win32" and devices else None
    folders = {card.address: card.folder for card in cards(root)} if devices else {}
    clients = DrmClients(root)
    found: list[Sensor] = []
    looks = True
    for index, device in enumerate(devices):
        kind = LINUX_SENSORS.get(device.vendor or "")
        if device.vendor == "NVIDIA" and nvml is not None:
            found.append(NvmlSensor(nvml, device, index, windows))
        elif windows is not None:
            found.append(windows.sensor(index))
        elif kind is not None and device.pci_address in folders:
            found.append(kind(folders[device.pci_address], device, clients, looks=looks))
            looks = False
        else:
            found.append(NoSensor())
    return found


class HostSensor:
    """RAM, swap, CPU load, and the memory of one watched program."""

    def __init__(self) -> None:
        self._meminfo = self._open("/proc/meminfo")
        self._limit = cgroups.memory_limit()
        self._watched: int | None = None
        self._family: dict[int, int | None] = {}
        self._page = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
        self._fields = re.compile(
            rb"^(MemTotal|MemAvailable|SwapTotal|SwapFree):\s*(\d+)", re.MULTILINE
        )
        psutil.cpu_percent()

    @staticmethod
    def _open(path: str) -> int | None:
        try:
            return os.open(path, os.O_RDONLY)
        except OSError:
            return None

    def read(self, row: Row, tick: int) -> None:
        """Fill the host's columns; NaN where there is no reading."""
        if self._meminfo is not None:
            text = os.pread(self._meminfo, 8192, 0)
            known = {name: int(kib) << 10 for name, kib in self._fields.findall(text)}
            total, available = known.get(b"MemTotal", 0), known.get(b"MemAvailable", 0)
            if self._limit is not None:
                total, available = (
                    min(total, self._limit.total),
                    min(available, self._limit.left()),
                )
            row[0] = total - available
            row[1] = available
            row[2] = known.get(b"SwapTotal", 0) - known.get(b"SwapFree", 0)
        elif tick % 4 == 0:
            memory = psutil.virtual_memory()
            row[0], row[1] = memory.total - memory.available, memory.available
            row[2] = psutil.swap_memory().used if tick % 40 == 0 else row[2]
        if tick % 10 == 0:
            row[3] = psutil.cpu_percent() / 100
        self._read_family(row)

    def watch(self, pid: int | None) -> None:
        """Follow this program; None: nobody."""
        self._forget()
        self._watched = pid
        self.refresh_family()

    @property
    def family(self) -> frozenset[int]:
        """The watched program and its children."""
        return frozenset(self._family)

    def refresh_family(self) -> None:
        """Look for new children of the watched program."""
        if self._watched is None:
            return
        try:
            parent = psutil.Process(self._watched)
            pids = {self._watched, *(child.pid for child in parent.children(recursive=True))}
        except psutil.Error:
            self._forget()
            return
        for pid in pids - self._family.keys():
            self._family[pid] = self._open(f"/proc/{pid}/statm")

    def _read_family(self, row: Row) -> None:
        if not self._family:
            row[4] = row[5] = NAN
            return
        resident, mapped, readable = 0.0, 0.0, False
        for pid, handle in tuple(self._family.items()):
            try:
                if handle is not None:
                    fields = os.pread(handle, 128, 0).split()
                    resident += int(fields[1]) * self._page
                    mapped += int(fields[2]) * self._page
                else:
                    resident += psutil.Process(pid).memory_info().rss
                    mapped = NAN
                readable = True
            except (OSError, psutil.Error, IndexError, ValueError):
                self._drop(pid)
        row[4], row[5] = (resident, mapped) if readable else (NAN, NAN)

    def _drop(self, pid: int) -> None:
        handle = self._family.pop(pid, None)
        if handle is not None:
            os.close(handle)

    def _forget(self) -> None:
        for pid in tuple(self._family):
            self._drop(pid)

    def close(self) -> None:
        """Close what is open."""
        self._forget()
        if self._meminfo is not None:
            os.close(self._meminfo)
            self._meminfo = None
