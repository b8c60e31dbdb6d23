"""Scales of memory and time: round ends, ticks and their labels."""

from advisor import units


def round_up(value: float) -> float:
    """The next value of 1, 1.5, 2, 3, 4, 6, 8 times a power of two: scales do not jitter."""
    unit = float(units.MIB)
    while unit * 8 < value:
        unit *= 2
    for factor in (1, 1.5, 2, 3, 4, 5, 6, 7, 8):
        if unit * factor >= value:
            return unit * factor
    return value


def ticks(top: float, most: int = 6) -> list[float]:
    """Round values from 0 on: half of ``most`` to ``most`` of them above it, and two at least."""
    step = float(units.MIB)
    while top / step > max(2, most):
        step *= 2
    return [step * index for index in range(int(top / step) + 1)]


def short(value: float, top: float) -> str:
    """A tick's label: MiB below a GiB in all, the unit at zero only."""
    if top >= units.GIB:
        text = f"{value / units.GIB:.2f}".rstrip("0").rstrip(".")
        return f"{text} GiB" if value == 0 else text
    return f"{value / units.MIB:.0f}" if value else "0 MiB"


def time_step(seconds: float, most: int = 8) -> float:
    """Seconds between labels of a time axis: at most ``most`` steps."""
    for step in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600):
        if seconds / step <= most:
            return float(step)
    return seconds / most
