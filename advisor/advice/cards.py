"""Graphics cards that can be bought: their price, and what they ask of a machine."""

import datetime as dt
from dataclasses import dataclass
from typing import Final

from advisor.advice.hardware_prices import HardwarePrice, PriceBook
from advisor.advice.usage import Limits
from advisor.hardware import table
from advisor.hardware.imagined import device_from_entry
from advisor.hardware.rig import Device
from advisor.hardware.table import GpuEntry, is_module

LEAST_LANES: Final = 4
"""Per card: what risers and splitters of slots still give."""
FULL_LANES: Final = 16
_CUDA_13: Final = (7, 5)
"""Older cards were dropped by CUDA 13 (its release notes, August 2025)."""
_PASSIVE: Final = (
    *("Tesla", "A10", "A16", "A30", "A40", "A100"),
    *("L4", "L40", "H100", "H200", "B200", "B300"),
)
_YEARS_ON_SALE: Final = 3


@dataclass(frozen=True)
class Card:
    """A graphics card that can be bought."""

    entry: GpuEntry
    device: Device
    price: HardwarePrice

    @property
    def is_module(self) -> bool:
        """Sits on a server board, not in a slot."""
        return is_module(self.entry.name)

    @property
    def is_passive(self) -> bool:
        """Made for the airflow of a server."""
        return is_passive(self.entry.name)

    @property
    def conditions(self) -> tuple[str, ...]:
        """What it asks of any machine that it is put into."""
        found: list[str] = []
        if self.is_passive:
            found.append("a case with the airflow of a server")
        capability = self.device.compute_capability
        if capability is not None and capability < _CUDA_13:
            found.append("a llama.cpp for CUDA 12, CUDA 13 no longer knows the card")
        return tuple(found)

    def over(self, lanes: int) -> Device:
        """The card behind at most so many lanes."""
        link = self.device.pcie
        if (link.max_width or FULL_LANES) <= lanes:
            return self.device
        return self.device.model_copy(update={"pcie": link.model_copy(update={"max_width": lanes})})


def is_passive(name: str) -> bool:
    """Whether a card of that name is made for the airflow of a server."""
    return name.startswith((*_PASSIVE, "Instinct"))


def lanes_each(lanes: int | None, count: int) -> int:
    """Lanes that every one of so many cards gets: a power of two, all where nothing is known."""
    if lanes is None:
        return FULL_LANES
    return min(FULL_LANES, 1 << max(0, (lanes // count).bit_length() - 1))


def cards(
    book: PriceBook, today: dt.date, *, used: bool
) -> tuple[tuple[Card, ...], tuple[str, ...]]:
    """Cards with a price, cheapest first, and the names of those without one.

    A launch price stands for an offer only while the card can be in the shops.
    """
    found: list[Card] = []
    unpriced: list[str] = []
    for entry in table.gpu_table().gpus:
        if entry.laptop or entry.unified or entry.integrated or entry.bandwidth_gbs is None:
            continue
        price = book.best(
            entry.name,
            launch_usd=entry.launch_msrp_usd if _on_sale(entry, today) else None,
            launch_date=entry.launch_date,
        )
        if price is not None and price.condition == "used" and not used:
            new = [p for p in book.offers(entry.name) if p.condition != "used"]
            price = new[0] if new else None
        if price is None:
            unpriced.append(entry.short_name)
            continue
        found.append(Card(entry, device_from_entry(entry), price))
    found.sort(key=lambda card: (card.price.mid, card.entry.name))
    return tuple(found), tuple(unpriced)


def _on_sale(entry: GpuEntry, today: dt.date) -> bool:
    launched = entry.launch_date
    return launched is not None and today.year - int(launched[:4]) <= _YEARS_ON_SALE


def acceptable(card: Card, limits: Limits, *, has_airflow: bool = False) -> bool:
    """Whether a card without fans of its own may be put into a machine for people."""
    if not card.is_passive:
        return True
    return (limits.server_cards or has_airflow) and not limits.quiet
