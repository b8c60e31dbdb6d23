"""What could be had where a run does not fit or is too slow: rigs at a price, models, an API."""

import datetime as dt
import functools
from collections.abc import Iterable, Iterator
from dataclasses import replace
from decimal import Decimal
from math import log2
from typing import Final

from advisor.advice.builds import Build, new_ones, with_cards
from advisor.advice.hardware_prices import HardwarePrice, book_of
from advisor.advice.picks import current
from advisor.advice.prices import api_models, api_price
from advisor.advice.usage import Usage
from advisor.errors import PriceError
from advisor.hardware.compose import describe
from advisor.hardware.rig import Rig
from advisor.llm.catalogue import Catalogue, CatalogueEntry, catalogue
from advisor.llm.intelligence import data, kept, standing
from advisor.llm.model import Model
from advisor.llm.quality import model_loss
from advisor.sizing.settings import RunSettings
from advisor.sizing.ways_out import AtMost, Change, Instead, Offer, Other
from advisor.units import GIB

_LEAST_ABLE: Final = 0.25
"""A model that keeps less of the asked one's ability does not do its work."""
_LEAST: Final = 0.5
"""Bytes per parameter of the types that are suggested, at the least: 4.25 bits (MXFP4), 4.5 (Q4_K).
"""
_NOT_LOOKED_UP: Final = 0.6
"""Of a model's parameters, as many at the least are none of an embedding (Gemma 4 E2B: 0.64)."""
_STEPS: Final = 3.0
"""Steps that half of the ability counts for."""


def instead(rig: Rig, model: Model, settings: RunSettings, usage: Usage, today: dt.date) -> Instead:
    """Rigs the cheapest first, other models the ablest first; nothing is worked out unasked."""
    book = book_of(usage)
    return Instead(
        cards=lambda: _offers(with_cards(rig, usage, book, today), usage),
        machines=lambda: _offers(new_ones(usage, book, today), usage),
        siblings=lambda most: _others(model, settings, most, same=True),
        models=lambda most: _others(model, settings, most, same=False),
    )


def _offers(found: Iterable[Build], usage: Usage) -> tuple[Offer, ...]:
    able = [build for build in found if not build.impossible]
    return tuple(
        Offer(build.title, _cost(build, usage), build.rig)
        for build in sorted(able, key=lambda build: build.usd)
    )


def _cost(build: Build, usage: Usage) -> str:
    used = any(bought.price.condition == "used" for bought in build.purchases)
    dates = max(bought.price.date for bought in build.purchases)
    told = ", ".join(part for part in ("used" if used else "new", dates) if part)
    price = f"About {build.usd * usage.usd_rate:,.0f} {usage.currency} ({told})"
    asks = ", ".join(build.conditions)
    return f"{price}; it asks for {asks}." if asks else f"{price}."


def _others(model: Model, settings: RunSettings, most: AtMost, *, same: bool) -> Iterator[Other]:
    """Models on the index with fewer parameters and as long a context.

    ``same``: of the same maker, else of others. What parameters alone show to take more than
    ``most`` is left out: to make a model's tensors takes far longer than to count them.
    """
    asked = next((e for e in catalogue().entries if e.id == model.weights_of), None)
    for entry in _ranked(catalogue()):
        alike = asked is not None and entry.maker == asked.maker
        trained = entry.hp.n_ctx_train or settings.ctx
        if alike != same or entry.id == model.weights_of or trained < settings.ctx:
            continue
        if entry.n_params * _LEAST > most.file or _read(entry) > most.read:
            continue
        if entry.n_params < model.n_params and (other := _other(entry, asked)):
            yield other


def _read(entry: CatalogueEntry) -> float:
    """Bytes that a token reads at least; 0 where that takes a look at the tensors."""
    dense = 0 if entry.hp.n_expert else entry.n_params
    return (entry.active_params or dense) * _LEAST * _NOT_LOOKED_UP


@functools.lru_cache(maxsize=1)
def _ranked(known: Catalogue) -> tuple[CatalogueEntry, ...]:
    """What chats and has a published index, the ablest first: nobody is sent to what none knows."""
    published = {entry.model for entry in data().entries}
    able = current([e for e in known.entries if e.id in published and e.chats])
    return tuple(sorted(able, key=lambda entry: -standing(entry).index))


def _other(entry: CatalogueEntry, asked: CatalogueEntry | None) -> Other | None:
    made = entry.model(entry.suggested_file_type)
    loss, able = model_loss(made), standing(entry)
    words, away = f"{able.words} of 100 on the {data().index}.", _STEPS
    if asked is not None:
        before = standing(asked)
        share = max(able.index * kept(loss), 0.0) / max(before.index, 1.0)
        if share < _LEAST_ABLE:
            return None
        words = f"{able.words} instead of {before.words} of 100 on the {data().index}."
        if before.estimated:
            words = f"{able.words} of 100 on the {data().index}; the one asked for is not on it."
        away = max(-log2(share), 0.0) * _STEPS
    return Other(f"{words} {loss.sentence}", away, made)


def api_sentence(model: Model, at: dt.datetime) -> str:
    """What the same weights cost over an API at least, or their successor; empty: not known."""
    found: list[tuple[bool, Decimal, str]] = []
    for api in api_models():
        if model.weights_of not in (*api.weights, *api.succeeds):
            continue
        try:
            price = api_price(api, at)
        except PriceError:
            continue
        into = sum((share * tariff.input.base for share, tariff in price.schedule), Decimal(0))
        out = sum((share * tariff.output.base for share, tariff in price.schedule), Decimal(0))
        succeeds = model.weights_of not in api.weights
        name = f"its successor, {api.title}," if succeeds else api.title
        sentence = (
            f"Over an API: {name} costs {into:.2f} USD per million tokens read and {out:.2f} "
            f"written ({price.source})."
        )
        found.append((succeeds, into + out, sentence))
    return min(found)[2] if found else ""


def priced(change: Change, rig: Rig, usage: Usage) -> Change:
    """A change of the rig with what has to be bought, and the rig named after its parts."""
    if change.kind not in {"gpu", "more_ram"}:
        return change
    name = describe(change.rig.devices, change.rig.host.ram_total)
    cost = _memory(change, rig, usage) if change.kind == "more_ram" else _card(change, rig, usage)
    return replace(change, cost=cost, rig=change.rig.model_copy(update={"name": name}))


def _card(change: Change, rig: Rig, usage: Usage) -> str:
    card, book = change.rig.devices[-1], book_of(usage)
    price = book.best(card.table_id or card.name)
    if price is None:
        return f"{change.cost} No price of it is shipped."
    count = len(change.rig.devices) - len(rig.devices)
    slots = "a slot" if count == 1 else f"{count} slots"
    return f"{_about(usage, price, price.mid * count)}, {slots} and the power."


def _memory(change: Change, rig: Rig, usage: Usage) -> str:
    kind = (rig.host.ram_type or "").upper()
    part = "DDR4 per GB" if "DDR4" in kind else "DDR5 per GB"
    price = book_of(usage).best(part)
    grown = (change.rig.host.ram_total or 0) - (rig.host.ram_total or 0)
    if price is None:
        return change.cost
    return f"{_about(usage, price, price.mid * (grown // GIB))}. {change.cost}"


def _about(usage: Usage, price: HardwarePrice, usd: Decimal) -> str:
    told = ", ".join(part for part in (price.condition, price.date) if part)
    return f"About {usd * usage.usd_rate:,.0f} {usage.currency} ({told})"
