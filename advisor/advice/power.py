"""What a rig draws from the wall: measured where a probe gave it, else estimated and marked so."""

import functools
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from advisor import resources
from advisor.basis import Basis, Range
from advisor.hardware.rig import Device, Rig
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


def _limit(device: Device) -> float | None:
    return device.power_limit_w or device.power_default_w


def estimate(rig: Rig, *, working: frozenset[int] | None = None) -> Power | None:
    """Busy and idle watts from the cards' power limits; None where a limit is not known.

    One card works at a time, as with a model that is split by layers; ``working``: all of these,
    by their place in the rig, at the same time.
    """
    return _estimate(
        tuple((d.table_id or "", _limit(d), d.power_idle_w, d.unified) for d in rig.devices),
        len(rig.hosts),
        working,
    )


_Facts = tuple[str, float | None, float | None, bool]
"""Name in the GPU table, power limit, measured idle power, whether it is a whole machine."""


@functools.lru_cache(maxsize=4096)
def _estimate(
    cards: tuple[_Facts, ...], n_hosts: int, working: frozenset[int] | None = None
) -> Power | None:
    figures = _figures()
    if not cards:
        return Power(
            busy=_times(figures.cpu_only_busy_w, figures.supply_loss),
            idle=_times(figures.host_idle_w, figures.supply_loss),
            basis=Basis.COMPUTED,
            source=figures.source,
        )
    if all(unified for *_, unified in cards):
        return _unified(cards, figures)
    known = [limit for _, limit, _, _ in cards if limit is not None]
    if len(known) < len(cards):
        return None
    active = sum(known) / len(known)
    if working is not None:
        active = sum(known[place] for place in working)
    drawn = _sum(
        _scaled(figures.active_share, active), _scaled(figures.waiting_share, sum(known) - active)
    )
    # A sensor's idle reading of a card replaces the estimate for it.
    idle = [_idle(name, figures) if w is None else Range.exactly(w) for name, _, w, _ in cards]
    server = any(is_module(name) for name, *_ in cards)
    host_busy = figures.server_busy_w if server else figures.host_busy_w
    host_idle = figures.server_idle_w if server else figures.host_idle_w
    return Power(
        busy=_times(_sum(drawn, _scaled(host_busy, n_hosts)), figures.supply_loss),
        idle=_times(_sum(*idle, _scaled(host_idle, n_hosts)), figures.supply_loss),
        basis=Basis.COMPUTED,
        source=figures.source,
    )


def _idle(name: str, figures: _Figures) -> Range:
    found = (card.idle_w for card in figures.cards if any(part in name for part in card.names))
    return next(found, figures.card_idle_w)


def _unified(cards: tuple[_Facts, ...], figures: _Figures) -> Power | None:
    busy: list[Range] = []
    idle: list[Range] = []
    for name, limit, _, _ in cards:
        machine = figures.machines.get(name)
        if machine is not None:
            busy.append(_scaled(figures.active_share, machine.busy_w))
            idle.append(
                Range(low=machine.idle_w, mid=machine.idle_w * 1.2, high=machine.idle_w * 2)
            )
            continue
        if limit is None:
            return None
        busy.append(_times(_scaled(figures.active_share, limit), figures.supply_loss))
        idle.append(figures.unified_idle_w)
    return Power(busy=_sum(*busy), idle=_sum(*idle), basis=Basis.COMPUTED, source=figures.source)


def measured(device_watts: float, rig: Rig, *, source: str) -> Power | None:
    """Busy watts from a probe's reading of its cards; the host around them is still estimated.

    The whole is only as good as its weaker part, but the range shrinks to the host's.
    """
    base = estimate(rig)
    if base is None:
        return None
    figures = _figures()
    if rig.devices and all(d.unified for d in rig.devices):
        host = Range.exactly(0)
    else:
        server = any(is_module(d.table_id or "") for d in rig.devices)
        around = figures.server_busy_w if server else figures.host_busy_w
        host = _scaled(around, float(len(rig.hosts)))
    return Power(
        busy=_times(_sum(Range.exactly(device_watts), host), figures.supply_loss),
        idle=base.idle,
        basis=Basis.MEASURED,
        source=source,
    )
