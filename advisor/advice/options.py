"""One way to meet a need, and whether and at what cost it does. No search in here."""

import datetime as dt
import functools
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

from advisor.advice.costs import ApiCost, HybridCost, LocalCost, api_cost, hybrid_cost, local_cost
from advisor.advice.hardware_prices import HardwarePrice
from advisor.advice.money import ZERO, Span, money
from advisor.advice.prices import ApiPrice, Relation
from advisor.advice.serving import LocalRun, Way
from advisor.advice.usage import DAYS_PER_MONTH, LOSS_WORDS, Usage
from advisor.basis import Range
from advisor.hardware.rig import Rig
from advisor.sizing.plan import Plan
from advisor.units import rate, size, tokens

Kind = Literal[
    "keep",
    "tune",
    "close programs",
    "add RAM",
    "add GPU",
    "replace GPUs",
    "new build",
    "unified machine",
    "API",
    "hybrid",
]
EFFORT: Final[dict[Kind, int]] = {
    "keep": 0,
    "tune": 0,
    "close programs": 1,
    "API": 2,
    "hybrid": 2,
    "add RAM": 3,
    "add GPU": 3,
    "replace GPUs": 4,
    "unified machine": 5,
    "new build": 6,
}
"""How much there is to do. From 2 on, an option must earn ``Usage.worth_changing`` a month."""
_CHANGES_SOMETHING: Final = 2
_NO_FIT: Final = "whether it fits is not known"
_NO_SPEED: Final = "its speed or power is not known; a probe would tell"
_NO_PROMPT: Final = "its time for a prompt is not known; a probe would tell"


def quality_rank(tier: int, loss: str, kv_type: str) -> int:
    """A class of model counts as much as a word of loss, and five times as much as the cache's
    type: in the proportions of ``verdict.demerit``, so that the search leaves out nothing that it
    prefers.

    An unknown loss (an API's) counts as none.
    """
    lost = LOSS_WORDS.index(loss) if loss in LOSS_WORDS else 0
    return 5 * tier - 5 * lost - (kv_type != "f16")


@dataclass(frozen=True, slots=True)
class Purchase:
    """Something to buy."""

    name: str
    count: Decimal
    price: HardwarePrice

    @property
    def usd(self) -> Span:
        """US dollars for all of it."""
        return Span(self.price.low, self.price.mid, self.price.high).times(self.count)


@dataclass(frozen=True, eq=False)
class Option:
    """A rig with a model in a file type, an API, or both."""

    id: str
    kind: Kind
    title: str
    model_id: str = ""
    model_name: str = ""
    file_type: str = ""
    kv_type: str = "f16"
    loss: str = ""
    """What the file type costs in quality, in the words of ``LOSS_WORDS``; empty for an API."""
    tier: int = 0
    """Capability class of the model, 1 to 5."""
    rig: Rig | None = None
    fits: bool | None = None
    """On its rig, at ``ctx``; None is not known, or an API."""
    headroom: int | None = None
    ctx: int = 0
    in_ram: bool = False
    """A part of the model lies in RAM beside the cards."""
    rough: bool = False
    """Sized by sums over layers, not yet exactly."""
    plan: Plan | None = None
    """Worked out for options that are shown; its largest context decides about long requests."""
    server_plan: Plan | None = None
    """Of one of the servers, where each of several cards can have one of its own."""
    run: LocalRun | None = None
    """None: speed or power is not known, the notes say why."""
    answer_tps: Range | None = None
    """How fast it answers, known even where the time for a prompt is not."""
    ttft_s: Range | None = None
    purchases: tuple[Purchase, ...] = ()
    conditions: tuple[str, ...] = ()
    """What must be true of the machine and is not known: "a free slot, two wide"."""
    impossible: tuple[str, ...] = ()
    """What the user said of the machine and this option breaks."""
    unpriced: tuple[str, ...] = ()
    """What has to be bought and has no known price."""
    unsure_slots: int = 0
    """Slots beyond one further that have to be free, where nobody said how many are."""
    api: ApiPrice | None = None
    relation: Relation | None = None
    notes: tuple[str, ...] = ()

    @functools.cached_property
    def quality(self) -> int:
        """Rank for comparisons, see ``quality_rank``."""
        return quality_rank(self.tier, self.loss, self.kv_type)

    @property
    def runs(self) -> str:
        """What it runs, for tables: ``"Qwen3 32B Q4_K_M"``."""
        if self.rig is None:
            return "" if self.api is None else self.api.api.title
        cache = "" if self.kv_type == "f16" else f", {self.kv_type} cache"
        return f"{self.model_name} {self.file_type}{cache}"

    @functools.cached_property
    def at_launch_price(self) -> tuple[str, ...]:
        """Names of the pieces of which no offer is known: shops may ask more."""
        return tuple(p.name for p in self.purchases if p.price.condition == "launch price")

    def hardware(self, usage: Usage) -> Span:
        """What has to be paid at once, in the user's currency."""
        total = ZERO
        for purchase in self.purchases:
            total += purchase.usd
        return total.times(usage.usd_rate)


@dataclass(frozen=True, eq=False)
class Assessment:
    """An option held against a usage. ``meets`` is only true without failures."""

    option: Option
    hardware: Span
    monthly: Span | None
    """None: its speed or a price is not known."""
    failures: tuple[str, ...]
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
        """The cost line of a local option or an API at another volume."""
        if self.hybrid is not None:
            share = self.hybrid.local_share
            served = Decimal(requests) * share
            return self.hybrid.local.monthly(served) + self.hybrid.api.monthly(
                Decimal(requests) - served
            )
        line = self.local or self.api
        return None if line is None else line.monthly(requests)


def api_option(price: ApiPrice, relation: Relation) -> Option:
    """An API as an option."""
    return Option(
        id=f"API|{price.api.id}",
        kind="API",
        title=price.api.title,
        tier=price.api.tier,
        api=price,
        relation=relation,
        notes=price.notes,
    )


def assess(option: Option, usage: Usage) -> Assessment:
    """Hold an option against a usage. Cheap: nothing is sized again."""
    hardware = option.hardware(usage)
    failures = [*option.impossible, *_constraints(option, usage), *_fit(option, usage)]
    missing = [] if option.fits is not None or option.rig is None else [_NO_FIT]
    # What it does comes before what it takes.
    doubts: list[str] = []
    sure = True
    failures += [f"the price of {name} is not known" for name in option.unpriced]
    if usage.budget is not None and hardware.mid > usage.budget:
        failures.append(
            f"costs {money(hardware.mid, usage.currency)}, above the budget of "
            f"{money(usage.budget, usage.currency)}"
        )
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
                failures.append(
                    f"has no room for the {tokens(usage.long_prompt_tokens)} of long requests"
                )
        else:
            hybrid = hybrid_cost(
                usage,
                option.run,
                option.api,
                hardware,
                holds_long=holds_long(option, usage),
            )
            local, api, monthly = None, hybrid.api, hybrid.monthly
            if hybrid.local_share <= 0:
                failures.append("leaves nothing for the machine to do")
    elif option.api is not None:
        api = api_cost(usage, option.api)
        monthly = api.monthly(usage.requests_per_month)
    if option.run is None and option.answer_tps is not None:
        failures += _answers(option.answer_tps, usage)
    if monthly is None and not failures:
        unknown = _NO_SPEED if option.answer_tps is None else _NO_PROMPT
        failures.append(unknown)
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
    return Assessment(
        option=option,
        hardware=hardware,
        monthly=monthly,
        failures=tuple(dict.fromkeys(failures)),
        doubts=tuple(doubts),
        sure=sure,
        unknown=bool(missing) and set(failures) <= set(missing),
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
    largest = option.plan.max_ctx if option.plan is not None else None
    return (largest or option.ctx) >= usage.long_prompt_tokens + usage.output_tokens


def _constraints(option: Option, usage: Usage) -> list[str]:
    failures: list[str] = []
    if option.api is not None:
        if not usage.data_may_leave:
            failures.append("sends prompts to another company")
        if usage.must_work_offline:
            failures.append("does not work offline")
        if usage.same_model_api_only and option.relation != "same weights":
            failures.append("does not serve the same weights")
        window = option.api.context_window
        if window is not None and option.rig is None and window < usage.context:
            failures.append(f"takes at most {tokens(window)} tokens")
    if option.loss and not usage.accepts_loss(option.loss):
        failures.append(f"its quantization loss is {option.loss}, heavier than {usage.max_loss}")
    return failures


def _fit(option: Option, usage: Usage) -> list[str]:
    if option.rig is None:
        return []
    if option.fits is None:
        return [_NO_FIT]
    if not option.fits:
        short = (
            size(-option.headroom) if option.headroom is not None and option.headroom < 0 else ""
        )
        return [f"does not fit{f': {short} short' if short else ''}"]
    if option.ctx < usage.context:
        return [f"was sized for {tokens(option.ctx)}, not {tokens(usage.context)}"]
    return []


def _speed(run: LocalRun, ttft: Range | None, usage: Usage) -> tuple[list[str], list[str]]:
    failures: list[str] = []
    doubts: list[str] = []
    speed = run.decode_tps
    if speed.mid < usage.min_decode_tps:
        failures.append(f"{rate(speed.mid)}, below the {usage.min_decode_tps:g} asked for")
    elif speed.low < usage.min_decode_tps:
        doubts.append(f"may be as slow as {rate(speed.low)}")
    if usage.max_ttft_s is not None and ttft is not None:
        if ttft.mid > usage.max_ttft_s:
            failures.append(
                f"first token after {ttft.mid:,.0f} s, later than the {usage.max_ttft_s:g} s asked"
            )
        elif ttft.high > usage.max_ttft_s:
            doubts.append(f"first token may take {ttft.high:,.0f} s")
    return failures, doubts


def _answers(speed: Range, usage: Usage) -> list[str]:
    """What is too slow already without the prompts, whose time is not known."""
    if speed.mid < usage.min_decode_tps:
        return [f"{rate(speed.mid)}, below the {usage.min_decode_tps:g} asked for"]
    hours = usage.requests_per_month * usage.output_tokens / speed.mid / 3600
    if hours <= usage.hours_per_month:
        return []
    needed = hours / float(DAYS_PER_MONTH)
    return [f"needs {_hours(needed, usage, ' for the answers alone')}"]


def _volume(local: LocalCost, usage: Usage) -> tuple[list[str], list[str]]:
    """Whether the hours do, at the expected speed and at the slow end."""
    busy = local.busy_hours(usage.requests_per_month)
    if local.serves(usage.requests_per_month):
        slow = busy.high / DAYS_PER_MONTH
        if slow <= Decimal(str(usage.hours_per_day)):
            return [], []
        return [], [f"may need {_hours(slow, usage)}"]
    needed = busy.mid / DAYS_PER_MONTH
    even = f", even with {_together(local.way)}" if local.at_once > 1 else ""
    return [f"needs {_hours(needed, usage, f' for this volume{even}')}"], []


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


def old_prices(option: Option, today: dt.date) -> tuple[str, ...]:
    """Names of the pieces whose price is more than half a year old."""
    return tuple(p.name for p in option.purchases if p.price.is_old(today))
