"""Fit the speed model to benchmark rows: writes resources/speed.json and resources/bench.json.

    python packaging/fit_speed.py BENCH.jsonl [MORE.jsonl…] [--check] [--date YYYY-MM-DD]

Robust least squares (Cauchy loss, Levenberg-Marquardt) on the logarithm of the time, with weak
priors on every constant; then a Gaussian process over what is left (advisor.sizing.speed_similar).
Errors are those of ten-fold cross-validation, split by (GPU, model, backend, source); what the
Gaussian process assumes, and the width of ranges, are chosen for each block of folds by the rows of
the other blocks (nested). --check prints them without writing.
"""

import argparse
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import chain
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from fit_rows import LEFT_OUT, Row, read
from fit_similar import Chooser, Fold, z

from advisor.sizing import speed_terms as terms
from advisor.sizing.speed_data import Similar
from advisor.sizing.speed_prefill import type_group
from advisor.sizing.speed_similar import Case
from advisor.sizing.speed_sums import GROUPS, Floats

BACKENDS = ("cuda", "rocm", "vulkan", "metal")
FOLDS = 10

DECODE_SIMILAR = Similar(
    model=0.112, model_backend=0.006, model_class=0.034, gpu_backend=0.08, gpu_model=0.014,
    gpu_model_backend=0.12, gpu_model_depth=0.05, gpu_model_slope=0.05, class_type=0.036, depth=1.4,
    noise=0.06, clip=0.75, z=1.0,
)  # fmt: skip
PREFILL_SIMILAR = Similar(
    model=0.375, model_backend=0.04, model_class=0.18, gpu_backend=0.12, gpu_model=0.05,
    gpu_model_backend=0.14, gpu_model_depth=0.06, gpu_model_slope=0.1, class_type=0.1, depth=1.4,
    noise=0.225, clip=1.05, z=1.0,
)  # fmt: skip


@dataclass
class Parameters:
    """Named logarithms with priors."""

    names: dict[str, slice] = field(default_factory=dict)
    prior: list[float] = field(default_factory=list)
    width: list[float] = field(default_factory=list)

    def add(self, name: str, count: int, value: float, width: float) -> None:
        """``count`` constants around ``value``, believed within a factor of e**width."""
        start = len(self.prior)
        self.names[name] = slice(start, start + count)
        self.prior += [math.log(value)] * count
        self.width += [width] * count

    def get(self, vector: Floats, name: str) -> Floats:
        """The constants themselves."""
        return np.exp(vector[self.names[name]])


@dataclass
class Problem:
    """Rows as arrays, and the formula that they are fitted to."""

    rows: list[Row]
    classes: list[str]
    parameters: Parameters
    scale: float
    """Of the Cauchy loss."""

    def __post_init__(self) -> None:
        rows = self.rows
        self.kind = np.array([self.classes.index(r.speed_class) for r in rows])
        self.backend = np.array([BACKENDS.index(r.backend) for r in rows])
        self.bandwidth = np.array([r.bandwidth for r in rows])
        self.rate = np.array([r.rate or 50e12 for r in rows])
        self.columns = np.array([r.columns for r in rows])
        self.n = np.array([float(r.raw["gpu_count"]) for r in rows])
        self.bf16 = np.array([r.model.file_type == "BF16" for r in rows])


class Decode(Problem):
    def __post_init__(self) -> None:
        super().__post_init__()
        caches = [r.cache(r.depth) for r in self.rows]
        self.read = np.array([c[0] for c in caches])
        self.flops = np.array([c[1] for c in caches])
        self.measured = np.array([-math.log(r.raw["tg_tps"]) for r in self.rows])

    def log_time(self, vector: Floats, keep: Floats) -> Floats:
        g = lambda name: self.parameters.get(vector, name)  # noqa: E731 - as in the formulas
        kind, backend = self.kind[keep], self.backend[keep]
        groups = np.broadcast_to(g("groups"), (len(kind), len(GROUPS)))
        experts = groups * g("gather")[backend][:, None]
        slow = np.where(backend == BACKENDS.index("vulkan"), g("bf16_experts")[0], 1.0)
        experts = experts.copy()
        experts[:, GROUPS.index("bf16")] *= slow
        k = terms.Constants(
            bandwidth=self.bandwidth[keep], rate=self.rate[keep], eta=g("eta")[kind],
            tau=g("tau")[kind], rho=g("rho")[kind], attention=g("attention")[kind],
            groups=groups, expert_groups=experts, moe=g("moe")[backend],
            recurrent=g("recurrent")[backend], mla=g("mla")[backend], vector=g("vector")[backend],
            mla_attention=g("mla_attention")[backend],
        )  # fmt: skip
        work = terms.Work(self.columns[keep], self.read[keep], self.flops[keep])
        hand_over = (self.n[keep] - 1) * g("hand_over")[backend]
        return np.log(terms.decode_parts(k, work).total + hand_over + g("fixed")[backend])


class Prefill(Problem):
    def __post_init__(self) -> None:
        super().__post_init__()
        self.prompt = np.array([float(r.n_prompt or 0) for r in self.rows])
        self.ubatch = np.minimum(np.array([float(r.ubatch) for r in self.rows]), self.prompt)
        self.flops = np.array([r.cache(r.depth + (r.n_prompt or 0) / 2)[1] for r in self.rows])
        used = np.array(
            [s.n_expert_used / s.n_expert if (s := r.sums).n_expert else 1.0 for r in self.rows]
        )
        self.read = np.asarray(terms.touched(self.columns, used, self.ubatch))
        self.type = [type_group(r.model.file_type) for r in self.rows]
        self.measured = np.array([-math.log(r.raw["pp_tps"]) for r in self.rows])

    def log_time(self, vector: Floats, keep: Floats) -> Floats:
        g = lambda name: self.parameters.get(vector, name)  # noqa: E731 - as in the formulas
        kind, backend = self.kind[keep], self.backend[keep]
        slow = self.bf16[keep] & (backend == BACKENDS.index("vulkan"))
        types = {name: i for i, name in enumerate(TYPE_NAMES)}
        by_type = np.append(g("types"), 1.0)[
            [types.get(t, len(types)) for t, k in zip(self.type, keep, strict=True) if k]
        ]
        k = terms.PrefillConstants(
            bandwidth=self.bandwidth[keep], rate=self.rate[keep], quantized=g("quantized")[kind],
            sixteen=g("sixteen")[kind], experts=g("experts")[kind],
            attention=g("attention")[kind], bf16=np.where(slow, g("bf16")[0], 1.0),
            type_factor=by_type, memory=g("memory")[0], launch=g("launch")[backend],
            mla_attention=g("mla_attention")[backend],
        )  # fmt: skip
        parts = terms.prefill_parts(
            k, self.columns[keep], self.flops[keep], self.read[keep], self.ubatch[keep]
        )
        pipe = terms.pipelined(
            self.n[keep], self.prompt[keep], self.ubatch[keep], float(g("pipeline")[0])
        )
        return np.log(parts.total * pipe)


TYPE_NAMES = ("k_or_i", "q8", "q4_legacy", "fp4")


def decode_parameters(n_classes: int) -> Parameters:
    p = Parameters()
    p.add("eta", n_classes, 0.72, 0.25)
    p.add("tau", n_classes, 25e-6, 0.6)
    p.add("rho", n_classes, 1.2, 0.5)
    p.add("attention", n_classes, 0.08, 1.0)
    p.add("groups", len(GROUPS), 1.0, 0.2)
    n = len(BACKENDS)
    p.add("gather", n, 1.0, 0.2)
    p.add("bf16_experts", 1, 1.0, 0.5)
    p.add("moe", n, 2.0, 0.6)
    p.add("recurrent", n, 1.5, 0.6)
    p.add("mla", n, 1.3, 0.6)
    p.add("vector", n, 0.15, 0.8)
    p.add("mla_attention", n, 1.0, 1.0)
    p.add("hand_over", n, 3e-4, 0.7)
    p.add("fixed", n, 2e-4, 0.7)
    return p


def prefill_parameters(n_classes: int) -> Parameters:
    p = Parameters()
    p.add("quantized", n_classes, 0.35, 0.7)
    p.add("sixteen", n_classes, 0.4, 0.7)
    p.add("experts", n_classes, 0.2, 0.7)
    p.add("attention", n_classes, 0.12, 0.9)
    p.add("types", len(TYPE_NAMES), 1.0, 0.3)
    p.add("bf16", 1, 1.0, 0.7)
    p.add("memory", 1, 1.7, 0.3)
    p.add("launch", len(BACKENDS), 60e-6, 0.8)
    p.add("mla_attention", len(BACKENDS), 1.0, 0.25)
    p.add("pipeline", 1, 0.6, 0.5)
    return p


def fit(problem: Problem, keep: Floats) -> Floats:
    """The constants, as logarithms, that explain the kept rows best."""
    prior = np.array(problem.parameters.prior)
    width = np.array(problem.parameters.width)
    measured, scale = problem.measured[keep], problem.scale

    def error(vector: Floats) -> Floats:
        return problem.log_time(vector, keep) - measured

    def cost(vector: Floats) -> float:
        cauchy = np.log1p((error(vector) / scale) ** 2).sum()
        return float(cauchy + (((vector - prior) / width) ** 2).sum())

    vector, damping = prior.copy(), 1e-2
    best = cost(vector)
    for _ in range(60):
        now = error(vector)
        slope = np.empty((len(now), len(vector)))
        for j in range(len(vector)):
            moved = vector.copy()
            moved[j] += 1e-4
            slope[:, j] = (error(moved) - now) / 1e-4
        weight = 1 / (scale**2 * (1 + (now / scale) ** 2))
        hessian = (slope.T * weight) @ slope + np.diag(1 / width**2)
        gradient = (slope.T * weight) @ now + (vector - prior) / width**2
        before = best
        while damping < 1e6:
            step = np.linalg.solve(hessian + damping * np.diag(np.diag(hessian)), -gradient)
            new = vector + np.clip(step, -0.5, 0.5)
            if (trial := cost(new)) < best:
                vector, best, damping = new, trial, max(damping / 3, 1e-6)
                break
            damping *= 4
        if before - best < 1e-5:
            break
    return vector


def case(row: Row) -> Case:
    return Case(
        model=row.model.id, gpu=row.gpu, backend=row.backend, speed_class=row.speed_class,
        file_type=row.model.file_type, experts=bool(row.sums.n_expert), depth=row.depth,
    )  # fmt: skip


def folds(problem: Problem) -> list[Fold]:
    """Fits of the formula, each with a tenth of the groups kept back."""
    rows = problem.rows
    # By a hash, so that added rows move none of the others.
    fold = np.array([crc32(repr(r.group).encode()) % FOLDS for r in rows])
    trusted = np.array([r.raw["id"] not in LEFT_OUT for r in rows])
    every = np.ones(len(rows), dtype=bool)
    found: list[Fold] = []
    for k in range(FOLDS):
        train, test = (fold != k) & trusted, fold == k
        left = problem.measured - problem.log_time(fit(problem, train), every)
        found.append(Fold(np.flatnonzero(train), np.flatnonzero(test), left[train], left[test]))
    return found


GROUPINGS: dict[str, Callable[[Row], bool]] = {
    "all": lambda _: True,
    "dense": lambda r: not r.sums.n_expert,
    "moe": lambda r: bool(r.sums.n_expert),
    "depth over 512": lambda r: r.depth > 512,
    "several GPUs": lambda r: r.raw["gpu_count"] > 1,
}


def table(rows: Sequence[Row], errors: Floats, relative: Floats) -> dict[str, Any]:
    """Errors by group of rows, per cent."""
    found: dict[str, Any] = {}
    for name, test in GROUPINGS.items():
        mask = np.array([test(r) for r in rows])
        off = np.abs(np.exp(errors[mask]) - 1) * 100
        found[name] = {
            "rows": int(mask.sum()),
            "median": round(float(np.median(off)), 1),
            "p90": round(float(np.quantile(off, 0.9)), 1),
            "coverage": round(float((relative[mask] <= 1).mean() * 100), 1),
        }
    return found


def show(title: str, errors: dict[str, Any]) -> None:
    print(f"{title:24}{'rows':>6}{'median':>9}{'p90':>8}{'in range':>10}")
    for name, e in errors.items():
        print(f"  {name:22}{e['rows']:6}{e['median']:8.1f}%{e['p90']:7.1f}%{e['coverage']:9.1f}%")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bench", type=Path, nargs="+")
    parser.add_argument("--date", default=date.today().isoformat())  # noqa: DTZ011 - for people
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    rows: list[Row] = []
    reasons: Counter[str] = Counter()
    for row in chain.from_iterable(read(path) for path in options.bench):
        if isinstance(row, Row):
            # Server runs state no depth and often speculate; they are shown, not fitted.
            server = row.raw["src"] == "localmaxxing-server"
            reasons["server run of unknown depth"] += server
            rows += [] if server else [row]
        else:
            reasons[row.split(": ", 1)[1]] += 1
    for reason, count in sorted(reasons.items()):
        print(f"left out {count:3}: {reason}")
    prefill_rows = [
        r for r in rows if r.raw["pp_tps"] and (r.n_prompt or 0) >= 256 and r.rate is not None
    ]
    classes = sorted({r.speed_class for r in rows})
    decode = Decode(rows, classes, decode_parameters(len(classes)), 0.12)
    prefill = Prefill(prefill_rows, classes, prefill_parameters(len(classes)), 0.25)
    similar: dict[str, Similar] = {}
    errors: dict[str, dict[str, Any]] = {}
    for name, problem, how in (
        ("decode", decode, DECODE_SIMILAR),
        ("prefill", prefill, PREFILL_SIMILAR),
    ):
        cases = [case(r) for r in problem.rows]
        chooser = Chooser(cases, folds(problem), how, problem.scale)
        errors[name] = table(problem.rows, *chooser.nested(how))
        chosen = chooser.choose(how, np.ones(len(cases), dtype=bool))
        similar[name] = chosen.model_copy(update={"z": round(z(*chooser.errors(chosen)), 3)})
        show(name, errors[name])
    if not options.check:
        from fit_write import write  # noqa: PLC0415 - only where something is written

        write(decode, prefill, fit, similar=similar, errors=errors, today=options.date)


if __name__ == "__main__":
    main()
