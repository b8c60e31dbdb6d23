"""Constants and what their errors have in common, fitted together.

The logarithm of a measured time is the formula's, plus errors that like rows share (a Gaussian
process, advisor.sizing.speed_similar), plus noise. Constants have a normal prior on their
logarithm, whose covariance says which are thought alike; the formula is linearised where it stands
and solved for constants and errors at once, again and again (Gauss-Newton; Rasmussen and Williams,
Gaussian Processes for Machine Learning, 2.7). A row that the rest of them contradicts counts less,
by the weight of Student's t distribution (Lange, Little and Taylor 1989).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from advisor.sizing.speed_data import Similar
from advisor.sizing.speed_similar import Case, as_usual, likeness, usual_builds

By = Literal["class", "backend", ""]
Array = NDArray[Any]
"""Of numbers, indices or truth values."""
FREEDOM = 4.0
"""Degrees of freedom of Student's t."""
ROUNDS = 12
_STEP = 1e-4


@dataclass
class Prior:
    """How far the constants of one name are believed."""

    width: float
    """Of each, as a logarithm."""
    common: float = 0.0
    """Part of the variance that all of them share."""
    backend: float = 0.0
    """Part of the variance that those of one backend share, for constants by class."""


@dataclass
class Parameters:
    """Named logarithms with priors."""

    names: dict[str, slice] = field(default_factory=dict)
    by: dict[str, By] = field(default_factory=dict)
    mean: list[float] = field(default_factory=list)

    def add(self, name: str, value: float | Sequence[float], count: int = 1, by: By = "") -> None:
        """``count`` constants around ``value``, one of each kind that ``by`` names."""
        values = list(value) if isinstance(value, Sequence) else [value] * count
        self.names[name] = slice(len(self.mean), len(self.mean) + len(values))
        self.by[name] = by
        self.mean += [math.log(v) for v in values]

    def get(self, vector: Array, name: str) -> Array:
        """The constants themselves."""
        return np.exp(vector[self.names[name]])

    def covariance(self, priors: dict[str, Prior], backends: Sequence[str]) -> Array:
        """Of the prior; ``backends``: that of each class."""
        found = np.zeros((len(self.mean), len(self.mean)))
        for name, where in self.names.items():
            prior, count = priors[name], where.stop - where.start
            own = 1 - prior.common - prior.backend
            alike = own * np.eye(count) + prior.common
            if self.by[name] == "class":
                alike += prior.backend * np.equal.outer(backends, backends)
            found[where, where] = prior.width**2 * alike
        return found


class Formula(Protocol):
    """What is fitted."""

    parameters: Parameters
    kind: Array
    """Class of each row."""
    backend: Array
    measured: Array

    def log_time(self, vector: Array) -> Array: ...

    def untold(self, vector: Array, *, ubatch: bool) -> Array:
        """What the errors of all rows gain where only usual facts are told; ``ubatch``: nor the
        micro-batch."""
        ...


def slopes(formula: Formula, vector: Array) -> tuple[Array, Array]:
    """Logarithm of every row's time, and its derivatives by the constants.

    A row knows one constant of those by class or backend, so all of a name are moved at once.
    """
    now = formula.log_time(vector)
    found = np.zeros((len(now), len(vector)))
    rows = np.arange(len(now))
    for name, where in formula.parameters.names.items():
        by = formula.parameters.by[name]
        if by:
            moved = vector.copy()
            moved[where] += _STEP
            own = formula.kind if by == "class" else formula.backend
            found[rows, where.start + own] = (formula.log_time(moved) - now) / _STEP
            continue
        for j in range(where.start, where.stop):
            moved = vector.copy()
            moved[j] += _STEP
            found[:, j] = (formula.log_time(moved) - now) / _STEP
    return now, found


@dataclass
class Fit:
    """Constants, and every row's part in them."""

    vector: Array
    train: Array
    """Indices of the rows it was fitted to."""
    weight: Array
    """Of these rows, 0 to 1."""
    slopes: Array
    """Of all rows."""
    computed: Array
    """Logarithm of the time of all rows, by the formula."""
    target: Array
    """What the linearised formula explains, of the rows it was fitted to."""


def without_own(total: Array, target: Array, members: Sequence[Array]) -> tuple[Array, Array]:
    """Error and spread of every row, had its group been left out (same book, 5.4.2, by block)."""
    inverse = np.linalg.inv(total)
    explained = inverse @ target
    error, spread = np.empty(len(target)), np.empty(len(target))
    for rows in members:
        block = np.linalg.inv(inverse[np.ix_(rows, rows)])
        error[rows] = block @ explained[rows]
        spread[rows] = np.sqrt(np.diag(block))
    return error, spread


def by_group(groups: Sequence[object]) -> list[Array]:
    """Indices of the members of each group."""
    found: dict[object, list[int]] = {}
    for i, group in enumerate(groups):
        found.setdefault(group, []).append(i)
    return [np.array(rows) for rows in found.values()]


class Joint:
    """One formula with the rows' likeness."""

    def __init__(
        self,
        formula: Formula,
        cases: Sequence[Case],
        groups: Sequence[object],
        backends: Sequence[str],
        scales: tuple[float, float],
    ) -> None:
        """``scales``: see ``likeness``."""
        self.formula, self.groups, self.backends = formula, groups, backends
        self.alike = likeness(cases, cases, *scales)
        usual = usual_builds(cases)
        little = [replace(case, built=None, flash=True) for case in cases]
        self.asked = likeness([as_usual(case, usual) for case in little], cases, *scales)
        """The same to questions about each row that tell neither build nor Flash Attention, so that
        the build is the one that its card is usually measured with."""
        self.unsure = likeness(little, cases, *scales)
        """The same with builds as likely as they were measured, which says how far off that is."""

    def shared(self, how: Similar, alike: dict[str, Array] | None = None) -> Array:
        """Covariance of the errors of all rows, or of questions about them with all rows."""
        alike = self.alike if alike is None else alike
        return sum(
            (getattr(how, name) ** 2 * matrix for name, matrix in alike.items()),
            np.zeros((len(self.groups), len(self.groups))),
        )

    def total(
        self, fit: Fit, how: Similar, covariance: Array, weight: Array | None = None
    ) -> Array:
        """Covariance of the training rows' times."""
        slope = fit.slopes[fit.train]
        noise = how.noise**2 / (fit.weight if weight is None else weight)
        inner = self.shared(how)[np.ix_(fit.train, fit.train)]
        return slope @ covariance @ slope.T + inner + np.diag(noise)

    def left_out(
        self,
        fit: Fit,
        how: Similar,
        covariance: Array,
        groups: Sequence[object] | None = None,
    ) -> tuple[Array, Array]:
        """Error and spread of the training rows, each without its group."""
        members = self._members(fit, groups)
        error, spread = without_own(self.total(fit, how, covariance), fit.target, members)
        # A doubted row is judged as if it were not.
        own = how.noise**2
        return error, np.sqrt(np.maximum(spread**2 - own / fit.weight, 0) + own)

    def _members(self, fit: Fit, groups: Sequence[object] | None) -> list[Array]:
        """Of the groups of all rows, or of other ones: where their training rows are."""
        named = self.groups if groups is None else groups
        return by_group([named[i] for i in fit.train])

    def spread_left_out(
        self, fit: Fit, how: Similar, groups: Sequence[object] | None = None
    ) -> Array:
        """Spread of the training rows, each without its group, as a prediction has it."""
        members = self._members(fit, groups)
        noise = how.noise**2
        inner = self.shared(how)[np.ix_(fit.train, fit.train)] + np.diag(noise / fit.weight)
        _, spread = without_own(inner, fit.target, members)
        return np.sqrt(np.maximum(spread**2 - noise / fit.weight, 0) + noise)

    def untold(self, fit: Fit, how: Similar) -> tuple[Array, Array, Array]:
        """What the errors of the training rows gain, each without its group, where neither build
        nor Flash Attention is told; their spread then, and what of it comes of not knowing."""
        at = np.ix_(fit.train, fit.train)
        alike, asked = self.shared(how)[at], self.shared(how, self.asked)[at]
        unsure = self.shared(how, self.unsure)[at]
        inverse = np.linalg.inv(alike + np.diag(how.noise**2 / fit.weight))
        left = (self.formula.measured - fit.computed)[fit.train]
        gain, spread, added = np.empty((3, len(left)))
        for rows in self._members(fit, None):
            others = np.setdiff1d(np.arange(len(left)), rows)
            across = inverse[np.ix_(others, rows)]
            block = np.linalg.solve(inverse[np.ix_(rows, rows)], across.T)
            without = inverse[np.ix_(others, others)] - across @ block
            known, little = alike[np.ix_(rows, others)], asked[np.ix_(rows, others)]
            gain[rows] = (known - little) @ without @ left[others]
            less = unsure[np.ix_(rows, others)]
            explained, told = (np.einsum("ij,jk,ik->i", m, without, m) for m in (less, little))
            spread[rows] = np.sqrt(np.maximum(np.diag(alike)[rows] - explained, 0) + how.noise**2)
            added[rows] = np.sqrt(np.maximum(told - explained, 0))
        return gain, spread, added

    def fit(self, train: Array, how: Similar, priors: dict[str, Prior]) -> Fit:
        """The constants that explain the rows ``train`` best."""
        parameters = self.formula.parameters
        covariance = parameters.covariance(priors, self.backends)
        mean = np.array(parameters.mean)
        found = Fit(mean, train, np.ones(len(train)), np.empty(0), np.empty(0), np.empty(0))
        for step in range(ROUNDS):
            found.computed, found.slopes = slopes(self.formula, found.vector)
            slope = found.slopes[train]
            found.target = (
                self.formula.measured[train] - found.computed[train] + slope @ (found.vector - mean)
            )
            if step >= 2:
                error, spread = self.left_out(found, how, covariance)
                weight = (FREEDOM + 1) / (FREEDOM + (error / spread) ** 2)
                found.weight = (found.weight + np.minimum(weight, 1)) / 2
            total = self.total(found, how, covariance)
            best = mean + covariance @ slope.T @ np.linalg.solve(total, found.target)
            found.vector = found.vector + np.clip(best - found.vector, -0.6, 0.6)
        found.computed = self.formula.log_time(found.vector)
        return found

    def predict(
        self, fit: Fit, test: Array, how: Similar, *, told: bool = True
    ) -> tuple[Array, Array]:
        """Error and spread of other rows, as a prediction has them (``speed_similar.correction``,
        but for ``Similar.centre``)."""
        shared = self.shared(how)
        own = shared[np.ix_(fit.train, fit.train)] + np.diag(how.noise**2 / fit.weight)
        at = np.ix_(test, fit.train)
        across = (shared if told else self.shared(how, self.asked))[at]
        weights = np.linalg.solve(own, across.T).T
        left = self.formula.measured - fit.computed
        error = left[test] - weights @ left[fit.train]
        sure = across if told else self.shared(how, self.unsure)[at]
        explained = (np.linalg.solve(own, sure.T).T * sure).sum(axis=1)
        if not told:
            if_told = (weights * across).sum(axis=1)
            error -= how.untold * np.sqrt(np.maximum(if_told - explained, 0))
        variance = np.diag(shared)[test] - explained
        return error, np.sqrt(np.maximum(variance, 0) + how.noise**2)


@dataclass
class Fitted:
    """One formula's result on all rows."""

    problem: Any
    fit: Fit
    how: Similar
