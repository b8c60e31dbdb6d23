"""Borders between devices: runs of neighbouring layers at the least cost within each memory.

llama.cpp gives every device one run of neighbouring layers. Dynamic programming over the borders
looks at every way to cut: after device d, best[m][j] is the least cost of the first j layers on the
devices up to d, the last of which is one of machine m.
"""

from collections.abc import Sequence
from math import inf

import numpy as np
from numpy.typing import NDArray

from advisor.sizing.steps import Steps

Floats = NDArray[np.float64]
Bytes = NDArray[np.int64]

NO_RUN = 1 << 62
"""More than any memory holds."""


def cheapest(
    needs: Sequence[Bytes], room: Sequence[int], costs: Floats, steps: Steps
) -> tuple[float, tuple[int, ...]] | None:
    """Least cost, and layers per device; None when nothing fits.

    ``needs``: per device, at [j, i] bytes of the layers i … j-1 on it, NO_RUN where i >= j.
    ``costs``: per device and layer. ``steps``: what every device in use adds.
    """
    n = len(needs[0]) - 1
    best = steps.begin(n)
    starts: list[tuple[NDArray[np.intp], NDArray[np.intp] | None]] = []
    layers = np.arange(n + 1)
    for need, capacity, cost, machine in zip(needs, room, costs, steps.machine, strict=True):
        before, came = steps.arrive(best, machine)
        sums = np.concatenate(([0.0], np.cumsum(cost)))
        value = np.where(need > capacity, inf, before - sums)
        start = value.argmin(axis=1)
        after = value[layers, start] + sums + steps.each
        # Without layers on this device the cost is what it was.
        idle = best[machine] <= after
        starts.append((np.where(idle, layers, start), came))
        best[machine] = np.where(idle, best[machine], after)
    ends = [float(found[n]) + back for found, back in zip(best, steps.back, strict=True)]
    least = min(ends)
    if least == inf:
        return None
    counts: list[int] = []
    end, at = n, ends.index(least)
    for (start, came), machine in zip(reversed(starts), reversed(steps.machine), strict=True):
        first = int(start[end]) if machine == at else end
        counts.append(end - first)
        if first != end and came is not None:
            at = int(came[first])
        end = first
    return least, tuple(reversed(counts))


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
