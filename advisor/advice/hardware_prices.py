"""What hardware costs: reviewed prices with date and source, and the user's own before them."""

import datetime as dt
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, ConfigDict

from advisor import resources
from advisor.advice.usage import Usage

OLD_AFTER_DAYS = 183
"""A price older than half a year is marked."""

Condition = Literal["new", "used", "launch price", "your price"]
Kind = Literal["gpu", "machine", "part"]


class HardwarePrice(BaseModel):
    """US dollars for one piece, as a range of offers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """A name of the GPU table, a machine, or a part such as ``"DDR5 per GB"``."""
    kind: Kind
    condition: Condition
    low: Decimal
    mid: Decimal
    high: Decimal
    date: str
    """ISO date or month of the newest source."""
    source: str
    note: str = ""
    gpu: str = ""
    """A machine's entry in the GPU table."""
    ram_gib: int = 0

    def is_old(self, today: dt.date) -> bool:
        """More than half a year old, or without a full date. The user's own price never is."""
        if self.condition == "your price":
            return False
        try:
            seen = dt.date.fromisoformat(self.date if len(self.date) > 7 else f"{self.date}-01")
        except ValueError:
            return True
        return (today - seen).days > OLD_AFTER_DAYS


class _Prices(BaseModel):
    date: str
    currency: Literal["USD"]
    note: str
    prices: tuple[HardwarePrice, ...]


@functools.cache
def _shipped() -> _Prices:
    return resources.load(_Prices, "hardware_prices.json")


@functools.cache
def _by_name() -> dict[str, tuple[HardwarePrice, ...]]:
    index: dict[str, tuple[HardwarePrice, ...]] = {}
    for price in _shipped().prices:
        index[_key(price.name)] = (*index.get(_key(price.name), ()), price)
    return index


@functools.cache
def _key(name: str) -> str:
    bare = name.strip().casefold()
    for prefix in ("nvidia ", "geforce ", "amd ", "radeon "):
        bare = bare.removeprefix(prefix)
    return bare


@dataclass(frozen=True)
class PriceBook:
    """Where a price is looked up: the user's own, reviewed ones, then the launch price."""

    own: Mapping[str, Decimal] = field(default_factory=dict[str, Decimal])
    """US dollars by name, as the user entered them."""

    def offers(self, name: str) -> tuple[HardwarePrice, ...]:
        """Every known price of that piece; the user's own stands alone."""
        key = _key(name)
        shipped = _by_name().get(key, ())
        mine = next((price for n, price in self.own.items() if _key(n) == key), None)
        if mine is None:
            return shipped
        return (
            HardwarePrice(
                name=name,
                kind=shipped[0].kind if shipped else "gpu",
                condition="your price",
                low=mine,
                mid=mine,
                high=mine,
                date="",
                source="entered by you",
                gpu=shipped[0].gpu if shipped else "",
                ram_gib=shipped[0].ram_gib if shipped else 0,
            ),
        )

    def best(
        self, name: str, *, launch_usd: float | None = None, launch_date: str | None = None
    ) -> HardwarePrice | None:
        """The cheapest offer, else the launch price when one is given, else None."""
        offers = self.offers(name)
        if offers:
            return min(offers, key=lambda p: (p.mid, p.condition))
        if launch_usd is None:
            return None
        price = Decimal(str(launch_usd))
        return HardwarePrice(
            name=name,
            kind="gpu",
            condition="launch price",
            low=price,
            mid=price,
            high=price,
            date=launch_date or "",
            source="the maker's launch price; no offer is known",
        )

    def part(self, name: str) -> HardwarePrice:
        """A part that is always priced. Raises KeyError for a name the data does not have."""
        found = self.best(name)
        if found is None:
            raise KeyError(name)
        return found

    def machines(self) -> tuple[HardwarePrice, ...]:
        """Complete machines, with the user's own price where there is one."""
        names = dict.fromkeys(p.name for p in _shipped().prices if p.kind == "machine")
        return tuple(price for name in names if (price := self.best(name)) is not None)


def book_of(usage: Usage) -> PriceBook:
    """Prices as the usage has them: its own before the reviewed ones."""
    return PriceBook({own.name: own.amount / usage.usd_rate for own in usage.own_prices})


def shipped_names() -> tuple[tuple[str, Kind], ...]:
    """Name and kind of every piece with a reviewed price, in the order of the file."""
    return tuple(dict.fromkeys((price.name, price.kind) for price in _shipped().prices))


def data_date() -> str:
    """When the shipped prices were reviewed."""
    return _shipped().date


def reviewed() -> str:
    """What every answer assumes of prices."""
    return f"Hardware prices reviewed on {data_date()}, in US dollars without tax."
