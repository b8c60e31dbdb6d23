"""What a rig draws from the wall: measured where a probe gave it, else estimated and marked so."""

import functools
from dataclasses import dataclass
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from advisor import resources
from advisor.basis import Basis, Range
from advisor.hardware.rig import Rig
from advisor.hardware.table import is_module


@dataclass(frozen=True)
class Power:
    """Watts at the wall. Cooling of the room is left out."""

    busy: Range
    idle: Range
    basis: Basis
    source: str


class _Machine(BaseModel):
    busy_w: float
    idle_w: float


class _Card(BaseModel):
    model_config = ConfigDict(extra="forbid")

    names: tuple[str, ...]
    """Parts of names in the GPU table."""
    idle_w: Range
    source: str


class _Figures(BaseModel):
    model_config = ConfigDict(extra="forbid")

    date: str
    source: str
    active_share: Range
    """Of its power limit, what a working card draws."""
    waiting_share: Range
    """Of its power limit, what a card draws while another one works."""
    card_idle_w: Range
    """With a model loaded and nothing to do."""
    cards: tuple[_Card, ...]
    """Those that draw more; the first that matches counts."""
    server_idle_w: Range
    """Around modules that sit on a server's board."""
    server_busy_w: Range
    server_source: str
    unknown_card_w: Range
    """Limit of a card of which none is known; next, of one in a laptop."""
    unknown_laptop_card_w: Range
    unknown_machine_w: Range
    """Of a machine with shared memory, all of it."""
    unknown_source: str
    laptop_busy_w: Range
    """Around a laptop's card."""
    laptop_idle_w: Range
    host_busy_w: Range
    host_idle_w: Range
    cpu_only_busy_w: Range
    unified_idle_w: Range
    supply_loss: Range
    """Wall power over what the parts draw."""
    machines: dict[str, _Machine]


@functools.cache
def _figures() -> _Figures:
    return resources.load(_Figures, "power.json")


def _sum(*ranges: Range) -> Range:
    return Range(
        low=sum(r.low for r in ranges),
        mid=sum(r.mid for r in ranges),
        high=sum(r.high for r in ranges),
    )


def _times(range_: Range, factor: Range) -> Range:
    return Range(
        low=range_.low * factor.low, mid=range_.mid * factor.mid, high=range_.high * factor.high
    )


def _scaled(range_: Range, factor: float) -> Range:
    return Range(low=range_.low * factor, mid=range_.mid * factor, high=range_.high * factor)


def estimate(rig: Rig, *, working: frozenset[int] | None = None) -> Power:
    """Busy and idle watts from the cards' power limits; a wide range where a limit is not known.

    One card works at a time, as with a model that is split by layers; ``working``: all of these,
    by their place in the rig, at the same time.
    """
    cards = tuple(
        _Facts(
            d.table_id or "",
            d.power_limit_w or d.power_default_w,
            d.power_idle_w,
            unified=d.unified,
            laptop=d.laptop or bool(rig.host.laptop),
        )
        for d in rig.devices
    )
    return _estimate(cards, len(rig.hosts), working)


class _Facts(NamedTuple):
    """What an estimate needs of a device."""

    name: str
    """In the GPU table."""
    limit: float | None
    idle: float | None
    """Measured."""
    unified: bool
    """A whole machine."""
    laptop: bool


@functools.lru_cache(maxsize=4096)
def _estimate(
    cards: tuple[_Facts, ...], n_hosts: int, working: frozenset[int] | None = None
) -> Power:
    figures = _figures()
    unknown = any(c.limit is None and c.name not in figures.machines for c in cards)
    source = f"{figures.source} {figures.unknown_source}" if unknown else figures.source
    if not cards:
        return Power(
            busy=_times(figures.cpu_only_busy_w, figures.supply_loss),
            idle=_times(figures.host_idle_w, figures.supply_loss),
            basis=Basis.COMPUTED,
            source=source,
        )
    if all(card.unified for card in cards):
        return _unified(cards, figures, source)
    limits = [_limit(card, figures) for card in cards]
    # One after the other: on average a card of mean size.
    places = range(len(cards)) if working is None else sorted(working)
    active = _scaled(_sum(*(limits[p] for p in places)), 1 / len(cards) if working is None else 1)
    every = _sum(*limits)
    waiting = Range(
        low=every.low - active.low, mid=every.mid - active.mid, high=every.high - active.high
    )
    drawn = _sum(_times(figures.active_share, active), _times(figures.waiting_share, waiting))
    # A sensor's idle reading of a card replaces the estimate for it.
    idle = [_idle(c.name, figures) if c.idle is None else Range.exactly(c.idle) for c in cards]
    host_busy, host_idle = figures.host_busy_w, figures.host_idle_w
    if any(is_module(card.name) for card in cards):
        host_busy, host_idle = figures.server_busy_w, figures.server_idle_w
    elif all(card.laptop for card in cards):
        host_busy, host_idle = figures.laptop_busy_w, figures.laptop_idle_w
    return Power(
        busy=_times(_sum(drawn, _scaled(host_busy, n_hosts)), figures.supply_loss),
        idle=_times(_sum(*idle, _scaled(host_idle, n_hosts)), figures.supply_loss),
        basis=Basis.COMPUTED,
        source=source,
    )


def _limit(card: _Facts, figures: _Figures) -> Range:
    if card.limit is not None:
        return Range.exactly(card.limit)
    return figures.unknown_laptop_card_w if card.laptop else figures.unknown_card_w


def _idle(name: str, figures: _Figures) -> Range:
    found = (card.idle_w for card in figures.cards if any(part in name for part in card.names))
    return next(found, figures.card_idle_w)


def _unified(cards: tuple[_Facts, ...], figures: _Figures, source: str) -> Power:
    busy: list[Range] = []
    idle: list[Range] = []
    for card in cards:
        machine = figures.machines.get(card.name)
        if machine is not None:
            busy.append(_scaled(figures.active_share, machine.busy_w))
            idle.append(
                Range(low=machine.idle_w, mid=machine.idle_w * 1.2, high=machine.idle_w * 2)
            )
            continue
        if card.limit is None:
            busy.append(figures.unknown_machine_w)
        else:
            limited = _scaled(figures.active_share, card.limit)
            busy.append(_times(limited, figures.supply_loss))
        idle.append(figures.unified_idle_w)
    return Power(busy=_sum(*busy), idle=_sum(*idle), basis=Basis.COMPUTED, source=source)


def measured(device_watts: float, rig: Rig, *, source: str) -> Power:
    """Busy watts from a probe's reading of its cards; the host around them is still estimated.

    The whole is only as good as its weaker part, but the range shrinks to the host's.
    """
    base, figures = estimate(rig), _figures()
    if rig.devices and all(d.unified for d in rig.devices):
        host = Range.exactly(0)
    else:
        server = any(is_module(d.table_id or "") for d in rig.devices)
        around = figures.server_busy_w if server else figures.host_busy_w
        if rig.host.laptop or (rig.devices and all(d.laptop for d in rig.devices)):
            around = figures.laptop_busy_w
        host = _scaled(around, float(len(rig.hosts)))
    return Power(
        busy=_times(_sum(Range.exactly(device_watts), host), figures.supply_loss),
        idle=base.idle,
        basis=Basis.MEASURED,
        source=source,
    )
