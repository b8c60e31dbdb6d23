"""Borders between devices: runs of neighbouring layers at the least cost within each memory.

llama.cpp gives every device one run of neighbouring layers. Dynamic programming over the borders
looks at every way to cut: after device d, best[j] is the least cost of the first j layers on the
devices up to d.
"""

from collections.abc import Sequence
from math import inf

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bytes = NDArray[np.int64]

NO_RUN = 1 << 62
"""More than any memory holds."""


def cheapest(
    needs: Sequence[Bytes], room: Sequence[int], costs: Floats, step: float = 0.0
) -> tuple[float, tuple[int, ...]] | None:
    """Least cost, and layers per device; None when nothing fits.

    ``needs``: per device, at [j, i] bytes of the layers i … j-1 on it, NO_RUN where i >= j.
    ``costs``: per device and layer. ``step``: what every device in use adds.
    """
    n = len(needs[0]) - 1
    best = np.full(n + 1, inf)
    best[0] = 0.0
    starts: list[NDArray[np.intp]] = []
    layers = np.arange(n + 1)
    for need, capacity, cost in zip(needs, room, costs, strict=True):
        sums = np.concatenate(([0.0], np.cumsum(cost)))
        value = np.where(need > capacity, inf, best - sums)
        start = value.argmin(axis=1)
        after = value[layers, start] + sums + step
        # Without layers on this device the cost is what it was.
        idle = best <= after
        starts.append(np.where(idle, layers, start))
        best = np.where(idle, best, after)
    if not np.isfinite(best[n]):
        return None
    counts: list[int] = []
    end = n
    for start in reversed(starts):
        counts.append(end - int(start[end]))
        end = int(start[end])
    return float(best[n]), tuple(reversed(counts))


def packs(sizes: Sequence[int] | Bytes, room: Sequence[int]) -> bool:
    """Whether layers of these sizes fit into the devices in order, buffers aside.

    Filling every device as far as it goes is enough to know.
    """
    total: Bytes = np.zeros(len(sizes) + 1, dtype=np.int64)
    np.cumsum(np.asarray(sizes, dtype=np.int64), out=total[1:])
    at = 0
    for capacity in room:
        at = int(total.searchsorted(int(total[at]) + max(capacity, 0), side="right")) - 1
    return at == len(total) - 1
