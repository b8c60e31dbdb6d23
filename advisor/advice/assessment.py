"""An option held against a need: what it costs, what it lacks, and by how much."""

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NamedTuple

from advisor.advice.costs import (
    ApiCost,
    HybridCost,
    LocalCost,
    api_cost,
    hybrid_cost,
    local_cost,
)
from advisor.advice.money import Span, price
from advisor.advice.options import EFFORT, Option
from advisor.advice.serving import LocalRun, Way
from advisor.advice.usage import DAYS_PER_MONTH, LOSS_WORDS, Usage
from advisor.basis import Range
from advisor.units import rate, size, tokens, wait

_CHANGES_SOMETHING: Final = 2
_NO_FIT: Final = "whether it fits is not known"
_NO_SPEED: Final = "its speed is not known; a probe would tell"
_NO_PROMPT: Final = "its time for a prompt is not known; a probe would tell"


_FORBIDDEN: Final = 5.0
_NOTHING_RUNS: Final = 10.0
_LIMIT: Final = 3.0
_NO_PRICE: Final = 2.0
_UNKNOWN: Final = 1.0
"""How far from the need, in doublings, what has no figure counts."""


class Lack(NamedTuple):
    """Something that an option lacks of a need."""

    words: str
    size: float
    """In doublings of what is asked for over what there is."""


def _doublings(asked: float, there: float) -> float:
    """How often the smaller has to be doubled; ``_NOTHING_RUNS`` where it is nothing."""
    if there <= 0 or asked <= 0:
        return _NOTHING_RUNS
    return min(_NOTHING_RUNS, abs(math.log2(asked / there)))


@dataclass(frozen=True, eq=False)
class Assessment:
    """An option held against a usage. ``meets`` is only true without failures."""

    option: Option
    hardware: Span
    monthly: Span | None
    """None: its speed or a price is not known."""
    failures: tuple[str, ...]
    miss: float
    """How far it is from the need, in doublings of what it lacks; 0 where it meets it."""
    doubts: tuple[str, ...]
    sure: bool
    """Whether even the slow end of its speed is what was asked for."""
    unknown: bool
    """Nothing speaks against it but that something is not known; a probe would tell."""
    decode_tps: Range | None
    ttft_s: Range | None
    busy_hours_per_day: Decimal | None
    score: Decimal | None
    """Expected cost a month, with what a change must earn added. Lowest wins."""
    local: LocalCost | None = None
    api: ApiCost | None = None
    hybrid: HybridCost | None = None

    @property
    def changes(self) -> bool:
        """Whether something is bought or sent out: more than doing nothing."""
        return EFFORT[self.option.kind] >= _CHANGES_SOMETHING

    @property
    def meets(self) -> bool:
        """Whether it does everything that was asked."""
        return not self.failures

    def per_thousand(self, usage: Usage) -> Span | None:
        """Cost of a thousand requests at this volume."""
        if self.monthly is None:
            return None
        return self.monthly.times(Decimal(1000) / usage.requests_per_month)

    def monthly_at(self, requests: int | Decimal) -> Span | None:
        """What it would cost a month at another volume."""
        line = self.hybrid or self.local or self.api
        return None if line is None else line.monthly(requests)

    @property
    def bends(self) -> tuple[Decimal, ...]:
        """Volumes at which that cost takes another course; in between it is a straight line."""
        line = self.hybrid or self.local
        return () if line is None else line.bends


def assess(option: Option, usage: Usage) -> Assessment:
    """Hold an option against a usage. Cheap: nothing is sized again."""
    hardware = option.hardware(usage)
    failures = [Lack(words, _LIMIT) for words in (*option.impossible, *option.broken)]
    failures += (*_constraints(option, usage), *_fit(option, usage))
    missing = [] if option.fits is not None or option.rig is None else [_NO_FIT]
    # What it does comes before what it takes.
    doubts: list[str] = []
    sure = True
    failures += _money(option, hardware, usage)
    local = api = hybrid = None
    monthly: Span | None = None
    if option.run is not None:
        speed_failures, speed_doubts = _speed(option.run, option.ttft_s, usage)
        failures += speed_failures
        doubts += speed_doubts
        sure = not (speed_failures or speed_doubts)
        if option.api is None:
            local = local_cost(usage, option.run, hardware)
            monthly = local.monthly(usage.requests_per_month)
            volume_failures, volume_doubts = _volume(local, usage)
            failures += volume_failures
            doubts += volume_doubts
            sure = sure and not (volume_failures or volume_doubts)
            if usage.long_share and not holds_long(option, usage):
                words = f"has no room for the {tokens(usage.long_prompt_tokens)} of long requests"
                failures.append(Lack(words, _doublings(usage.long_prompt_tokens, option.ctx)))
        else:
            hybrid = hybrid_cost(
                usage,
                option.run,
                option.api,
                hardware,
                holds_long=holds_long(option, usage),
            )
            api, monthly = hybrid.api, hybrid.monthly(usage.requests_per_month)
            if hybrid.local_share <= 0:
                failures.append(Lack("leaves nothing for the machine to do", _NOTHING_RUNS))
    elif option.api is not None:
        api = api_cost(usage, option.api)
        monthly = api.monthly(usage.requests_per_month)
    if option.run is None and option.answer_tps is not None:
        failures += _answers(option.answer_tps, usage)
    if monthly is None and not failures:
        unknown = _NO_SPEED if option.answer_tps is None else _NO_PROMPT
        failures.append(Lack(unknown, _UNKNOWN))
        missing.append(unknown)
    if option.unpriced:
        monthly = None
    busy = local or (hybrid.local if hybrid else None)
    volume = Decimal(usage.requests_per_month) * (hybrid.local_share if hybrid else 1)
    changes = EFFORT[option.kind] >= _CHANGES_SOMETHING
    doubts += [f"needs {condition}" for condition in option.conditions]
    if option.rough:
        doubts.append("sized roughly")
    doubts += [f"{name} is counted at its launch price" for name in option.at_launch_price]
    lacks = dict(failures)
    return Assessment(
        option=option,
        hardware=hardware,
        monthly=monthly,
        failures=tuple(lacks),
        miss=sum(lacks.values()),
        doubts=tuple(doubts),
        sure=sure,
        unknown=bool(missing) and set(lacks) <= set(missing),
        decode_tps=option.run.decode_tps if option.run else option.answer_tps,
        ttft_s=option.ttft_s,
        busy_hours_per_day=None if busy is None else busy.busy_hours(volume).mid / DAYS_PER_MONTH,
        score=None
        if monthly is None
        else monthly.mid + (usage.worth_changing if changes else Decimal(0)),
        local=local,
        api=api,
        hybrid=hybrid,
    )


def holds_long(option: Option, usage: Usage) -> bool:
    """Whether the long requests fit into the context that this placement can have."""
    if not usage.long_share:
        return True
    longest = usage.long_prompt_tokens + usage.output_tokens
    if option.trained_ctx and option.trained_ctx < longest:
        return False
    largest = option.plan.max_ctx if option.plan is not None else None
    return max(largest or 0, option.ctx) >= longest


def _constraints(option: Option, usage: Usage) -> list[Lack]:
    failures: list[Lack] = []
    if option.api is not None:
        if not usage.data_may_leave:
            failures.append(Lack("sends prompts to another company", _FORBIDDEN))
        if usage.must_work_offline:
            failures.append(Lack("does not work offline", _FORBIDDEN))
        if usage.same_model_api_only and option.relation != "same weights":
            failures.append(Lack("does not serve the same weights", _FORBIDDEN))
        window = option.api.context_window
        if window is not None and option.rig is None and window < usage.context:
            failures.append(
                Lack(f"takes at most {tokens(window)} tokens", _doublings(usage.context, window))
            )
    if option.loss and not usage.accepts_loss(option.loss):
        words = f"its quantization is too coarse ({option.loss}, where {usage.max_loss} is allowed)"
        if option.loss not in LOSS_WORDS:
            words = f"its quantization's loss is {option.loss}"
        heavier = LOSS_WORDS.index(option.loss) if option.loss in LOSS_WORDS else len(LOSS_WORDS)
        failures.append(Lack(words, heavier - LOSS_WORDS.index(usage.max_loss)))
    return failures


def _money(option: Option, hardware: Span, usage: Usage) -> list[Lack]:
    failures = [Lack(f"the price of {name} is not known", _NO_PRICE) for name in option.unpriced]
    if usage.budget is not None and hardware.mid > usage.budget:
        cost, budget = (price(amount, usage.currency) for amount in (hardware.mid, usage.budget))
        words = f"costs {cost}, above the budget of {budget}"
        failures.append(Lack(words, _doublings(float(hardware.mid), float(usage.budget))))
    return failures


def _fit(option: Option, usage: Usage) -> list[Lack]:
    if option.rig is None:
        return []
    if option.trained_ctx and option.trained_ctx < usage.context:
        trained, asked = tokens(option.trained_ctx), tokens(usage.context)
        words = f"the model was trained for {trained} at once, not the {asked} asked for"
        return [Lack(words, _doublings(usage.context, option.trained_ctx))]
    if option.fits is None:
        return [Lack(_NO_FIT, _UNKNOWN)]
    if not option.fits:
        short = (
            size(-option.headroom) if option.headroom is not None and option.headroom < 0 else ""
        )
        return [Lack(f"does not fit{f': {short} short' if short else ''}", _NOTHING_RUNS)]
    if option.ctx < usage.context:
        # It was placed for a shorter context; the same placement may hold a longer one.
        held = max(option.ctx, (option.plan.max_ctx if option.plan else None) or 0)
        held = held if held < usage.context else option.ctx
        words = f"holds {tokens(held)} at once, not the {tokens(usage.context)} asked for"
        return [Lack(words, _doublings(usage.context, held))]
    return []


def _speed(run: LocalRun, ttft: Range | None, usage: Usage) -> tuple[list[Lack], list[str]]:
    failures: list[Lack] = []
    doubts: list[str] = []
    speed = run.decode_tps
    if speed.mid < usage.min_decode_tps:
        failures.append(_too_slow(speed, usage))
    elif speed.low < usage.min_decode_tps:
        doubts.append(f"may be as slow as {rate(speed.low, limit=usage.min_decode_tps)}")
    if usage.max_ttft_s is not None and ttft is not None:
        if ttft.mid > usage.max_ttft_s:
            late = f"later than the {wait(usage.max_ttft_s)} asked"
            words = f"first token after {wait(ttft.mid, limit=usage.max_ttft_s)}, {late}"
            failures.append(Lack(words, _doublings(ttft.mid, usage.max_ttft_s)))
        elif ttft.high > usage.max_ttft_s:
            doubts.append(f"first token may take {wait(ttft.high, limit=usage.max_ttft_s)}")
    return failures, doubts


def _answers(speed: Range, usage: Usage) -> list[Lack]:
    """What is too slow already without the prompts, whose time is not known."""
    if speed.mid < usage.min_decode_tps:
        return [_too_slow(speed, usage)]
    hours = usage.requests_per_month * usage.output_tokens / speed.mid / 3600
    if hours <= usage.hours_per_month:
        return []
    needed = hours / float(DAYS_PER_MONTH)
    words = f"needs {_hours(needed, usage, ' for the answers alone')}"
    return [Lack(words, _doublings(needed, usage.hours_per_day))]


def _too_slow(speed: Range, usage: Usage) -> Lack:
    pace = rate(speed.mid, limit=usage.min_decode_tps)
    words = f"{pace}, below the {usage.min_decode_tps:g} asked for"
    return Lack(words, _doublings(usage.min_decode_tps, speed.mid))


def _volume(local: LocalCost, usage: Usage) -> tuple[list[Lack], list[str]]:
    """Whether the hours do, at the expected speed and at the slow end."""
    busy = local.busy_hours(usage.requests_per_month)
    if local.serves(usage.requests_per_month):
        slow = local.slow_hours() / DAYS_PER_MONTH
        if slow <= Decimal(str(usage.hours_per_day)):
            return [], []
        return [], [f"may need {_hours(slow, usage)}"]
    needed = busy.mid / DAYS_PER_MONTH
    even = f", even with {_together(local.way)}" if local.at_once > 1 else ""
    words = f"needs {_hours(needed, usage, f' for this volume{even}')}"
    return [Lack(words, _doublings(float(needed), usage.hours_per_day))], []


def _together(way: Way) -> str:
    """``"4 answers at once"``, ``"a server on each of 4 cards"``."""
    if not way.servers:
        return f"{way.at_once} answers at once"
    more = f" and {way.at_once} answers at once" if way.level.at_once > 1 else ""
    return f"a server on each of {len(way.servers)} cards{more}"


def _hours(hours: Decimal | float, usage: Usage, what: str = "") -> str:
    """With a tenth where one could be read as enough."""
    told = f"{hours:,.1f}" if hours < 100 else f"{hours:,.0f}"
    return f"{told} hours a day{what}; there are {usage.hours_per_day:g}"
