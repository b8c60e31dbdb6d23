"""What an option costs: per month, over the horizon, against volume, and what moves it most.

Local cost is linear in volume: hardware less its resale value spread over the horizon, idle power,
and electricity for every request. Money is Decimal in the user's currency, exact to the cent;
``low`` is always the cheaper end. Left out: cooling of the room, repairs, and anyone's time.
"""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Decimal

from advisor.advice.batching import Gain, faster
from advisor.advice.power import Power
from advisor.advice.prices import ApiPrice, PriceRange
from advisor.advice.usage import Usage
from advisor.basis import Basis, Range

_HOUR = Decimal(3600)
_WH_PER_KWH = Decimal(1000)
CENT = Decimal("0.01")
_REMEMBERED = 64
"""Lengths of requests whose seconds a run keeps."""


@dataclass(frozen=True, slots=True)
class Span:
    """Money or another exact amount: cheap end, expected, dear end."""

    low: Decimal
    mid: Decimal
    high: Decimal

    @classmethod
    def exactly(cls, value: Decimal | int) -> "Span":
        """An amount without spread."""
        amount = Decimal(value)
        return cls(amount, amount, amount)

    @classmethod
    def of(cls, value: Range) -> "Span":
        """A range of floats as written, without binary remainders."""
        return cls(*(Decimal(repr(v)) for v in (value.low, value.mid, value.high)))

    def __add__(self, other: "Span") -> "Span":
        return Span(self.low + other.low, self.mid + other.mid, self.high + other.high)

    def times(self, factor: Decimal | int) -> "Span":
        """Every end multiplied."""
        return Span(self.low * factor, self.mid * factor, self.high * factor)


ZERO = Span.exactly(0)


def cents(amount: Decimal) -> Decimal:
    """Rounded to the cent, for screens and papers."""
    return amount.quantize(CENT)


def two_digits(value: Decimal | int) -> int:
    """Rounded to two significant digits: volumes at which something changes are no better known."""
    number = Decimal(value)
    exponent = max(0, number.adjusted() - 1)
    return int(number.scaleb(-exponent).quantize(Decimal(1), ROUND_HALF_EVEN).scaleb(exponent))


def energy_cost(watts: Decimal, hours: Decimal, price_per_kwh: Decimal) -> Decimal:
    """Electricity: W × h / 1000 × price."""
    return watts * hours / _WH_PER_KWH * price_per_kwh


@dataclass(frozen=True)
class Together:
    """So many answers at once, and how much faster they are together than one after the other."""

    at_once: int
    faster: Range


_ALONE = Together(1, Range.exactly(1.0))


@dataclass(frozen=True)
class LocalRun:
    """How fast and at what power a rig answers. Speeds in tokens per second, of one answer."""

    decode_tps: Range
    prefill_tps: Range
    power: Power
    basis: Basis = Basis.COMPUTED
    slots: int = 1
    """Answers whose caches fit beside each other, each with the usage's context."""
    cache_share: float = 0.0
    """Part of a token's time that goes into reading its own cache."""
    gains: tuple[Gain, ...] = ()
    """What more answers at once gain; empty where nobody published that."""

    def ways(self, usage: Usage) -> Iterator[Together]:
        """One answer alone, then more at once: as far as caches fit and each stays fast enough."""
        yield _ALONE
        slots = self.slots
        if usage.long_share:
            longest = usage.long_prompt_tokens + usage.output_tokens
            slots //= max(1, -(-longest // usage.context))
        for gain in self.gains:
            ends = [faster(g, self.cache_share) for g in (gain.low, gain.mid, gain.high)]
            each = self.decode_tps.mid * ends[1] / gain.at_once
            if gain.at_once > slots or each < usage.min_decode_tps:
                return
            yield Together(gain.at_once, Range(low=ends[0], mid=ends[1], high=ends[2]))

    @functools.cached_property
    def _speeds(self) -> tuple[Span, Span]:
        return Span.of(self.decode_tps), Span.of(self.prefill_tps)

    @functools.cached_property
    def watts(self) -> tuple[Span, Span]:
        """Idle, then busy."""
        return Span.of(self.power.idle), Span.of(self.power.busy)

    @functools.cached_property
    def known_seconds(self) -> dict[object, list[tuple[Together, Span]]]:
        """Seconds of a request by what they depend on: another volume asks for them again."""
        return {}

    def seconds(
        self, usage: Usage, *, prompt_tokens: int | None = None, way: Together = _ALONE
    ) -> Span:
        """Time that one request takes of the machine: new prompt tokens, then the answer.

        The fast end comes first.
        """
        prompt = prompt_tokens or usage.prompt_tokens
        new = prompt * (1 - usage.cached_share)
        decode, prefill = self._speeds
        if way.at_once > 1:
            gain = Span.of(way.faster)
            decode = Span(decode.low * gain.low, decode.mid * gain.mid, decode.high * gain.high)
        return Span(
            new / prefill.high + usage.output_tokens / decode.high,
            new / prefill.mid + usage.output_tokens / decode.mid,
            new / prefill.low + usage.output_tokens / decode.low,
        )


@dataclass(frozen=True)
class LocalCost:
    """A local option's cost as a line over volume."""

    hardware: Span
    """To buy now."""
    fixed: Span
    """Per month: hardware less resale, spread over the horizon, and idle power."""
    per_request: Span
    """Electricity that one more request takes."""
    seconds: Span
    """Busy time of one request."""
    capacity: Span
    """Requests a month that fit into the hours given: slow end, expected, fast end. With as many
    answers at once as serve most."""
    months: int
    at_once: int = 1
    """Answers at once that the usage's volume takes; ``seconds`` and ``per_request`` are theirs."""

    def monthly(self, requests: int | Decimal) -> Span:
        """Cost of a month with that many requests, whether or not they can be served in time."""
        return self.fixed + self.per_request.times(Decimal(requests))

    def horizon(self, requests: int | Decimal) -> Span:
        """Cost until the end of the horizon, resale value taken off."""
        return self.monthly(requests).times(self.months)

    def each(self, requests: int) -> Span:
        """Cost per request at that volume."""
        return self.monthly(requests).times(Decimal(1) / requests)

    def busy_hours(self, requests: int | Decimal) -> Span:
        """Hours a month in which the machine works."""
        return self.seconds.times(Decimal(requests) / _HOUR)

    def serves(self, requests: int | Decimal) -> bool:
        """Whether that volume fits into the hours given, at the expected speed."""
        return Decimal(requests) <= self.capacity.mid


def local_cost(usage: Usage, run: LocalRun, hardware: Span = ZERO) -> LocalCost:
    """The cost line of a rig. ``hardware``: what has to be bought, in the user's currency."""
    available = usage.hours_per_month * _HOUR
    way, seconds, least = _busy(usage, run, available)
    idle, busy = run.watts
    price, hours = usage.electricity_price, usage.hours_per_month
    spread = hardware.times((1 - usage.resale_share) / usage.horizon_months)
    fixed = spread
    if usage.idle == "counts":
        fixed = spread + Span(
            *(energy_cost(w, hours, price) for w in (idle.low, idle.mid, idle.high))
        )
    # Where idle power is paid for or lost anyway, a request only takes what exceeds it.
    saved = ZERO if usage.idle == "off" else idle

    def request(watts: Decimal, idle_watts: Decimal, time: Decimal) -> Decimal:
        return energy_cost(max(watts - idle_watts, Decimal(0)), time / _HOUR, price)

    per_request = Span(
        request(busy.low, saved.low, seconds.low),
        request(busy.mid, saved.mid, seconds.mid),
        request(busy.high, saved.high, seconds.high),
    )
    return LocalCost(
        hardware=hardware,
        fixed=fixed,
        per_request=per_request,
        seconds=seconds,
        capacity=Span(available / least.high, available / least.mid, available / least.low),
        months=usage.horizon_months,
        at_once=way.at_once,
    )


def _busy(usage: Usage, run: LocalRun, available: Decimal) -> tuple[Together, Span, Span]:
    """How a volume is served, busy seconds of a request then, and the least that it can take.

    No more answers at once than the volume needs: each of them is slower than alone.
    """
    found = _each_way(usage, run)
    least = min(found, key=lambda pair: pair[1].mid)
    enough = (p for p in found if p[1].mid * usage.requests_per_month <= available)
    return *next(enough, least), least[1]


def _each_way(usage: Usage, run: LocalRun) -> list[tuple[Together, Span]]:
    """Busy seconds of a request by how many are answered at once."""
    asked = (
        usage.prompt_tokens,
        usage.cached_share,
        usage.output_tokens,
        usage.context,
        usage.long_share,
        usage.long_prompt_tokens,
        usage.min_decode_tps,
    )
    if asked not in run.known_seconds:
        if len(run.known_seconds) >= _REMEMBERED:
            run.known_seconds.clear()
        run.known_seconds[asked] = [(w, _mean_seconds(usage, run, w)) for w in run.ways(usage)]
    return run.known_seconds[asked]


def _mean_seconds(usage: Usage, run: LocalRun, way: Together) -> Span:
    seconds = run.seconds(usage, way=way)
    if not usage.long_share:
        return seconds
    long = run.seconds(usage, prompt_tokens=usage.long_prompt_tokens, way=way)
    return seconds.times(1 - usage.long_share) + long.times(usage.long_share)


@dataclass(frozen=True)
class ApiCost:
    """An API's cost: so much per request."""

    per_request: Span
    long_request: Span
    """A long request; the same as ``per_request`` where there are none."""
    long_share: Decimal

    @property
    def mean(self) -> Span:
        """Per request over the whole mix."""
        short, long = 1 - self.long_share, self.long_share
        return self.per_request.times(short) + self.long_request.times(long)

    def monthly(self, requests: int | Decimal) -> Span:
        """Cost of a month."""
        return self.mean.times(Decimal(requests))


def api_cost(usage: Usage, price: ApiPrice) -> ApiCost:
    """An API's cost for this usage, in the user's currency."""

    def span(p: PriceRange) -> Span:
        return Span(*(usage.from_usd(v) for v in (p.low, p.mid, p.high)))

    short = span(price.request(usage))
    long = short
    if usage.long_share:
        long = span(price.request(usage, prompt_tokens=usage.long_prompt_tokens))
    return ApiCost(short, long, usage.long_share)


@dataclass(frozen=True)
class HybridCost:
    """Local for what fits and the API for the rest."""

    local: LocalCost
    api: ApiCost
    local_share: Decimal
    """Part of the requests that the rig answers at the usage's volume."""
    monthly: Span


def hybrid_cost(
    usage: Usage, run: LocalRun, api: ApiPrice, hardware: Span = ZERO, *, holds_long: bool
) -> HybridCost:
    """The rig answers short requests (long ones too if ``holds_long``) until its hours are full."""
    requests = Decimal(usage.requests_per_month)
    fitting = Decimal(1) if holds_long else 1 - usage.long_share
    own = usage if holds_long else usage.model_copy(update={"long_share": Decimal(0)})
    local = local_cost(own, run, hardware)
    served = min(requests * fitting, local.capacity.mid)
    rest = api_cost(usage, api)
    if holds_long:
        outside = rest.mean.times(requests - served)
    else:
        long = requests * usage.long_share
        outside = rest.long_request.times(long) + rest.per_request.times(requests - long - served)
    return HybridCost(
        local=local,
        api=rest,
        local_share=served / requests,
        monthly=local.monthly(served) + outside,
    )


@dataclass(frozen=True)
class BreakEven:
    """Requests a month from which a local option is cheaper than an API. None: never."""

    low: Decimal | None
    """With everything in favour of the local option."""
    mid: Decimal | None
    high: Decimal | None
    """With everything against it."""
    capacity: Decimal
    """What the machine can serve in the hours given."""

    @property
    def reachable(self) -> bool:
        """Whether the machine is fast enough to get there."""
        return self.mid is not None and self.mid <= self.capacity


def break_even(local: LocalCost, api: ApiCost) -> BreakEven:
    """Where the two lines cross, with the range that speeds, power and prices span."""
    price = api.mean

    def cross(fixed: Decimal, per_request: Decimal, api_price: Decimal) -> Decimal | None:
        if fixed <= 0:
            return Decimal(0) if api_price >= per_request else None
        return fixed / (api_price - per_request) if api_price > per_request else None

    return BreakEven(
        low=cross(local.fixed.low, local.per_request.low, price.high),
        mid=cross(local.fixed.mid, local.per_request.mid, price.mid),
        high=cross(local.fixed.high, local.per_request.high, price.low),
        capacity=local.capacity.mid,
    )


@dataclass(frozen=True)
class Influence:
    """How far one input moves local cost less API cost, per month."""

    name: str
    low_input: str
    high_input: str
    at_low: Decimal
    at_high: Decimal

    @property
    def swing(self) -> Decimal:
        """The whole width."""
        return abs(self.at_high - self.at_low)


@dataclass(frozen=True)
class Comparison:
    """One local option, against an API where there is one, with every input open to be moved."""

    usage: Usage
    run: LocalRun
    hardware: Span
    api: ApiPrice | None

    def difference(self) -> Decimal:
        """Local cost less API cost, per month; negative: local is cheaper."""
        requests = self.usage.requests_per_month
        local = local_cost(self.usage, self.run, self.hardware).monthly(requests).mid
        if self.api is None:
            return local
        return local - api_cost(self.usage, self.api).monthly(requests).mid


def influences(base: Comparison) -> tuple[Influence, ...]:
    """What moves the comparison most, widest first (a tornado)."""
    usage, run, hardware = base.usage, base.run, base.hardware

    def used(**update: object) -> Comparison:
        return replace(base, usage=usage.model_copy(update=update))

    def scaled(name: str, value: int, low: Decimal, high: Decimal) -> Influence:
        ends = [max(1, int(value * factor)) for factor in (low, high)]
        return _influence(
            name, [f"{end:,}" for end in ends], [used(**{_FIELD[name]: end}) for end in ends]
        )

    half, double = Decimal("0.5"), Decimal(2)
    found = [
        scaled("Requests a month", usage.requests_per_month, half, double),
        scaled("Answer length", usage.output_tokens, half, double),
        scaled("Prompt length", usage.prompt_tokens, half, double),
        _share("Repeated share", "cached_share", usage.cached_share, used),
        _share("Resale value", "resale_share", usage.resale_share, used),
        scaled("Horizon", usage.horizon_months, half, Decimal("1.5")),
        _influence(
            "Electricity price",
            [f"{usage.electricity_price * f:.2f}" for f in (half, double)],
            [used(electricity_price=usage.electricity_price * f) for f in (half, double)],
        ),
        _influence(
            "API price",
            ["half", "double"],
            [used_price(base, half), used_price(base, double)],
        ),
        _influence(
            "Speed",
            [f"{run.decode_tps.low:.1f} tok/s", f"{run.decode_tps.high:.1f} tok/s"],
            [
                replace(base, run=replace(run, decode_tps=_at(d), prefill_tps=_at(p)))
                for d, p in (
                    (run.decode_tps.low, run.prefill_tps.low),
                    (run.decode_tps.high, run.prefill_tps.high),
                )
            ],
        ),
        _influence(
            "Power drawn",
            [f"{run.power.busy.low:.0f} W", f"{run.power.busy.high:.0f} W"],
            [
                replace(base, run=replace(run, power=replace(run.power, busy=_at(b), idle=_at(i))))
                for b, i in (
                    (run.power.busy.low, run.power.idle.low),
                    (run.power.busy.high, run.power.idle.high),
                )
            ],
        ),
        _influence(
            "Hardware price",
            [f"{cents(hardware.low):,}", f"{cents(hardware.high):,}"],
            [
                replace(base, hardware=Span.exactly(hardware.low)),
                replace(base, hardware=Span.exactly(hardware.high)),
            ],
        ),
    ]
    moved = [influence for influence in found if influence.swing > 0]
    return tuple(sorted(moved, key=lambda i: (-i.swing, i.name)))


_FIELD = {
    "Requests a month": "requests_per_month",
    "Answer length": "output_tokens",
    "Prompt length": "prompt_tokens",
    "Horizon": "horizon_months",
}


def used_price(base: Comparison, factor: Decimal) -> Comparison:
    """The comparison with an API that costs ``factor`` times as much."""
    # The rate of exchange moves API prices alone: hardware is already in the user's currency.
    usage = base.usage.model_copy(update={"usd_rate": base.usage.usd_rate * factor})
    return replace(base, usage=usage)


def _at(value: float) -> Range:
    return Range.exactly(value)


def _share(name: str, field: str, value: Decimal, used: Callable[..., Comparison]) -> Influence:
    ends = (max(Decimal(0), value - Decimal("0.2")), min(Decimal(1), value + Decimal("0.2")))
    return _influence(
        name, [f"{end * 100:.0f} %" for end in ends], [used(**{field: end}) for end in ends]
    )


def _influence(name: str, labels: list[str], ends: list[Comparison]) -> Influence:
    low, high = (end.difference() for end in ends)
    return Influence(name, labels[0], labels[1], low, high)
