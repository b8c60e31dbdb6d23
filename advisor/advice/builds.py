"""Every rig worth a look: this one, what can be added to it, and what can be bought instead."""

import datetime as dt
import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from advisor.advice.cards import (
    FULL_LANES,
    LEAST_LANES,
    Card,
    acceptable,
    cards,
    is_passive,
    lanes_each,
)
from advisor.advice.hardware_prices import HardwarePrice, PriceBook
from advisor.advice.options import Kind, Purchase
from advisor.advice.usage import Limits, Usage
from advisor.hardware.compose import describe, parse_rig
from advisor.hardware.rig import Device, Host, Rig
from advisor.hardware.shared_memory import reads_the_ram, with_share_of
from advisor.hardware.table import is_module
from advisor.units import GIB

MAX_CARDS: Final = 8
_CARDS_UNASKED: Final = 4
"""In a machine whose free slots are not known: more than four is a machine built for it."""
_HOST_W: Final = 250
"""Processor, board and drives of a busy desktop."""
_SUPPLY_RESERVE: Final = 1.2
"""Cards draw more than their limit for milliseconds."""
_RAM_STEPS: Final = (32, 64, 96, 128, 192, 256, 384, 512)
_NEW_RAM: Final = (32, 64, 128, 192)
_WORKSTATION_RAM: Final = (64, 128, 256, 512)
_SERVER_RAM: Final = (512, 1024, 2048)
_DESKTOP_CARDS: Final = 2
_WORKSTATION_CARDS: Final = 7
_SMALL_SUPPLY: Final = "power supply 850 W"
_LARGE_SUPPLY: Final = "power supply 1500 W"
_SHELLS: Final = ("8-GPU SXM server, without GPUs", "desktop host", "workstation host")
_PARTS: Final = (*_SHELLS, "DDR5 per GB", "server DDR5 per GB", _SMALL_SUPPLY, _LARGE_SUPPLY)
_HERE: Final = frozenset({"keep", "close programs"})
_WORTH_CLOSING: Final = 256 << 20


@dataclass(frozen=True, eq=False)
class Build:
    """A rig that one could have, and what it takes."""

    kind: Kind
    title: str
    rig: Rig
    purchases: tuple[Purchase, ...] = ()
    conditions: tuple[str, ...] = ()
    impossible: tuple[str, ...] = ()
    unpriced: tuple[str, ...] = ()
    unsure_slots: int = 0
    """Slots beyond one further that have to be free, where nobody said how many are."""

    @property
    def here(self) -> bool:
        """Whether it is this very rig, for which what was measured on it holds."""
        return self.kind in _HERE

    @functools.cached_property
    def usd(self) -> Decimal:
        """Expected price of everything to buy."""
        return sum((p.usd.mid for p in self.purchases), Decimal(0))

    @functools.cached_property
    def signature(self) -> tuple[bool, tuple[object, ...], tuple[object, ...]]:
        """Rigs with the same signature are sized and timed alike: whether it is this very rig, for
        which measurements hold, its devices and its hosts."""
        devices = tuple(
            (
                d.table_id or d.name,
                d.memory_total,
                d.memory_used,
                d.bandwidth_gbs,
                d.power_limit_w or d.power_default_w,
                d.host_index,
            )
            for d in self.rig.devices
        )
        hosts = tuple(
            (h.ram_available, h.ram_bandwidth_gbs, h.ram_read_gbs) for h in self.rig.hosts
        )
        return self.here, devices, hosts


def _n(count: int, name: str) -> str:
    return name if count == 1 else f"{count}x {name}"


def builds(rig: Rig, usage: Usage, book: PriceBook, today: dt.date) -> Iterator[Build]:
    """Every build, this rig first. Order and content depend on nothing but the arguments."""
    yield from changes_without_buying(rig)
    yield from _more_ram(rig, usage.limits, book)
    yield from with_cards(rig, usage, book, today)
    yield from new_ones(usage, book, today)


def with_cards(rig: Rig, usage: Usage, book: PriceBook, today: dt.date) -> Iterator[Build]:
    """This rig with more cards, or others."""
    shelf, _ = cards(book, today, used=usage.limits.used_parts)
    yield from _cards_here(rig, usage.limits, book, shelf)


def new_ones(usage: Usage, book: PriceBook, today: dt.date) -> Iterator[Build]:
    """Machines to buy whole or in parts."""
    shelf, _ = cards(book, today, used=usage.limits.used_parts)
    yield from _new_machines(usage.limits, book)
    yield from _new_builds(usage.limits, book, shelf)


def changes_without_buying(rig: Rig) -> Iterator[Build]:
    """This rig as it is, and with nothing else running on its cards."""
    yield Build("keep", "Keep this rig", rig)
    held = sum(d.memory_used or 0 for d in rig.devices)
    if held >= _WORTH_CLOSING:
        freed = tuple(d.model_copy(update={"memory_used": 0, "processes": ()}) for d in rig.devices)
        yield Build(
            "close programs", "Close other programs", rig.model_copy(update={"devices": freed})
        )
    yield from _fewer_cards(rig)


def _fewer_cards(rig: Rig) -> Iterator[Build]:
    """Cards of one kind alone, one of them up to all: what is not needed draws power all day."""
    host = rig.host
    loose = not (host.laptop or len(rig.hosts) > 1 or any(d.unified for d in rig.devices))
    if not loose or any(is_module(d.table_id or d.name) for d in rig.devices):
        return
    kinds: dict[str, list[Device]] = {}
    for device in rig.devices:
        kinds.setdefault(device.name, []).append(device)
    for name, alike in kinds.items():
        for count in range(1, len(alike) + 1):
            if count == len(rig.devices):
                continue
            devices = tuple(alike[:count])
            yield Build(
                "take out cards",
                f"Take out all cards but {'one ' if count == 1 else ''}{_n(count, name)}",
                rig.model_copy(
                    update={
                        "devices": devices,
                        "imagined": True,
                        "name": describe(devices, host.ram_total),
                    }
                ),
            )


def _more_ram(rig: Rig, limits: Limits, book: PriceBook) -> Iterator[Build]:
    total = rig.host.ram_total
    if total is None or any(d.unified and not reads_the_ram(d) for d in rig.devices):
        return
    kind = rig.host.ram_type or "DDR5"
    part = book.part("DDR4 per GB" if "DDR4" in kind else "DDR5 per GB")
    for gib in _RAM_STEPS:
        if gib * GIB < total * 1.3:
            continue
        conditions: list[str] = []
        impossible: list[str] = []
        if limits.max_ram_gib is None:
            conditions.append(f"a board that takes {gib} GB")
        elif gib > limits.max_ram_gib:
            impossible.append(f"the board takes {limits.max_ram_gib} GB at most")
        if rig.host.laptop:
            conditions.append("memory that is not soldered")
        grown = gib * GIB - total
        host = rig.host.model_copy(
            update={
                "ram_total": gib * GIB,
                "ram_available": (rig.host.ram_available or total) + grown,
            }
        )
        yield Build(
            "add RAM",
            f"Replace the RAM by {gib} GB",
            rig.model_copy(
                update={
                    "hosts": (host, *rig.hosts[1:]),
                    "devices": with_share_of(rig.devices, gib * GIB),
                    "imagined": True,
                }
            ),
            purchases=(Purchase(f"{gib} GB of {kind.split('-')[0]}", Decimal(gib), part),),
            conditions=tuple(conditions),
            impossible=tuple(impossible),
        )


def _watts(devices: Sequence[Device]) -> float | None:
    limits = [d.power_limit_w or d.power_default_w for d in devices]
    known = [w for w in limits if w is not None]
    return sum(known) if len(known) == len(limits) else None


def _supply(devices: Sequence[Device]) -> int | None:
    """Power supply that such cards need, in steps of 50 W."""
    watts = _watts(devices)
    if watts is None:
        return None
    return math.ceil((watts + _HOST_W) * _SUPPLY_RESERVE / 50) * 50


def _cards_here(
    rig: Rig, limits: Limits, book: PriceBook, shelf: Sequence[Card]
) -> Iterator[Build]:
    if rig.host.laptop:
        return
    # A card displaces graphics within a processor.
    rig = rig.model_copy(update={"devices": tuple(d for d in rig.devices if not reads_the_ram(d))})
    if any(d.unified for d in rig.devices):
        return
    # A server of modules has no slots for cards, and nobody pulls its board out.
    if any(is_module(d.table_id or d.name) for d in rig.devices):
        return
    backends = {d.backend for d in rig.devices}
    has_airflow = any(is_passive(d.table_id or d.name) for d in rig.devices)
    parts = {name: book.part(name) for name in (_SMALL_SUPPLY, _LARGE_SUPPLY)}
    top = MAX_CARDS if limits.free_slots is not None else _CARDS_UNASKED
    for card in shelf:
        if card.is_module or not acceptable(card, limits, has_airflow=has_airflow):
            continue
        for count in range(1, MAX_CARDS + 1):
            if limits.free_slots is None and count > max(_CARDS_UNASKED, len(rig.devices)):
                break
            # Nobody mixes makers gladly: one llama.cpp has to hold two backends.
            adds = rig.devices and card.device.backend in backends
            if adds and len(rig.devices) + count <= top:
                yield _with_cards(rig, card, count, limits, parts, keeps=True)
            if rig.devices and {d.table_id for d in rig.devices} == {card.entry.name}:
                continue  # the same cards again replace nothing
            yield _with_cards(rig, card, count, limits, parts, keeps=False)


def _with_cards(
    rig: Rig,
    card: Card,
    count: int,
    limits: Limits,
    parts: Mapping[str, HardwarePrice],
    *,
    keeps: bool,
) -> Build:
    kept = rig.devices if keeps else ()
    n = len(kept) + count
    each = lanes_each(limits.lanes, n)
    devices = (*kept, *(card.over(each),) * count)
    adds = keeps or not rig.devices
    purchases = [Purchase(card.entry.short_name, Decimal(count), card.price)]
    extra = n - len(rig.devices)
    conditions, impossible = _room(card, extra, limits)
    if limits.lanes is not None and each < LEAST_LANES:
        impossible.append(f"{n} cards need {LEAST_LANES * n} lanes; there are {limits.lanes}")
    elif limits.lanes is None and n > _DESKTOP_CARDS:
        conditions.append(f"{LEAST_LANES * n} PCIe lanes or more for {n} cards")
    supply = _supply(devices)
    if supply is not None:
        if limits.supply_w is None:
            conditions.append(f"a power supply of {supply:,} W")
        elif supply > limits.supply_w:
            conditions.append(f"another power supply, {supply:,} W")
            purchases.append(_power_supply(supply, parts))
    conditions += card.conditions
    if limits.quiet and n > _DESKTOP_CARDS:
        impossible.append("more than two cards are loud")
    there = "card" if len(rig.devices) == 1 else "cards"
    return Build(
        "add GPU" if adds else "replace GPUs",
        f"{'Add' if adds else f'Replace the {there} by'} {_n(count, card.entry.short_name)}",
        rig.model_copy(
            update={
                "devices": devices,
                "imagined": True,
                "name": describe(devices, rig.host.ram_total),
            }
        ),
        purchases=tuple(purchases),
        conditions=tuple(conditions),
        impossible=tuple(impossible),
        unsure_slots=max(0, extra - 1) if limits.free_slots is None else 0,
    )


def _room(card: Card, extra: int, limits: Limits) -> tuple[list[str], list[str]]:
    """Slots that so many cards more and their width take: what is not known, what is broken."""
    conditions: list[str] = []
    impossible: list[str] = []
    if extra > 0:
        if limits.free_slots is None:
            conditions.append("a free slot" if extra == 1 else f"{extra} free slots")
        elif extra > limits.free_slots:
            impossible.append(f"needs {extra} free slots; there are {limits.free_slots}")
    width = card.entry.slots
    if limits.card_width is None:
        conditions.append(f"room for a card {width} slots wide" if width else "room for the card")
    elif width is not None and width > limits.card_width:
        impossible.append(f"the card is {width} slots wide; {limits.card_width} fit")
    return conditions, impossible


def _power_supply(watts: int, parts: Mapping[str, HardwarePrice]) -> Purchase:
    if watts <= 850:
        return Purchase(_SMALL_SUPPLY, Decimal(1), parts[_SMALL_SUPPLY])
    count = math.ceil(watts / 1500)
    return Purchase(_LARGE_SUPPLY, Decimal(count), parts[_LARGE_SUPPLY])


@functools.cache
def _host(text: str) -> Host:
    return parse_rig(f"CPU only + {text}").host


def _new_machines(limits: Limits, book: PriceBook) -> Iterator[Build]:
    for price in book.machines():
        rig = parse_rig(f"{price.gpu} {price.ram_gib}GB")
        mac = price.gpu.startswith("Apple")
        spark = "Spark" in price.gpu
        impossible: tuple[str, ...] = ()
        if limits.needs_windows and (mac or spark):
            impossible = ("does not run Windows",)
        yield Build(
            "unified machine",
            f"Buy a {price.name}",
            rig.model_copy(update={"name": price.name}),
            purchases=(Purchase(price.name, Decimal(1), price),),
            impossible=impossible,
        )


def _new_builds(limits: Limits, book: PriceBook, shelf: Sequence[Card]) -> Iterator[Build]:
    parts = {name: book.part(name) for name in _PARTS}
    for card in shelf:
        if not card.is_module and not acceptable(card, limits):
            continue
        if limits.quiet and card.is_module:
            continue
        counts = (4, 8) if card.is_module else range(1, MAX_CARDS)
        for count in counts:
            if limits.quiet and count > _DESKTOP_CARDS:
                continue
            if card.is_module:
                shell, ram, sizes = "8-GPU SXM server, without GPUs", "server DDR5", _SERVER_RAM
                memory = "12-channel DDR5-4800"
            elif count <= _DESKTOP_CARDS:
                shell, ram, sizes = "desktop host", "DDR5", _NEW_RAM
                memory = "DDR5-6000"
            else:
                shell, ram, sizes = "workstation host", "server DDR5", _WORKSTATION_RAM
                memory = "8-channel DDR5-4800"
            if not card.is_module and count > _WORKSTATION_CARDS:
                continue
            # Desktop boards share the sixteen lanes of the processor among two slots.
            shared = not card.is_module and 1 < count <= _DESKTOP_CARDS
            devices = (card.over(FULL_LANES // 2) if shared else card.device,) * count
            bought = [
                Purchase(card.entry.short_name, Decimal(count), card.price),
                Purchase(shell, Decimal(1), parts[shell]),
            ]
            supply = _supply(devices)
            if not card.is_module and supply is not None:
                bought.append(_power_supply(supply, parts))
            conditions = card.conditions
            if card.is_module:
                conditions = ("a server room: power, cooling and noise",)
            for gib in sizes:
                host = _host(f"{gib} GB {memory}")
                yield Build(
                    "new build",
                    f"Build a new machine with {_n(count, card.entry.short_name)} and {gib} GB",
                    Rig(
                        name=describe(devices, host.ram_total),
                        devices=devices,
                        hosts=(host,),
                        imagined=True,
                    ),
                    purchases=(
                        *bought,
                        Purchase(f"{gib} GB of RAM", Decimal(gib), parts[f"{ram} per GB"]),
                    ),
                    conditions=conditions,
                )
