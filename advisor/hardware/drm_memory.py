"""How much memory an Intel GPU has, asked of its Linux driver: i915 and xe, without rights.

Structures, numbers and what is told without rights: i915_drm.h and xe_drm.h of the kernel's uapi;
files: its Documentation/ABI/testing/sysfs-driver-intel-xe-*, and i915's lmem_total_bytes.
"""

import ctypes
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

_IOCTL_I915_QUERY: Final = 0xC0106479
"""DRM_IOWR(DRM_COMMAND_BASE + DRM_I915_QUERY, struct drm_i915_query)."""
_IOCTL_XE_QUERY: Final = 0xC0286440
"""DRM_IOWR(DRM_COMMAND_BASE + DRM_XE_DEVICE_QUERY, struct drm_xe_device_query)."""
_I915_MEMORY_REGIONS: Final = 4
_XE_MEMORY_REGIONS: Final = 1
_OWN: Final = 1
"""I915_MEMORY_CLASS_DEVICE and DRM_XE_MEM_REGION_CLASS_VRAM; 0 is the machine's RAM."""
_MOST: Final = 1 << 20
"""Bytes of an answer that are believed."""
Ioctl = Callable[[int, int, Any], object]


@dataclass(frozen=True, slots=True)
class OwnMemory:
    """A card's own memory, in bytes."""

    total: int
    used: int | None
    """None where the driver tells administrators only."""
    source: str = ""


class _I915Item(ctypes.Structure):
    _fields_ = (
        ("query", ctypes.c_uint64),
        ("length", ctypes.c_int32),
        ("flags", ctypes.c_uint32),
        ("data", ctypes.c_uint64),
    )


class _I915Query(ctypes.Structure):
    _fields_ = (
        ("count", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("items", ctypes.c_uint64),
    )


class _I915Region(ctypes.Structure):
    _fields_ = (
        ("kind", ctypes.c_uint16),
        ("instance", ctypes.c_uint16),
        ("reserved", ctypes.c_uint32),
        ("total", ctypes.c_uint64),
        ("left", ctypes.c_uint64),
        ("reserved_more", ctypes.c_uint64 * 8),
    )


class _XeQuery(ctypes.Structure):
    _fields_ = (
        ("extensions", ctypes.c_uint64),
        ("query", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("data", ctypes.c_uint64),
        ("reserved", ctypes.c_uint64 * 2),
    )


class _XeRegion(ctypes.Structure):
    _fields_ = (
        ("kind", ctypes.c_uint16),
        ("instance", ctypes.c_uint16),
        ("page", ctypes.c_uint32),
        ("total", ctypes.c_uint64),
        ("used", ctypes.c_uint64),
        ("visible", ctypes.c_uint64),
        ("visible_used", ctypes.c_uint64),
        ("reserved", ctypes.c_uint64 * 6),
    )


def own_memory(
    folder: Path, driver: str | None, *, root: Path = Path("/"), ioctl: Ioctl | None = None
) -> OwnMemory | None:
    """The memory of the GPU whose device folder in sysfs this is.

    Asked of the driver where the user may open the GPU (group "render"), else read from files that
    everybody may read. None where neither tells: other drivers, and graphics without memory of
    their own. ``ioctl``: fcntl's, for tests.
    """
    return _asked(folder, driver, root, ioctl) or _written(folder)


def _asked(folder: Path, driver: str | None, root: Path, ioctl: Ioctl | None) -> OwnMemory | None:
    ask = {"i915": _ask_i915, "xe": _ask_xe}.get(driver or "")
    node = next(iter(sorted((folder / "drm").glob("renderD*"))), None)
    if ask is None or node is None:
        return None
    try:
        if ioctl is None:
            import fcntl  # noqa: PLC0415 - not on Windows

            ioctl = fcntl.ioctl
        handle = os.open(root / "dev/dri" / node.name, os.O_RDWR | os.O_CLOEXEC)
    except (ImportError, OSError):
        return None
    try:
        told = ask(handle, ioctl)
    except OSError:
        return None
    finally:
        os.close(handle)
    return None if told is None else replace(told, source=f"kernel ({driver}): memory regions")


def _written(folder: Path) -> OwnMemory | None:
    """What the driver writes: xe for each tile, i915 for the card."""
    tiles = sorted(folder.glob("tile*/physical_vram_size_bytes"))
    files = tiles or sorted((folder / "drm").glob("card*/lmem_total_bytes"))[:1]
    try:
        total = sum(int(path.read_text(encoding="ascii"), 0) for path in files)
    except (OSError, ValueError):
        return None
    return OwnMemory(total, None, f"kernel (sysfs): {files[0].name}") if total else None


def _summed(parts: list[tuple[int, int]], *, told: bool) -> OwnMemory | None:
    """Of a card with several tiles, all together. ``told``: what is used can be believed."""
    if not parts:
        return None
    total, used = (sum(part[at] for part in parts) for at in (0, 1))
    return OwnMemory(total, used if told else None)


def _ask_i915(handle: int, ioctl: Ioctl) -> OwnMemory | None:
    item = _I915Item(query=_I915_MEMORY_REGIONS)
    query = _I915Query(count=1, items=ctypes.addressof(item))
    ioctl(handle, _IOCTL_I915_QUERY, query)
    if not 16 <= item.length <= _MOST:
        return None  # negative: an older kernel, or no such question
    answer = ctypes.create_string_buffer(item.length)
    item.data = ctypes.addressof(answer)
    ioctl(handle, _IOCTL_I915_QUERY, query)
    count = min(int.from_bytes(answer.raw[:4], "little"), (item.length - 16) // _SIZE_I915)
    regions = (_I915Region * count).from_buffer(answer, 16)
    own = [(r.total, r.total - min(r.left, r.total)) for r in regions if r.kind == _OWN]
    # Without rights all of it is said to be left.
    return _summed(own, told=any(used for _, used in own))


def _ask_xe(handle: int, ioctl: Ioctl) -> OwnMemory | None:
    query = _XeQuery(query=_XE_MEMORY_REGIONS)
    ioctl(handle, _IOCTL_XE_QUERY, query)
    if not 8 <= query.size <= _MOST:
        return None
    answer = ctypes.create_string_buffer(query.size)
    query.data = ctypes.addressof(answer)
    ioctl(handle, _IOCTL_XE_QUERY, query)
    count = min(int.from_bytes(answer.raw[:4], "little"), (query.size - 8) // _SIZE_XE)
    regions = (_XeRegion * count).from_buffer(answer, 8)
    own = [(r.total, r.used) for r in regions if r.kind == _OWN]
    # Without rights nothing is said to be used.
    return _summed(own, told=any(used for _, used in own))


_SIZE_I915: Final = ctypes.sizeof(_I915Region)
_SIZE_XE: Final = ctypes.sizeof(_XeRegion)
