"""What a report was worked out from: kept in its session, compared when that is opened again."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from advisor.advice.assessment import Assessment
from advisor.advice.verdict import Advice
from advisor.hardware.rig import Rig
from advisor.session import DataVersions, Outcome, PlaceTotal, PlanFound, PriceUsed, Session
from advisor.sizing.plan import Plan
from advisor.units import rate, size

MAX_CHANGES: Final = 4
_CENT: Final = Decimal("0.000001")
_NAMES: Final = {
    "hardware_prices": "hardware prices",
    "api_prices": "API prices (genai-prices)",
    "gpus": "the GPU table",
    "engine": "the engine (xllamacpp)",
}


def prices_used(advice: Advice | None) -> tuple[PriceUsed, ...]:
    """Prices behind the verdict, the runner-up and what they are compared with."""
    if advice is None:
        return ()
    chosen = [advice.best, advice.runner_up, *(advice.compared or ())]
    found: dict[str, PriceUsed] = {}
    for assessment in chosen:
        if assessment is not None:
            for price in _prices(assessment, advice):
                found.setdefault(price.name, price)
    return tuple(found.values())


def _prices(assessment: Assessment, advice: Advice) -> list[PriceUsed]:
    option = assessment.option
    prices = [
        PriceUsed(
            name=purchase.name,
            low=purchase.price.low,
            mid=purchase.price.mid,
            high=purchase.price.high,
            date=purchase.price.date,
            source=purchase.price.source,
        )
        for purchase in option.purchases
    ]
    if option.api is not None:
        api = option.api
        request = api.request(advice.usage)
        prices.append(
            PriceUsed(
                name=f"{api.api.title} through {api.api.provider}, a request",
                low=request.low.quantize(_CENT),
                mid=request.mid.quantize(_CENT),
                high=request.high.quantize(_CENT),
                date=f"{api.at:%Y-%m-%d}",
                source=api.source,
            )
        )
    return prices


def outcome(plan: Plan | None, advice: Advice | None) -> Outcome:
    """What a session keeps of what was worked out from it."""
    return Outcome(
        plan=None if plan is None else _found(plan),
        verdict="" if advice is None else advice.headline,
        prices=prices_used(advice),
    )


def _found(plan: Plan) -> PlanFound:
    places = [PlaceTotal(name=d.name, total=d.total, headroom=d.headroom) for d in plan.devices]
    host = plan.host
    return PlanFound(
        verdict=plan.verdict,
        places=(*places, PlaceTotal(name="RAM", total=host.total, headroom=host.headroom)),
        decode_tps=plan.speed.decode_tps,
        prefill_tps=plan.speed.prefill_tps,
    )


def stamped(session: Session, rig: Rig | None, plan: Plan | None, advice: Advice | None) -> Session:
    """The session as a file or a report carries it: the rig as it was read, and what followed.

    A built-in case is about rigs of its own; whose machine wrote the report is no part of it.
    """
    about_rig = session.model is not None or session.scenario is None
    update = {"rig": rig if about_rig else session.rig, "outcome": outcome(plan, advice)}
    return session.model_copy(update=update)


def changes(session: Session, plan: Plan | None, advice: Advice | None) -> list[str]:
    """What is not as it was when the session was saved, as sentences; nothing where all is."""
    kept = session.outcome
    if kept is None:
        return []
    then, now = kept.data.model_dump(), DataVersions.current().model_dump()
    moved = [
        f"{name} then {then[field]}, now {now[field]}"
        for field, name in _NAMES.items()
        if then[field] != now[field]
    ]
    said = [f"The session was saved with other data: {'; '.join(moved)}."] if moved else []
    if kept.verdict and advice is not None and kept.verdict != advice.headline:
        said.append(f"The verdict when it was saved was: {kept.verdict}")
    if kept.plan is not None and plan is not None:
        said += _moved_plan(kept.plan, _found(plan))
    return said + _moved_prices(kept.prices, prices_used(advice))


def _moved_plan(before: PlanFound, after: PlanFound) -> list[str]:
    totals = {place.name: place.total for place in before.places}
    moved = [
        f"{p.name} {size(totals[p.name])} then, {size(p.total)} now"
        for p in after.places
        if p.name in totals and size(totals[p.name]) != size(p.total)
    ]
    for name, one, other in (
        ("writing", before.decode_tps, after.decode_tps),
        ("reading", before.prefill_tps, after.prefill_tps),
    ):
        if one is not None and other is not None and rate(one.mid) != rate(other.mid):
            moved.append(f"{name} {rate(one.mid)} then, {rate(other.mid)} now")
    return [f"The plan has changed since: {'; '.join(moved[:MAX_CHANGES])}."] if moved else []


def _moved_prices(before: Sequence[PriceUsed], after: Sequence[PriceUsed]) -> list[str]:
    known = {price.name: price.mid for price in before}
    moved = [
        f"{p.name}: {known[p.name].normalize():f} USD then, {p.mid.normalize():f} USD now"
        for p in after
        if p.name in known and known[p.name] != p.mid
    ]
    return (
        [f"Prices have changed since it was saved. {'; '.join(moved[:MAX_CHANGES])}."]
        if moved
        else []
    )
