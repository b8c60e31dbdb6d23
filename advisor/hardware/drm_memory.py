"""How much memory an Intel GPU has, asked of its Linux driver: i915 and xe, without rights.

Structures, numbers and what is told without rights: i915_drm.h and xe_drm.h of the kernel's uapi;
files: its Documentation/ABI/testing/sysfs-driver-intel-xe-*, and i915's lmem_total_bytes.
"""

import ctypes
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_IOCTL_I915_QUERY: Final = 0xC0106479
"""DRM_IOWR(DRM_COMMAND_BASE + DRM_I915_QUERY, struct drm_i915_query)."""
_IOCTL_XE_QUERY: Final = 0xC0286440
"""DRM_IOWR(DRM_COMMAND_BASE + DRM_XE_DEVICE_QUERY, struct drm_xe_device_query)."""
_I915_MEMORY_REGIONS: Final = 4
_XE_MEMORY_REGIONS: Final = 1
_RAM: Final = 0
_OWN: Final = 1
"""I915_MEMORY_CLASS_DEVICE and DRM_XE_MEM_REGION_CLASS_VRAM."""
_MOST: Final = 1 << 20
"""Bytes of an answer that are believed."""
_HALVED: Final = 6
"""Tenths of the RAM: anv takes a driver that reports no more for one that has halved it."""
_LITTLE: Final = 4 << 30
Ioctl = Callable[[int, int, Any], object]


@dataclass(frozen=True, slots=True)
class OwnMemory:
    """A card's own memory, in bytes."""

    total: int
    used: int | None
    """None where the driver tells administrators only."""
    source: str = ""


@dataclass(frozen=True, slots=True)
class _Region:
    """Where a GPU keeps what it works with: its kind, and bytes."""

    kind: int
    total: int
    used: int


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
    regions = [r for r in _asked(folder, driver, root, ioctl) if r.kind == _OWN]
    if not regions:
        return _written(folder)
    # Without rights nothing is said to be used. A card with several tiles has all of theirs.
    used = sum(region.used for region in regions)
    told = f"kernel ({driver}): memory regions"
    return OwnMemory(sum(region.total for region in regions), used or None, told)


def lent_memory(
    folder: Path,
    driver: str | None,
    ram: int,
    *,
    root: Path = Path("/"),
    ioctl: Ioctl | None = None,
) -> tuple[int, str]:
    """Bytes of ``ram`` that Vulkan lets graphics within a processor use, and who says so.

    Mesa's anv (anv_restrict_sys_heap_size): three quarters of what the kernel's driver reports, a
    half up to 4 GiB. i915 reports all of the RAM; xe does since a newer kernel, and half of it
    before, which stays as it is. Half is taken where xe cannot be asked.
    """
    mesa = "Mesa (anv_restrict_sys_heap_size)"
    told = [r.total for r in _asked(folder, driver, root, ioctl) if r.kind == _RAM]
    if driver == "xe" and (not told or told[0] * 10 // ram <= _HALVED):
        return (told[0] if told else ram // 2), f"{mesa}: half of the RAM, as its driver xe says"
    reported = told[0] if told else ram
    few = reported <= _LITTLE
    share = "half" if few else "three quarters"
    return (reported // 2 if few else reported * 3 // 4), f"{mesa}: {share} of the RAM"


def _asked(folder: Path, driver: str | None, root: Path, ioctl: Ioctl | None) -> list[_Region]:
    ask = {"i915": _ask_i915, "xe": _ask_xe}.get(driver or "")
    node = next(iter(sorted((folder / "drm").glob("renderD*"))), None)
    if ask is None or node is None:
        return []
    try:
        if ioctl is None:
            import fcntl  # noqa: PLC0415 - not on Windows

            ioctl = fcntl.ioctl
        handle = os.open(root / "dev/dri" / node.name, os.O_RDWR | os.O_CLOEXEC)
    except (ImportError, OSError):
        return []
    try:
        return ask(handle, ioctl)
    except OSError:
        return []
    finally:
        os.close(handle)


def _written(folder: Path) -> OwnMemory | None:
    """What the driver writes: xe for each tile, i915 for the card."""
    tiles = sorted(folder.glob("tile*/physical_vram_size_bytes"))
    files = tiles or sorted((folder / "drm").glob("card*/lmem_total_bytes"))[:1]
    try:
        total = sum(int(path.read_text(encoding="ascii"), 0) for path in files)
    except (OSError, ValueError):
        return None
    return OwnMemory(total, None, f"kernel (sysfs): {files[0].name}") if total else None


def _ask_i915(handle: int, ioctl: Ioctl) -> list[_Region]:
    item = _I915Item(query=_I915_MEMORY_REGIONS)
    query = _I915Query(count=1, items=ctypes.addressof(item))
    ioctl(handle, _IOCTL_I915_QUERY, query)
    if not 16 <= item.length <= _MOST:
        return []  # negative: an older kernel, or no such question
    answer = ctypes.create_string_buffer(item.length)
    item.data = ctypes.addressof(answer)
    ioctl(handle, _IOCTL_I915_QUERY, query)
    count = min(int.from_bytes(answer.raw[:4], "little"), (item.length - 16) // _SIZE_I915)
    regions = (_I915Region * count).from_buffer(answer, 16)
    return [_Region(r.kind, r.total, r.total - min(r.left, r.total)) for r in regions]


def _ask_xe(handle: int, ioctl: Ioctl) -> list[_Region]:
    query = _XeQuery(query=_XE_MEMORY_REGIONS)
    ioctl(handle, _IOCTL_XE_QUERY, query)
    if not 8 <= query.size <= _MOST:
        return []
    answer = ctypes.create_string_buffer(query.size)
    query.data = ctypes.addressof(answer)
    ioctl(handle, _IOCTL_XE_QUERY, query)
    count = min(int.from_bytes(answer.raw[:4], "little"), (query.size - 8) // _SIZE_XE)
    regions = (_XeRegion * count).from_buffer(answer, 8)
    return [_Region(r.kind, r.total, r.used) for r in regions]


_SIZE_I915: Final = ctypes.sizeof(_I915Region)
_SIZE_XE: Final = ctypes.sizeof(_XeRegion)
