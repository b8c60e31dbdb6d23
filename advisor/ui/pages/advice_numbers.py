"""Numbers as people type them into the usage form, and as the form shows them. No Qt in here."""

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final, Literal

Kind = Literal["count", "tokens", "percent", "amount"]
_K: Final = 1024
_THREE_DIGITS: Final = 3


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a field takes, in the unit that the form shows."""

    kind: Kind
    low: Decimal
    high: Decimal
    none: str = ""
    """The word for no value, which an empty field means as well; empty: a value is needed."""

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are taken."""
        return self.kind in {"count", "tokens"}

    def in_words(self) -> str:
        """``"1 to 1,000,000"``."""
        words = f"{_plain(self.low)} to {_plain(self.high)}"
        return f"{words}, or nothing for “{self.none}”" if self.none else words


def shown(value: object, bounds: Bounds) -> str:
    """A value of the usage as the form shows it."""
    if value is None:
        return bounds.none
    number = Decimal(str(value))
    return _plain(number * 100 if bounds.kind == "percent" else number)


def parse(typed: str, bounds: Bounds) -> Decimal | int | None:
    """What was typed, as the usage holds it. Raises ValueError where it is not in the bounds.

    Understands ``1,200``, ``0,31``, ``32k`` (of tokens: 32 × 1024) and a trailing ``%``.
    """
    bare = typed.strip().removesuffix("%").replace(" ", "").replace("\u202f", "").lower()
    if not bare or bare == bounds.none.replace(" ", ""):
        if bounds.none:
            return None
        raise ValueError(typed)
    factor = 1
    if bare.endswith("k"):
        factor = _K if bounds.kind == "tokens" else 1000
        bare = bare[:-1]
    try:
        number = Decimal(_with_point(bare)) * factor
    except InvalidOperation as error:
        raise ValueError(typed) from error
    if not number.is_finite() or not bounds.low <= number <= bounds.high:
        raise ValueError(typed)
    if bounds.whole:
        if number != number.to_integral_value():
            raise ValueError(typed)
        return int(number)
    return number / 100 if bounds.kind == "percent" else number


def _with_point(bare: str) -> str:
    """One comma that does not part thousands is a decimal comma."""
    whole, comma, rest = bare.partition(",")
    decimal = comma and "," not in rest and "." not in bare
    if decimal and (len(rest) != _THREE_DIGITS or whole in {"", "0"}):
        return f"{whole}.{rest}"
    return bare.replace(",", "")


def _plain(number: Decimal) -> str:
    text = f"{number:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
