"""What the control groups of this program let it have of the machine: memory and processors.

A container on a large machine may have little of it, and the kernel ends what takes more than its
group may, however much the machine has left (Linux: Documentation/admin-guide/cgroup-v2.rst,
cgroup-v1/memory.rst, scheduler/sched-bwc.rst). Other systems have none.
"""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_UNLIMITED: Final = 1 << 60
"""Bytes from which on a limit of version 1 is none."""
_STATISTICS_EVERY: Final = 10
"""Readings between looks at what could be reclaimed, for which the kernel adds up its processors'
counts."""


@dataclass(frozen=True)
class _Version:
    """Names of the files of one version of control groups."""

    folder: str
    """Below the file system's root."""
    limit: str
    used: str
    files: re.Pattern[str]
    """Lines of memory.stat: pages of files, which the kernel takes back as it needs them."""


_V2: Final = _Version(
    "", "memory.max", "memory.current", re.compile(r"^(?:in)?active_file (\d+)$", re.MULTILINE)
)
_V1: Final = _Version(
    "memory",
    "memory.limit_in_bytes",
    "memory.usage_in_bytes",
    re.compile(r"^total_(?:in)?active_file (\d+)$", re.MULTILINE),
)


@dataclass
class _Group:
    folder: Path
    version: _Version
    limit: int
    asked: int = 0
    reclaimable: int = 0

    def left(self) -> int | None:
        used = _number(self.folder / self.version.used)
        if used is None:
            return None
        if self.asked % _STATISTICS_EVERY == 0:
            found = self.version.files.findall(_text(self.folder / "memory.stat"))
            self.reclaimable = sum(map(int, found))
        self.asked += 1
        return min(self.limit, max(0, self.limit - used + self.reclaimable))


@dataclass
class MemoryLimit:
    """The groups of this program that limit its memory."""

    _groups: list[_Group] = field(default_factory=list[_Group])

    @property
    def total(self) -> int:
        """Bytes that it may have in all."""
        return min(group.limit for group in self._groups)

    def left(self) -> int:
        """Bytes that can be had now; pages of files count, as in Linux' MemAvailable."""
        known = (group.left() for group in self._groups)
        return min((left for left in known if left is not None), default=self.total)


def memory_limit(root: Path = Path("/")) -> MemoryLimit | None:
    """What limits this program's memory, None where nothing does. ``root``: where / is, for tests.

    A group may be limited by those that it is part of.
    """
    found: dict[Path, _Group] = {}
    for version, folder in _folders(root):
        limit = _number(folder / version.limit)
        if limit is not None and limit < _UNLIMITED:
            found[folder] = _Group(folder, version, limit)
    return MemoryLimit(list(found.values())) if found else None


def processors(root: Path = Path("/")) -> float | None:
    """Processors whose time this program may use, as 1.5; None where nothing limits it."""
    quotas: list[float] = []
    for version, folder in _folders(root, controller="cpu"):
        if version is _V2:
            quota, _, period = _text(folder / "cpu.max").partition(" ")
        else:
            quota, period = (_text(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
        if quota.isdigit() and period.isdigit() and int(period):
            quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def _folders(root: Path, controller: str = "memory") -> Iterator[tuple[_Version, Path]]:
    """The groups of this program with those above them. In a container the mount shows its own
    group as the topmost, which may have another path outside."""
    mount = root / "sys/fs/cgroup"
    for line in ["0::/", f"1:{controller}:/", *_text(root / "proc/self/cgroup").splitlines()]:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            version, top = _V2, mount
        elif controller in controllers.split(","):
            version, top = _V1, mount / controller
        else:
            continue
        folder = top / path.strip("/")
        while folder != top:
            yield version, folder
            folder = folder.parent
        if path == "/":
            yield version, top


def _text(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace").strip()
    return ""


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.isdigit() else None
