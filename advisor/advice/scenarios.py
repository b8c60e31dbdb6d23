"""Built-in cases: a question, the rigs and models in it, and every table that answers it."""

import datetime as dt
import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import product
from typing import Final

from pydantic import BaseModel, ConfigDict

from advisor import resources
from advisor.advice import interconnect
from advisor.advice.builds import Build
from advisor.advice.costs import (
    BreakEven,
    LocalCost,
    api_cost,
    break_even,
    energy_cost,
    local_cost,
)
from advisor.advice.hardware_prices import PriceBook
from advisor.advice.options import Kind, Option, Purchase
from advisor.advice.prices import ApiPrice, api_models, api_price, tier_of
from advisor.advice.timing import Engine, timed
from advisor.advice.upgrades import option
from advisor.advice.usage import Usage, preset
from advisor.advice.variants import Variant, loss_of, preference
from advisor.advice.verdict import Advice, conclude
from advisor.basis import Range
from advisor.errors import SessionError
from advisor.hardware.compose import parse_rig
from advisor.hardware.rig import Rig
from advisor.llm.catalogue import CatalogueEntry, catalogue
from advisor.sizing.matrix import matrix
from advisor.sizing.plan import Verdict
from advisor.sizing.settings import KvType, RunSettings

_COMMON_SPEED: Final = 15.0
"""Tokens per second for a link's share where no speed is predicted."""


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
    """On the cards with everything on them; negative is what has to go to RAM or is missing."""


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
    allocation: tuple[Row, ...]
    speeds: tuple[Speeds, ...]
    links: tuple[Link, ...]
    crossings: tuple[Crossing, ...]
    by_volume: tuple[tuple[int, str], ...]
    """Requests a month, and what to do then."""
    guide: GuideCheck
    advice: Advice
    rules: tuple[str, ...]


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


def allocation(case: Scenario, entry: CatalogueEntry, title: str, rig: Rig) -> tuple[Row, ...]:
    """Every file type × context of one model on one rig."""
    models = {name: entry.model(name) for name in entry.file_types}
    settings = RunSettings(ctk=case.kv, ctv=case.kv)
    cells = matrix(models, rig, settings, case.contexts)
    return tuple(
        Row(
            rig=title,
            model=entry.name,
            file_type=cell.file_type,
            ctx=cell.ctx,
            verdict=cell.verdict,
            file_bytes=models[cell.file_type].nbytes,
            on_devices=cell.device_total,
            in_ram=cell.host_total,
            headroom=cell.headroom,
        )
        for row in cells.rows
        for cell in row
    )


def _purchases(rig: ScenarioRig, book: PriceBook) -> tuple[Purchase, ...]:
    return tuple(Purchase(name, count, book.part(name)) for name, count in rig.parts.items())


def options(
    case: Scenario,
    entry: CatalogueEntry,
    rig: ScenarioRig,
    rows: Sequence[Row],
    usage: Usage,
    *,
    book: PriceBook,
) -> tuple[Option, ...]:
    """Of every quality that a rig holds at the full context, the smallest file; best first."""
    built = parse_rig(rig.rig)
    held = {
        row.file_type
        for row in rows
        if row.ctx == max(case.contexts) and row.verdict not in {"no", "unknown"}
    }
    tier = tier_of(entry.id, entry.n_params)
    variants = [
        Variant(model, case.kv, loss_of(model, case.kv), tier)
        for model in (entry.model(name) for name in entry.file_types if name in held)
    ]
    variants.sort(key=lambda v: (-v.quality, preference(v.model, entry.native_file_type)))
    found: dict[str, Option] = {}
    for variant in variants:
        if variant.loss in found:
            continue
        outcome = timed(variant, built, usage, Engine(RunSettings()))
        if outcome is None or not outcome.judgement.fits:
            continue
        kind: Kind = "unified machine" if built.devices[0].unified else "new build"
        build = Build(kind, f"Buy {rig.title}", built, _purchases(rig, book))
        found[variant.loss] = option(build, variant, outcome)
    return tuple(found.values())


def _speeds(rig: str, found: Option, usage: Usage) -> Speeds:
    run = found.run
    return Speeds(
        rig=rig,
        model=found.model_name,
        file_type=found.file_type,
        loss=found.loss,
        in_ram=found.in_ram,
        decode_tps=run.decode_tps if run else None,
        prefill_tps=run.prefill_tps if run else None,
        minutes=run.seconds(usage).mid / 60 if run else None,
    )


def _link(rig: str, model: str, built: Rig, entry: CatalogueEntry, speed: float | None) -> Link:
    flow = interconnect.traffic(entry.hp, built)
    return Link(
        rig=rig,
        model=model,
        cards=len(built.devices),
        tensor_split=flow.tensor_split,
        layer_split=flow.layer_split,
        link=flow.link,
        link_gbs=flow.link_gbs,
        share=flow.share(speed or _COMMON_SPEED),
    )


def work_out(
    case: Scenario,
    *,
    at: dt.datetime,
    book: PriceBook | None = None,
    usage: Usage | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    progress: Callable[[float, str], None] = lambda _share, _text: None,
) -> Answer:
    """Every table of a case. ``at`` must carry a time zone. Nothing goes over the network."""
    prices = book or PriceBook()
    need = usage or case.usage
    by_id = {a.id: a for a in api_models()}
    apis = [api_price(by_id[name], at, batch=need.batch_ok) for name in case.apis]
    rows: list[Row] = []
    speeds: list[Speeds] = []
    links: list[Link] = []
    crossings: list[Crossing] = []
    choices: list[Option] = [_api_option(price) for price in apis]
    total = len(case.rigs) * len(case.models)
    for step, (rig, model_id) in enumerate(product(case.rigs, case.models)):
        if cancelled():
            break
        entry, built = catalogue().find(model_id), parse_rig(rig.rig)
        progress(step / total, f"{entry.name}, {rig.title}")
        here = allocation(case, entry, rig.title, built)
        rows += here
        able = options(case, entry, rig, here, need, book=prices)
        choices += able
        speeds += [_speeds(rig.title, found, need) for found in able]
        best = able[0].run if able else None
        if len(built.devices) > 1:
            speed = best.decode_tps.mid if best else None
            links.append(_link(rig.title, entry.name, built, entry, speed))
        if best is not None:
            line = local_cost(need, best, able[0].hardware(need))
            crossings += [
                Crossing(
                    rig=rig.title,
                    model=f"{entry.name} {able[0].file_type}",
                    api=price.api.title,
                    api_per_request=api_cost(need, price).mean.mid,
                    break_even=break_even(line, api_cost(need, price)),
                    local=line,
                )
                for price in apis
            ]
    verdicts = tuple(
        (volume, conclude_at(choices, need, volume, at).headline) for volume in case.volumes
    )
    advice = conclude(choices, need, rig_name=case.title, at=at)
    return Answer(
        scenario=case,
        made=at,
        allocation=tuple(rows),
        speeds=tuple(speeds),
        links=tuple(links),
        crossings=tuple(crossings),
        by_volume=verdicts,
        guide=check_guide(case.guide),
        advice=advice,
        rules=(
            *_prose_of_costs(crossings, choices, need, at),
            *_prose_of_lengths(case, speeds, need),
        ),
    )


def conclude_at(
    choices: Sequence[Option], usage: Usage, volume: int, at: dt.datetime, **update: object
) -> Advice:
    """The verdict at another volume."""
    changed = usage.model_copy(update={"requests_per_month": volume, **update})
    return conclude(choices, changed, rig_name="", at=at)


def _api_option(price: ApiPrice) -> Option:
    return Option(
        id=f"API|{price.api.id}",
        kind="API",
        title=price.api.title,
        tier=price.api.tier,
        api=price,
        relation="like class",
        notes=price.notes,
    )


def _prose_of_costs(
    crossings: Sequence[Crossing], choices: Sequence[Option], usage: Usage, at: dt.datetime
) -> Iterable[str]:
    """When to use an API, to build, and to mix, from the figures above."""
    cheapest = min(crossings, key=lambda c: c.api_per_request, default=None)
    if cheapest is not None:
        reached = [c for c in crossings if c.api == cheapest.api and c.break_even.reachable]
        cost = f"{cheapest.api_per_request:.4f} {usage.currency}"
        if reached:
            first = min(reached, key=lambda c: c.break_even.mid or Decimal(0))
            yield (
                f"Use {cheapest.api} ({cost} a request) below {first.break_even.mid:,.0f} requests "
                f"a month; from there {first.rig} with {first.model} is cheaper."
            )
        else:
            yield (
                f"Use {cheapest.api} ({cost} a request): no rig of this case is fast enough to "
                "earn its price back."
            )
    private = conclude_at(choices, usage, usage.requests_per_month, at, data_may_leave=False)
    yield f"If no prompt may leave: {private.headline}"
    short = usage.model_copy(
        update={"prompt_tokens": 32_000, "context": 65536, "cached_share": Decimal("0.5")}
    )
    mixed = conclude(choices, short, rig_name="", at=at)
    yield (
        f"For requests of 32,000 tokens, half of them repeated, instead of "
        f"{usage.prompt_tokens:,}: {mixed.headline}"
    )


def _prose_of_lengths(case: Scenario, speeds: Sequence[Speeds], usage: Usage) -> Iterable[str]:
    """What a long context costs, and what the weights need."""
    timed_ = [s for s in speeds if s.minutes is not None]
    if timed_:
        best = min(timed_, key=lambda s: s.minutes or Decimal(0))
        worst = max(timed_, key=lambda s: s.minutes or Decimal(0))
        yield (
            f"A request of {usage.prompt_tokens:,} tokens takes {best.minutes:,.0f} minutes on "
            f"{best.rig} ({best.model} {best.file_type}) and {worst.minutes:,.0f} on {worst.rig} "
            f"({worst.model} {worst.file_type}): the prompt, not memory, is what a long context "
            "costs."
        )
    for entry in (catalogue().find(m) for m in case.models):
        native = entry.model(entry.native_file_type).nbytes
        yield f"{entry.name} keeps its released precision in {native / 2**30:,.0f} GiB."
