"""The Pareto front of points of which most are only known by bounds that flatter them.

Points are taken from cheap to dear. One whose flattering figures are already beaten by a point of
the front is beaten for certain and never worked out; another is worked out, and comes back at its
real place. So every point that enters the front is exact, and nothing can leave it again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_BLOCK: Final = 1024
"""Points that are held against the front at once."""

Refine = Callable[[int, int], tuple[float, int] | None]


@dataclass(frozen=True, slots=True)
class Front:
    """Indices that nothing beats in cost, speed and quality at once, cheapest first."""

    points: tuple[int, ...]
    complete: bool
    """False: stopped before everything was looked at."""


def front(
    cost: Floats,
    speed: Ints,
    quality: Ints,
    refine: Refine | None = None,
    *,
    stop: Callable[[], bool] = lambda: False,
) -> Front:
    """The front; of equal points the first.

    ``refine``: real cost and speed of a point, given the speed that it has to exceed; None where it
    does not or is out. Without it the figures given are real. ``stop`` is asked before every
    refinement.
    """
    levels, level = np.unique(quality, return_inverse=True)
    fastest: Ints = np.full(len(levels), -1, dtype=np.int64)
    """Fastest point of the front of that quality or a better one."""
    order = _cheap_first(cost, speed, quality)
    found: list[int] = []
    waiting: list[tuple[float, int, int, int]] = []

    def take(i: int, reached: int) -> None:
        if reached > fastest[level[i]]:
            found.append(i)
            np.maximum(fastest[: level[i] + 1], reached, out=fastest[: level[i] + 1])

    for start in range(0, len(order), _BLOCK):
        block = order[start : start + _BLOCK]
        for i in block[speed[block] > fastest[level[block]]].tolist():
            key = (float(cost[i]), -int(speed[i]), -int(quality[i]), i)
            while waiting and waiting[0] < key:
                _, slow, _, earlier = heappop(waiting)
                take(earlier, -slow)
            if speed[i] <= fastest[level[i]]:
                continue
            if refine is None:
                take(i, int(speed[i]))
                continue
            if stop():
                return Front(tuple(found), complete=False)
            real = refine(i, int(fastest[level[i]]))
            if real is not None:
                heappush(waiting, (real[0], -real[1], -int(quality[i]), i))
    while waiting:
        _, slow, _, earlier = heappop(waiting)
        take(earlier, -slow)
    return Front(tuple(found), complete=True)


def _cheap_first(cost: Floats, speed: Ints, quality: Ints) -> Ints:
    """By cost, of equal cost the faster, then the better, then the first.

    Sorting by all of them takes several times as long, and hardly any costs are equal.
    """
    order = np.argsort(cost).astype(np.int64)
    sorted_ = cost[order]
    same = sorted_[1:] == sorted_[:-1]
    tied = np.flatnonzero(np.append(same, False) | np.insert(same, 0, False))
    if len(tied):
        of = order[tied]
        order[tied] = of[np.lexsort((of, -quality[of], -speed[of], cost[of]))]
    return order
