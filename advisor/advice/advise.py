"""From a need and a rig to advice: everything that could be done, held against the need."""

import datetime as dt
import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from advisor.advice.assessment import Assessment, assess
from advisor.advice.builds import Build, cards
from advisor.advice.hardware_prices import PriceBook, book_of, reviewed
from advisor.advice.hybrids import hybrids
from advisor.advice.nearest import Answers, Nearest, nearest
from advisor.advice.options import Option, api_option
from advisor.advice.prices import Candidate, candidates, tier_of
from advisor.advice.timing import Engine, MeasuredRun, lengths, timed
from advisor.advice.upgrades import Found, option, search, with_plans
from advisor.advice.usage import Usage
from advisor.advice.variants import Variant, loss_of
from advisor.advice.verdict import Advice, conclude_from, rank
from advisor.advice.workings import Workings
from advisor.hardware.rig import Rig
from advisor.llm.catalogue import CatalogueEntry
from advisor.llm.model import Model
from advisor.sizing.calibration import Calibration
from advisor.sizing.settings import RunSettings

_EXACT: Final = 5
"""So many of the best local options are sized exactly."""
_LIKE_CLASS: Final = 4
"""APIs of like class that are shown, cheapest first."""

Progress = Callable[[float, str], None]


def advise(
    usage: Usage,
    rig: Rig,
    models: Sequence[CatalogueEntry | Model],
    *,
    at: dt.datetime,
    current: Model | None = None,
    settings: RunSettings | None = None,
    calibration: Calibration | None = None,
    measured: Sequence[MeasuredRun] = (),
    workings: Workings | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    progress: Progress = lambda _share, _text: None,
) -> Advice:
    """What to do about ``usage``, with ``rig`` as it is, changed or replaced, or with an API.

    ``models`` are those that are acceptable, ``current`` the one in question in its file type.
    ``at`` must carry a time zone; API prices are those of that moment, and prices of hardware are
    old or new by its date. ``calibration`` and ``measured`` are what probes of this rig taught.
    ``workings``: what earlier questions left, which makes this one quick and never changes its
    answer. Never uses the network.
    """
    kept, base = workings or Workings(), settings or RunSettings()
    engine = kept.engine(base, calibration, measured)
    asked = _Asked(usage, rig, tuple(models), current, at, engine, kept, cancelled)
    progress(0.0, "")
    options = list(_as_it_is(rig, current, usage, engine))
    found = asked.search(usage, lambda share: progress(0.1 + 0.4 * share, ""))
    known = {o.id for o in options}
    options += [o for o in found.options if o.id not in known]
    apis = asked.apis(usage)
    options += [api_option(c.price, c.relation) for c in apis]
    settled = _settle(
        [_named(o, current) for o in options],
        found,
        usage,
        cancelled=cancelled,
        progress=lambda share: progress(0.5 + 0.4 * share, ""),
    )
    settled += [assess(o, usage) for o in hybrids(settled, apis, usage)]
    near = Nearest((), ())
    if not any(a.meets for a in settled):
        near = nearest(
            usage, asked.relaxed, cancelled, lambda share: progress(0.5 + 0.5 * share, "")
        )
        settled = _nearer(settled, near.options, usage)
    return conclude_from(
        settled,
        usage,
        rig_name=rig.name,
        at=at,
        unknowns=_unknowns(asked.prices, at.date(), usage, complete=found.complete),
        assumptions=(reviewed(),),
        searched=found.searched + len(apis),
        openings=near.openings,
    )


@dataclass(frozen=True, eq=False)
class _Asked:
    """Everything beside the need that an answer depends on."""

    usage: Usage
    rig: Rig
    models: tuple[CatalogueEntry | Model, ...]
    current: Model | None
    at: dt.datetime
    engine: Engine
    kept: Workings
    cancelled: Callable[[], bool]

    @functools.cached_property
    def prices(self) -> PriceBook:
        return book_of(self.usage)

    def search(self, need: Usage, progress: Callable[[float], None] = lambda _share: None) -> Found:
        """The front for a need; how fast is fast enough is what was asked at first."""
        return search(
            self.kept.shelf(self.rig, need, self.prices, self.at.date()),
            self.kept.variants(self.models, need, self.engine.settings),
            need,
            engine=self.engine,
            enough=self.usage.fast_enough_tps,
            cancelled=self.cancelled,
            progress=progress,
        )

    def apis(self, need: Usage) -> list[Candidate]:
        return _apis(self.models, self.current, need, self.at)

    def relaxed(self, need: Usage) -> Answers:
        """Answers to a need that asks less."""
        rented = [api_option(c.price, c.relation) for c in self.apis(need)]
        if need.api_allowed and not self.usage.api_allowed:
            # Of what stays here nothing does: only what else may be asked is new.
            return Answers(rented, _as_is)
        found = self.search(need)
        return Answers([*(_named(o, self.current) for o in found.options), *rented], found.exactly)


def _as_is(found: Option) -> Option:
    return found


def _nearer(
    settled: Sequence[Assessment], options: Sequence[Option], usage: Usage
) -> list[Assessment]:
    """With near misses; what is there already in a worse shape gives way."""
    by_id = {a.option.id: a for a in settled}
    for near in (assess(o, usage) for o in options):
        old = by_id.get(near.option.id)
        if old is None or near.miss < old.miss:
            by_id[near.option.id] = near
    return list(by_id.values())


def _as_it_is(rig: Rig, current: Model | None, usage: Usage, engine: Engine) -> Iterable[Option]:
    """The rig with the model in question, whether or not that is good enough."""
    if current is None:
        return
    kv = engine.settings.ctk
    tier = tier_of(current.id, current.n_params)
    variant = Variant(current, kv, loss_of(current, kv), tier)
    build = Build("keep", "Keep this rig", rig)

    def work() -> Option | None:
        outcome = timed(variant, rig, usage, engine)
        if outcome is None:
            return None
        return with_plans(option(build, variant, outcome), variant, usage, engine, outcome)

    key = ("as it is", build.signature, variant.key, lengths(usage))
    found = engine.once(key, work)
    if found is not None:
        yield replace(found, rig=rig)


def _settle(
    options: Sequence[Option],
    found: Found,
    usage: Usage,
    *,
    cancelled: Callable[[], bool],
    progress: Callable[[float], None],
) -> list[Assessment]:
    """Replace rough answers by exact ones until the best few are exact."""
    settled = {o.id: assess(o, usage) for o in options}
    done = 0
    while not cancelled():
        ranked = rank(settled.values(), usage)
        local = [a.option for a in ranked if a.option.rig is not None][:_EXACT]
        rough = next((o for o in local if o.rough), None)
        if rough is None:
            break
        progress(min(1.0, done / _EXACT))
        settled[rough.id] = assess(found.exactly(rough), usage)
        done += 1
    return list(settled.values())


def _named(found: Option, current: Model | None) -> Option:
    """On the rig as it is, any other model or file type than the one in question is tuning."""
    same = current is not None and (found.model_id, found.file_type) == (
        current.id,
        current.file_type,
    )
    if found.kind != "keep" or current is None or (same and found.title == "Keep this rig"):
        return found
    return replace(found, kind="tune", title=f"Keep this rig, run {found.runs}")


def _apis(
    models: Sequence[CatalogueEntry | Model], current: Model | None, usage: Usage, at: dt.datetime
) -> list[Candidate]:
    """APIs for any acceptable model: all of the family, and the cheapest of like class."""
    asked = {m.id: m.n_params for m in models}
    if current is not None:
        asked.setdefault(current.id, current.n_params)
    found: dict[str, Candidate] = {}
    for model_id, n_params in asked.items():
        like = 0
        for candidate in candidates(model_id, n_params, usage, at):
            if candidate.relation == "like class":
                like += 1
                if like > _LIKE_CLASS:
                    continue
            known = found.get(candidate.price.api.id)
            if known is None or known.relation == "like class":
                found[candidate.price.api.id] = candidate
    return list(found.values())


def _unknowns(book: PriceBook, today: dt.date, usage: Usage, *, complete: bool) -> tuple[str, ...]:
    found: list[str] = []
    _, unpriced = cards(book, today, used=usage.limits.used_parts)
    if unpriced:
        few = ", ".join(unpriced[:4])
        found.append(f"{len(unpriced)} cards have no known price today and were left out ({few} …)")
    if not complete:
        found.append("the search was stopped before it was complete")
    return tuple(found)
