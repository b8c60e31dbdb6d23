"""How far measured rows speak for others: chosen by errors of rows that were kept back."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from advisor.sizing.speed_data import Similar
from advisor.sizing.speed_similar import Case, likeness
from advisor.sizing.speed_sums import Floats

BLOCKS = 5
SWEEPS = 2
GAIN = 0.02
"""Least improvement of the loss that a change must bring."""
_PLAIN = ("noise", "clip")


@dataclass
class Fold:
    """One split: indices of rows, and the formula's errors (log of measured over computed time)."""

    train: Floats
    test: Floats
    train_errors: Floats
    test_errors: Floats


class Chooser:
    """Kept-back errors under any settings, from one fit of the formula per fold."""

    def __init__(
        self, cases: Sequence[Case], folds: Sequence[Fold], how: Similar, scale: float
    ) -> None:
        self.alike = likeness(cases, cases, how.depth)
        self.folds, self.scale = folds, scale
        self.rows = len(cases)

    def errors(self, how: Similar) -> tuple[Floats, Floats]:
        """Error and spread of every row, each from the fold that kept it back."""
        shared = sum(getattr(how, name) ** 2 * m for name, m in self.alike.items())
        error, spread = np.empty(self.rows), np.empty(self.rows)
        noise = how.noise**2
        for fold in self.folds:
            own = shared[np.ix_(fold.train, fold.train)] + noise * np.eye(len(fold.train))
            across = shared[np.ix_(fold.test, fold.train)]
            weights = np.linalg.solve(own, across.T).T
            known = np.clip(fold.train_errors, -how.clip, how.clip)
            error[fold.test] = fold.test_errors - weights @ known
            left = np.diag(shared)[fold.test] - (weights * across).sum(axis=1)
            spread[fold.test] = np.sqrt(np.maximum(left, 0) + noise)
        return error, spread

    def loss(self, how: Similar, mask: Floats) -> float:
        """Mean absolute error over the rows of a mask, in scales; at most five each."""
        off = np.abs(self.errors(how)[0][mask]) / self.scale
        return float(np.minimum(off, 5).mean())

    def choose(self, start: Similar, mask: Floats) -> Similar:
        """Settings by coordinate descent, judged by the rows of ``mask`` alone."""
        best, found = self.loss(start, mask), start
        for _ in range(SWEEPS):
            for name in (*self.alike, *_PLAIN):
                value = getattr(found, name)
                tried = [value * 1.4, value / 1.4]
                if name not in _PLAIN:
                    tried = [*tried, 0.0] if value else [self.scale / 2]
                for new in tried:
                    candidate = found.model_copy(update={name: round(new, 4)})
                    loss = self.loss(candidate, mask)
                    if loss < best - GAIN:
                        best, found = loss, candidate
        return found

    def nested(self, start: Similar) -> tuple[Floats, Floats]:
        """Error, and error over the 80 % range, of every row.

        Settings and range for a block of folds are chosen by the rows of the other blocks.
        """
        block = np.empty(self.rows, dtype=int)
        for i, fold in enumerate(self.folds):
            block[fold.test] = i % BLOCKS
        error, relative = np.empty(self.rows), np.empty(self.rows)
        for i in range(BLOCKS):
            mine = block == i
            how = self.choose(start, ~mine)
            off, spread = self.errors(how)
            width = z(off[~mine], spread[~mine])
            error[mine] = off[mine]
            relative[mine] = np.abs(off[mine]) / (width * spread[mine])
        return error, relative


def z(error: Floats, spread: Floats) -> float:
    """Multiple of the spread that holds 84 % of kept-back rows."""
    return float(np.quantile(np.abs(error) / spread, 0.84))
