"""Rigs that would do but for the volume or for long requests, with an API for the rest."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from advisor.advice.assessment import Assessment, assess
from advisor.advice.options import Option
from advisor.advice.prices import Candidate
from advisor.advice.usage import Usage


def hybrids(
    assessments: Sequence[Assessment], apis: Sequence[Candidate], usage: Usage
) -> Iterable[Option]:
    """Every such rig among the options, with the cheapest API."""
    if not apis:
        return
    cheapest = min(apis, key=lambda c: (c.price.request(usage).mid, c.price.api.id))
    for alone in assessments:
        local = alone.option
        if local.run is None or local.api is not None:
            continue
        if alone.meets or not _short_of_room(alone, usage):
            continue
        yield replace(
            local,
            id=f"hybrid|{local.id}|{cheapest.price.api.id}",
            kind="hybrid",
            title=f"{local.title} plus {cheapest.price.api.title}",
            api=cheapest.price,
            relation=cheapest.relation,
        )


def _short_of_room(alone: Assessment, usage: Usage) -> bool:
    """Whether the only thing wrong is how much there is to do, or how long some of it is."""
    relaxed = usage.model_copy(update={"requests_per_month": 1, "long_share": 0})
    return assess(alone.option, relaxed).meets
