"""Every build with what bounds and costs need of it, one row per build."""

import datetime as dt
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from advisor.advice import power
from advisor.advice.builds import Build, builds
from advisor.advice.hardware_prices import PriceBook
from advisor.advice.options import EFFORT, Kind
from advisor.advice.usage import Usage
from advisor.hardware.rig import Device, Rig
from advisor.sizing.driver import driver_context
from advisor.sizing.speed_machine import ram_rate

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Ints = NDArray[np.int64]

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
    """Free bytes on all cards, less what their drivers take where no probe may know better."""
    cards: Floats
    ram: Floats
    """Bytes beside the cards; of memory that they share, what their drivers leave."""
    ram_gbs: Floats
    """What the processor reads of RAM at 4 bits, GB/s (speed_machine.ram_rate); 0: not known."""
    changes: Flags
    here: Flags
    """The rig that is there, for which measurements hold."""
    possible: Flags
    """Breaks no limit, and everything has a price."""
    kinds: tuple[tuple[Device, bool], ...]
    """One card of every kind on the shelf, and whether it is one that is there already."""
    kind: Ints
    """Kinds in every build, padded with the first; without cards one past the last kind."""
    rooms: tuple[tuple[tuple[int, int], ...], ...]
    """Of every build, kind and free bytes of each card, less what its driver takes."""

    @functools.cached_property
    def of_kind(self) -> dict[Kind, Flags]:
        """Rows of every kind of change."""
        names = np.array([build.kind for build in self.builds])
        return {build.kind: names == build.kind for build in self.builds}

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
    rows = np.zeros((7, n))
    changes, possible, here = (np.zeros(n, dtype=bool) for _ in range(3))
    watts: dict[tuple[object, ...], tuple[float, float]] = {}
    kinds: dict[tuple[object, bool], tuple[int, int]] = {}
    cards: list[tuple[Device, bool]] = []
    rooms: list[tuple[tuple[int, int], ...]] = []
    for i, build in enumerate(found):
        host, devices = build.rig.host, build.rig.devices
        _, parts, _ = build.signature
        if parts not in watts:
            draw = power.estimate(build.rig)
            watts[parts] = draw.busy.mid, draw.idle.mid
        mine: list[tuple[int, int]] = []
        for part, device in zip(parts, devices, strict=True):
            if (part, build.here) not in kinds:
                taken = None if build.here else driver_context(device)
                kinds[part, build.here] = len(cards), taken.mid if taken else 0
                cards.append((device, build.here))
            kind, driver = kinds[part, build.here]
            mine.append((kind, (device.memory_free or 0) - driver))
        rooms.append(tuple(mine))
        rows[:, i] = (
            float(build.usd),
            *watts[parts],
            sum(room for _, room in mine),
            len(devices),
            _beside(build.rig),
            ram_rate(host) or 0.0,
        )
        changes[i] = EFFORT[build.kind] >= CHANGES_SOMETHING
        possible[i] = not build.impossible and not build.unpriced
        here[i] = build.here
    within = [sorted({kind for kind, _ in mine}) or [len(cards)] for mine in rooms]
    most = max(map(len, within), default=1)
    kind = [[*own, *own[:1] * (most - len(own))] for own in within]
    return Shelf(
        tuple(found),
        *rows,
        changes=changes,
        here=here,
        possible=possible,
        kinds=tuple(cards),
        kind=np.array(kind, dtype=np.int64).reshape(n, most),
        rooms=tuple(rooms),
    )


def _beside(rig: Rig) -> int:
    """Free bytes of RAM; of a pool that its devices share, what their drivers leave of it."""
    free = rig.host.ram_available or rig.host.ram_total or 0
    shared = sum(d.memory_free or 0 for d in rig.devices if d.unified)
    return max(0, free - shared) if shared else free


def shelf_for(rig: Rig, usage: Usage, book: PriceBook, today: dt.date) -> Shelf:
    """Everything that can be done with, added to or bought beside ``rig``, this rig first."""
    return shelve(list(builds(rig, usage, book, today)))
