"""What moves a comparison most: one input after the other at its ends (a tornado)."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal

from advisor.advice.costs import api_cost, local_cost
from advisor.advice.money import Span, price
from advisor.advice.prices import ApiPrice
from advisor.advice.serving import LocalRun
from advisor.advice.usage import Usage
from advisor.units import rate


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

    @property
    def inputs(self) -> str:
        """Both ends of the input, their unit once: ``"0.09 … 0.36 USD/kWh"``."""
        number, _, unit = self.low_input.partition(" ")
        once = bool(unit) and self.high_input.endswith(f" {unit}")
        return f"{number if once else self.low_input} … {self.high_input}"


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
        field, unit = _SCALED[name]
        ends = [max(1, int(value * factor)) for factor in (low, high)]
        return _influence(
            name,
            [f"{end:,} {unit}".strip() for end in ends],
            [used(**{field: end}) for end in ends],
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
            [f"{usage.electricity_price * f:.2f} {usage.currency}/kWh" for f in (half, double)],
            [used(electricity_price=usage.electricity_price * f) for f in (half, double)],
        ),
        _influence(
            "API price",
            ["half", "double"],
            [used_price(base, half), used_price(base, double)],
        ),
        _influence(
            "Speed",
            [rate(run.decode_tps.low), rate(run.decode_tps.high)],
            [replace(base, run=run.at("low")), replace(base, run=run.at("high"))],
        ),
        _influence(
            "Power drawn",
            [f"{run.power.busy.low:,.0f} W", f"{run.power.busy.high:,.0f} W"],
            [replace(base, run=run.drawing("low")), replace(base, run=run.drawing("high"))],
        ),
        _influence(
            "Hardware price",
            [price(end, usage.currency) for end in (hardware.low, hardware.high)],
            [
                replace(base, hardware=Span.exactly(hardware.low)),
                replace(base, hardware=Span.exactly(hardware.high)),
            ],
        ),
    ]
    moved = [influence for influence in found if influence.swing > 0]
    return tuple(sorted(moved, key=lambda i: (-i.swing, i.name)))


_SCALED = {
    "Requests a month": ("requests_per_month", ""),
    "Answer length": ("output_tokens", "tokens"),
    "Prompt length": ("prompt_tokens", "tokens"),
    "Horizon": ("horizon_months", "months"),
}
"""By name: the field of the usage, and the unit where the name does not tell it."""


def used_price(base: Comparison, factor: Decimal) -> Comparison:
    """The comparison with an API that costs ``factor`` times as much."""
    # The rate of exchange moves API prices alone: hardware is already in the user's currency.
    usage = base.usage.model_copy(update={"usd_rate": base.usage.usd_rate * factor})
    return replace(base, usage=usage)


def _share(name: str, field: str, value: Decimal, used: Callable[..., Comparison]) -> Influence:
    ends = (max(Decimal(0), value - Decimal("0.2")), min(Decimal(1), value + Decimal("0.2")))
    return _influence(
        name, [f"{end * 100:.0f}%" for end in ends], [used(**{field: end}) for end in ends]
    )


def _influence(name: str, labels: list[str], ends: list[Comparison]) -> Influence:
    low, high = (end.difference() for end in ends)
    return Influence(name, labels[0], labels[1], low, high)
