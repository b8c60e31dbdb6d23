"""Rigs that would do but for the volume or for long requests, with an API for the rest."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from advisor.advice.assessment import Assessment, assess
from advisor.advice.options import Option
from advisor.advice.prices import Candidate
from advisor.advice.usage import Usage


def cheapest(apis: Sequence[Candidate], usage: Usage) -> Candidate | None:
    """The API that answers what a rig does not."""
    return min(apis, key=lambda c: (c.price.request(usage).mid, c.price.api.id), default=None)


def hybrid(alone: Assessment, rest: Candidate, usage: Usage) -> Option | None:
    """Such a rig with ``rest``; None where it does alone, or lacks something else."""
    local = alone.option
    if local.run is None or local.api is not None or alone.meets:
        return None
    if not _short_of_room(alone, usage):
        return None
    price = rest.price
    return replace(
        local,
        id=f"hybrid|{local.id}|{price.api.id}",
        kind="hybrid",
        title=f"{local.title} plus {price.api.title}",
        api=price,
        relation=rest.relation,
    )


def hybrids(
    assessments: Iterable[Assessment], apis: Sequence[Candidate], usage: Usage
) -> Iterable[Option]:
    """Every such rig among the options, with the cheapest API."""
    rest = cheapest(apis, usage)
    if rest is not None:
        found = (hybrid(alone, rest, usage) for alone in assessments)
        yield from (option for option in found if option is not None)


def _short_of_room(alone: Assessment, usage: Usage) -> bool:
    """Whether the only thing wrong is how much there is to do, or how long some of it is."""
    relaxed = usage.model_copy(update={"requests_per_month": 1, "long_share": 0})
    return assess(alone.option, relaxed).meets
