"""The search: every build with every acceptable variant, sized and timed by the engine itself.

A hundred thousand pairs are too many to size. Bounds that can only flatter a pair rule most of them
out at once (``screen``); of the rest only those that may belong to the Pareto front of cost, speed
and quality are worked out, roughly (``skyline``). Whatever comes near the verdict is then sized and
timed exactly. The same question always gives the same answer, whatever was asked before.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

import numpy as np

from advisor.advice.builds import Build
from advisor.advice.engine import Engine, lengths
from advisor.advice.load import Load
from advisor.advice.options import Kind, Option
from advisor.advice.screen import Space, reference, space
from advisor.advice.shelf import Floats, Shelf
from advisor.advice.skyline import Front, Ints, front
from advisor.advice.timing import Placed, Timed, placed, planned, planned_apart, roughly, timed
from advisor.advice.usage import Usage
from advisor.advice.variants import Variant
from advisor.sizing.placement import HOST

_MAX_WORKED_OUT: Final = 3000
"""Enough for every question met so far; a front that is still open then is said to be."""
_USUAL: Final = 400
"""Pairs that a usual question takes, for the progress bar."""
_SPEED_STEP: Final = 1.15
"""Speeds within 15 % count as one: no prediction is better than that."""


@dataclass(frozen=True, eq=False)
class Found:
    """What a search found."""

    options: tuple[Option, ...]
    """The front, and for every kind the cheapest that do and the nearest that fails."""
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
        trained_ctx=model.hp.n_ctx_train if model.hp is not None else 0,
        rough=outcome.rough,
        in_ram=outcome.judgement.verdict == "offload",
        run=outcome.run,
        answer_tps=outcome.answer_tps,
        ttft_s=outcome.ttft_s,
        purchases=build.purchases,
        conditions=build.conditions,
        impossible=build.impossible,
        unpriced=build.unpriced,
        unsure_slots=build.unsure_slots,
        notes=outcome.notes,
    )


def with_plans(
    found: Option, variant: Variant, usage: Usage, engine: Engine, outcome: Timed
) -> Option:
    """An exact option with its plan, and with that of a server on one of its cards."""
    if found.rig is None:
        return found
    asked = variant, found.rig, usage, engine, outcome
    return replace(found, plan=planned(*asked), server_plan=planned_apart(*asked))


def _step(speed: float, enough: float) -> int:
    """Speeds in steps of 15 %, capped where more does not count. 0 is no speed."""
    capped = min(max(speed, 1e-3), enough)
    return 1 + math.floor(math.log(capped / 1e-3) / math.log(_SPEED_STEP))


def _steps(speed: Floats, enough: float) -> Ints:
    """``_step`` of many."""
    capped = np.clip(speed, 1e-3, enough)
    return 1 + np.floor(np.log(capped / 1e-3) / np.log(_SPEED_STEP)).astype(np.int64)


class _Search:
    """One question: pairs, and what became of those that were worked out."""

    def __init__(
        self,
        shelf: Shelf,
        wanted: Sequence[Variant],
        usage: Usage,
        engine: Engine,
        enough: float | None = None,
    ) -> None:
        self.shelf, self.wanted, self.usage, self.engine = shelf, wanted, usage, engine
        self.enough = usage.fast_enough_tps if enough is None else enough
        self.lengths = lengths(usage)
        self.fixed = shelf.fixed(usage)
        self.outcomes: dict[int, Timed] = {}
        """By pair."""
        self.near: dict[str, tuple[int, float, str, int]] = {}
        """Of every kind the failure with the fewest reasons, then the cheapest."""
        known = [
            engine.once(
                ("reference", v.key, self.lengths),
                lambda v=v: reference(v, usage, engine.settings),
            )
            for v in wanted
        ]
        self.pairs: Space = space(shelf, wanted, known, usage, engine)
        self._available = 3600 * usage.hours_per_month
        self._requests = Decimal(usage.requests_per_month)
        self._new = float(usage.new_tokens)
        self._per_joule = float(usage.electricity_price) / 3.6e6

    def of(self, i: int) -> tuple[Build, Variant]:
        """Build and variant of a pair."""
        build, variant = int(self.pairs.build[i]), int(self.pairs.variant[i])
        return self.shelf.builds[build], self.wanted[variant]

    def refine(self, i: int, beat: int) -> tuple[float, int] | None:
        """Score and step of speed of a pair, from the engine.

        None where it does not do, or is surely no faster than ``beat``.
        """
        build, variant = self.of(i)
        engine = self.engine if build.here else self.engine.elsewhere()
        place = build.signature, variant.key, self.lengths
        counted = engine.once(
            ("placed", *place), lambda: placed(variant, build.rig, self.usage, engine)
        )
        # What is too slow for the need is out as well.
        beat = max(beat, _step(self.usage.min_decode_tps, self.enough) - 1)
        if beat > 0 and not build.here and isinstance(counted, Placed):
            least = self.pairs.closer.seconds(
                int(self.pairs.build[i]),
                int(self.pairs.variant[i]),
                in_ram=counted.weights_in_ram,
                in_use=len(counted.placement.places - {HOST}),
            )
            if least > 0 and _step(1 / least, self.enough) <= beat:
                return None
        outcome = engine.once(
            ("roughly", *place),
            lambda: roughly(variant, build.rig, self.usage, engine, counted),
        )
        if outcome is None:
            return None
        self.outcomes[i] = outcome
        run, usage = outcome.run, self.usage
        if run is None or not outcome.judgement.fits:
            self._remember(i, 1)
            return None
        decode, prefill = run.decode_tps.mid, run.prefill_tps.mid
        load = Load(run.served(usage).steps[1], self._available)
        wait = usage.max_ttft_s
        wrong = (
            (decode < usage.min_decode_tps)
            + (wait is not None and self._new / prefill + 1 / decode > wait)
            + (self._requests > load.capacity)
        )
        if wrong:
            self._remember(i, wrong)
            return None
        energy = float(load.joules(self._requests)) * self._per_joule
        return float(self.fixed[self.pairs.build[i]]) + energy, _step(decode, self.enough)

    def cheapest(self, kind: Kind, stop: Callable[[], bool]) -> Front:
        """Of one kind of change the cheapest of every quality, whatever else may beat it.

        People ask what a new machine would cost even where more cards in this one are cheaper.
        """
        pairs = np.flatnonzero(self.shelf.of_kind[kind][self.pairs.build])
        found = front(
            self.pairs.cost[pairs],
            np.ones(len(pairs), dtype=np.int64),
            self.pairs.quality[pairs],
            lambda j, _beat: self._meeting(int(pairs[j])),
            stop=stop,
        )
        return replace(found, points=tuple(int(pairs[j]) for j in found.points))

    def _meeting(self, i: int) -> tuple[float, int] | None:
        real = self.refine(i, -1)
        return None if real is None else (real[0], 1)

    def _remember(self, i: int, wrong: int) -> None:
        build, variant = self.of(i)
        key = (wrong, float(build.usd), f"{build.title}|{variant.key}", i)
        if build.kind not in self.near or key < self.near[build.kind]:
            self.near[build.kind] = key

    def option(self, i: int) -> Option:
        """A worked-out pair."""
        return option(*self.of(i), self.outcomes[i])

    def exactly(self, i: int, rough: Option) -> Option:
        """The same option sized and timed exactly, with its plan."""
        build, variant = self.of(i)
        engine = self.engine if build.here else self.engine.elsewhere()

        def work() -> Option:
            outcome = timed(variant, build.rig, self.usage, engine)
            if outcome is None:
                return replace(rough, fits=None, run=None, rough=False)
            made = option(build, variant, outcome)
            return with_plans(made, variant, self.usage, engine, outcome)

        exact = engine.once(("exactly", build.signature, variant.key, self.lengths), work)
        # A build with the same rig may have been asked for earlier: what this one takes is its own.
        return replace(
            exact,
            id=rough.id,
            kind=rough.kind,
            title=rough.title,
            rig=rough.rig,
            purchases=rough.purchases,
            conditions=rough.conditions,
            impossible=rough.impossible,
            unpriced=rough.unpriced,
            unsure_slots=rough.unsure_slots,
        )


def search(
    shelf: Shelf,
    wanted: Sequence[Variant],
    usage: Usage,
    *,
    engine: Engine,
    enough: float | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    progress: Callable[[float], None] = lambda _share: None,
) -> Found:
    """The front over every build of the shelf with every wanted variant.

    ``enough``: tokens per second from which more does not count, where that is not the usage's own.
    """
    if not wanted:
        return Found((), _same, 0, 0, complete=True)
    asked = _Search(shelf, wanted, usage, engine, enough)

    def stop() -> bool:
        done = len(asked.outcomes)
        if done % 16 == 0:
            progress(min(1.0, done / _USUAL))
        return cancelled() or done >= _MAX_WORKED_OUT

    pairs = asked.pairs
    found = front(
        pairs.cost, _steps(pairs.speed, asked.enough), pairs.quality, asked.refine, stop=stop
    )
    chosen = dict.fromkeys(found.points)
    complete = found.complete
    for kind in shelf.of_kind:
        least = asked.cheapest(kind, stop)
        chosen |= dict.fromkeys(least.points)
        complete = complete and least.complete
    origin = {asked.option(i).id: i for i in (*chosen, *(n[-1] for n in asked.near.values()))}

    def exactly(rough: Option) -> Option:
        return asked.exactly(origin[rough.id], rough) if rough.id in origin else rough

    return Found(
        options=tuple(asked.option(i) for i in origin.values()),
        exactly=exactly,
        searched=len(shelf.builds) * len(wanted),
        worked_out=len(asked.outcomes),
        complete=complete,
    )


def _same(found: Option) -> Option:
    return found


def both(found: Found, more: Found) -> Found:
    """What two searches found, the same builds in one for another context than in the other."""
    renamed = {f"{o.id}|{o.ctx}": o for o in more.options}

    def exactly(rough: Option) -> Option:
        if rough.id in renamed:
            return replace(more.exactly(renamed[rough.id]), id=rough.id)
        return found.exactly(rough)

    return Found(
        options=(*found.options, *(replace(o, id=name) for name, o in renamed.items())),
        exactly=exactly,
        searched=found.searched + more.searched,
        worked_out=found.worked_out + more.worked_out,
        complete=found.complete and more.complete,
    )
