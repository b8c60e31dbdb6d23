"""Ways out by a smaller file of the same model, with a smaller cache or without."""

import math
from collections.abc import Iterator

from advisor.llm.model import Model
from advisor.llm.quality import model_loss
from advisor.sizing.ways_out import KV_SIZE, Case, Change, small_kv_cost


def smaller(case: Case) -> list[Model]:
    """Smaller files of the same model, the largest first; none that breaks it."""
    found = (
        model
        for model in case.models.values()
        if model.nbytes < case.model.nbytes and model_loss(model).worst != "broken"
    )
    return sorted(found, key=lambda model: -model.nbytes)


def lost(model: Model) -> float:
    """How much a smaller file takes away."""
    rise = model_loss(model).typical
    return 1.0 + math.log2(1 + max(100.0 if rise is None else rise, 0.0))


def file_types(case: Case, *, by_hand: bool) -> Iterator[Change]:
    """The largest of the smaller files that is enough. ``by_hand``: as ``Case.change`` takes it."""
    for model in smaller(case):
        title = f"Take {model.file_type} instead of {case.file_type}"
        cost = model_loss(model).sentence
        found = case.change("file_type", title, cost, lost(model), model=model, by_hand=by_hand)
        if found:
            yield found
            return


def both(case: Case, *, by_hand: bool) -> Iterator[Change]:
    """A smaller cache and a smaller file together. ``by_hand``: as ``Case.change`` takes it."""
    fields = case.small_kv
    if not fields:
        return
    for model in smaller(case):
        found = case.change(
            "both",
            f"Take {model.file_type} and keep the KV cache in q8_0",
            f"{model_loss(model).sentence} {small_kv_cost(model)}",
            lost(model) + KV_SIZE,
            model=model,
            fields=fields,
            by_hand=by_hand,
        )
        if found:
            yield found
            return
