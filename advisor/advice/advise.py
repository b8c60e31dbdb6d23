"""From a need and a rig to advice: everything that could be done, held against the need."""

import datetime as dt
import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from advisor.advice.assessment import Assessment, assess
from advisor.advice.builds import Build
from advisor.advice.cards import cards
from advisor.advice.engine import Engine, MeasuredRun, lengths
from advisor.advice.hardware_prices import PriceBook, book_of, reviewed
from advisor.advice.hybrids import cheapest, hybrid
from advisor.advice.nearest import Nearest, nearest
from advisor.advice.options import Answers, Option, api_option
from advisor.advice.prices import Candidate, candidates, tier_of
from advisor.advice.timing import roughly, timed
from advisor.advice.upgrades import Found, both, option, search, with_plans
from advisor.advice.usage import Usage
from advisor.advice.variants import Variant, loss_of
from advisor.advice.verdict import Advice, choose, conclude_from, demerit, rank
from advisor.advice.workings import Workings
from advisor.hardware.rig import Rig
from advisor.llm.catalogue import CatalogueEntry
from advisor.llm.model import Model
from advisor.sizing.calibration import Calibration
from advisor.sizing.settings import RunSettings

_EXACT: Final = 5
"""So many of the best local options are sized exactly, as far as they are near the verdict."""
_ALWAYS: Final = 2
"""So many however far they are: the best is compared with an API."""
_NEAR: Final = 4.0
"""Steps of ``demerit`` behind the verdict, many times what rough and exact sizes differ by."""
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
    rough: bool = False,
    cancelled: Callable[[], bool] = lambda: False,
    progress: Progress = lambda _share, _text: None,
) -> Advice:
    """What to do about ``usage``, with ``rig`` as it is, changed or replaced, or with an API.

    ``models`` are those that are acceptable, ``current`` the one in question in its file type.
    ``at`` must carry a time zone; API prices are those of that moment, and prices of hardware are
    old or new by its date. ``calibration`` and ``measured`` are what probes of this rig taught.
    ``workings``: what earlier questions left, which makes this one quick and never changes its
    answer. ``rough``: with every rig sized by sums over layers, in a third of the time; what comes
    near where nothing meets the need is not looked for then. Never uses the network.
    """
    kept, base = workings or Workings(), settings or RunSettings()
    engine = kept.engine(base, calibration, measured)
    asked = _Asked(usage, rig, tuple(models), current, at, engine, kept, cancelled)
    progress(0.0, "")
    options = list(_as_it_is(rig, current, usage, engine, rough=rough))
    found = asked.search(usage, lambda share: progress(0.1 + 0.4 * share, ""))
    known = {o.id for o in options}
    options += [o for o in found.options if o.id not in known]
    apis = asked.apis(usage)
    options += [api_option(c.price, c.relation) for c in apis]
    settled = _settle(
        [_named(o, current) for o in options],
        found,
        usage,
        rest=cheapest(apis, usage),
        exact=0 if rough else _EXACT,
        cancelled=cancelled,
        progress=lambda share, what: progress(0.5 + 0.4 * share, what),
    )
    near = Nearest((), ())
    if not rough and not any(a.meets for a in settled):
        near = nearest(usage, asked.other, cancelled, lambda share: progress(0.5 + 0.5 * share, ""))
        settled = _nearer(settled, near.options, usage)
    unpriced = _unpriced(asked.prices, at.date(), usage)
    counts = _hardware_counts(settled, usage)
    return conclude_from(
        settled,
        usage,
        rig_name=rig.name,
        at=at,
        unknowns=(
            *(unpriced if counts else ()),
            *(() if found.complete else ("the search was stopped before it was complete",)),
        ),
        assumptions=(reviewed(), *_calibrated(calibration)),
        searched=found.searched + _besides(settled, found),
        openings=near.openings,
        ask=asked.other,
    )


def _besides(settled: Sequence[Assessment], found: Found) -> int:
    """How many were worked out that the search did not count."""
    return len({a.option.id for a in settled} - {o.id for o in found.options})


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
        """The front for a need; how fast is fast enough is what was asked at first.

        Where some requests are much longer, every rig has to hold them or leaves them to an API.
        """
        if not need.long_share:
            return self._search(need, progress)
        longest = need.long_prompt_tokens + need.output_tokens
        whole = need.model_copy(update={"context": max(need.context, longest)})
        if not need.api_allowed:
            return self._search(whole, progress)
        fewer = max(1, int(need.requests_per_month * (1 - need.long_share)))
        short = need.model_copy(update={"long_share": Decimal(0), "requests_per_month": fewer})
        return both(
            self._search(short, lambda share: progress(share / 2)),
            self._search(whole, lambda share: progress((1 + share) / 2)),
        )

    def _search(self, need: Usage, progress: Callable[[float], None]) -> Found:
        acceptable = self.kept.variants(self.models, need, self.engine.settings)
        return search(
            self.kept.shelf(self.rig, need, self.prices, self.at.date()),
            [variant for variant in acceptable if variant.holds(need.context)],
            need,
            engine=self.engine,
            enough=self.usage.fast_enough_tps,
            cancelled=self.cancelled,
            progress=progress,
        )

    def apis(self, need: Usage) -> list[Candidate]:
        return _apis(self.models, self.current, need, self.at)

    def other(self, need: Usage) -> Answers:
        """Answers to another need."""
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


def _as_it_is(
    rig: Rig, current: Model | None, usage: Usage, engine: Engine, *, rough: bool
) -> Iterable[Option]:
    """The rig with the model in question, whether or not that is good enough."""
    if current is None:
        return
    kv = engine.settings.ctk
    tier = tier_of(current.id, current.n_params)
    variant = Variant(current, kv, loss_of(current, kv), tier)
    build = Build("keep", "Keep this rig", rig)

    def work() -> Option | None:
        outcome = (roughly if rough else timed)(variant, rig, usage, engine)
        if outcome is None:
            return None
        made = option(build, variant, outcome)
        return made if rough else with_plans(made, variant, usage, engine, outcome)

    key = ("as it is", rough, build.signature, variant.key, lengths(usage))
    found = engine.once(key, work)
    if found is not None:
        yield replace(found, rig=rig)


def _settle(
    options: Sequence[Option],
    found: Found,
    usage: Usage,
    *,
    rest: Candidate | None,
    exact: int,
    cancelled: Callable[[], bool],
    progress: Progress,
) -> list[Assessment]:
    """Replace rough answers by exact ones until the best few, at most ``exact``, are exact.

    ``rest``: the API for what a rig leaves over.
    """
    settled: dict[str, Assessment] = {}
    mixed: dict[str, Assessment] = {}
    """By the rig's own option."""

    def settle(own: Option) -> None:
        alone = settled[own.id] = assess(own, usage)
        mixed.pop(own.id, None)
        shared = None if rest is None else hybrid(alone, rest, usage)
        if shared is not None:
            mixed[own.id] = assess(shared, usage)

    for each in options:
        settle(each)
    done = 0
    while exact and not cancelled():
        by_id = {a.option.id: own for own, a in mixed.items()}
        ranked = rank([*settled.values(), *mixed.values()], usage)
        local = [a for a in ranked if a.option.rig is not None]
        near = demerit(ranked[0], usage) + _NEAR if ranked else 0.0
        told = local[:_ALWAYS] + [a for a in local[_ALWAYS:exact] if demerit(a, usage) <= near]
        rough = next((a.option for a in told if a.option.rough), None)
        if rough is None:
            break
        progress(min(1.0, done / exact), f"{rough.runs}, {rough.title}")
        settle(found.exactly(settled[by_id.get(rough.id, rough.id)].option))
        done += 1
    return [*settled.values(), *mixed.values()]


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
    asked = {m.weights_of if isinstance(m, Model) else m.id: m.n_params for m in models}
    if current is not None:
        asked.setdefault(current.weights_of, current.n_params)
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


def _calibrated(by: Calibration | None) -> tuple[str, ...]:
    """That speeds of the rig as it is follow a probe of it."""
    return (
        () if by is None else (f"Speeds of this rig as it is are calibrated by the {by.source}.",)
    )


def _unpriced(book: PriceBook, today: dt.date, usage: Usage) -> tuple[str, ...]:
    """That cards were left out for want of a price."""
    _, unpriced = cards(book, today, used=usage.limits.used_parts)
    if not unpriced:
        return ()
    few = ", ".join(unpriced[:4])
    text = f"{len(unpriced)} cards have no known price today and were left out ({few} …)"
    return (f"{text}; a price of your own brings one in",)


def _hardware_counts(settled: Sequence[Assessment], usage: Usage) -> bool:
    """Whether something that is bought is the answer, or costs no more a month than it does.

    Where it costs more, what was left out for want of a price would hardly have been advised.
    """
    best = choose(settled, usage)
    if best is None or best.option.purchases or best.monthly is None:
        return True
    bought = (a.monthly.mid for a in settled if a.option.purchases and a.monthly is not None)
    return min(bought, default=best.monthly.mid) <= best.monthly.mid
