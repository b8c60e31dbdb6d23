"""What an option costs: per month, over the horizon, and against volume.

Local cost is linear in volume: hardware less its resale value spread over the horizon, idle power,
and electricity for every request. Money is Decimal in the user's currency, exact to the cent;
``low`` is always the cheaper end. Left out: cooling of the room, repairs, and anyone's time.
"""

from dataclasses import dataclass, field
from decimal import Decimal

from advisor.advice.money import ZERO, Span, energy_cost
from advisor.advice.prices import ApiPrice, PriceRange
from advisor.advice.serving import LocalRun, Way
from advisor.advice.usage import Usage

_HOUR = Decimal(3600)


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
    way: Way = field(default_factory=Way)
    """How the usage's volume is served; ``seconds`` and ``per_request`` are of that way."""

    @property
    def at_once(self) -> int:
        """Answers at once that the usage's volume takes."""
        return self.way.at_once

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


def local_cost(
    usage: Usage, run: LocalRun, hardware: Span = ZERO, *, way: Way | None = None
) -> LocalCost:
    """The cost line of a rig. ``hardware``: what has to be bought, in the user's currency.

    ``way``: how it serves the volume, where that is settled already.
    """
    available = usage.hours_per_month * _HOUR
    busy, least = run.served(usage, available, way)
    idle, seconds, watts = run.watts[0], busy.seconds, busy.watts
    price, hours = usage.electricity_price, usage.hours_per_month
    spread = hardware.times((1 - usage.resale_share) / usage.horizon_months)
    fixed = spread
    if usage.idle == "counts":
        fixed = spread + Span(
            *(energy_cost(w, hours, price) for w in (idle.low, idle.mid, idle.high))
        )
    # Where idle power is paid for or lost anyway, a request only takes what exceeds it.
    saved = ZERO if usage.idle == "off" else idle

    def request(drawn: Decimal, idle_watts: Decimal, time: Decimal) -> Decimal:
        return energy_cost(max(drawn - idle_watts, Decimal(0)), time / _HOUR, price)

    per_request = Span(
        request(watts.low, saved.low, seconds.low),
        request(watts.mid, saved.mid, seconds.mid),
        request(watts.high, saved.high, seconds.high),
    )
    return LocalCost(
        hardware=hardware,
        fixed=fixed,
        per_request=per_request,
        seconds=seconds,
        capacity=least.seconds.inverted().times(available),
        months=usage.horizon_months,
        way=busy.way,
    )


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
