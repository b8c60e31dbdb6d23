"""Windows' own list of graphics adapters: DXGI, called through COM.

Interfaces, their methods' places and structures: dxgi.h and dxgi1_4.h of the Windows SDK.
"""

import ctypes
import sys
import uuid
from dataclasses import dataclass
from typing import Any, Final

_FACTORY1: Final = uuid.UUID("770aae78-f26f-4dba-a829-253c83d1b387")
_ADAPTER3: Final = uuid.UUID("645967a4-1392-4310-a798-8053ce3e93fd")
_MOST: Final = 64
"""Adapters looked at, should a driver never end its list."""
_SOFTWARE: Final = 3
"""DXGI_ADAPTER_FLAG_REMOTE and _SOFTWARE."""
# Methods are __stdcall, which on 64-bit Windows is the one convention there is.
_METHOD: Final = getattr(ctypes, "WINFUNCTYPE", ctypes.CFUNCTYPE)
# Place in the table of methods, and what it takes besides the object; each interface begins with
# the methods that it inherits.
_POINTER: Final = ctypes.c_void_p
_QUERY_INTERFACE: Final = (0, (_POINTER, _POINTER))
_RELEASE: Final = (2, ())
_GET_DESC1: Final = (10, (_POINTER,))
_ENUM_ADAPTERS1: Final = (12, (ctypes.c_uint32, _POINTER))
_QUERY_VIDEO_MEMORY_INFO: Final = (14, (ctypes.c_uint32, ctypes.c_int, _POINTER))


class Luid(ctypes.Structure):
    """LUID: names an adapter until the next restart."""

    _fields_ = (("low", ctypes.c_uint32), ("high", ctypes.c_int32))


class AdapterDesc1(ctypes.Structure):
    """DXGI_ADAPTER_DESC1."""

    _fields_ = (
        ("description", ctypes.c_uint16 * 128),
        ("vendor", ctypes.c_uint32),
        ("device", ctypes.c_uint32),
        ("subsystem", ctypes.c_uint32),
        ("revision", ctypes.c_uint32),
        ("dedicated_video", ctypes.c_size_t),
        ("dedicated_system", ctypes.c_size_t),
        ("shared_system", ctypes.c_size_t),
        ("luid", Luid),
        ("flags", ctypes.c_uint32),
    )


class VideoMemoryInfo(ctypes.Structure):
    """DXGI_QUERY_VIDEO_MEMORY_INFO."""

    _fields_ = (
        ("budget", ctypes.c_uint64),
        ("usage", ctypes.c_uint64),
        ("available_for_reservation", ctypes.c_uint64),
        ("reservation", ctypes.c_uint64),
    )


@dataclass(frozen=True, slots=True)
class Adapter:
    """One graphics adapter. Sizes in bytes."""

    name: str
    pci_id: str
    """``"1002:744c"``."""
    dedicated: int
    """Memory of its own, a carve-out included."""
    shared: int
    """RAM that Windows lets it use."""
    budget: int | None
    """What Windows would give one program of its own memory now; None before Windows 10."""
    luid: str
    """As performance counters name it: ``"0x00000000_0x0001532a"``."""


def adapters(library: Any = None) -> tuple[Adapter, ...]:  # noqa: ANN401 - a DLL
    """Graphics hardware in Windows' order; empty on other systems and when DXGI fails.

    ``library``: dxgi.dll, for tests.
    """
    if library is None:
        if sys.platform != "win32":
            return ()
        try:
            library = ctypes.WinDLL("dxgi.dll")
        except OSError:
            return ()
    try:
        return _read(library)
    except OSError:
        # ctypes turns an access violation within a driver into this.
        return ()


def _read(library: Any) -> tuple[Adapter, ...]:  # noqa: ANN401
    factory = ctypes.c_void_p()
    if library.CreateDXGIFactory1(_guid(_FACTORY1), ctypes.byref(factory)) or not factory:
        return ()
    found: list[Adapter] = []
    try:
        for index in range(_MOST):
            adapter = ctypes.c_void_p()
            if _call(factory, _ENUM_ADAPTERS1, index, ctypes.byref(adapter)):
                break  # DXGI_ERROR_NOT_FOUND: the end
            try:
                known = _describe(adapter)
            finally:
                _call(adapter, _RELEASE)
            if known is not None:
                found.append(known)
    finally:
        _call(factory, _RELEASE)
    return tuple(found)


def _describe(adapter: ctypes.c_void_p) -> Adapter | None:
    desc = AdapterDesc1()
    if _call(adapter, _GET_DESC1, ctypes.byref(desc)) or desc.flags & _SOFTWARE:
        return None
    name = bytes(desc.description).decode("utf-16-le", "replace").partition("\0")[0]
    return Adapter(
        name=name.strip(),
        pci_id=f"{desc.vendor:04x}:{desc.device:04x}",
        dedicated=int(desc.dedicated_video),
        shared=int(desc.shared_system),
        budget=_budget(adapter),
        luid=f"0x{desc.luid.high & 0xFFFFFFFF:08x}_0x{desc.luid.low:08x}",
    )


def _budget(adapter: ctypes.c_void_p) -> int | None:
    third = ctypes.c_void_p()
    if _call(adapter, _QUERY_INTERFACE, _guid(_ADAPTER3), ctypes.byref(third)) or not third:
        return None
    try:
        info = VideoMemoryInfo()
        # Of the first GPU of an adapter, DXGI_MEMORY_SEGMENT_GROUP_LOCAL.
        if _call(third, _QUERY_VIDEO_MEMORY_INFO, 0, 0, ctypes.byref(info)):
            return None
        return int(info.budget)
    finally:
        _call(third, _RELEASE)


def _guid(value: uuid.UUID) -> "ctypes.Array[ctypes.c_char]":
    return ctypes.create_string_buffer(value.bytes_le, 16)


def _call(this: ctypes.c_void_p, which: tuple[int, tuple[Any, ...]], *arguments: object) -> int:
    """One method of a COM object; its HRESULT or count, 0 for success."""
    place, takes = which
    table = ctypes.cast(this, ctypes.POINTER(ctypes.POINTER(ctypes.c_void_p))).contents
    method = _METHOD(ctypes.c_long, _POINTER, *takes)(table[place])
    return int(method(this, *arguments))
