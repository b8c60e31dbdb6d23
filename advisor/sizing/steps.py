"""What every device in use adds to the time of a token: a hand-over, or a network there and back.

Everything begins and ends at the first machine and passes through it between two others
(``interconnect.crossings``), so that a run of devices of another machine costs its network once
there and once back, whatever was before it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import inf

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Steps:
    """Seconds by device and by machine, of which the first, at 0, runs llama.cpp."""

    each: float
    """For every device in use: the hand-over to it. What crosses a network has none."""
    machine: tuple[int, ...]
    """Of every device."""
    there: tuple[float, ...] = (0.0,)
    """One way to every machine."""
    back: tuple[float, ...] = (0.0,)
    """The same from it at the end, with the logits."""

    def times(self, once: float, other: "Steps", often: float) -> "Steps":
        """So often this, and so often ``other`` of the same devices."""
        there, back = (
            tuple(once * a + often * b for a, b in zip(mine, its, strict=True))
            for mine, its in ((self.there, other.there), (self.back, other.back))
        )
        return Steps(once * self.each + often * other.each, self.machine, there, back)

    def on(self, devices: Sequence[int]) -> "Steps":
        """The same where only ``devices`` take part."""
        return replace(self, machine=tuple(self.machine[device] for device in devices))

    def crossing(self, before: int, machine: int) -> float:
        """From one machine to another, beside what every device adds."""
        return self.there[before] + self.there[machine] - self.each

    def least(self, devices: NDArray[np.intp]) -> NDArray[np.float64]:
        """So many devices or more add no less than this together.

        Of several machines one device counts: a network may cost less than a hand-over.
        """
        machines = set(self.machine)
        first = self.each + min(self.there[at] + self.back[at] for at in machines)
        more = self.each if len(machines) == 1 else 0.0
        return np.asarray(first + (devices - 1) * more, dtype=np.float64)

    def total(self, counts: Sequence[int]) -> float:
        """What those of the devices add that have layers."""
        used = [at for at, count in zip(self.machine, counts, strict=True) if count]
        if not used:
            return 0.0
        crossed = sum(self.crossing(a, b) for a, b in pairwise(used) if a != b)
        return self.each * len(used) + self.there[used[0]] + crossed + self.back[used[-1]]

    def begin(self, n: int) -> list[NDArray[np.float64]]:
        """By machine, the least cost of the first 0 … n layers where none is placed yet."""
        best = np.full((len(self.there), n + 1), inf)
        best[:, 0] = self.there
        return list(best)

    def arrive(
        self, best: Sequence[NDArray[np.float64]], machine: int
    ) -> tuple[NDArray[np.float64], NDArray[np.intp] | None]:
        """The least cost of layers before a device of ``machine``, and the machines that they end
        on; None where all end on this one.
        """
        if len(best) == 1:
            return best[0], None
        ways = np.array(best)
        for before in range(len(best)):
            if before != machine:
                ways[before] += self.crossing(before, machine)
                # Nothing was computed there: ``begin`` has the way from the first machine.
                ways[before, 0] = inf
        came = ways.argmin(axis=0)
        return ways[came, np.arange(ways.shape[1])], came
