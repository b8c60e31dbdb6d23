"""The answer in one sentence, its reasons, and what would change it. Nothing is sized in here.

The verdict is the first of a fixed order among the options that meet the need. The score is the
expected cost a month plus, for options that change something, what a change must earn
(``Usage.worth_changing``). Costs count in steps that are just wide enough to matter, and so does
what speaks against an option: a class of model, a word of quantization loss, a doubt about its
speed, and something to do each weigh as much as a step or a part of one. An option's place in the
order is its own affair, so another option can only improve on the first one.
"""

import datetime as dt
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import numpy as np

from advisor.advice import wording
from advisor.advice.assessment import Assessment, assess, holds_long
from advisor.advice.costs import BreakEven, break_even
from advisor.advice.grounds import leans_on
from advisor.advice.influences import Comparison, Influence, influences
from advisor.advice.options import Option
from advisor.advice.usage import LOSS_WORDS, Usage
from advisor.advice.whatif import Ask, Change, changes, different
from advisor.basis import Basis

_GROWTH: Final = 0.1
"""A tenth of the cost matters."""


@dataclass(frozen=True, eq=False)
class Advice:
    """What to do, and everything it rests on."""

    headline: str
    """One sentence."""
    reasons: tuple[str, ...]
    best: Assessment | None
    """None: nothing known meets the need."""
    runner_up: Assessment | None
    close: bool
    """Too close to call between the two."""
    changes: tuple[Change, ...]
    assessments: tuple[Assessment, ...]
    """Every option that was worked out, best first; those that do not meet the need come last."""
    front: tuple[str, ...]
    """Ids of the options that no other one beats at once in cost, speed and quality."""
    break_even: BreakEven | None
    """Between the two of ``compared``."""
    compared: tuple[Assessment, Assessment] | None
    """The local option and the API that break-even and influences are about."""
    influences: tuple[Influence, ...]
    """What moves the difference between the two most, widest first; without an API, what moves the
    verdict's own cost."""
    unknowns: tuple[str, ...]
    assumptions: tuple[str, ...]
    """Data that the verdict leans on, with basis, source and date."""
    usage: Usage
    rig_name: str
    made: dt.datetime
    searched: int
    """Options that were looked at, most of them ruled out without a closer look."""
    to_probe: Option | None
    """What runs on this very rig and is worth measuring before anything else is done."""


_BEST_TIER: Final = 5
_TIER: Final = 0.5
_LOSS: Final = 0.5
_CACHE: Final = 0.1
_CHANGE: Final = 1.0
_UNSURE: Final = 0.5
_UNSURE_CHANGE: Final = 1.5
"""What is here can be tried; what is bought cannot be given back."""
_EACH_TIME: Final = {"tune": 0.25, "close programs": 0.5}
"""By kind, what has to be done though nothing is bought: another file to fetch, not for a twentieth
of the speed; programs to close whenever the model is to run, and often a file, too."""
_SLOT: Final = 0.4
"""Few boards hold three cards; each further slot that nobody confirmed is a doubt of its own."""
_LAUNCH: Final = 0.5
"""A launch price is no offer; while memory is short, shops ask more."""
_CLOSE_STEPS: Final = 0.5
"""Closer than half a step two options are too close to call."""
_DOUBLING: Final = 0.25
"""What half the speed weighs, below the speed from which more does not count."""


def demerit(a: Assessment, usage: Usage) -> float:
    """Steps of cost, and what else speaks against an option, in the same unit.

    The first step is as wide as what a change must earn, further ones grow to a tenth of the cost.
    Without a known cost: infinite.
    """
    if a.score is None:
        return math.inf
    first = float(usage.worth_changing) or 1.0
    steps = math.log1p(float(a.score) * _GROWTH / first) / math.log1p(_GROWTH)
    lost = LOSS_WORDS.index(a.option.loss) if a.option.loss in LOSS_WORDS else 0
    unsure = _UNSURE_CHANGE if a.changes else _UNSURE
    against = (
        _TIER * (_BEST_TIER - a.option.tier)
        + _LOSS * lost
        + _CACHE * (a.option.kv_type != "f16")
        + _CHANGE * a.changes
        + (0 if a.sure else unsure)
        + _EACH_TIME.get(a.option.kind, 0.0)
        + _SLOT * a.option.unsure_slots
        + (_LAUNCH if a.option.at_launch_price else 0)
    )
    if a.decode_tps is not None and not usage.batch_ok:
        slower = usage.fast_enough_tps / max(a.decode_tps.mid, 1e-3)
        against += _DOUBLING * max(0.0, math.log2(slower))
    return steps + against


_Key = tuple[bool, bool, float, float, int, Decimal, float, str]


def _order(usage: Usage) -> Callable[[Assessment], _Key]:
    def key(a: Assessment) -> _Key:
        return (
            # What nobody may do is not near to doing.
            a.option.api is not None and not usage.api_allowed,
            not a.meets,
            round(a.miss, 9),
            round(demerit(a, usage), 9),
            -a.option.quality,
            a.score or Decimal(0),
            -(a.decode_tps.mid if a.decode_tps else 0.0),
            a.option.id,
        )

    return key


def rank(assessments: Iterable[Assessment], usage: Usage) -> list[Assessment]:
    """Those that meet the need by ``demerit``, then the others, what lacks least first."""
    return sorted(assessments, key=_order(usage))


def choose(assessments: Iterable[Assessment], usage: Usage) -> Assessment | None:
    """The verdict. None when nothing meets the need."""
    best = min(assessments, key=_order(usage), default=None)
    return best if best is not None and best.meets else None


def dominates(a: Assessment, b: Assessment) -> bool:
    """Whether ``a`` is at least as good as ``b`` in everything and better in something.

    Counted: score, whether anything changes or is in doubt, quality of the model, expected speed,
    and whatever else speaks against an option.
    An API's speed is not known, so options with a known speed and APIs do not dominate each other.
    """
    if a.score is None or b.score is None or not a.meets:
        return False
    speed_a = a.decode_tps.mid if a.decode_tps else None
    speed_b = b.decode_tps.mid if b.decode_tps else None
    if (speed_a is None) != (speed_b is None):
        return False
    pairs = [(float(b.score - a.score), 0.0), *zip(_figures(a), _figures(b), strict=True)]
    return all(x >= y for x, y in pairs) and any(x > y for x, y in pairs)


def _figures(a: Assessment) -> tuple[float, ...]:
    """What ``demerit`` counts beside the cost, more is better."""
    return (
        not a.changes,
        a.sure,
        -_EACH_TIME.get(a.option.kind, 0.0),
        -a.option.unsure_slots,
        not a.option.at_launch_price,
        a.option.quality,
        a.decode_tps.mid if a.decode_tps else 0.0,
    )


def pareto(assessments: Sequence[Assessment], usage: Usage) -> list[Assessment]:
    """Those that meet the need and that no other one dominates, the verdict first."""
    able = [a for a in rank(assessments, usage) if a.meets]
    # ``dominates`` of every pair at once. Costs are compared exactly: by their place among all.
    places = {
        score: place
        for place, score in enumerate(sorted({a.score for a in able if a.score is not None}))
    }
    known = [a for a in able if a.score is not None]
    figures = np.array([(-places[a.score or Decimal(0)], *_figures(a)) for a in known])
    figures = figures.reshape(len(known), -1 if known else 1)
    timed = np.array([a.decode_tps is not None for a in known], dtype=bool)
    no_worse = (figures[:, None] >= figures[None]).all(axis=2)
    better = (figures[:, None] > figures[None]).any(axis=2)
    beaten = (no_worse & better & (timed[:, None] == timed[None])).any(axis=0)
    out = {a.option.id for a, is_beaten in zip(known, beaten, strict=True) if is_beaten}
    return [a for a in able if a.option.id not in out]


def conclude(
    options: Sequence[Option],
    usage: Usage,
    *,
    rig_name: str,
    at: dt.datetime,
    unknowns: Sequence[str] = (),
    assumptions: Sequence[str] = (),
    searched: int = 0,
) -> Advice:
    """Hold every option against the usage and say what follows."""
    return conclude_from(
        [assess(option, usage) for option in options],
        usage,
        rig_name=rig_name,
        at=at,
        unknowns=unknowns,
        assumptions=assumptions,
        searched=searched,
    )


def conclude_from(
    assessments: Sequence[Assessment],
    usage: Usage,
    *,
    rig_name: str,
    at: dt.datetime,
    unknowns: Sequence[str] = (),
    assumptions: Sequence[str] = (),
    searched: int = 0,
    openings: tuple[Change, ...] = (),
    ask: Ask | None = None,
) -> Advice:
    """What follows from options that are held against the usage already.

    ``openings``: where nothing meets it, what would have to be accepted for what. ``ask`` searches
    for another need, where none of these options would meet it.
    """
    ranked = rank(assessments, usage)
    best, runner_up, close = _first_two(ranked, usage)
    compared = _compared(ranked, best, usage) if usage.api_allowed else None
    even = None
    moved: tuple[Influence, ...] = ()
    if compared is not None and compared[0].local is not None and compared[1].api is not None:
        even = break_even(compared[0].local, compared[1].api)
        run, price = compared[0].option.run, compared[1].option.api
        if run is not None and price is not None:
            moved = influences(Comparison(usage, run, compared[0].hardware, price))
    elif best is not None and best.local is not None and best.option.run is not None:
        moved = influences(Comparison(usage, best.option.run, best.hardware, None))
    return Advice(
        headline=wording.headline(best, runner_up, ranked, usage, rig_name, close=close),
        reasons=wording.reasons(best, runner_up, ranked, usage, compared=compared, even=even),
        best=best,
        runner_up=runner_up,
        close=close,
        changes=changes(ranked, usage, best, choose, ask) or openings,
        assessments=tuple(ranked),
        front=tuple(a.option.id for a in pareto(ranked, usage)),
        break_even=even,
        compared=compared,
        influences=moved,
        unknowns=tuple(dict.fromkeys((*unknowns, *wording.doubts(best)))),
        assumptions=(*assumptions, *leans_on(best, runner_up, at.date())),
        usage=usage,
        rig_name=rig_name,
        made=at,
        searched=searched or len(assessments),
        to_probe=_to_probe(best, ranked),
    )


def _to_probe(best: Assessment | None, ranked: Sequence[Assessment]) -> Option | None:
    """What the verdict wants to know first, or the verdict where its speed is only predicted."""
    if best is None:
        return None
    blind = wording.untried(best, ranked)
    if blind is not None:
        return blind.option
    run, here = best.option.run, best.option.kind in {"keep", "tune"}
    return best.option if here and run is not None and run.basis is Basis.COMPUTED else None


def said(options: Iterable[Option], usage: Usage) -> str:
    """The verdict's sentence alone, in a tenth of the time."""
    ranked = rank((assess(option, usage) for option in options), usage)
    best, runner_up, close = _first_two(ranked, usage)
    return wording.headline(best, runner_up, ranked, usage, "", close=close)


def _first_two(
    ranked: Sequence[Assessment], usage: Usage
) -> tuple[Assessment | None, Assessment | None, bool]:
    """The verdict, the runner-up, and whether they are too close to call."""
    best = ranked[0] if ranked and ranked[0].meets else None
    runner_up = None
    if best is not None:
        others = (a for a in ranked if a.meets and different(a.option, best.option))
        runner_up = next(others, None)
    return best, runner_up, _close(best, runner_up, usage)


def _close(best: Assessment | None, runner_up: Assessment | None, usage: Usage) -> bool:
    if best is None or runner_up is None:
        return False
    return demerit(runner_up, usage) - demerit(best, usage) < _CLOSE_STEPS


def _compared(
    ranked: Sequence[Assessment], best: Assessment | None, usage: Usage
) -> tuple[Assessment, Assessment] | None:
    """The best local option and the best API, the verdict among them where it is one of them.

    What has no room for the long requests is not compared over all of them.
    """
    able = (a for a in ranked if a.local is not None and a.monthly is not None)
    local = next((a for a in able if holds_long(a.option, usage)), None)
    api = next((a for a in ranked if a.option.kind == "API"), None)
    if best is not None and best.local is not None:
        local = best
    return None if local is None or api is None else (local, api)
