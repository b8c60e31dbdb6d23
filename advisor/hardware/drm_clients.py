"""Which programs use a GPU of amdgpu, i915 or xe: what the Linux kernel tells of each open file.

Format: Documentation/gpu/drm-usage-stats.rst of the kernel. Everybody may read their own programs'
files, administrators those of all.
"""

import os
import re
import time
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from advisor.hardware.rig import Process

_LINE = re.compile(r"^drm-([\w-]+):[ \t]*(.*?)[ \t]*$", re.MULTILINE)
_UNITS = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_OWN = re.compile(r"(vram|local)\d*")
"""Regions on the card; i915 says local0, amdgpu and xe say vram."""
_SHARED = re.compile(r"gtt|system\d*")
_AT_ONCE = 50
_TURN_S = 1.0
"""Programs that are looked through at once, and how often: finding their open files is dear."""
_CLASSES = frozenset({"render", "compute", "rcs", "ccs", "gfx"})
"""Engines that run kernels; copying and video are no work of llama.cpp's."""


@dataclass(frozen=True, slots=True)
class Client:
    """One open GPU: who shares it counts once, by address and number."""

    driver: str
    address: str
    """PCI address, ``"0000:03:00.0"``."""
    number: int
    own: int
    """Bytes on the card."""
    shared: int
    """Bytes of RAM that the GPU uses."""
    busy: dict[str, tuple[int, int | None]]
    """Engine to its busy time in ns, or to busy and elapsed cycles (xe); per engine where a class
    has several."""


def parse(text: str) -> Client | None:
    """What one file of /proc/PID/fdinfo says, None when it is no GPU."""
    facts = dict(_LINE.findall(text))
    if "pdev" not in facts or not facts.get("client-id", "").isdigit():
        return None
    regions: dict[str, int] = {}
    # Resident is what is in memory now; amdgpu called it memory before 6.13. Total may be swapped.
    for kind in ("total", "memory", "resident"):
        for name, value in facts.items():
            if name.startswith(f"{kind}-"):
                size = _size(value)
                if size is not None:
                    regions[name.removeprefix(f"{kind}-")] = size
    return Client(
        driver=facts.get("driver", ""),
        address=facts["pdev"].lower(),
        number=int(facts["client-id"]),
        own=sum(size for name, size in regions.items() if _OWN.fullmatch(name)),
        shared=sum(size for name, size in regions.items() if _SHARED.fullmatch(name)),
        busy=_engines(facts),
    )


def _size(value: str) -> int | None:
    number, _, unit = value.partition(" ")
    scale = _UNITS.get(unit.strip())
    return int(number) * scale if number.isdigit() and scale is not None else None


def _engines(facts: dict[str, str]) -> dict[str, tuple[int, int | None]]:
    found: dict[str, tuple[int, int | None]] = {}
    for name in _CLASSES:
        alike = int(facts.get(f"engine-capacity-{name}", "1") or 1)
        time, cycles = facts.get(f"engine-{name}", ""), facts.get(f"cycles-{name}", "")
        elapsed = facts.get(f"total-cycles-{name}", "")
        if time.removesuffix(" ns").isdigit():
            found[name] = (int(time.removesuffix(" ns")) // alike, None)
        elif cycles.isdigit() and elapsed.isdigit():
            found[name] = (int(cycles) // alike, int(elapsed))
    return found


def utilisation(before: Iterable[Client], after: Iterable[Client], elapsed_ns: int) -> float | None:
    """Share of time the busiest engine ran for these clients, 0 to 1; None without any."""
    earlier = {(c.address, c.number): c for c in before}
    shares: defaultdict[str, float] = defaultdict(float)
    seen = False
    for client in after:
        known = earlier.get((client.address, client.number))
        if known is None:
            continue
        seen = True
        for name, (busy, cycles) in client.busy.items():
            then, then_cycles = known.busy.get(name, (busy, cycles))
            over = elapsed_ns if cycles is None else cycles - (then_cycles or 0)
            if over > 0:
                shares[name] += max(0, busy - then) / over
    return min(1.0, max(shares.values(), default=0.0)) if seen else None


def _is_gpu(path: str) -> bool:
    try:
        return os.readlink(path).startswith("/dev/dri/")  # noqa: PTH115 - thousands a second
    except OSError:
        return False  # closed meanwhile


class DrmClients:
    """The GPU files of every program that we may look at, kept between calls."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._proc = root / "proc"
        self._files: dict[int, tuple[str, ...]] = {}
        """Programs that have a GPU open, and which files these are."""
        self._names: dict[int, str] = {}
        self._left: list[int] = []
        """Programs that this round has not come to yet."""
        self._turned = -_TURN_S
        self.turns = 0
        """How often all known programs were read."""
        self._now: dict[int, list[Client]] = {}

    def look(self, watched: Collection[int] = (), *, everywhere: bool = False) -> None:
        """Read the clients anew.

        The watched ones are read at every call, the others known once a second; who is new among
        all is found some programs at a time, or at once when ``everywhere``.
        """
        now = time.monotonic()
        turn: list[int] = []
        if everywhere or now - self._turned >= _TURN_S:
            self._turned = now
            self.turns += 1
            turn = self._next_programs(everywhere=everywhere)
            self._read_all(self._files.keys() - {*turn, *watched})
        for pid in {*turn, *watched}:
            self._files[pid] = self._open(pid)
        self._read_all({*turn, *watched})

    def _read_all(self, pids: Collection[int]) -> None:
        for pid in pids:
            clients = self._read(pid, self._files[pid])
            if clients:
                self._now[pid] = clients
            else:
                self._forget(pid)

    def _next_programs(self, *, everywhere: bool) -> list[int]:
        if not self._left or everywhere:
            self._left = self._pids()
        count = len(self._left) if everywhere else _AT_ONCE
        turn, self._left = self._left[:count], self._left[count:]
        return turn

    def of(self, address: str) -> dict[int, list[Client]]:
        """Program to what it has open of the GPU at this PCI address; nothing is counted twice."""
        counted: set[int] = set()
        found: dict[int, list[Client]] = {}
        for pid, clients in self._now.items():
            for client in clients:
                if client.address == address and client.number not in counted:
                    counted.add(client.number)
                    found.setdefault(pid, []).append(client)
        return found

    def processes(self, address: str, *, unified: bool) -> tuple[Process, ...]:
        """Programs that hold memory of a GPU, largest first."""
        rows: list[Process] = []
        for pid, clients in self.of(address).items():
            held = sum(c.own + (c.shared if unified else 0) for c in clients)
            if held:
                rows.append(Process(pid=pid, name=self._name(pid), memory=held))
        return tuple(sorted(rows, key=lambda process: -(process.memory or 0)))

    def _pids(self) -> list[int]:
        try:
            with os.scandir(self._proc) as entries:
                return [int(entry.name) for entry in entries if entry.name.isdigit()]
        except OSError:
            return []

    def _open(self, pid: int) -> tuple[str, ...]:
        """Numbers of its open files that are GPUs; empty when it is gone or not ours to see."""
        try:
            with os.scandir(f"{self._proc}/{pid}/fd") as entries:
                return tuple(entry.name for entry in entries if _is_gpu(entry.path))
        except OSError:
            return ()

    def _read(self, pid: int, files: tuple[str, ...]) -> list[Client]:
        clients: dict[tuple[str, int], Client] = {}
        for number in files:
            try:
                with open(f"{self._proc}/{pid}/fdinfo/{number}", encoding="ascii") as file:  # noqa: PTH123 - read often
                    client = parse(file.read())
            except (OSError, ValueError):
                continue
            if client is not None:
                clients[client.address, client.number] = client
        return list(clients.values())

    def _forget(self, pid: int) -> None:
        self._files.pop(pid, None)
        self._now.pop(pid, None)
        self._names.pop(pid, None)

    def _name(self, pid: int) -> str:
        if pid not in self._names:
            try:
                self._names[pid] = psutil.Process(pid).name()
            except psutil.Error:
                self._names[pid] = "a program that has ended"
        return self._names[pid]
