"""What a report was worked out from: kept in its session, compared when that is opened again."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from advisor.advice.options import Assessment
from advisor.advice.verdict import Advice
from advisor.session import DataVersions, PriceUsed, Session

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


def stamped(session: Session, advice: Advice | None) -> Session:
    """The session as its report carries it: with data versions and prices used."""
    return session.model_copy(
        update={"data": DataVersions.current(), "prices": prices_used(advice)}
    )


def changes(session: Session, advice: Advice | None) -> list[str]:
    """What is not as it was when the session was saved, as sentences; nothing where all is."""
    if session.data is None:
        return []
    then, now = session.data.model_dump(), DataVersions.current().model_dump()
    moved = [
        f"{name} then {then[field]}, now {now[field]}"
        for field, name in _NAMES.items()
        if then[field] != now[field]
    ]
    said = [f"The session was saved with other data: {'; '.join(moved)}."] if moved else []
    return said + _moved_prices(session.prices, prices_used(advice))


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
