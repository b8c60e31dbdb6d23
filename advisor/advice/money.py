"""Exact amounts: spans of money, cents, and volumes rounded to what is known of them."""

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

from advisor.basis import Range

CENT: Final = Decimal("0.01")
_WH_PER_KWH: Final = Decimal(1000)


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

    def inverted(self) -> "Span":
        """One over every end, the ends exchanged: rates of times and times of rates."""
        return Span(1 / self.high, 1 / self.mid, 1 / self.low)


ZERO: Final = Span.exactly(0)


def cents(amount: Decimal) -> Decimal:
    """Rounded to the cent, for screens and papers."""
    return amount.quantize(CENT)


def two_digits(value: Decimal | int, rounding: str = ROUND_HALF_EVEN) -> int:
    """Rounded to two significant digits: volumes at which something changes are no better known."""
    number = Decimal(value)
    exponent = max(0, number.adjusted() - 1)
    return int(number.scaleb(-exponent).quantize(Decimal(1), rounding).scaleb(exponent))


def money(amount: Decimal, currency: str) -> str:
    """``"14.20 USD"``; whole units from a thousand up."""
    digits = 0 if abs(amount) >= 1000 else 2
    return f"{amount:,.{digits}f} {currency}"


def amounts(span: Span, currency: str) -> str:
    """Both ends as ``money`` writes them: ``"7.37–30.03 EUR"``; one where they read alike."""
    low, high = money(span.low, currency), money(span.high, currency)
    return low if low == high else f"{low.removesuffix(f' {currency}')}–{high}"


def price(amount: Decimal, currency: str) -> str:
    """What something costs to buy: ``"280 USD"``; cents only of small change."""
    digits = 2 if abs(amount) < 100 and amount != amount.to_integral_value() else 0
    return f"{amount:,.{digits}f} {currency}"


def energy_cost(watts: Decimal, hours: Decimal, price_per_kwh: Decimal) -> Decimal:
    """Electricity: W × h / 1000 × price."""
    return watts * hours / _WH_PER_KWH * price_per_kwh
