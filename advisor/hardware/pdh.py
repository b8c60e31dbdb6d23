"""Windows' performance counters, kept open between readings (pdh.dll)."""

import ctypes
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

_MORE_DATA: Final = 0x800007D2
_LARGE: Final = 0x00000400
_DOUBLE: Final = 0x00000200
"""pdh.h: PDH_MORE_DATA, PDH_FMT_LARGE, PDH_FMT_DOUBLE."""
Instances = list[tuple[str, float]]


class _Large(ctypes.Structure):
    """PDH_FMT_COUNTERVALUE_ITEM_W of 64-bit Windows with a large value (pdh.h)."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("status", ctypes.c_uint32),
        ("padding", ctypes.c_uint32),
        ("value", ctypes.c_int64),
    )


class _Double(ctypes.Structure):
    """The same with a double."""

    _fields_ = (*_Large._fields_[:3], ("value", ctypes.c_double))


class Counters:
    """Some counters with all their instances. Says nothing on other systems and when it fails.

    ``paths``: English names, which work on every language of Windows, as in
    ``\\GPU Process Memory(*)\\Shared Usage``; a share per time (a name that ends in Percentage)
    is known from the second reading on. ``library``: pdh.dll, for tests.
    """

    def __init__(self, paths: Sequence[str], library: Any = None) -> None:  # noqa: ANN401 - a DLL
        self._pdh: Any = library
        self._query = ctypes.c_void_p()
        self._counters: dict[str, ctypes.c_void_p] = {}
        if library is None and sys.platform == "win32":
            try:
                self._pdh = ctypes.WinDLL("pdh.dll")
            except OSError:
                return
        if self._pdh is None or self._pdh.PdhOpenQueryW(None, None, ctypes.byref(self._query)):
            self._pdh = None
            return
        for path in paths:
            counter = ctypes.c_void_p()
            text = ctypes.c_wchar_p(path)
            if not self._pdh.PdhAddEnglishCounterW(self._query, text, None, ctypes.byref(counter)):
                self._counters[path] = counter
        if not self._counters:
            self.close()

    def read(self) -> Mapping[str, Instances] | None:
        """By path, the instances and their values now; a path without an answer is left out."""
        if self._pdh is None or self._pdh.PdhCollectQueryData(self._query):
            return None
        found: dict[str, Instances] = {}
        for path, counter in self._counters.items():
            values = self._values(counter, share=path.endswith("Percentage"))
            if values is not None:
                found[path] = values
        return found

    def _values(self, counter: ctypes.c_void_p, *, share: bool) -> Instances | None:
        size, count = ctypes.c_ulong(0), ctypes.c_ulong(0)
        form = _DOUBLE if share else _LARGE
        arguments = (counter, form, ctypes.byref(size), ctypes.byref(count))
        if self._pdh.PdhGetFormattedCounterArrayW(*arguments, None) & 0xFFFFFFFF != _MORE_DATA:
            return None
        buffer = ctypes.create_string_buffer(size.value)
        if self._pdh.PdhGetFormattedCounterArrayW(*arguments, buffer):
            return None
        rows = ctypes.cast(buffer, ctypes.POINTER(_Double if share else _Large))
        return [
            (ctypes.wstring_at(rows[index].name), float(rows[index].value))
            for index in range(count.value)
            if rows[index].status in {0, 1}  # PDH_CSTATUS_VALID_DATA, PDH_CSTATUS_NEW_DATA
        ]

    def close(self) -> None:
        """Close the query."""
        if self._pdh is not None:
            self._pdh.PdhCloseQuery(self._query)
            self._pdh = None
            self._counters = {}
