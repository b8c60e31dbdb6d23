"""Width of ranges, chosen by rows that were kept back."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from fit_joint import Array, Fit, Joint, Prior

from advisor.sizing.speed_data import Similar
from advisor.sizing.speed_similar import deepness

BLOCKS = 5
INSIDE_DEEP = 0.03
"""More than ``Chooser.inside`` far along a context, where few runs give many rows and so tell less
than they seem."""
CENTRES = np.linspace(0.0, 0.5, 11)
TAIL = (0.5, 0.6, 0.7, 0.8, 0.9)
"""Shares of rows below the errors that ``Similar.centre`` makes least, on average."""


@dataclass(frozen=True)
class Assumed:
    """Likeness with the width of ranges, and priors."""

    how: Similar
    priors: dict[str, Prior]


def _centre(error: Array, spread: Array) -> float:
    """See ``Similar.centre``; ``error``: logarithms of measured over computed time."""
    tails = [np.quantile(np.abs(np.exp(error - c * spread) - 1), TAIL).mean() for c in CENTRES]
    return round(float(CENTRES[np.argmin(tails)]), 3)


@dataclass
class Chooser:
    """Chooses for one formula by errors of rows without their groups."""

    joint: Joint
    experts: Array
    """Whether each row's model has experts."""
    depth: Array
    several: Array
    """Whether a row has more than one card."""
    scarce: Array
    """Whether a row is of a kind that few pages tell of: ranges are not chosen by it."""
    machines: Sequence[tuple[str, str]]
    """Card and backend of each row."""
    inside: float
    """Share of kept-back rows that ranges are made to hold."""
    inside_several: float
    """The same for several cards."""

    def assume(self, start: Assumed, train: Array) -> Assumed:
        """``start`` with the width of ranges by the rows ``train`` alone."""
        fit = self.joint.fit(train, start.how, start.priors)
        parameters = self.joint.formula.parameters
        covariance = parameters.covariance(start.priors, self.joint.backends)
        error, _ = self.joint.left_out(fit, start.how, covariance)
        spread = self.joint.spread_left_out(fit, start.how)
        # A question may not tell what a row was measured with, and its range has to hold too.
        gain, wider, added = self.joint.untold(fit, start.how)
        untold = error + gain + self.joint.formula.untold(fit.vector, ubatch=True)[train]
        untold -= start.how.untold * added
        errors, spreads = np.concatenate([error, untold]), np.concatenate([spread, wider])
        known = np.tile(~self.scarce[train], 2)
        centre = _centre(errors[known], spreads[known])
        found: dict[str, float] = {"centre": centre}
        off = np.abs(errors / spreads - centre)
        far, experts = (np.tile(of[train], 2) for of in (deepness(self.depth), self.experts))
        for name, has in (("z", ~experts), ("z_experts", experts)):
            near = float(np.quantile(off[known & has & (far == 0)], self.inside))
            deep = known & has & (far > 0)
            needed = (off[deep] - near * (1 - far[deep])) / far[deep]
            found[name] = round(near, 3)
            found[f"{name}_deep"] = round(
                max(0.0, float(np.quantile(needed, self.inside + INSIDE_DEEP))), 3
            )
        wide = start.how.model_copy(update=found)
        over = off / np.tile(self.multiples(wide, train), 2)
        several = known & np.tile(self.several[train], 2)
        needed = float(np.quantile(over[several], self.inside_several))
        wide = wide.model_copy(update={"several": round(needed, 3)})
        far = self._unmeasured(fit, start, wide, covariance)
        return replace(start, how=wide.model_copy(update={"unmeasured": far}))

    def _unmeasured(self, fit: Fit, start: Assumed, wide: Similar, covariance: Array) -> float:
        """How much wider ranges have to be for a card that nobody measured with this backend.

        By rows without their card; every card counts the same, however often it was measured.
        """
        error, _ = self.joint.left_out(fit, start.how, covariance, self.machines)
        spread = self.joint.spread_left_out(fit, start.how, self.machines)
        needed = np.abs(error / spread - wide.centre) / self.multiples(wide, fit.train)
        judged = fit.train[~self.scarce[fit.train]]
        needed = needed[~self.scarce[fit.train]]
        count = Counter(self.machines[i] for i in judged)
        order = np.argsort(needed)
        machines = [self.machines[int(judged[i])] for i in order]
        share = np.cumsum([1 / count[machine] for machine in machines]) / len(count)
        return round(max(1.0, float(needed[order][np.searchsorted(share, self.inside)])), 3)

    def multiples(self, how: Similar, rows: Array) -> Array:
        """Of the spread of each row, for its range."""
        far = deepness(self.depth[rows])
        near = [how.multiple(bool(self.experts[i]), f) for i, f in zip(rows, far, strict=True)]
        return np.array(near) * np.where(self.several[rows], how.several, 1.0)
