"""Borders between devices that read a prompt in a pipeline, which the slowest of them holds up."""

from collections.abc import Callable, Sequence
from itertools import accumulate
from math import inf

import numpy as np

from advisor.sizing.borders import NO_RUN, Bytes, Floats, cheapest
from advisor.sizing.steps import Steps

_STAGES = (1.03, 1.08, 1.15, 1.3, 1.6, 2.2)
"""Longest stages that are tried, in parts of the shortest there can be."""


class Pipeline:
    """What a pipeline saves of a prompt's time."""

    def __init__(self, prompt: Floats, left: Callable[[float], float]) -> None:
        """``prompt``: seconds per device and layer. ``left``: share of the time that is left, by
        the time of all devices over that of the slowest.
        """
        self._prompt, self._left = prompt, left
        ends = np.concatenate((np.zeros((len(prompt), 1)), np.cumsum(prompt, axis=1)), axis=1)
        self._runs = ends[:, :, None] - ends[:, None, :]
        """Per device, at [j, i] seconds of the layers i … j-1 on it."""
        self._shortest = 1 / float((1 / ends[:, -1]).sum())
        """No slowest stage is shorter: layers without borders, shared out by speed."""

    def most(self) -> float:
        """No borders save more: alike stages save most, and slow devices have most to save."""
        slowest = float(self._prompt.max(axis=0).sum())
        return slowest * (1 - self._left(float(len(self._prompt))))

    def saved(self, counts: Sequence[int]) -> float:
        """Seconds that so many layers per device save."""
        stages = [
            float(self._runs[number, end, end - count])
            for number, (end, count) in enumerate(zip(accumulate(counts), counts, strict=True))
        ]
        total = sum(stages)
        return total * (1 - self._left(total / max(stages))) if total else 0.0

    def cheapest(
        self, needs: Sequence[Bytes], room: Sequence[int], costs: Floats, steps: Steps
    ) -> tuple[float, tuple[int, ...]] | None:
        """As ``borders.cheapest``, less what the pipeline saves.

        The best of borders whose longest stage is limited, as far as limits were tried.
        """
        best: tuple[float, tuple[int, ...]] | None = None
        for limit in (inf, *(self._shortest * part for part in _STAGES)):
            limited = [
                np.where(runs > limit, NO_RUN, need)
                for runs, need in zip(self._runs, needs, strict=True)
            ]
            found = cheapest(limited, room, costs, steps)
            if found is not None:
                cost = found[0] - self.saved(found[1])
                if best is None or cost < best[0]:
                    best = cost, found[1]
        return best
