"""The layers of a variant, counted into cards by their bytes alone."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate

from advisor.sizing.layer_bytes import LayerBytes
from advisor.sizing.placement import HOST, Placement


class Layers:
    """The layers of a variant, ready to be counted into cards many times."""

    def __init__(self, load: LayerBytes, cache: float = 0.0) -> None:
        self._load = load
        self.cache = cache
        """Bytes of the caches of one context."""
        self.n = len(load.dense)
        self.nbytes = sum(load.sizes(0, 0))
        self._experts = [0, *accumulate(load.experts)]
        """Bytes of the experts of the first so many layers."""
        self._dense = [0, *accumulate(load.dense)]
        self._sums: dict[int, list[int]] = {}

    def weights_in_ram(self, placement: Placement) -> tuple[int, int]:
        """Dense weights and experts that ``count_in`` left in RAM."""
        first = placement.layer_device.count(HOST)
        experts = max((first, *(il + 1 for il in placement.experts_on_host)))
        return self._dense[first], self._experts[experts]

    def _upto(self, experts_out: int) -> list[int]:
        """Bytes of the first so many layers, with so many layers' experts in RAM."""
        if experts_out not in self._sums:
            self._sums[experts_out] = [0, *accumulate(self._load.sizes(experts_out, 0))]
        return self._sums[experts_out]

    def count_in(self, free: Sequence[int]) -> tuple[Placement, int] | None:
        """Layers by device, and bytes left for RAM; None where not even the caches fit."""
        if not free:
            return Placement(layer_device=(HOST,) * self.n), self.nbytes
        experts_out = first = 0
        if self._experts[-1]:
            # Layers are whole, so a sum that fits is needed but not enough.
            room_for = sum(max(0, value) for value in free)
            least = bisect_left(self._experts, self.nbytes - room_for)
            experts_out = bisect_left(
                range(self.n),
                True,
                lo=min(least, self.n),
                key=lambda n: packed(self._upto(n), free)[-1] == self.n,
            )
            experts_out = min(experts_out, self.n - 1)
        sums = self._upto(experts_out)
        if packed(sums, free)[-1] < self.n:
            first = bisect_left(
                range(self.n + 1),
                True,
                lo=1,
                key=lambda n: packed(sums, free, n)[-1] == self.n,
            )
        devices = [HOST] * first
        start = first
        for device, end in enumerate(packed(sums, free, first)):
            devices += [device] * (end - start)
            start = end
        placement = Placement(
            layer_device=tuple(devices), experts_on_host=frozenset(range(first, experts_out))
        )
        return placement, self._experts[experts_out] + sums[first]


def packed(sums: Sequence[int], free: Sequence[int], first: int = 0) -> list[int]:
    """Where each device's run of layers ends when every one is filled as far as it goes.

    ``sums``: bytes of the first so many layers. The last end is the number of layers where all of
    them from ``first`` on fit.
    """
    ends: list[int] = []
    at = first
    for capacity in free:
        at = bisect_right(sums, sums[at] + max(capacity, 0), lo=at) - 1
        ends.append(at)
    return ends
