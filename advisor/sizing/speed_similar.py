"""What measured rows say about cases near them: same model, same card, same kind of card.

The formula's errors on the shipped rows are taken as one Gaussian process (Rasmussen and Williams,
Gaussian Processes for Machine Learning, chapter 2). Its mean corrects a prediction, its variance
sets the range: narrow beside measured rows, wide far from them.
"""

import functools
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from advisor.sizing.bench_rows import SOUGHT, BenchRow, bench_data, year
from advisor.sizing.speed_data import Similar, speed_data
from advisor.sizing.speed_sums import Floats

NORMAL_80 = 1.2816
"""Standard deviations about the middle that hold 80 % of a normal distribution."""

_SEASON = 0.25
"""Years within which builds count as of one time."""

Kind = Literal["decode", "prefill"]


@dataclass(frozen=True, slots=True)
class Case:
    """What a row or a question is about."""

    model: str
    """Its shape: models of the same shape compute alike, whatever their name."""
    gpu: str
    backend: str
    speed_class: str
    file_type: str
    experts: bool
    depth: int
    built: float | None = None
    """When llama.cpp was built, in years; None: not told."""
    flash: bool = True
    sought: bool = False
    """Measured or looked for on purpose: its build says nothing of those that are usual."""

    @classmethod
    def of(cls, row: BenchRow) -> "Case":
        """The case of a measured row."""
        return cls(
            model=row.shape,
            gpu=row.gpu,
            backend=row.backend,
            speed_class=row.speed_class,
            file_type=row.file_type,
            experts=row.experts,
            depth=row.depth,
            built=year(row.date),
            flash=row.flash,
            sought=row.by in SOUGHT,
        )


_numbers: dict[str, int] = {}
_free = itertools.count()
"""A number for every value of a field, since numbers are quicker to compare than strings."""


class Columns:
    """Cases by field, ready to be compared."""

    def __init__(self, cases: Sequence[Case]) -> None:
        self._fields = {
            name: np.array([_number(str(getattr(case, name))) for case in cases], dtype=np.int64)
            for name in ("model", "gpu", "backend", "speed_class", "file_type", "experts", "flash")
        }
        self.depth: Floats = np.log2(1 + np.array([case.depth for case in cases]) / 4096)
        """Doublings from 4,096 tokens on."""
        self.built: Floats = np.array(
            [np.nan if case.built is None else case.built for case in cases], dtype=np.float64
        )
        self._usual: tuple[float, Floats] | None = None

    def usual(self, years: float) -> Floats:
        """How near in time each case is, on average, to the others of its kind of card."""
        if self._usual is None or self._usual[0] != years:
            kind = self.equal(self, "speed_class")
            near = np.nan_to_num(np.exp(-np.abs(self.built[:, None] - self.built) / years))
            self._usual = years, (kind * near).sum(axis=1) / kind.sum(axis=1)
        return self._usual[1]

    def __len__(self) -> int:
        return len(self.depth)

    def equal(self, other: "Columns", name: str) -> Floats:
        """1 where two cases have the same in a field, else 0."""
        a, b = self._fields[name], other._fields[name]
        return (a[:, None] == b[None, :]).astype(np.float64)


def _number(value: str) -> int:
    return _numbers.setdefault(value, next(_free))


def _columns(cases: Sequence[Case] | Columns) -> Columns:
    return cases if isinstance(cases, Columns) else Columns(cases)


def _near_in_time(left: Columns, right: Columns, years: float) -> Floats:
    """How near builds are, 0 to 1; one that is not told as near as measured ones on average."""
    a, b = left.built[:, None], right.built[None, :]
    near = np.exp(-np.abs(a - b) / years)
    near = np.where(np.isnan(a), right.usual(years)[None, :], near)
    near = np.where(np.isnan(b), left.usual(years)[:, None], near)
    return np.where(np.isnan(a) & np.isnan(b), 1.0, near)


def likeness(
    left: Sequence[Case] | Columns, right: Sequence[Case] | Columns, depth: float, years: float
) -> dict[str, Floats]:
    """By field of ``Similar``: how alike cases are in that respect, 0 to 1.

    depth: distance in depth (doublings from 4,096 tokens) over which likeness falls to 1/e;
    years: the same between builds.
    """
    left, right = _columns(left), _columns(right)
    model, gpu, backend, kind, type_, experts = (
        left.equal(right, name)
        for name in ("model", "gpu", "backend", "speed_class", "file_type", "experts")
    )
    a, b = left.depth, right.depth
    near = np.exp(-np.abs(a[:, None] - b[None, :]) / depth)
    same_gpu = gpu * backend
    near_in_time = _near_in_time(left, right, years)
    lately = kind * near_in_time
    return {
        "model": model,
        "model_backend": model * backend * near,
        "model_class": model * kind,
        "gpu_backend": same_gpu * (0.5 + 0.5 * experts),
        "gpu_model": gpu * model,
        "gpu_model_backend": same_gpu * model * (0.4 + 0.6 * type_),
        "gpu_model_depth": same_gpu * model * near,
        "gpu_model_slope": gpu * model * a[:, None] * b[None, :] / 9,
        "class_type": kind * type_ * experts,
        "backend_built": backend * near_in_time,
        "class_built": lately * (0.5 + 0.5 * experts),
        "class_flash": lately * left.equal(right, "flash"),
    }


DEEP = 8192
"""Tokens from which a context counts as deep."""


def deepness(depth: Floats | float) -> Floats:
    """0 at the start of a context, 1 from ``DEEP`` tokens on."""
    return np.minimum(1.0, np.asarray(depth) / DEEP)


def covariance(
    left: Sequence[Case] | Columns, right: Sequence[Case] | Columns, how: Similar
) -> Floats:
    """How much the errors of two cases have in common."""
    alike = likeness(left, right, how.depth, how.built)
    total = np.zeros((len(left), len(right)))
    for name, matrix in alike.items():
        total += float(getattr(how, name)) ** 2 * matrix
    return total


def usual_builds(cases: Iterable[Case]) -> dict[tuple[str, str], float]:
    """When llama.cpp was built, in the middle, with which each card and backend was measured.

    A question that tells no build is answered for that one, as the rows stand for it; rows that
    were sought do so where there are no others.
    """
    years: dict[tuple[str, str, bool], list[float]] = {}
    for case in cases:
        if case.built is not None:
            years.setdefault((case.gpu, case.backend, case.sought), []).append(case.built)
    ordered = sorted(years, key=lambda key: key[2], reverse=True)
    return {(gpu, backend): float(np.median(years[gpu, backend, s])) for gpu, backend, s in ordered}


def as_usual(case: Case, usual: Mapping[tuple[str, str], float]) -> Case:
    """The case with the build that its card is usually measured with, where it tells none."""
    if case.built is not None:
        return case
    return replace(case, built=usual.get((case.gpu, case.backend)))


class Process:
    """Errors of known cases, and what follows for others.

    ``weights``: how far each case is believed; its noise is divided by it.
    """

    def __init__(
        self, cases: Sequence[Case], errors: Floats, weights: Floats, how: Similar
    ) -> None:
        self._cases = Columns(cases)
        self.how = how
        self.usual = usual_builds(cases)
        noisy = covariance(self._cases, self._cases, how) + np.diag(how.noise**2 / weights)
        self._inverse: Floats = np.linalg.inv(noisy).astype(np.float64)
        self._weights: Floats = self._inverse @ errors

    def __call__(self, cases: Sequence[Case]) -> tuple[Floats, Floats]:
        """Mean error (natural logarithm) and its standard deviation, noise included."""
        shared = covariance(cases, self._cases, self.how)
        own = np.array([covariance([case], [case], self.how)[0, 0] for case in cases])
        explained = np.einsum("ij,jk,ik->i", shared, self._inverse, shared)
        variance = np.maximum(own - explained, 0) + self.how.noise**2
        return shared @ self._weights, np.sqrt(variance)


def _usable(kind: Kind) -> list[BenchRow]:
    return [r for r in bench_data().rows if _error(r, kind) is not None]


def _error(row: BenchRow, kind: Kind) -> float | None:
    return row.decode_error if kind == "decode" else row.prefill_error


@functools.cache
def _process(kind: Kind) -> Process:
    rows = _usable(kind)
    data = speed_data()
    return Process(
        [Case.of(row) for row in rows],
        np.array([_error(row, kind) for row in rows], dtype=np.float64),
        np.array(
            [row.decode_weight if kind == "decode" else row.prefill_weight for row in rows],
            dtype=np.float64,
        ),
        data.similar_decode if kind == "decode" else data.similar_prefill,
    )


@functools.cache
def _by_machine(kind: Kind) -> dict[tuple[str, str, str, str, int], tuple[BenchRow, ...]]:
    found: dict[tuple[str, str, str, str, int], list[BenchRow]] = {}
    for row in _usable(kind):
        key = (row.shape, row.gpu, row.backend, row.file_type, row.n_gpu)
        found.setdefault(key, []).append(row)
    return {key: tuple(sorted(rows, key=lambda r: r.depth)) for key, rows in found.items()}


@functools.cache
def _machines(kind: Kind) -> frozenset[tuple[str, str]]:
    """Cards and the backends that somebody measured them with."""
    return frozenset((row.gpu, row.backend) for row in _usable(kind))


@dataclass(frozen=True, slots=True)
class Correction:
    """Factor on the time (as a logarithm), spread, and the measured rows it stands on.

    ``NORMAL_80`` spreads to either side held 80 % of rows kept back.
    """

    error: float
    spread: float
    rows: tuple[BenchRow, ...] = ()
    """Rows of the same card, model and type; empty: only similar ones."""
    widen: float = 1.0
    """Of the spread, where nobody measured the card with this backend, or for several cards."""

    def on(self, widen: float) -> "Correction":
        """With its spread as wide as it is on a device whose kind borrows its constants, or not."""
        widest = max(self.widen, widen)
        return self if widest == 1 else replace(self, spread=self.spread * widest, widen=1.0)


@functools.lru_cache(maxsize=4096)
def correction(kind: Kind, case: Case, n_gpu: int) -> Correction:
    """What measured rows change. Rows of the very same case beat everything else."""
    process = _process(kind)
    mean, deviation = process([case])
    lower = 0.0
    if case.built is None:
        mean, if_told = process([as_usual(case, process.usual)])
        added = math.sqrt(max(float(deviation[0]) ** 2 - float(if_told[0]) ** 2, 0.0))
        lower = process.how.untold * added
    multiple = process.how.multiple(case.experts, float(deepness(case.depth)))
    spread = float(deviation[0]) * multiple / NORMAL_80
    likely = float(mean[0]) + process.how.centre * float(deviation[0]) + lower
    same = _by_machine(kind).get((case.model, case.gpu, case.backend, case.file_type, n_gpu), ())
    if not same:
        known = (case.gpu, case.backend) in _machines(kind)
        widen = 1.0 if known else process.how.unmeasured
        widen *= 1.0 if n_gpu == 1 else process.how.several
        return Correction(likely, spread, widen=widen)
    distance = [abs(math.log2(1 + r.depth / 4096) - math.log2(1 + case.depth / 4096)) for r in same]
    nearest = min(distance)
    rows = tuple(r for r, d in zip(same, distance, strict=True) if d <= nearest + 1e-9)
    # Beside a row its own error holds; further along the depth the process takes over.
    weight = math.exp(-nearest / process.how.depth)
    if kind == "prefill" and case.built is not None:
        # Prompts are read faster by newer builds: rows of another time speak less for this one.
        then = case.built
        apart = [abs((year(r.date) or then) - then) for r in rows]
        soonest = min(apart)
        rows = tuple(r for r, years in zip(rows, apart, strict=True) if years <= soonest + _SEASON)
        weight *= math.exp(-soonest / process.how.built)
    errors = [e for r in rows if (e := _error(r, kind)) is not None]
    own = float(np.median(errors))
    error = weight * own + (1 - weight) * likely
    return Correction(error, spread, rows if weight >= 0.5 else ())
