"""A built-in case worked out: what fits, how fast, what crosses the links, and when it pays."""

import datetime as dt
import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Final

from advisor.advice.assessment import assess
from advisor.advice.builds import Build
from advisor.advice.costs import api_cost, break_even, local_cost
from advisor.advice.engine import lengths
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
    Depth,
    Link,
    Row,
    Scenario,
    ScenarioRig,
    Specification,
    Speeds,
    check_guide,
)
from advisor.advice.timing import Timed, context_bytes, roughly, timed
from advisor.advice.upgrades import option
from advisor.advice.usage import Usage
from advisor.advice.variants import Variant, loss_of, preference
from advisor.advice.verdict import conclude, rank, said
from advisor.advice.workings import Workings
from advisor.hardware.compose import parse_rig
from advisor.hardware.rig import Rig
from advisor.llm.catalogue import CatalogueEntry, catalogue
from advisor.sizing import interconnect
from advisor.sizing.matrix import lacking, matrix
from advisor.sizing.settings import RunSettings

_BOUGHT: Final = ("new build", "unified machine")
_TOLD: Final = 2
"""Rigs of a verdict: it and the runner-up."""
_COMMON_SPEED: Final = 15.0
"""Tokens per second for a link's share where no speed is predicted."""


def specification(case: Scenario, entry: CatalogueEntry) -> Specification:
    """A model of the case, from its own hyperparameters and tensors."""
    hp, released = entry.hp, entry.model(entry.native_file_type)
    return Specification(
        model=entry.name,
        params=entry.n_params,
        active=entry.active,
        trained_ctx=hp.n_ctx_train,
        layers=hp.n_layer,
        experts=hp.n_expert,
        experts_used=hp.n_expert_used,
        experts_shared=hp.n_expert_shared,
        released_as=entry.native_file_type,
        released_bytes=released.nbytes,
        kv=tuple(
            (ctx, int(context_bytes(released, RunSettings(ctk=case.kv, ctv=case.kv, ctx=ctx))))
            for ctx in case.contexts
        ),
    )


def allocation(
    case: Scenario, entry: CatalogueEntry, title: str, rig: Rig, llama_cpp: str = ""
) -> tuple[Row, ...]:
    """Every file type × context of one model on one rig, as that llama.cpp runs it."""
    models = {name: entry.model(name) for name in (*case.file_types_too, *entry.file_types)}
    settings = RunSettings(ctk=case.kv, ctv=case.kv, built=llama_cpp)
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
    llama_cpp: str
    """Which one runs it: ``RunSettings.built``."""

    @property
    def key(self) -> tuple[object, ...]:
        return self.rig.rig, self.entry.id, self.case.kv

    @functools.cached_property
    def built(self) -> Rig:
        return parse_rig(self.rig.rig)

    def rows(self) -> tuple[Row, ...]:
        """Its part of the allocation table, worked out once."""
        return self.workings.once(
            self._allocation,
            lambda: allocation(self.case, self.entry, self.rig.title, self.built, self.llama_cpp),
        )

    @property
    def has_rows(self) -> bool:
        """Whether its part of that table is worked out."""
        return self.workings.knows(self._allocation)

    @property
    def _allocation(self) -> tuple[object, ...]:
        return "allocation", self.rig.title, self.case.contexts, self.llama_cpp, *self.key

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
        engine = self.workings.engine(RunSettings(built=self.llama_cpp))
        return engine.once(
            ("case", rough, self.rig.rig, variant.key, lengths(self.usage)),
            lambda: how(variant, self.built, self.usage, engine),
        )

    @functools.cached_property
    def build(self) -> Build:
        """The rig as something to buy."""
        book = book_of(self.usage)
        kind: Kind = "unified machine" if self.built.devices[0].unified else "new build"
        return Build(kind, f"Buy {self.rig.title}", self.built, _purchases(self.rig, book))

    def options(self, *, rough: bool) -> tuple[Option, ...]:
        """Of every quality that the rig holds at the need's context, one file; best first."""
        held = None if rough else self._held()
        found: dict[str, Option] = {}
        for variant in self.workings.once(("variants", *self.key), self.variants):
            if variant.loss in found or (held is not None and variant.model.file_type not in held):
                continue
            outcome = self.outcome(variant, rough=rough)
            if outcome is not None and outcome.judgement.fits:
                found[variant.loss] = option(self.build, variant, outcome)
        return tuple(found.values())

    def exactly(self, rough: Option) -> Option:
        """One of its options sized exactly."""
        variants = self.workings.once(("variants", *self.key), self.variants)
        variant = next(v for v in variants if v.model.file_type == rough.file_type)
        outcome = self.outcome(variant, rough=False)
        if outcome is None:
            return replace(rough, fits=None, run=None, rough=False)
        return option(self.build, variant, outcome)

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
    depth: Depth = "whole",
    workings: Workings | None = None,
    llama_cpp: str = "",
    cancelled: Callable[[], bool] = lambda: False,
    progress: Callable[[float, str], None] = lambda _share, _text: None,
) -> Answer:
    """Every table of a case. ``at`` must carry a time zone. Nothing goes over the network.

    ``depth``: "first" takes a second or two, "verdict" a few times that, "whole" as much again.
    ``workings``: what earlier questions left. ``llama_cpp``: which one runs the rigs, as in
    ``RunSettings.built``.
    """
    need = usage or case.usage
    kept = workings or Workings()
    by_id = {a.id: a for a in api_models()}
    apis = [api_price(by_id[name], at, batch=need.batch_ok) for name in case.apis]
    rows: list[Row] = []
    pairs: list[tuple[_Pair, list[Option]]] = []
    both = list(product(case.rigs, case.models))
    for step, (rig, model_id) in enumerate(both):
        if cancelled():
            break
        pair = _Pair(case, rig, catalogue().find(model_id), need, kept, llama_cpp)
        if depth == "whole":
            progress(step / len(both), f"{pair.entry.name}, {rig.title}")
        if depth == "whole" or pair.has_rows:
            rows += pair.rows()
        pairs.append((pair, list(pair.options(rough=depth != "whole"))))
    if depth == "verdict":
        _settle(case, pairs, apis, need, cancelled=cancelled, progress=progress)
    speeds: list[Speeds] = []
    links: list[Link] = []
    crossings: list[Crossing] = []
    for pair, able in pairs:
        speeds += [_speeds(pair.rig.title, found, need) for found in able]
        best = able[0].run if able else None
        if len(pair.built.devices) > 1:
            speed = best.decode_tps.mid if best else None
            links.append(_link(pair.rig.title, pair.entry.name, pair.built, pair.entry, speed))
        if best is not None:
            crossings += _crossings(pair, able[0], apis)
    choices = _choices(pairs, apis, need)
    verdicts = tuple(
        (volume, said(choices, need.model_copy(update={"requests_per_month": volume})))
        for volume in case.volumes
    )
    return Answer(
        scenario=case,
        made=at,
        models=tuple(specification(case, catalogue().find(m)) for m in case.models),
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
            *_mixed(case, need, apis, kept, llama_cpp),
            *rules_of_length(speeds, need),
            *outlook([catalogue().find(m) for m in case.models], need, kept, at.date(), llama_cpp),
        ),
        depth=depth,
        llama_cpp=llama_cpp,
    )


_Pairs = Sequence[tuple[_Pair, list[Option]]]


def _choices(pairs: _Pairs, apis: Sequence[ApiPrice], need: Usage) -> list[Option]:
    """Every rig's options, the APIs, and both together."""
    choices: list[Option] = [api_option(price, "like class") for price in apis]
    choices += [option for _, able in pairs for option in able]
    proposed = [Candidate("like class", price) for price in apis]
    choices += hybrids([assess(option, need) for option in choices], proposed, need)
    return choices


def _crossings(pair: _Pair, best: Option, apis: Sequence[ApiPrice]) -> Iterable[Crossing]:
    if best.run is None:
        return
    line = local_cost(pair.usage, best.run, best.hardware(pair.usage))
    # Where prompts may go and how many there are is for the verdict and the volumes to say.
    each = pair.usage.model_copy(
        update={"requests_per_month": 1, "data_may_leave": True, "must_work_offline": False}
    )
    for price in apis:
        cost = api_cost(pair.usage, price)
        yield Crossing(
            rig=pair.rig.title,
            model=f"{pair.entry.name} {best.file_type}",
            api=price.api.title,
            api_per_request=cost.mean.mid,
            api_lacks=_lacks(api_option(price, "like class"), each),
            rig_lacks=_lacks(best, each),
            break_even=break_even(line, cost),
            local=line,
        )


def _lacks(option: Option, need: Usage) -> str:
    return next(iter(assess(option, need).failures), "")


def _settle(
    case: Scenario,
    pairs: _Pairs,
    apis: Sequence[ApiPrice],
    need: Usage,
    *,
    cancelled: Callable[[], bool],
    progress: Callable[[float, str], None],
) -> None:
    """Size exactly what is told: the best of every rig, and the first rigs of every verdict."""
    private = need.model_copy(update={"data_may_leave": False})
    needs = [need.model_copy(update={"requests_per_month": v}) for v in case.volumes]
    wanted = [need, private, *needs]
    done = 0
    while not cancelled():
        told = [able[0].id for _, able in pairs if able]
        for asked in wanted:
            ranked = rank((assess(o, asked) for o in _choices(pairs, apis, asked)), asked)
            told += [a.option.id for a in ranked if a.option.kind in _BOUGHT][:_TOLD]
        rough = [
            (pair, able, place)
            for pair, able in pairs
            for place, found in enumerate(able)
            if found.rough and found.id in told
        ]
        if not rough:
            return
        pair, able, place = rough[0]
        progress(done / (done + len(rough)), f"{able[place].runs}, {pair.rig.title}")
        able[place] = pair.exactly(able[place])
        done += 1


def _mixed(
    case: Scenario,
    usage: Usage,
    apis: Sequence[ApiPrice],
    workings: Workings,
    llama_cpp: str,
) -> Iterable[str]:
    """The rule about mixing, from rigs sized roughly."""
    need = mixed_need(usage)
    if need is None:
        return
    pairs = [
        _Pair(case, rig, catalogue().find(model_id), need, workings, llama_cpp)
        for rig, model_id in product(case.rigs, case.models)
    ]
    choices = [option for pair in pairs for option in pair.options(rough=True)]
    proposed = [Candidate("like class", price) for price in apis]
    choices += hybrids([assess(option, need) for option in choices], proposed, need)
    choices += [api_option(price, "like class") for price in apis]
    yield rule_of_mixing(choices, need)
