"""Stepping over a long list of strings of unequal length, faster than one at a time.

Each string is a 64-bit length and that many bytes, so the list can only be walked from its start.
But text holds no NUL and is short, so a length looks like one byte and seven NULs: where a NUL
follows another byte is a *guess* of every length at once. A guess is only used where it is proven:
where the string before it ends exactly there. What the guess misses is walked one by one.
"""

import mmap
import struct
from typing import Final

import numpy as np
from numpy.typing import NDArray

_CHUNK: Final = 1 << 21
_U64: Final = struct.Struct("<Q")
_FEW: Final = 512
"""Below this many strings the plain walk is as fast."""


def skip_strings(data: mmap.mmap, pos: int, count: int, limit: int) -> int | None:
    """Position after ``count`` strings that start at ``pos``; None if they pass ``limit``."""
    while count > _FEW and pos < limit:
        before = pos
        end = min(limit, pos + _CHUNK)
        pos, count = _skip_in_chunk(data, pos, count, end)
        _drop_pages(data, before, pos)
    return _walk(data, pos, count, limit)


def _walk(data: mmap.mmap, pos: int, count: int, limit: int) -> int | None:
    unpack = _U64.unpack_from
    last = limit - 8
    for _ in range(count):
        if pos > last:
            return None
        pos += 8 + unpack(data, pos)[0]
    return pos if pos <= limit else None


def _skip_in_chunk(data: mmap.mmap, pos: int, count: int, end: int) -> tuple[int, int]:
    """Walk the strings whose lengths start in ``data[pos:end - 8]``: new position, strings left."""
    starts, ends = _guesses(data, pos, end)
    broken = np.flatnonzero(ends[:-1] != starts[1:])
    if len(broken) > len(starts) // 8 + 1 or not len(starts):
        return _walk_until(data, pos, count, end)
    index = 0
    while count > 0 and pos + 8 <= end:
        if index < len(starts) and starts[index] == pos:
            where = np.searchsorted(broken, index)
            last = int(broken[where]) if where < len(broken) else len(starts) - 1
            last = min(last, index + count - 1)
            pos = int(ends[last])
            count -= last - index + 1
            index = last + 1
        else:
            pos += 8 + int(_U64.unpack_from(data, pos)[0])
            count -= 1
        if index < len(starts) and starts[index] < pos:
            index = int(np.searchsorted(starts, pos))
    return pos, count


def _walk_until(data: mmap.mmap, pos: int, count: int, end: int) -> tuple[int, int]:
    unpack = _U64.unpack_from
    last = end - 8
    while count and pos <= last:
        pos += 8 + unpack(data, pos)[0]
        count -= 1
    return pos, count


def _guesses(data: mmap.mmap, pos: int, end: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where strings probably start, and where each would end if its length is what stands there."""
    view = np.frombuffer(data, np.uint8, end - pos, pos)
    zero = view == 0
    starts = np.flatnonzero(zero[1:] & ~zero[:-1])
    starts = starts[: np.searchsorted(starts, end - pos - 8, side="right")]
    words = np.ndarray((max(0, end - pos - 7),), "<u8", data, pos, (1,))
    lengths = words[starts]
    # Anything longer is walked; it also keeps the sums below from overflowing.
    short = lengths < 256
    starts = starts[short]
    return starts + pos, starts + pos + 8 + lengths[short].astype(np.int64)


def _drop_pages(data: mmap.mmap, start: int, stop: int) -> None:
    """Give pages that were stepped over back, where the system has a call for it."""
    first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
    length = min(stop, len(data)) - first
    if length > 0 and hasattr(mmap, "MADV_DONTNEED"):
        data.madvise(mmap.MADV_DONTNEED, first, length)
