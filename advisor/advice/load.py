"""What a month's requests take of a rig, hours and energy, as the volume grows.

Up to what it can do one after the other, every request takes its own time and energy. More requests
than that keep the rig busy in all the hours given, with more answers at once or servers on more
cards, as many as the volume takes: in between two ways each has its part of the hours. So neither
the hours nor the energy of a month ever fall with the volume, and no request ever gets dearer.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple


class Step(NamedTuple):
    """One way to serve requests, at one end of a rig's speeds and power."""

    place: int
    """Among all ways that there are."""
    seconds: Decimal
    """Of the rig's time that a request takes."""
    watts: Decimal
    """While it works, above what it draws anyway."""


def climbing(ways: Iterable[tuple[Decimal, Decimal]]) -> tuple[Step, ...]:
    """Of ways with their (seconds, watts), those worth taking, the one for the fewest first.

    Each takes less time for a request than the one before it, no more energy, and no less power:
    what serves less and draws more than another way is left out.
    """
    kept: list[Step] = []
    for place, (seconds, watts) in enumerate(ways):
        if not kept:
            kept.append(Step(place, seconds, watts))
            continue
        # Cards that all work draw no less than one of them does.
        drawn = max(watts, kept[0].watts)
        while len(kept) > 1 and kept[-1].watts > drawn and kept[-1].seconds > seconds:
            kept.pop()
        last = kept[-1]
        if seconds < last.seconds and seconds * drawn <= last.seconds * last.watts:
            kept.append(Step(place, seconds, drawn))
    return tuple(kept)


@dataclass(frozen=True, slots=True)
class Load:
    """Hours and energy over requests, at one end of speeds and power."""

    steps: tuple[Step, ...]
    """As ``climbing`` leaves them."""
    available: Decimal
    """Seconds a month in which the rig may work."""

    @property
    def bends(self) -> tuple[Decimal, ...]:
        """Requests a month that each step serves at most."""
        return tuple(self.available / step.seconds for step in self.steps)

    @property
    def capacity(self) -> Decimal:
        """Requests a month that can be served."""
        return self.available / self.steps[-1].seconds

    def step(self, requests: Decimal) -> Step:
        """The first that serves so many; the last where none does."""
        enough = (step for step in self.steps if step.seconds * requests <= self.available)
        return next(enough, self.steps[-1])

    def seconds(self, requests: Decimal) -> Decimal:
        """Busy time of a month; more than ``available`` beyond what can be served."""
        first, last = self.steps[0], self.steps[-1]
        if first.seconds * requests <= self.available:
            return first.seconds * requests
        return max(self.available, last.seconds * requests)

    def joules(self, requests: Decimal) -> Decimal:
        """Energy of a month, above what the rig draws anyway."""
        before: tuple[Decimal, Step] | None = None
        for step, most in zip(self.steps, self.bends, strict=True):
            if step.seconds * requests <= self.available:
                if before is None:
                    break
                least, slower = before
                part = (requests - least) / (most - least)
                return self.available * (slower.watts + (step.watts - slower.watts) * part)
            before = most, step
        step = self.steps[0] if before is None else self.steps[-1]
        return requests * step.seconds * step.watts
