"""Spill on Windows: GPU memory that the driver moved into shared RAM, from performance counters.

Windows tells per process what its GPU allocations hold in RAM (``GPU Process Memory``); a driver
that runs out of VRAM moves memory there silently, and speed falls to a fraction.
"""

import ctypes
import re
import sys
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

COUNTER: Final = r"\GPU Process Memory(*)\Shared Usage"
_INSTANCE: Final = re.compile(
    r"^pid_(?P<pid>\d+)_luid_0x[0-9A-Fa-f]+_0x[0-9A-Fa-f]+_phys_\d+", re.IGNORECASE
)
_MORE_DATA: Final = 0x800007D2
_LARGE: Final = 0x00000400
"""pdh.h: PDH_MORE_DATA, PDH_FMT_LARGE."""


def shared_bytes(instances: Iterable[tuple[str, int]], pids: Collection[int]) -> int:
    """Bytes in shared memory over all GPUs of some processes, from (instance, value) pairs.

    Instances are named ``pid_1234_luid_0x00000000_0x0000D50A_phys_0``, one per process and GPU.
    """
    total = 0
    for name, value in instances:
        match = _INSTANCE.match(name)
        if match and int(match["pid"]) in pids and value > 0:
            total += value
    return total


class SharedMemory:
    """The counter, kept open between readings. Reads None on other systems and when it fails."""

    def __init__(self) -> None:
        self._pdh: Any = None
        self._query = ctypes.c_void_p()
        self._counter = ctypes.c_void_p()
        if sys.platform == "win32":
            self._open()

    def _open(self) -> None:
        if sys.platform != "win32":
            return
        try:
            pdh = ctypes.WinDLL("pdh.dll")
        except OSError:
            return
        if pdh.PdhOpenQueryW(None, None, ctypes.byref(self._query)):
            return
        # The English name works on every language of Windows.
        added = pdh.PdhAddEnglishCounterW(self._query, COUNTER, None, ctypes.byref(self._counter))
        if added:
            pdh.PdhCloseQuery(self._query)
            return
        self._pdh = pdh

    def read(self, pids: Sequence[int]) -> int | None:
        """Bytes that these processes hold in shared GPU memory now."""
        pdh = self._pdh
        if pdh is None or pdh.PdhCollectQueryData(self._query):
            return None
        size, count = ctypes.c_ulong(0), ctypes.c_ulong(0)
        arguments = (self._counter, _LARGE, ctypes.byref(size), ctypes.byref(count))
        status = pdh.PdhGetFormattedCounterArrayW(*arguments, None) & 0xFFFFFFFF
        if status != _MORE_DATA:
            return None
        buffer = ctypes.create_string_buffer(size.value)
        if pdh.PdhGetFormattedCounterArrayW(*arguments, buffer):
            return None
        return shared_bytes(items(buffer, count.value), pids)

    def close(self) -> None:
        """Close the query."""
        if self._pdh is not None:
            self._pdh.PdhCloseQuery(self._query)
            self._pdh = None


class Item(ctypes.Structure):
    """PDH_FMT_COUNTERVALUE_ITEM_W of 64-bit Windows with a large value (pdh.h)."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("status", ctypes.c_uint32),
        ("padding", ctypes.c_uint32),
        ("value", ctypes.c_int64),
    )


def items(buffer: "ctypes.Array[ctypes.c_char]", count: int) -> list[tuple[str, int]]:
    """Names and values of a formatted counter array; values without data are left out."""
    rows = ctypes.cast(buffer, ctypes.POINTER(Item))
    found: list[tuple[str, int]] = []
    for index in range(count):
        row = rows[index]
        if row.status in {0, 1}:  # PDH_CSTATUS_VALID_DATA, PDH_CSTATUS_NEW_DATA
            found.append((ctypes.wstring_at(row.name), int(row.value)))
    return found
