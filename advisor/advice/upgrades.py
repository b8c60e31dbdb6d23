"""The search: every build with every acceptable variant, sized and timed by the engine itself.

A hundred thousand pairs are too many to size. Bounds that can only flatter a pair rule most of them
out at once (``screen``); of the rest only those on the Pareto front of cost, speed and quality are
worked out, roughly first, and their figures replace the bounds until the front holds nothing else.
Whatever comes near the verdict is then sized and timed exactly (``settle``). The same question
always gives the same answer.
"""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from advisor.advice.builds import Build, builds
from advisor.advice.hardware_prices import PriceBook
from advisor.advice.options import Assessment, Option, assess
from advisor.advice.screen import Floats, Ints, space
from advisor.advice.timing import Engine, Timed, planned, roughly, timed
from advisor.advice.usage import Usage
from advisor.advice.variants import Variant
from advisor.hardware.rig import Rig

_BATCH: Final = 16
_MAX_WORKED_OUT: Final = 1500
"""Enough for every question met so far; a front that is still open then is said to be."""
_USUAL: Final = 200
"""Pairs that a usual question takes, for the progress bar."""
_SPEED_STEP: Final = 1.15
"""Speeds within 15 % count as one: no prediction is better than that."""
_FAST_ENOUGH: Final = 4
"""Times the speed asked for (or reading speed) beyond which more does not count."""
_READING: Final = 15.0
_HERE: Final = frozenset({"keep", "close programs"})
"""Builds of this very rig, for which what was measured on it holds."""


@dataclass(frozen=True, eq=False)
class Found:
    """What a search found."""

    options: tuple[Option, ...]
    """The front, and for every kind the nearest that fails."""
    exactly: Callable[[Option], Option]
    """The same option sized and timed exactly, with its plan."""
    searched: int
    """Pairs of build and variant."""
    worked_out: int
    complete: bool
    """False: cancelled, or the front was still open at the limit."""


def option(build: Build, variant: Variant, outcome: Timed) -> Option:
    """A worked-out pair as an option."""
    model = variant.model
    return Option(
        id=f"{build.kind}|{build.title}|{model.id}|{model.file_type}|{variant.kv}",
        kind=build.kind,
        title=build.title,
        model_id=model.id,
        model_name=model.name,
        file_type=model.file_type,
        kv_type=variant.kv,
        loss=variant.loss,
        tier=variant.tier,
        rig=build.rig,
        fits=outcome.judgement.fits,
        headroom=outcome.judgement.headroom,
        ctx=outcome.ctx,
        rough=outcome.rough,
        in_ram=outcome.judgement.verdict == "offload",
        run=outcome.run,
        ttft_s=outcome.ttft_s,
        purchases=build.purchases,
        conditions=build.conditions,
        impossible=build.impossible,
        unpriced=build.unpriced,
        notes=outcome.notes,
    )


def front(cost: Floats, speed: Ints, quality: Ints) -> Ints:
    """Indices that nothing beats in cost, speed and quality at once; of equals the first.

    Sorted by cost, a point stays if no earlier one of at least its quality is at least as fast.
    """
    order = np.lexsort((np.arange(len(cost)), -quality, -speed, cost))
    sorted_speed, sorted_quality = speed[order], quality[order]
    stays = np.zeros(len(order), dtype=bool)
    for level in np.unique(quality):
        counted = np.where(sorted_quality >= level, sorted_speed, -1)
        before = np.concatenate(([-1], np.maximum.accumulate(counted)[:-1]))
        stays |= (sorted_quality == level) & (sorted_speed > before)
    return order[stays]


def _steps(speed: Floats, usage: Usage) -> Ints:
    """Speeds in steps of 15 %, capped where more does not count. 0 is no speed."""
    enough = _FAST_ENOUGH * max(usage.min_decode_tps, _READING)
    capped = np.clip(speed, 1e-3, enough)
    return 1 + np.floor(np.log(capped / 1e-3) / np.log(_SPEED_STEP)).astype(np.int64)


def search(
    rig: Rig,
    wanted: Sequence[Variant],
    usage: Usage,
    today: dt.date,
    *,
    book: PriceBook,
    engine: Engine,
    cancelled: Callable[[], bool] = lambda: False,
    progress: Callable[[float], None] = lambda _share: None,
) -> Found:
    """The front over everything that can be done with, added to or bought beside ``rig``."""
    shelf = list(builds(rig, usage, book, today))
    if not wanted:
        return Found((), _same, 0, 0, complete=True)
    pairs = space(shelf, wanted, usage)
    steps, cost = _steps(pairs.speed, usage), pairs.cost.copy()
    settled = np.zeros(len(cost), dtype=bool)
    outcomes: dict[tuple[object, int], Timed | None] = {}
    origin: dict[str, tuple[Build, Variant]] = {}
    good: dict[int, Option] = {}
    near: dict[str, Assessment] = {}
    complete = True
    while complete:
        open_ = [int(i) for i in front(cost, steps, pairs.quality) if not settled[i] and steps[i]]
        if not open_:
            break
        progress(min(1.0, len(outcomes) / _USUAL))
        for i in open_[:_BATCH]:
            if cancelled() or len(outcomes) >= _MAX_WORKED_OUT:
                complete = False
                break
            settled[i] = True
            build, variant = shelf[int(pairs.build[i])], wanted[int(pairs.variant[i])]
            key = (build.signature, int(pairs.variant[i]))
            if key not in outcomes:
                asked = engine if build.kind in _HERE else engine.elsewhere()
                outcomes[key] = roughly(variant, build.rig, usage, asked)
            outcome = outcomes[key]
            if outcome is None:
                steps[i] = 0
                continue
            made = option(build, variant, outcome)
            origin[made.id] = build, variant
            judged = assess(made, usage)
            if judged.meets and judged.score is not None and judged.decode_tps is not None:
                cost[i] = float(judged.score)
                steps[i] = _steps(np.array([judged.decode_tps.mid]), usage)[0]
                good[i] = made
            else:
                steps[i] = 0
                _remember(near, judged)
    last = [int(i) for i in front(cost, steps, pairs.quality) if int(i) in good]
    failures = tuple(a.option for a in near.values())

    def exactly(found: Option) -> Option:
        if found.id not in origin:
            return found
        build, variant = origin[found.id]
        asked = engine if build.kind in _HERE else engine.elsewhere()
        outcome = timed(variant, build.rig, usage, asked)
        if outcome is None:
            return replace(found, fits=None, run=None, rough=False)
        made = option(build, variant, outcome)
        return replace(made, plan=planned(variant, build.rig, usage, asked))

    return Found(
        exactly=exactly,
        options=(*(good[i] for i in last), *failures),
        searched=len(shelf) * len(wanted),
        worked_out=len(outcomes),
        complete=complete,
    )


def _same(found: Option) -> Option:
    return found


def _remember(near: dict[str, Assessment], judged: Assessment) -> None:
    """Of every kind the failure with the fewest reasons, then the cheapest."""

    def key(a: Assessment) -> tuple[int, float, str]:
        return len(a.failures), float(a.hardware.mid), a.option.id

    kind = judged.option.kind
    if kind not in near or key(judged) < key(near[kind]):
        near[kind] = judged
