"""Live readings of GPUs on Windows: the counters that Task Manager shows (Windows 10 and later)."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import psutil

from advisor.hardware import dxgi
from advisor.hardware.background import Background
from advisor.hardware.pdh import Counters, Instances
from advisor.hardware.readings import NAN, Row, held_by
from advisor.hardware.rig import Device, Process

DEDICATED = r"\GPU Adapter Memory(*)\Dedicated Usage"
SHARED = r"\GPU Adapter Memory(*)\Shared Usage"
OF_PROGRAM = r"\GPU Process Memory(*)\Dedicated Usage"
SHARED_OF_PROGRAM = r"\GPU Process Memory(*)\Shared Usage"
ENGINE = r"\GPU Engine(*)\Utilization Percentage"
COUNTERS = (DEDICATED, SHARED, OF_PROGRAM, SHARED_OF_PROGRAM, ENGINE)
_INSTANCE = re.compile(
    r"(?:pid_(?P<pid>\d+)_)?luid_(?P<luid>0x[0-9a-f]{8}_0x[0-9a-f]{8})_phys_\d+(?P<engine>_eng_\d+)?",
    re.IGNORECASE,
)
EVERY_S = 0.5


@dataclass(slots=True)
class Usage:
    """What Windows' counters say of one adapter."""

    dedicated: float | None = None
    shared: float | None = None
    programs: dict[int, float] = field(default_factory=dict[int, float])
    """Program to bytes of the adapter's own memory."""
    shared_programs: dict[int, float] = field(default_factory=dict[int, float])
    """Program to bytes of RAM that the adapter uses for it."""
    busy: float | None = None
    """Share of time of its busiest engine, 0 to 1."""


def usage(read: Mapping[str, Instances]) -> dict[str, Usage]:
    """The counters by adapter; LUIDs as `dxgi.Adapter` names them."""
    found: defaultdict[str, Usage] = defaultdict(Usage)
    engines: defaultdict[tuple[str, str], float] = defaultdict(float)
    for path, instances in read.items():
        for name, value in instances:
            match = _INSTANCE.match(name)
            if match is None:
                continue
            luid, pid = match["luid"].lower(), int(match["pid"] or 0)
            known = found[luid]
            if path == DEDICATED:
                known.dedicated = (known.dedicated or 0.0) + value
            elif path == SHARED:
                known.shared = (known.shared or 0.0) + value
            elif path == OF_PROGRAM:
                known.programs[pid] = known.programs.get(pid, 0.0) + value
            elif path == SHARED_OF_PROGRAM:
                known.shared_programs[pid] = known.shared_programs.get(pid, 0.0) + value
            else:
                engines[luid, match["engine"] or ""] += value
    for (luid, _), share in engines.items():
        found[luid].busy = max(found[luid].busy or 0.0, min(1.0, share / 100))
    return dict(found)


def places(devices: Sequence[Device], adapters: Sequence[dxgi.Adapter]) -> dict[int, str]:
    """Device to the LUID of its adapter.

    Equal cards are matched in order, which is right as long as both lists know no more of them
    than that they are equal; NVIDIA's are known by their own driver, so that two equal ones could
    be confused and are left out.
    """
    left: defaultdict[str, list[str]] = defaultdict(list)
    for adapter in adapters:
        left[adapter.pci_id].append(adapter.luid)
    found: dict[int, str] = {}
    for index, device in enumerate(devices):
        alike = left[":".join((device.pci_id or "").split(":")[:2])]
        if device.vendor == "NVIDIA" and len(alike) > 1:
            continue
        if alike:
            found[index] = alike.pop(0)
    return found


class WindowsCounters:
    """The counters of all adapters, read in a thread of their own: opening them takes 0.2 s."""

    def __init__(self, devices: Sequence[Device]) -> None:
        self._devices = tuple(devices)
        self._luids: dict[int, str] = {}
        self._counters: Counters | None = None
        self._source = Background(
            self._read, EVERY_S, name="Windows counters", at_end=self._close_counters
        )

    def _read(self) -> dict[str, Usage] | None:
        if self._counters is None:
            self._counters = Counters(COUNTERS)
            self._luids = places(self._devices, dxgi.adapters())
        read = self._counters.read()
        if read is None:
            return None
        found = usage(read)
        here = {luid for luid, known in found.items() if known.dedicated is not None}
        if not here.issuperset(self._luids.values()):
            # An adapter whose driver was started again has another name.
            self._luids = places(self._devices, dxgi.adapters())
        return found

    def _close_counters(self) -> None:
        if self._counters is not None:
            self._counters.close()

    def of(self, index: int) -> Usage | None:
        """What is known of one device, None when nothing is."""
        newest = self._source.newest
        return None if newest is None else newest.get(self._luids.get(index, ""))

    def held(self, index: int, pids: frozenset[int]) -> float:
        """Bytes of a device's memory that some programs hold; NaN when it is not known."""
        known = self.of(index)
        return NAN if known is None else sum(known.programs.get(pid, 0.0) for pid in pids)

    def sensor(self, index: int) -> "WindowsSensor":
        """The sensor of one device."""
        return WindowsSensor(self, index, unified=self._devices[index].unified)

    def close(self) -> None:
        """Ask no more."""
        self._source.close()


class WindowsSensor:
    """One GPU that no driver's own interface is known for."""

    def __init__(self, counters: WindowsCounters, index: int, *, unified: bool) -> None:
        self.lost = False
        self.processes: tuple[Process, ...] = ()
        self._counters = counters
        self._index = index
        self._unified = unified
        self._names: dict[int, str] = {}

    def read(self, row: Row, tick: int) -> None:
        """See `Sensor.read`."""
        del tick
        known = self._counters.of(self._index)
        if known is None:
            row[0] = row[2] = NAN
            return
        row[0] = NAN if known.dedicated is None else known.dedicated
        if self._unified:
            row[0] += known.shared or 0.0
        row[2] = NAN if known.busy is None else known.busy

    def slow(self, row: Row, turn: int) -> None:
        """Nothing else to read."""

    def list_processes(self, row: Row, watched: frozenset[int]) -> None:
        """See `Sensor.list_processes`."""
        known = self._counters.of(self._index)
        if known is None:
            self.processes = ()
            row[1] = NAN
            return
        held = dict(known.programs)
        if self._unified:
            for pid, size in known.shared_programs.items():
                held[pid] = held.get(pid, 0.0) + size
        largest = sorted(((p, int(b)) for p, b in held.items() if b > 0), key=lambda item: -item[1])
        self._names = {pid: self._names.get(pid) or _name(pid) for pid, _ in largest}
        self.processes = tuple(
            Process(pid=pid, name=self._names[pid], memory=size) for pid, size in largest
        )
        row[1] = held_by(self.processes, watched)

    def close(self) -> None:
        """Ask no more."""
        self._counters.close()


def _name(pid: int) -> str:
    try:
        return psutil.Process(pid).name()
    except psutil.Error:
        return "another user's program"
