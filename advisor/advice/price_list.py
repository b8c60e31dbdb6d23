"""Every piece that advice may buy, with what is known of its price, for people to put their own."""

import datetime as dt
from dataclasses import dataclass

from advisor.advice.hardware_prices import HardwarePrice, Kind, PriceBook, shipped_names
from advisor.hardware import table


@dataclass(frozen=True, slots=True)
class PriceLine:
    """One piece."""

    name: str
    kind: Kind
    offers: tuple[HardwarePrice, ...]
    """Reviewed prices, new and used; empty: none is known."""
    launch_usd: float | None
    launch_date: str | None

    def is_old(self, today: dt.date) -> bool:
        """Whether every reviewed price is more than half a year old."""
        return bool(self.offers) and all(offer.is_old(today) for offer in self.offers)


def price_list() -> tuple[PriceLine, ...]:
    """Machines and parts first, then every card that can be put into a machine, by name."""
    book = PriceBook()
    found = [
        PriceLine(name, kind, book.offers(name), None, None)
        for name, kind in shipped_names()
        if kind != "gpu"
    ]
    cards = [
        PriceLine(
            entry.short_name,
            "gpu",
            book.offers(entry.name),
            entry.launch_msrp_usd,
            entry.launch_date,
        )
        for entry in table.gpu_table().gpus
        if not (entry.laptop or entry.unified or entry.integrated)
    ]
    return (*found, *sorted(cards, key=lambda line: line.name))
