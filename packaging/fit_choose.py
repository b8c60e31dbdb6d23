"""What the fit assumes (priors, likeness, width of ranges), chosen by rows that were kept back."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from fit_joint import Array, Fit, Joint, Prior

from advisor.sizing.speed_data import Similar
from advisor.sizing.speed_similar import deepness

BLOCKS = 5
SWEEPS = 3
GAIN = 0.03
"""Least improvement of the loss that a change must bring."""
CAP = 2.5
"""Scales beyond which an error counts no more: what no setting mends must not choose them."""
INSIDE = 0.82
"""Share of kept-back rows that ranges are made to hold."""
INSIDE_DEEP = 0.85
"""The same far along a context, where few runs give many rows and so tell less than they seem."""
CENTRES = np.linspace(0.0, 0.05, 11)
TAIL = (0.5, 0.6, 0.7, 0.8, 0.9)
"""Shares of rows below the errors that ``Similar.centre`` makes least, on average."""
_SHARES = ((0.0, 0.0), (0.5, 0.0), (0.8, 0.0), (0.3, 0.5), (0.6, 0.3), (0.0, 0.5), (0.0, 0.8))


@dataclass(frozen=True)
class Assumed:
    """Everything that is chosen."""

    how: Similar
    priors: dict[str, Prior]


def _centre(error: Array) -> float:
    """See ``Similar.centre``; ``error``: logarithms of measured over computed time."""
    tails = [np.quantile(np.abs(np.exp(error - c) - 1), TAIL).mean() for c in CENTRES]
    return round(float(CENTRES[np.argmin(tails)]), 3)


@dataclass
class Chooser:
    """Chooses for one formula by coordinate descent on errors of rows without their groups."""

    joint: Joint
    experts: Array
    """Whether each row's model has experts."""
    depth: Array
    scale: float
    several: Array
    """Whether a row has more than one card."""
    machines: Sequence[tuple[str, str]]
    """Card and backend of each row."""
    inside_several: float
    """``INSIDE`` for several cards."""
    ignored: frozenset[str]
    """Likeness that is not looked for."""

    def loss(self, fit: Fit, assumed: Assumed) -> float:
        """Mean absolute error in scales, each at most ``CAP``."""
        parameters = self.joint.formula.parameters
        covariance = parameters.covariance(assumed.priors, self.joint.backends)
        error, _ = self.joint.left_out(fit, assumed.how, covariance)
        return float(np.minimum(np.abs(error) / self.scale, CAP).mean())

    def _neighbours(self, now: Assumed) -> Iterator[list[Assumed]]:
        """Other settings, one field at a time."""
        for name in (*(n for n in self.joint.alike if n not in self.ignored), "noise"):
            value = getattr(now.how, name)
            tried = [value * 1.4, value / 1.4]
            if name != "noise":
                tried = [*tried, 0.0] if value else [self.scale / 2]
            yield [replace(now, how=now.how.model_copy(update={name: round(v, 4)})) for v in tried]
        parameters = self.joint.formula.parameters
        for name, prior in now.priors.items():
            tried = [replace(prior, width=prior.width * f) for f in (1.5, 1 / 1.5, 1 / 3)]
            where = parameters.names[name]
            if where.stop - where.start > 1:
                by_class = parameters.by[name] == "class"
                tried += [
                    replace(prior, common=c, backend=b) for c, b in _SHARES if by_class or not b
                ]
            yield [replace(now, priors={**now.priors, name: new}) for new in tried]

    def choose(self, start: Assumed, train: Array) -> Assumed:
        """Settings by the rows ``train`` alone."""
        now = start
        for _ in range(SWEEPS):
            fit = self.joint.fit(train, now.how, now.priors)
            best = begun = self.loss(fit, now)
            names = len([*self._neighbours(now)])
            for i in range(names):
                for other in [*self._neighbours(now)][i]:
                    loss = self.loss(fit, other)
                    if loss < best - GAIN:
                        best, now = loss, other
            if begun - best < GAIN:
                break
        return now

    def assume(self, start: Assumed, train: Array) -> Assumed:
        """Settings and width of ranges by the rows ``train`` alone."""
        chosen = self.choose(start, train)
        fit = self.joint.fit(train, chosen.how, chosen.priors)
        parameters = self.joint.formula.parameters
        covariance = parameters.covariance(chosen.priors, self.joint.backends)
        error, _ = self.joint.left_out(fit, chosen.how, covariance)
        spread = self.joint.spread_left_out(fit, chosen.how)
        # A question may not tell what a row was measured with, and its range has to hold too.
        gain, wider = self.joint.untold(fit, chosen.how)
        untold = error + gain + self.joint.formula.untold(fit.vector)[train]
        centre = _centre(error)
        found: dict[str, float] = {"centre": centre}
        off = np.abs(np.concatenate([error, untold]) - centre) / np.concatenate([spread, wider])
        far, experts = (np.tile(of[train], 2) for of in (deepness(self.depth), self.experts))
        for name, has in (("z", ~experts), ("z_experts", experts)):
            near = float(np.quantile(off[has & (far == 0)], INSIDE))
            deep = has & (far > 0)
            needed = (off[deep] - near * (1 - far[deep])) / far[deep]
            found[name] = round(near, 3)
            found[f"{name}_deep"] = round(max(0.0, float(np.quantile(needed, INSIDE_DEEP))), 3)
        wide = chosen.how.model_copy(update=found)
        over = off / np.tile(self.multiples(wide, train), 2)
        needed = float(np.quantile(over[np.tile(self.several[train], 2)], self.inside_several))
        wide = wide.model_copy(update={"several": round(needed, 3)})
        far = self._unmeasured(fit, chosen, wide, covariance)
        return replace(chosen, how=wide.model_copy(update={"unmeasured": far}))

    def _unmeasured(self, fit: Fit, chosen: Assumed, wide: Similar, covariance: Array) -> float:
        """How much wider ranges have to be for a card that nobody measured with this backend.

        By rows without their card; every card counts the same, however often it was measured.
        """
        error, _ = self.joint.left_out(fit, chosen.how, covariance, self.machines)
        spread = self.joint.spread_left_out(fit, chosen.how, self.machines)
        needed = np.abs(error - wide.centre) / (spread * self.multiples(wide, fit.train))
        count = Counter(self.machines[i] for i in fit.train)
        order = np.argsort(needed)
        machines = [self.machines[int(fit.train[i])] for i in order]
        share = np.cumsum([1 / count[machine] for machine in machines]) / len(count)
        return round(max(1.0, float(needed[order][np.searchsorted(share, INSIDE)])), 3)

    def multiples(self, how: Similar, rows: Array) -> Array:
        """Of the spread of each row, for its range."""
        far = deepness(self.depth[rows])
        near = [how.multiple(bool(self.experts[i]), f) for i, f in zip(rows, far, strict=True)]
        return np.array(near) * np.where(self.several[rows], how.several, 1.0)
