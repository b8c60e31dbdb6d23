"""Sizes and rates as people read them. Inside the program sizes are integer bytes.

GiB is 2**30 bytes, MiB 2**20; bandwidth is in GB/s, 10**9 bytes per second.
"""

import math
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30
GB = 10**9

UNKNOWN = "unknown"
_MOST_DECIMALS = 6

_decimal: ContextVar[bool] = ContextVar("decimal", default=False)


@contextmanager
def decimal_bytes(wanted: bool = True) -> Generator[None]:
    """Within it sizes are written in GB and MB (powers of ten), as a report may ask."""
    token = _decimal.set(wanted)
    try:
        yield
    finally:
        _decimal.reset(token)


def large_unit() -> tuple[int, str]:
    """Bytes and name of the unit that memory is written in: GiB, or GB where asked."""
    return (GB, "GB") if _decimal.get() else (GIB, "GiB")


def gib(size: int | None, digits: int = 1) -> str:
    """``"18.0 GiB"``, or ``"unknown"``."""
    unit, name = large_unit()
    return UNKNOWN if size is None else f"{size / unit:,.{digits}f} {name}"


def mib(size: int | None, digits: int = 0) -> str:
    """``"315 MiB"``, or ``"unknown"``."""
    unit, name = (10**6, "MB") if _decimal.get() else (MIB, "MiB")
    return UNKNOWN if size is None else f"{size / unit:,.{digits}f} {name}"


def kib(size: int) -> str:
    """``"192 KiB"``."""
    unit, name = (1000, "kB") if _decimal.get() else (1024, "KiB")
    return f"{size / unit:,.0f} {name}"


def size(value: int | None) -> str:
    """A size in the unit that reads best: GiB from 0.1 GiB upwards, KiB below 1 MiB, bytes."""
    if value is None:
        return UNKNOWN
    if 0 < abs(value) < 512:
        return f"{value} B"
    if 0 < abs(value) < MIB:
        return kib(value)
    return gib(value) if abs(value) >= GIB // 10 else mib(value)


LEAST_MOVED = GIB // 10
"""What a tile tells of bytes that lie in RAM where there are fewer: “RAM 0.0” reads as none."""


def tokens(count: int) -> str:
    """A context length as people say it: ``"8k"``, ``"128k"``, ``"1M"``, ``"5,000"``."""
    if count >= 1 << 20 and count % (1 << 20) == 0:
        return f"{count >> 20}M"
    if count >= 1024 and count % 1024 == 0:
        return f"{count >> 10}k"
    return f"{count:,}"


def cores(count: int) -> str:
    """``"1 core"``, ``"8 cores"``."""
    return f"{count} core" if count == 1 else f"{count} cores"


def speed(value: float, limit: float | None = None) -> str:
    """The figure of a speed or wait: a whole one from ten, one decimal from one, two digits below.

    Each end of a range is written so, too: what stands alone ("8.7 tok/s at worst") and in a range
    ("8.7–15") is one figure then, on screen and on paper. ``limit``: what it is held against, for
    which it gets as many decimals as it takes to stand on its own side: 24.6 below 25 is no 25.
    """
    if value >= 9.95:
        decimals = 0
    elif value >= 0.95 or value <= 0:
        decimals = 1
    else:
        decimals = max(2, 1 - math.floor(math.log10(value)))
    written = f"{value:,.{decimals}f}"
    if limit is not None and value != limit:
        while decimals < _MOST_DECIMALS and not _apart(written, limit, below=value < limit):
            decimals += 1
            written = f"{value:,.{decimals}f}"
    return written.rstrip("0") if decimals > 2 else written


def _apart(written: str, limit: float, *, below: bool) -> bool:
    read = float(written.replace(",", ""))
    return read < limit if below else read > limit


def rate(value: float | None, unit: str = "tok/s", *, limit: float | None = None) -> str:
    """A speed with about two significant digits below ten: ``"0.04 tok/s"``, ``"118 tok/s"``.

    ``limit``: see ``speed``.
    """
    return UNKNOWN if value is None else f"{speed(value, limit)} {unit}".strip()


def rates(low: float, high: float, unit: str = "tok/s") -> str:
    """A range of speeds, its unit once: ``"13 to 28 tok/s"``; one speed where they read alike."""
    return _range(" to ", low, high, unit)


def between(low: float, high: float, unit: str = "") -> str:
    """A range of speeds where room is short: ``"8.7–15"``, ``"13–28 tok/s"``."""
    return _range("–", low, high, unit)


def _range(word: str, low: float, high: float, unit: str) -> str:
    slow, fast = speed(low), speed(high)
    return f"{slow if slow == fast else f'{slow}{word}{fast}'} {unit}".strip()


def duration(seconds: float) -> str:
    """A duration to three figures: ``"24.6 ms"``, ``"3.10 ms"``, ``"10.7 s"``."""
    value, unit = (seconds, "s") if seconds >= 1 else (seconds * 1000, "ms")
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else None
    return f"{value:.3g} {unit}" if digits is None else f"{value:,.{digits}f} {unit}"


def waiting(longest: float) -> tuple[float, str]:
    """What waits up to ``longest`` seconds are counted in: seconds of it, and its name."""
    if longest < 300:
        return 1.0, "s"
    return (60.0, "min") if longest < 3 * 3600 else (3600.0, "h")


def waits(low: float, high: float) -> str:
    """A range of waits in seconds, in what it is best counted in: ``"1.1 to 2.7 s"``."""
    each, unit = waiting(high)
    return rates(low / each, high / each, unit)


def wait(seconds: float, *, limit: float | None = None) -> str:
    """One wait: ``"12 s"``, ``"5.8 min"``. ``limit``: see ``speed``."""
    each, unit = waiting(seconds)
    return f"{speed(seconds / each, None if limit is None else limit / each)} {unit}"
