"""What an option costs: per month, over the horizon, and against volume.

Local cost is hardware less its resale value spread over the horizon, idle power, and electricity
for the requests (``advisor.advice.load``). Money is Decimal in the user's currency, exact to the
cent; ``low`` is always the cheaper end. Left out: cooling of the room, repairs, and anyone's time.
"""

import functools
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from advisor.advice.load import Load
from advisor.advice.money import ZERO, Span, energy_cost
from advisor.advice.prices import ApiPrice, PriceRange
from advisor.advice.serving import Busy, LocalRun, Way
from advisor.advice.usage import Usage

_HOUR: Final = Decimal(3600)
_J_PER_KWH: Final = Decimal(3_600_000)


@dataclass(frozen=True, eq=False)
class LocalCost:
    """A local option's cost over volume: what it takes anyway, and what requests take."""

    hardware: Span
    """To buy now."""
    fixed: Span
    """Per month: hardware less resale, spread over the horizon, and idle power."""
    loads: tuple[Load, Load, Load]
    """At the fast end of its speeds and little power, as expected, and at the slow end."""
    usage: Usage
    ways: tuple[Busy, ...]

    @functools.cached_property
    def _asked(self) -> Decimal:
        return Decimal(self.usage.requests_per_month)

    @functools.cached_property
    def _way(self) -> Busy:
        return self.ways[self.loads[1].step(self._asked).place]

    @property
    def way(self) -> Way:
        """How the usage's volume is served: the fewest answers at once that do."""
        return self._way.way

    @property
    def at_once(self) -> int:
        """Answers at once that the usage's volume takes."""
        return self.way.at_once

    @property
    def capacity(self) -> Span:
        """Requests a month that fit into the hours given: slow end, expected, fast end."""
        fast, expected, slow = (load.capacity for load in self.loads)
        return Span(slow, expected, fast)

    @property
    def per_request(self) -> Span:
        """Electricity that a request takes at the usage's volume."""
        return self.electricity(self._asked).times(1 / self._asked)

    @property
    def bends(self) -> tuple[Decimal, ...]:
        """Volumes at which the cost takes another course."""
        return tuple(sorted({bend for load in self.loads for bend in load.bends}))

    def electricity(self, requests: int | Decimal) -> Span:
        """What the requests of a month take."""
        price, count = self.usage.electricity_price, Decimal(requests)
        low, mid, high = (load.joules(count) / _J_PER_KWH * price for load in self.loads)
        return Span(low, mid, high)

    def monthly(self, requests: int | Decimal) -> Span:
        """Cost of a month with that many requests, whether or not they can be served in time."""
        return self.fixed + self.electricity(requests)

    def horizon(self, requests: int | Decimal) -> Span:
        """Cost until the end of the horizon, resale value taken off."""
        return self.monthly(requests).times(self.usage.horizon_months)

    def each(self, requests: int) -> Span:
        """Cost per request at that volume."""
        return self.monthly(requests).times(Decimal(1) / requests)

    def busy_hours(self, requests: int | Decimal) -> Span:
        """Hours a month in which the machine works."""
        low, mid, high = (load.seconds(Decimal(requests)) / _HOUR for load in self.loads)
        return Span(low, mid, high)

    def slow_hours(self) -> Decimal:
        """Hours a month that the usage's volume takes at the slow end, served as expected."""
        return self._way.seconds.high * self._asked / _HOUR

    def serves(self, requests: int | Decimal) -> bool:
        """Whether that volume fits into the hours given, at the expected speed."""
        return Decimal(requests) <= self.capacity.mid


def local_cost(usage: Usage, run: LocalRun, hardware: Span = ZERO) -> LocalCost:
    """A rig's cost. ``hardware``: what has to be bought, in the user's currency."""
    idle, hours, served = run.watts[0], usage.hours_per_month, run.served(usage)
    fixed = hardware.times((1 - usage.resale_share) / usage.horizon_months)
    if usage.idle == "counts":
        price = usage.electricity_price
        fixed += Span(*(energy_cost(w, hours, price) for w in (idle.low, idle.mid, idle.high)))
    low, mid, high = (Load(steps, hours * _HOUR) for steps in served.steps)
    return LocalCost(hardware, fixed, (low, mid, high), usage, served.ways)


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


@dataclass(frozen=True, eq=False)
class HybridCost:
    """Local for what fits and the API for the rest."""

    local: LocalCost
    api: ApiCost
    fitting: Decimal
    """Part of the requests that the rig has room for."""
    asked: Decimal
    """Requests a month of the usage."""

    def served(self, requests: int | Decimal) -> Decimal:
        """Requests that the rig answers out of so many: until its hours are full."""
        return min(Decimal(requests) * self.fitting, self.local.capacity.mid)

    @property
    def local_share(self) -> Decimal:
        """Part of the requests that the rig answers at the usage's volume."""
        return self.served(self.asked) / self.asked

    @property
    def bends(self) -> tuple[Decimal, ...]:
        """Volumes at which the cost takes another course."""
        ends = {*self.local.bends, self.local.capacity.mid}
        return tuple(sorted(end / self.fitting for end in ends)) if self.fitting else ()

    def monthly(self, requests: int | Decimal) -> Span:
        """Cost of a month."""
        total, served = Decimal(requests), self.served(requests)
        if self.fitting == 1:
            outside = self.api.mean.times(total - served)
        else:
            long = total * self.api.long_share
            outside = self.api.long_request.times(long)
            outside += self.api.per_request.times(total - long - served)
        return self.local.monthly(served) + outside


def hybrid_cost(
    usage: Usage, run: LocalRun, api: ApiPrice, hardware: Span = ZERO, *, holds_long: bool
) -> HybridCost:
    """The rig answers short requests (long ones too if ``holds_long``) until its hours are full."""
    asked = Decimal(usage.requests_per_month)
    own = usage if holds_long else usage.model_copy(update={"long_share": Decimal(0)})
    found = HybridCost(
        local=local_cost(own, run, hardware),
        api=api_cost(usage, api),
        fitting=Decimal(1) if holds_long else 1 - usage.long_share,
        asked=asked,
    )
    kept = own.model_copy(update={"requests_per_month": max(1, int(found.served(asked)))})
    return replace(found, local=replace(found.local, usage=kept))


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
    fixed, price, tariff = local.fixed, api.mean, local.usage.electricity_price
    cheap, expected, dear = local.loads
    return BreakEven(
        low=_cross(cheap, tariff, fixed.low, price.high),
        mid=_cross(expected, tariff, fixed.mid, price.mid),
        high=_cross(dear, tariff, fixed.high, price.low),
        capacity=local.capacity.mid,
    )


def _cross(load: Load, tariff: Decimal, fixed: Decimal, price: Decimal) -> Decimal | None:
    """Requests a month from which ``fixed`` and their electricity cost no more than ``price`` for
    each. A request never gets dearer with the volume, so there is one such number at most."""
    start = spent = Decimal(0)

    def electricity(requests: Decimal) -> Decimal:
        return load.joules(requests) / _J_PER_KWH * tariff

    for end in load.bends:
        there = electricity(end)
        if fixed + there <= price * end:
            # Straight from the bend before it.
            each = (there - spent) / (end - start)
            owed = fixed + spent - each * start
            return max(start, owed / (price - each)) if price > each else start
        start, spent = end, there
    each = spent / start
    return fixed / (price - each) if price > each else None
