"""Fit the speed model to benchmark rows: writes resources/speed.json and resources/bench.json.

    python packaging/fit_speed.py BENCH.jsonl [MORE.jsonl…] [--held HELD.jsonl] [--check]

Constants and likeness of rows are fitted together (fit_joint). Errors are those of ten-fold
cross-validation, split by (GPU, model, backend, source). Priors and likeness (fit_assumed) were
chosen knowing the rows; the width of ranges is chosen for each block of folds by the rows of the
other blocks (fit_choose).
Rows of --held (packaging/bench_held.jsonl) are never fitted to: they tell how far the model holds
on pages that nobody chose it by. --check prints all errors without writing.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy: the matrices are small

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from itertools import chain
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from fit_assumed import BUILT, DECODE, DEPTH, PREFILL
from fit_choose import BLOCKS, Assumed, Chooser
from fit_formulas import Decode, Prefill, Problem
from fit_given import BORROWED, SCARCE
from fit_joint import Array, Fitted, Joint
from fit_rows import DOUBTED, Row, read

from advisor.sizing.bench_rows import SOUGHT, year
from advisor.sizing.speed_similar import Case

FOLDS = 10
FEW = 3
"""Rows below which a kind of GPU borrows the constants of another."""
SPLITS = ("", "a", "b", "c", "d")
"""Ways to deal the rows to folds: one alone tells too little (p90 of prefill 44 to 50 %)."""


def case(row: Row) -> Case:
    return Case(
        model=row.model.shape, gpu=row.gpu, backend=row.backend, speed_class=row.speed_class,
        file_type=row.model.file_type, experts=bool(row.sums.n_expert), depth=row.depth,
        built=year(row.raw["date"]), flash=row.flash, sought=row.raw["src"] in SOUGHT,
    )  # fmt: skip


def chooser(problem: Problem) -> Chooser:
    rows = problem.rows
    backends = [name.split("-")[0] for name in problem.classes]
    cases = [case(r) for r in rows]
    return Chooser(
        Joint(problem, cases, [r.group for r in rows], backends, (DEPTH, BUILT)),
        experts=np.array([bool(r.sums.n_expert) for r in rows]),
        depth=np.array([r.depth for r in rows]),
        several=problem.n > 1,
        scarce=scarce(rows),
        machines=[(case.gpu, case.backend) for case in cases],
        inside=problem.inside,
        inside_several=problem.inside_several,
    )


def cross_validated(problem: Problem, start: Assumed, salt: str = "") -> Array:
    """Error, and error over the range, of every row, each from a fit without its fold; then both
    again where the build is not told (``Joint.asked``), nor the micro-batch (``Problem.untold``).

    The width of ranges for a block of folds is chosen by the rows of the other blocks.
    """
    rows, choose = problem.rows, chooser(problem)
    # By a hash, so that added rows move none of the others.
    fold = np.array([crc32((salt + repr(r.group)).encode()) % FOLDS for r in rows])
    found = np.empty((3, 2, len(rows)))
    for block in range(BLOCKS):
        elsewhere = np.flatnonzero(trusted(rows) & (fold % BLOCKS != block))
        assumed = choose.assume(start, elsewhere)
        for k in range(block, FOLDS, BLOCKS):
            fit = choose.joint.fit(
                np.flatnonzero(trusted(rows) & (fold != k)), assumed.how, assumed.priors
            )
            test = np.flatnonzero(fold == k)
            known = {choose.machines[i] for i in fit.train}
            new = np.array([choose.machines[int(i)] not in known for i in test], dtype=bool)
            wide = choose.multiples(assumed.how, test) * np.where(new, assumed.how.unmeasured, 1.0)
            for untold in range(3):
                error, spread = choose.joint.predict(fit, test, assumed.how, told=not untold)
                error -= assumed.how.centre * spread
                if untold:
                    error += problem.untold(fit.vector, ubatch=untold == 2)[test]
                found[untold, :, test] = np.array([error, np.abs(error) / (spread * wide)]).T
    return found


def never_fitted(make: type[Problem], rows: list[Row], held: list[Row], start: Assumed) -> Array:
    """Errors of ``held``, and over the range, from a fit to all trusted ``rows``; told, untold."""
    classes = sorted({r.speed_class for r in rows})
    like = {f"{backend}-{name}": (other, widen) for backend, name, other, widen in BORROWED}
    taken = [
        (r.speed_class, 1.0) if r.speed_class in classes else like[r.speed_class] for r in held
    ]
    held = [replace(r, speed_class=name) for r, (name, _) in zip(held, taken, strict=True)]
    problem = make(rows + held, classes)
    choose = chooser(problem)
    train = np.flatnonzero(trusted(rows))
    assumed = choose.assume(start, train)
    fit = choose.joint.fit(train, assumed.how, assumed.priors)
    test = np.arange(len(rows), len(rows) + len(held))
    known = {choose.machines[i] for i in train}
    # As a prediction has it (speed_similar.Correction.on).
    widest = np.array(
        [
            max(widen, 1.0 if choose.machines[i] in known else assumed.how.unmeasured)
            for i, (_, widen) in zip(test, taken, strict=True)
        ]
    )
    found = np.empty((2, 2, len(held)))
    for untold in range(2):
        error, spread = choose.joint.predict(fit, test, assumed.how, told=not untold)
        error -= assumed.how.centre * spread
        if untold:
            error += problem.untold(fit.vector, ubatch=False)[test]
        wide = spread * choose.multiples(assumed.how, test) * widest
        found[untold] = np.array([error, np.abs(error) / wide])
    return found


def lend(rows: Sequence[Row]) -> None:
    """Give rows of a kind that few have measured to the kind that it borrows from."""
    count = Counter(row.speed_class for row in rows)
    like = {f"{backend}-{name}": other for backend, name, other, _ in BORROWED}
    for row in rows:
        if count[row.speed_class] < FEW:
            row.speed_class = like.get(row.speed_class, row.speed_class)


def trusted(rows: Sequence[Row]) -> Array:
    """Rows that constants are fitted to."""
    return shown(rows) & np.array([r.raw["id"] not in DOUBTED for r in rows])


def shown(rows: Sequence[Row]) -> Array:
    """Rows whose errors count: all but those that a rule leaves out."""
    return np.array([not r.left_out for r in rows])


def scarce(rows: Sequence[Row]) -> Array:
    """Rows of kinds that few pages tell of."""
    return np.array([r.speed_class in SCARCE for r in rows])


NEVER = ("never fitted", "never fitted, build not told")
UNTOLD = ("all, build not told", "all, nor the micro-batch")
GROUPINGS: dict[str, Callable[[Row], bool]] = {
    "all": lambda _: True,
    "dense": lambda r: not r.sums.n_expert,
    "moe": lambda r: bool(r.sums.n_expert),
    "depth over 512": lambda r: r.depth > 512,
    "several GPUs": lambda r: r.raw["gpu_count"] > 1,
}
FEW_PAGES = "kinds of few pages"
"""Apart from all others."""


def table(rows: Sequence[Row], errors: Array, relative: Array, which: Array) -> dict[str, Any]:
    """Errors by group of those rows that ``which`` marks, per cent.

    ``errors`` and ``relative``: one line for every split.
    """
    found: dict[str, Any] = {}
    few = scarce(rows)
    groups = {
        name: which & ~few & np.array([test(r) for r in rows]) for name, test in GROUPINGS.items()
    }
    if (which & few).any():
        groups[FEW_PAGES] = which & few
    for name, mask in groups.items():
        off = np.abs(np.exp(errors[:, mask]) - 1) * 100
        found[name] = {
            "rows": int(mask.sum()),
            "median": round(float(np.median(off)), 1),
            "p90": round(float(np.quantile(off, 0.9)), 1),
            "coverage": round(float((relative[:, mask] <= 1).mean() * 100), 1),
        }
    return found


def widen_few_pages(problem: Problem, relative: Array) -> float:
    """How much wider ranges of scarce kinds have to be to hold as many rows as others do; makes
    them so. ``relative``: error over the range of all rows, one line for every split."""
    few = shown(problem.rows) & scarce(problem.rows)
    wider = max(1.0, float(np.quantile(relative[..., few], problem.inside)))
    relative[..., few] /= wider
    return round(wider, 3)


def show(title: str, errors: dict[str, Any]) -> None:
    print(f"{title:24}{'rows':>6}{'median':>9}{'p90':>8}{'in range':>10}")
    for name, e in errors.items():
        print(f"  {name:22}{e['rows']:6}{e['median']:8.1f}%{e['p90']:7.1f}%{e['coverage']:9.1f}%")


def usable(paths: Sequence[Path]) -> list[Row]:
    """Rows to fit to; says what is left out."""
    rows: list[Row] = []
    reasons: Counter[str] = Counter()
    for row in chain.from_iterable(read(path) for path in paths):
        if isinstance(row, Row):
            # Server runs state no depth and often speculate; they are shown, not fitted.
            server = row.raw["src"] == "localmaxxing-server"
            reasons["server run of unknown depth"] += server
            rows += [] if server else [row]
        else:
            reasons[row.split(": ", 1)[1]] += 1
    for reason, count in sorted(reasons.items()):
        print(f"left out {count:3}: {reason}")
    return rows


def decoded(row: Row) -> bool:
    """Whether its decode speed can be fitted to."""
    return bool(row.raw["tg_tps"])


def prefilled(row: Row) -> bool:
    """Whether its prefill speed can be fitted to."""
    return bool(row.raw["pp_tps"]) and (row.n_prompt or 0) >= 256 and row.rate is not None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bench", type=Path, nargs="+")
    parser.add_argument("--held", type=Path)
    parser.add_argument("--date", default=date.today().isoformat())  # noqa: DTZ011 - for people
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    rows = usable(options.bench)
    held = usable([options.held]) if options.held else []
    lend(rows)
    classes = sorted({r.speed_class for r in rows})
    decode = Decode([r for r in rows if decoded(r)], classes)
    prefill = Prefill([r for r in rows if prefilled(r)], classes)
    fits: list[Fitted] = []
    wider = 1.0
    errors: dict[str, dict[str, Any]] = {}
    for name, problem, start in (("decode", decode, DECODE), ("prefill", prefill, PREFILL)):
        every = np.array([cross_validated(problem, start, salt) for salt in SPLITS])
        if name == "decode":
            wider = widen_few_pages(problem, every[:, :, 1])
        error, relative = every[:, 0, 0], every[:, 0, 1]
        errors[name] = table(problem.rows, error, relative, shown(problem.rows))
        for i, untold in enumerate(UNTOLD if name == "prefill" else UNTOLD[:1], 1):
            less = table(problem.rows, every[:, i, 0], every[:, i, 1], shown(problem.rows))
            errors[name][untold] = less["all"]
        unseen = [r for r in held if (decoded if name == "decode" else prefilled)(r)]
        unseen = [r for r in unseen if r.speed_class in {x.speed_class for x in problem.rows}]
        if unseen:
            apart = never_fitted(type(problem), problem.rows, unseen, start)
            for i, title in enumerate(NEVER):
                less = table(unseen, apart[i : i + 1, 0], apart[i : i + 1, 1], shown(unseen))
                errors[name][title] = less["all"]
        show(name, errors[name])
        everything = np.ones(len(problem.rows), dtype=bool)
        show(f"{name}, nothing left out", table(problem.rows, error, relative, everything))
        if not options.check:
            choose, train = chooser(problem), np.flatnonzero(trusted(problem.rows))
            assumed = choose.assume(start, train)
            fit = choose.joint.fit(train, assumed.how, assumed.priors)
            fits.append(Fitted(problem, fit, assumed.how))
    if not options.check:
        from fit_write import write  # noqa: PLC0415 - only where something is written

        write(rows, *fits, errors=errors, splits=len(SPLITS), wider=wider, today=options.date)


if __name__ == "__main__":
    main()
