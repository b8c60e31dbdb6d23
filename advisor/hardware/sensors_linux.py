"""Live readings of AMD and Intel GPUs from files of their Linux drivers, which stay open."""

import math
import os
import struct
import time
from collections.abc import Mapping
from pathlib import Path

from advisor.hardware.drm_clients import Client, DrmClients, utilisation
from advisor.hardware.readings import NAN, Row, held_by
from advisor.hardware.rig import Device, Process

_RETRY = 40
"""Ticks between attempts to find a lost GPU again."""
_SELDOM = 20
"""Ticks between readings that change slowly or wake something."""

# NVML's bits for what these drivers say, so that one table of words serves all.
_POWER, _HARDWARE, _TEMPERATURE = 0x04, 0x08, 0x40
# amdgpu_smu.h, SMU_THROTTLER_*_BIT of indep_throttle_status: power and current, temperature,
# PROCHOT.
_AMD_THROTTLE = ((0x00FF00FF, _POWER), (0x3FFF << 32, _TEMPERATURE), (0x3 << 46, _HARDWARE))
# Where indep_throttle_status stands by format and content revision (kgd_pp_interface.h).
_INDEPENDENT = {(1, 3): 112, (2, 2): 120, (2, 3): 120, (2, 4): 120}
# i915 and xe name the same reasons throttle_reason_pl1 and reason_pl1.
_INTEL_THROTTLE = {
    **dict.fromkeys(("pl1", "pl2", "pl4", "vr_tdc"), _POWER),
    **dict.fromkeys(("thermal", "prochot", "vr_thermalert"), _TEMPERATURE),
}


class _Files:
    """Files that are read again and again from their start."""

    def __init__(self) -> None:
        self._open: dict[str, int] = {}

    def add(self, name: str, *paths: Path) -> bool:
        """Keep the first of these that can be opened."""
        for path in paths:
            try:
                self._open[name] = os.open(path, os.O_RDONLY)
            except OSError:
                continue
            return True
        return False

    def number(self, name: str) -> float:
        """What the file says now, NaN when it is not there or says nothing."""
        handle = self._open.get(name)
        if handle is None:
            return NAN
        try:
            return float(int(os.pread(handle, 32, 0)))
        except (OSError, ValueError):
            return NAN

    def raw(self, name: str, size: int) -> bytes:
        """The first bytes of the file, empty when it cannot be read."""
        handle = self._open.get(name)
        try:
            return b"" if handle is None else os.pread(handle, size, 0)
        except OSError:
            return b""

    def close(self) -> None:
        for handle in self._open.values():
            os.close(handle)
        self._open = {}


def _labelled(folder: Path, kind: str, *wanted: str) -> list[Path]:
    """hwmon's inputs of a kind: those with a wanted label first, in the order wanted."""
    inputs = sorted(folder.glob(f"{kind}*_input"))

    def rank(path: Path) -> int:
        try:
            label = path.with_name(path.name.replace("_input", "_label")).read_text().strip()
        except OSError:
            label = ""
        return wanted.index(label) if label in wanted else len(wanted)

    return sorted(inputs, key=rank)


def _hwmon(folder: Path) -> Path:
    found = sorted((folder / "hwmon").glob("hwmon*")) if (folder / "hwmon").is_dir() else []
    return found[0] if found else folder / "hwmon"


class LinuxSensor:
    """One GPU of amdgpu, i915 or xe, by files that everybody may read."""

    def __init__(self, folder: Path, device: Device, clients: DrmClients, *, looks: bool) -> None:
        """``looks``: whether it is this one that reads the clients, once for all sensors."""
        self.lost = False
        self.processes: tuple[Process, ...] = ()
        # By its place on the bus: a card that comes back gets another number.
        self._folder = folder.resolve()
        self._address = (device.pci_address or "").lower()
        self._unified = device.unified
        self._clients = clients
        self._looks = looks
        self._files = _Files()
        self._asleep = False
        self._reopen()

    def _reopen(self) -> None:
        self._files.close()
        self._files.add("state", self._folder / "power" / "runtime_status")
        self._files.add("vendor", self._folder / "vendor")
        self._find()

    def _find(self) -> None:
        """Open what this driver has to read."""
        raise NotImplementedError

    def _read(self, row: Row, tick: int) -> None:
        """Fill the row of a GPU that is there and awake."""
        raise NotImplementedError

    def _memory(self, row: Row) -> None:
        """What can be read without waking it."""

    def read(self, row: Row, tick: int) -> None:
        """See `Sensor.read`. A GPU that its driver put to sleep (laptops) is left asleep."""
        if tick % _RETRY == 0:
            gone = not self._files.raw("vendor", 8)
            if gone or self.lost:
                self._reopen()
                self.lost = not self._files.raw("vendor", 8)
        if self.lost:
            row[:] = NAN
            self.processes = ()
            return
        if tick % _SELDOM == 0:
            self._asleep = self._files.raw("state", 16).startswith(b"suspended")
        self._memory(row)
        if self._asleep:
            row[2:] = NAN
        else:
            self._read(row, tick)

    def slow(self, row: Row, turn: int) -> None:
        """See `Sensor.slow`: amdgpu's pcie_bw blocks for a second, which is too long for it."""

    def list_processes(self, row: Row, watched: frozenset[int]) -> None:
        """See `Sensor.list_processes`."""
        if self._looks:
            self._clients.look(watched)
        self.processes = self._clients.processes(self._address, unified=self._unified)
        row[1] = held_by(self.processes, watched)

    def close(self) -> None:
        """Close its files."""
        self._files.close()


class AmdSensor(LinuxSensor):
    """One GPU of amdgpu (Documentation/gpu/amdgpu/thermal.rst)."""

    def _find(self) -> None:
        folder, sensors = self._folder, _hwmon(self._folder)
        self._files.add("vram", folder / "mem_info_vram_used")
        self._files.add("gtt", folder / "mem_info_gtt_used")
        self._files.add("busy", folder / "gpu_busy_percent")
        self._files.add("memory busy", folder / "mem_busy_percent")
        # Averages, where there are any: newer cards report the present power only.
        self._files.add("power", sensors / "power1_average", sensors / "power1_input")
        self._files.add("temperature", sensors / "temp1_input")
        self._files.add("clock", sensors / "freq1_input")
        self._files.add("metrics", folder / "gpu_metrics")

    def _memory(self, row: Row) -> None:
        row[0] = self._files.number("vram")
        if self._unified:
            row[0] += self._files.number("gtt")

    def _read(self, row: Row, tick: int) -> None:
        # Its firmware renews these every few milliseconds to a second; each reading asks it.
        for every, at, name, scale in (
            (3, 2, "busy", 0.01),
            (3, 3, "memory busy", 0.01),
            (2, 4, "power", 1e-6),
            (10, 5, "temperature", 1e-3),
            (5, 6, "clock", 1e-6),
        ):
            if tick % every == 0:
                row[at] = self._files.number(name) * scale
        if tick % _SELDOM == 0:
            row[7] = amd_throttle(self._files.raw("metrics", 256))


def amd_throttle(metrics: bytes) -> float:
    """NVML's throttle bits from a gpu_metrics file; NaN where its format does not say."""
    if len(metrics) < 4:
        return NAN
    size, *revision = struct.unpack_from("<HBB", metrics)
    at = _INDEPENDENT.get((revision[0], revision[1]))
    if at is None or min(size, len(metrics)) < at + 8:
        return NAN
    (status,) = struct.unpack_from("<Q", metrics, at)
    if status == (1 << 64) - 1:  # not filled in by this firmware
        return NAN
    return float(sum(bit for mask, bit in _AMD_THROTTLE if status & mask))


class IntelSensor(LinuxSensor):
    """One GPU of i915 or xe.

    Neither lets users read how much of a card's memory is taken, nor how busy it is, except by
    their own programs: the sum of those stands for all (see `DrmClients`).
    """

    def _find(self) -> None:
        folder, sensors = self._folder, _hwmon(self._folder)
        gt = folder / "tile0" / "gt0"
        # xe counts the whole card and its package; i915 has one counter.
        self._files.add("energy", *_labelled(sensors, "energy", "card", "pkg"))
        self._files.add("temperature", *_labelled(sensors, "temp", "pkg"))
        card = next(iter(sorted((folder / "drm").glob("card*"))), folder)
        self._files.add(
            "clock",
            gt / "freq0" / "act_freq",
            card / "gt" / "gt0" / "rps_act_freq_mhz",
            card / "gt_act_freq_mhz",
        )
        self._reasons: Mapping[str, int] = {}
        for base, prefix in (
            (gt / "freq0" / "throttle", "reason_"),
            (card / "gt" / "gt0", "throttle_reason_"),
        ):
            if self._files.add("status", base / "status", base / f"{prefix}status"):
                found = {f"{prefix}{name}": bit for name, bit in _INTEL_THROTTLE.items()}
                self._reasons = {
                    name: bit for name, bit in found.items() if self._files.add(name, base / name)
                }
                break
        self._energy: tuple[int, float] | None = None
        self._before: tuple[int, list[Client]] | None = None
        self._turns = 0

    def _read(self, row: Row, tick: int) -> None:
        if tick % 5 == 0:
            row[4] = self._power()
            row[6] = self._files.number("clock")
        if tick % 10 == 0:
            row[5] = self._files.number("temperature") * 1e-3
        if tick % _SELDOM == 0:
            row[7] = self._throttle()

    def _power(self) -> float:
        """Watts since the last reading, from a counter of microjoules."""
        now, energy = time.monotonic_ns(), self._files.number("energy")
        before, self._energy = self._energy, (now, energy)
        if before is None or now <= before[0] or not energy > before[1]:
            return NAN  # the first, a counter that ran over, or one that stands still
        return (energy - before[1]) * 1e3 / (now - before[0])

    def _throttle(self) -> float:
        status = self._files.number("status")
        if math.isnan(status) or not status:
            return status
        bits = 0
        for name, bit in self._reasons.items():
            bits |= bit if self._files.number(name) == 1 else 0
        return float(bits)

    def list_processes(self, row: Row, watched: frozenset[int]) -> None:
        """See `Sensor.list_processes`; what programs hold and how busy they keep it comes along."""
        super().list_processes(row, watched)
        open_by = self._clients.of(self._address)
        clients = [client for held in open_by.values() for client in held]
        if not self._unified:
            row[0] = float(sum(client.own for client in clients)) if clients else NAN
        if self._clients.turns == self._turns:
            return
        self._turns = self._clients.turns
        now = time.monotonic_ns()
        share = None
        if self._before is not None:
            share = utilisation(self._before[1], clients, now - self._before[0])
        row[2] = NAN if share is None else share
        self._before = (now, clients)


SENSORS: Mapping[str, type[LinuxSensor]] = {
    "AMD": AmdSensor,
    "Intel": IntelSensor,
}
"""By vendor."""
