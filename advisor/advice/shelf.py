"""Every build with what bounds and costs need of it, one row per build."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from advisor.advice import power
from advisor.advice.builds import Build, builds
from advisor.advice.hardware_prices import PriceBook
from advisor.advice.options import EFFORT
from advisor.advice.usage import Usage
from advisor.hardware.rig import Rig

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

CHANGES_SOMETHING: Final = 2
"""Effort from which a build has to earn ``Usage.worth_changing``."""


@dataclass(frozen=True, eq=False)
class Shelf:
    """What can be had. Rows follow ``builds``."""

    builds: tuple[Build, ...]
    usd: Floats
    """Expected price of what has to be bought."""
    busy_w: Floats
    idle_w: Floats
    vram: Floats
    """Free bytes on all cards."""
    bandwidth: Floats
    """GB/s of the fastest card."""
    ram: Floats
    """Bytes beside the cards; 0 where it is the same memory."""
    ram_bandwidth: Floats
    tflops: Floats
    """Of all cards together; 0 where one is not known."""
    changes: Flags
    possible: Flags
    """Breaks no limit, and everything has a price."""

    def fixed(self, usage: Usage) -> Floats:
        """Score a month before the first request, in the user's currency."""
        kept = float((1 - usage.resale_share) / usage.horizon_months * usage.usd_rate)
        found = self.usd * kept + self.changes * float(usage.worth_changing)
        if usage.idle == "counts":
            hours, price = float(usage.hours_per_month), float(usage.electricity_price)
            found += self.idle_w * (hours / 1000 * price)
        return found

    def affordable(self, usage: Usage) -> Flags:
        """Possible, and within the budget."""
        if usage.budget is None:
            return self.possible
        return self.possible & (self.usd <= float(usage.budget / usage.usd_rate))


def shelve(found: Sequence[Build]) -> Shelf:
    """The rows of some builds."""
    n = len(found)
    rows = np.zeros((8, n))
    changes, possible = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
    watts: dict[object, tuple[float, float]] = {}
    for i, build in enumerate(found):
        host, devices = build.rig.host, build.rig.devices
        key = build.signature[1]
        if key not in watts:
            draw = power.estimate(build.rig)
            watts[key] = (draw.busy.mid, draw.idle.mid) if draw else (0.0, 0.0)
        shared = any(d.unified for d in devices)
        tflops = [d.fp16_tflops or 0.0 for d in devices]
        rows[:, i] = (
            float(build.usd),
            *watts[key],
            sum(d.memory_free or 0 for d in devices),
            max((d.bandwidth_gbs or 0.0 for d in devices), default=0.0),
            0 if shared else host.ram_available or host.ram_total or 0,
            0 if shared else host.ram_bandwidth_gbs or 0.0,
            sum(tflops) if all(tflops) else 0.0,
        )
        changes[i] = EFFORT[build.kind] >= CHANGES_SOMETHING
        possible[i] = not build.impossible and not build.unpriced
    return Shelf(tuple(found), *rows, changes=changes, possible=possible)


def shelf_for(rig: Rig, usage: Usage, book: PriceBook, today: dt.date) -> Shelf:
    """Everything that can be done with, added to or bought beside ``rig``, this rig first."""
    return shelve(list(builds(rig, usage, book, today)))
