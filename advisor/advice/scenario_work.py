"""A built-in case worked out: what fits, how fast, what crosses the links, and when it pays."""

import datetime as dt
import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

from advisor.advice.assessment import assess
from advisor.advice.builds import Build
from advisor.advice.costs import api_cost, break_even, local_cost
from advisor.advice.hardware_prices import PriceBook, book_of, reviewed
from advisor.advice.hybrids import hybrids
from advisor.advice.options import Kind, Option, Purchase, api_option
from advisor.advice.prices import ApiPrice, Candidate, api_models, api_price, tier_of
from advisor.advice.scenario_rules import (
    mixed_need,
    outlook,
    rule_of_mixing,
    rules_of_cost,
    rules_of_length,
)
from advisor.advice.scenarios import (
    Answer,
    Crossing,
    Link,
    Row,
    Scenario,
    ScenarioRig,
    Speeds,
    check_guide,
)
from advisor.advice.timing import Timed, lengths, roughly, timed
from advisor.advice.upgrades import option
from advisor.advice.usage import Usage
from advisor.advice.variants import Variant, loss_of, preference
from advisor.advice.verdict import conclude, said
from advisor.advice.workings import Workings
from advisor.hardware.compose import parse_rig
from advisor.hardware.rig import Rig
from advisor.llm.catalogue import CatalogueEntry, catalogue
from advisor.sizing import interconnect
from advisor.sizing.matrix import lacking, matrix
from advisor.sizing.settings import RunSettings

_COMMON_SPEED: Final = 15.0
"""Tokens per second for a link's share where no speed is predicted."""


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
            moved=lacking(cell, rig),
        )
        for row in cells.rows
        for cell in row
    )


def _purchases(rig: ScenarioRig, book: PriceBook) -> tuple[Purchase, ...]:
    return tuple(Purchase(name, count, book.part(name)) for name, count in rig.parts.items())


@dataclass(frozen=True)
class _Pair:
    """One rig of a case with one of its models."""

    case: Scenario
    rig: ScenarioRig
    entry: CatalogueEntry
    usage: Usage
    workings: Workings

    @property
    def key(self) -> tuple[object, ...]:
        return self.rig.rig, self.entry.id, self.case.kv

    @functools.cached_property
    def built(self) -> Rig:
        return parse_rig(self.rig.rig)

    def rows(self) -> tuple[Row, ...]:
        """Its part of the allocation table, worked out once."""
        return self.workings.once(
            ("allocation", self.rig.title, self.case.contexts, *self.key),
            lambda: allocation(self.case, self.entry, self.rig.title, self.built),
        )

    def variants(self) -> list[Variant]:
        """Every file, best quality first, of equal quality the smallest."""
        tier = tier_of(self.entry.id, self.entry.n_params)
        found = [
            Variant(model, self.case.kv, loss_of(model, self.case.kv), tier)
            for model in map(self.entry.model, self.entry.file_types)
        ]
        native = self.entry.native_file_type
        return sorted(found, key=lambda v: (-v.quality, preference(v.model, native)))

    def outcome(self, variant: Variant, *, rough: bool) -> Timed | None:
        """Its fit and speed for the usage's lengths, worked out once."""
        how = roughly if rough else timed
        engine = self.workings.engine(RunSettings())
        return engine.once(
            ("case", rough, self.rig.rig, variant.key, lengths(self.usage)),
            lambda: how(variant, self.built, self.usage, engine),
        )

    def options(self, *, rough: bool) -> tuple[Option, ...]:
        """Of every quality that the rig holds at the need's context, one file; best first."""
        held = None if rough else self._held()
        book = book_of(self.usage)
        kind: Kind = "unified machine" if self.built.devices[0].unified else "new build"
        build = Build(kind, f"Buy {self.rig.title}", self.built, _purchases(self.rig, book))
        found: dict[str, Option] = {}
        for variant in self.workings.once(("variants", *self.key), self.variants):
            if variant.loss in found or (held is not None and variant.model.file_type not in held):
                continue
            outcome = self.outcome(variant, rough=rough)
            if outcome is not None and outcome.judgement.fits:
                found[variant.loss] = option(build, variant, outcome)
        return tuple(found.values())

    def _held(self) -> set[str]:
        """File types that run at the shortest context of the case which the need fits into."""
        enough = [ctx for ctx in self.case.contexts if ctx >= self.usage.context]
        ctx = min(enough, default=None)
        return {
            row.file_type
            for row in self.rows()
            if ctx is None or (row.ctx == ctx and row.verdict != "no")
        }


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
    usage: Usage | None = None,
    rough: bool = False,
    workings: Workings | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    progress: Callable[[float, str], None] = lambda _share, _text: None,
) -> Answer:
    """Every table of a case. ``at`` must carry a time zone. Nothing goes over the network.

    ``rough``: a first answer in a second or two, without the allocation table, and with rigs sized
    by sums over layers. ``workings``: what earlier questions left.
    """
    need = usage or case.usage
    kept = workings or Workings()
    by_id = {a.id: a for a in api_models()}
    apis = [api_price(by_id[name], at, batch=need.batch_ok) for name in case.apis]
    rows: list[Row] = []
    speeds: list[Speeds] = []
    links: list[Link] = []
    crossings: list[Crossing] = []
    choices: list[Option] = [api_option(price, "like class") for price in apis]
    total = len(case.rigs) * len(case.models)
    for step, (rig, model_id) in enumerate(product(case.rigs, case.models)):
        if cancelled():
            break
        pair = _Pair(case, rig, catalogue().find(model_id), need, kept)
        progress(step / total, f"{pair.entry.name}, {rig.title}")
        if not rough:
            rows += pair.rows()
        able = pair.options(rough=rough)
        choices += able
        speeds += [_speeds(rig.title, found, need) for found in able]
        best = able[0].run if able else None
        if len(pair.built.devices) > 1:
            speed = best.decode_tps.mid if best else None
            links.append(_link(rig.title, pair.entry.name, pair.built, pair.entry, speed))
        if best is not None:
            line = local_cost(need, best, able[0].hardware(need))
            crossings += [
                Crossing(
                    rig=rig.title,
                    model=f"{pair.entry.name} {able[0].file_type}",
                    api=price.api.title,
                    api_per_request=api_cost(need, price).mean.mid,
                    break_even=break_even(line, api_cost(need, price)),
                    local=line,
                )
                for price in apis
            ]
    proposed = [Candidate("like class", price) for price in apis]
    choices += hybrids([assess(option, need) for option in choices], proposed, need)
    verdicts = tuple(
        (volume, said(choices, need.model_copy(update={"requests_per_month": volume})))
        for volume in case.volumes
    )
    return Answer(
        scenario=case,
        made=at,
        allocation=tuple(rows),
        speeds=tuple(speeds),
        links=tuple(links),
        crossings=tuple(crossings),
        by_volume=verdicts,
        guide=check_guide(case.guide),
        advice=conclude(
            choices,
            need,
            rig_name=case.title,
            at=at,
            assumptions=(reviewed(),),
        ),
        rules=(
            *rules_of_cost(crossings, choices, need),
            *_mixed(case, need, apis, kept),
            *rules_of_length(speeds, need),
            *outlook([catalogue().find(m) for m in case.models], need, kept, at.date()),
        ),
        rough=rough,
    )


def _mixed(
    case: Scenario, usage: Usage, apis: Sequence[ApiPrice], workings: Workings
) -> Iterable[str]:
    """The rule about mixing, from rigs sized roughly."""
    need = mixed_need(usage)
    if need is None:
        return
    pairs = [
        _Pair(case, rig, catalogue().find(model_id), need, workings)
        for rig, model_id in product(case.rigs, case.models)
    ]
    choices = [option for pair in pairs for option in pair.options(rough=True)]
    proposed = [Candidate("like class", price) for price in apis]
    choices += hybrids([assess(option, need) for option in choices], proposed, need)
    choices += [api_option(price, "like class") for price in apis]
    yield rule_of_mixing(choices, need)
