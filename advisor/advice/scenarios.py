"""Built-in cases as they ship: a question, the rigs and models in it, and the tables asked for."""

import datetime as dt
import functools
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, ConfigDict

from advisor import resources
from advisor.advice.costs import BreakEven, LocalCost
from advisor.advice.money import energy_cost
from advisor.advice.usage import Usage, preset
from advisor.advice.verdict import Advice
from advisor.basis import Range
from advisor.errors import SessionError
from advisor.sizing.plan import Verdict
from advisor.sizing.settings import KvType

Depth = Literal["first", "verdict", "whole"]
"""A first answer with rigs sized by sums over layers, one whose verdicts are sized exactly, or one
where every rig is, with the allocation table."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ScenarioRig(_Frozen):
    """A rig of the case and what it is bought as."""

    title: str
    rig: str
    """As ``parse_rig`` reads it."""
    parts: dict[str, Decimal]
    """Counts by name in resources/hardware_prices.json."""


class Guide(_Frozen):
    """The numbers that the guide behind the case started from."""

    hardware_usd: Decimal
    months: int
    watts: Decimal
    hours_per_month: Decimal
    price_per_kwh: Decimal
    api_usd_per_request: Decimal
    requests: int


class Scenario(_Frozen):
    """A case as it ships."""

    id: str
    title: str
    question: str
    source: str
    date: str
    models: tuple[str, ...]
    contexts: tuple[int, ...]
    file_types_too: tuple[str, ...] = ()
    """File types of the allocation table that publishers seldom offer."""
    kv: KvType
    preset: str
    rigs: tuple[ScenarioRig, ...]
    apis: tuple[str, ...]
    volumes: tuple[int, ...]
    guide: Guide

    @property
    def usage(self) -> Usage:
        """The usage that the case is about."""
        return preset(self.preset).apply(Usage())


@dataclass(frozen=True)
class Specification:
    """What a model of the case is. Sizes in bytes."""

    model: str
    params: int
    active: int
    """Parameters that a token uses."""
    trained_ctx: int
    layers: int
    experts: int
    experts_used: int
    experts_shared: int
    released_as: str
    """The file type that loses nothing of what was released."""
    released_bytes: int
    kv: tuple[tuple[int, int], ...]
    """Contexts of the case and their caches, with everything on one device."""


@dataclass(frozen=True)
class Row:
    """One cell of the allocation table. Sizes in bytes; None is unknown."""

    rig: str
    model: str
    file_type: str
    ctx: int
    verdict: Verdict
    file_bytes: int
    on_devices: int | None
    in_ram: int | None
    headroom: int | None
    """Of the tightest card with everything on the cards; negative is what it lacks."""
    moved: int
    """What the cards lack together, about: it has to go to RAM, or is missing."""


@dataclass(frozen=True)
class Speeds:
    """The best file of a model that a rig runs at the full context."""

    rig: str
    model: str
    file_type: str
    loss: str
    in_ram: bool
    decode_tps: Range | None
    prefill_tps: Range | None
    minutes: Decimal | None
    """For one request of the usage."""


@dataclass(frozen=True)
class Link:
    """Traffic between the cards of a rig, per token."""

    rig: str
    model: str
    cards: int
    tensor_split: int
    layer_split: int
    link: str
    link_gbs: float | None
    share: float | None
    """Of the link, for a tensor split at the predicted speed (15 tok/s where there is none)."""


@dataclass(frozen=True)
class Crossing:
    """A rig against an API."""

    rig: str
    model: str
    api: str
    api_per_request: Decimal
    api_lacks: str
    """Why it could not answer a request of the case, in words; empty where it could."""
    rig_lacks: str
    """Likewise."""
    break_even: BreakEven
    local: LocalCost


@dataclass(frozen=True)
class GuideCheck:
    """The guide's own inputs, worked out again. US dollars."""

    electricity_month: Decimal
    hardware_month: Decimal
    hardware_per_request: Decimal
    break_even_electricity: Decimal
    """Requests a month, electricity alone."""
    break_even: Decimal
    """Requests a month, hardware included."""


@dataclass(frozen=True)
class Answer:
    """Everything worked out for a case."""

    scenario: Scenario
    made: dt.datetime
    models: tuple[Specification, ...]
    allocation: tuple[Row, ...]
    speeds: tuple[Speeds, ...]
    links: tuple[Link, ...]
    crossings: tuple[Crossing, ...]
    by_volume: tuple[tuple[int, str], ...]
    """Requests a month, and what to do then."""
    guide: GuideCheck
    advice: Advice
    rules: tuple[str, ...]
    """When to rent, build or mix, what a length costs, and what to buy next, as sentences."""
    depth: "Depth"
    llama_cpp: str = ""
    """Which one its rigs run: ``RunSettings.built``."""

    @property
    def shortfalls(self) -> tuple[str, ...]:
        """Which rigs and APIs of ``crossings`` would not do, whatever they cost, and why."""
        rigs = {f"{c.rig} with {c.model}": c.rig_lacks for c in self.crossings if c.rig_lacks}
        apis = {c.api: c.api_lacks for c in self.crossings if c.api_lacks}
        return tuple(f"{name}: {lacks}" for name, lacks in (rigs | apis).items())


@functools.cache
def names() -> tuple[str, ...]:
    """Ids of the shipped cases."""
    return tuple(sorted(p.stem for p in resources.path("scenarios").glob("*.json")))


def scenario(name: str) -> Scenario:
    """A shipped case. Raises SessionError with the names there are."""
    if name not in names():
        raise SessionError(f"There is no scenario “{name}”. There are: {', '.join(names())}.")
    return resources.load(Scenario, "scenarios", f"{name}.json")


def check_guide(guide: Guide) -> GuideCheck:
    """The guide's arithmetic, done right."""
    electricity = energy_cost(guide.watts, guide.hours_per_month, guide.price_per_kwh)
    hardware = guide.hardware_usd / guide.months
    return GuideCheck(
        electricity_month=electricity,
        hardware_month=hardware,
        hardware_per_request=hardware / guide.requests,
        break_even_electricity=electricity / guide.api_usd_per_request,
        break_even=(electricity + hardware) / guide.api_usd_per_request,
    )
