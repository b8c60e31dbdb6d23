"""What follows from a worked-out case, in sentences: rent, build or mix, lengths, what to buy."""

import datetime as dt
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final

from advisor.advice.builds import Build
from advisor.advice.hardware_prices import book_of
from advisor.advice.money import money, two_digits
from advisor.advice.options import Option
from advisor.advice.prices import tier_of
from advisor.advice.scenarios import Crossing, Speeds
from advisor.advice.timing import roughly
from advisor.advice.usage import Usage
from advisor.advice.variants import Variant, loss_of
from advisor.advice.verdict import said
from advisor.advice.workings import Workings
from advisor.hardware.compose import parse_rig
from advisor.llm.catalogue import CatalogueEntry
from advisor.sizing.settings import RunSettings
from advisor.units import size, tokens

_BARE: Final = "CPU only + 64 GB DDR5-6000"
"""For the outlook: somebody who owns no card yet."""
_HYBRID_SHARE: Final = Decimal("0.9")
"""For the rule about mixing: nine requests of ten are short."""
_SHORT: Final = 32_000
_SHORT_CONTEXT: Final = 131_072


def rules_of_cost(
    crossings: Sequence[Crossing], choices: Sequence[Option], usage: Usage
) -> Iterable[str]:
    """When to use an API, when to build, among those that do what is asked for."""
    if not usage.api_allowed:
        # The verdict says what to do where no prompt may leave.
        return
    able = [c for c in crossings if not c.api_lacks]
    cheapest = min(able, key=lambda c: c.api_per_request, default=None)
    if cheapest is not None:
        against = [c for c in able if c.api == cheapest.api and not c.rig_lacks]
        reached = [c for c in against if c.break_even.reachable]
        cost = f"{cheapest.api_per_request:.4f} {usage.currency}"
        if reached:
            first = min(reached, key=lambda c: c.break_even.mid or Decimal(0))
            volume = two_digits(first.break_even.mid or Decimal(0))
            yield (
                f"Use {cheapest.api} ({cost} a request) below about {volume:,} requests a month; "
                f"from there {first.rig} with {first.model} is cheaper."
            )
        else:
            yield (
                f"Use {cheapest.api} ({cost} a request): no rig of this case is fast enough to "
                "earn its price back."
            )
    private = usage.model_copy(update={"data_may_leave": False})
    yield f"If no prompt may leave: {said(choices, private)}"


def rules_of_length(speeds: Sequence[Speeds], usage: Usage) -> Iterable[str]:
    """What a long context costs."""
    known = [(s.minutes, s) for s in speeds if s.minutes is not None]
    if not known:
        return
    quickest, best = min(known, key=lambda pair: pair[0])
    told = (
        f"A request of {usage.prompt_tokens:,} tokens takes {quickest:,.0f} minutes on "
        f"{best.rig} ({best.model} {best.file_type})"
    )
    if not best.in_ram:
        slowest, worst = max(((m, s) for m, s in known if not s.in_ram), key=lambda pair: pair[0])
        if worst is not best:
            told += f", {slowest:,.0f} on {worst.rig} ({worst.model} {worst.file_type})"
        told += ", all in fast memory: reading the prompt is what a long context costs"
    partly = [pair for pair in known if pair[1].in_ram]
    if partly:
        slowest, worst = max(partly, key=lambda pair: pair[0])
        told += (
            f"; with a part of the model in RAM up to {slowest:,.0f} ({worst.model} "
            f"{worst.file_type} on {worst.rig})"
        )
    yield f"{told}."


def rule_of_mixing(choices: Sequence[Option], usage: Usage) -> str:
    """What to do when most requests are short and few are as long as the case's."""
    share = 100 * (1 - usage.long_share)
    return (
        f"If {share:.0f}% of the requests have only {usage.prompt_tokens:,} tokens and the others "
        f"{usage.long_prompt_tokens:,}, and {100 * usage.cached_share:.0f}% of every prompt "
        f"repeats an earlier one: {said(choices, usage)}"
    )


def mixed_need(usage: Usage) -> Usage | None:
    """The usage with nine short requests for every long one; None where it is short itself.

    Where no API may take the long ones, a rig has to hold them as well.
    """
    if usage.prompt_tokens <= _SHORT:
        return None
    return usage.model_copy(
        update={
            "prompt_tokens": _SHORT,
            "context": _SHORT_CONTEXT if usage.api_allowed else usage.context,
            "cached_share": Decimal("0.5"),
            "long_share": 1 - _HYBRID_SHARE,
            "long_prompt_tokens": usage.prompt_tokens,
        }
    )


def outlook(
    entries: Sequence[CatalogueEntry],
    usage: Usage,
    workings: Workings,
    today: dt.date,
    llama_cpp: str,
) -> Iterable[str]:
    """For each model what it takes to keep its released precision in fast memory alone.

    ``llama_cpp``: which one runs it, as in ``RunSettings.built``.
    """
    any_card = usage.limits.model_copy(update={"server_cards": True})
    asked = usage.model_copy(update={"limits": any_card})
    shelf = workings.shelf(parse_rig(_BARE), asked, book_of(usage), today)
    engine = workings.engine(RunSettings(built=llama_cpp))
    for entry in entries:
        model = entry.model(entry.native_file_type)
        variant = Variant(model, "f16", loss_of(model, "f16"), tier_of(entry.id, entry.n_params))
        able = [
            build
            for build, vram in zip(shelf.builds, shelf.vram, strict=True)
            if vram > model.nbytes and build.kind in {"new build", "unified machine"}
        ]
        words = f"{entry.name} in its released precision is {size(model.nbytes)}; "
        for build in sorted(able, key=lambda b: (b.usd, b.title)):
            outcome = roughly(variant, build.rig, usage, engine)
            if outcome is not None and outcome.judgement.verdict == "fits":
                price = money(usage.from_usd(build.usd), usage.currency)
                yield (
                    f"{words}the cheapest machine known here that holds it with "
                    f"{tokens(usage.context)} tokens in fast memory alone: {_what(build)}, {price}."
                )
                break
        else:
            yield f"{words}no machine known here holds it in fast memory alone."


def _what(build: Build) -> str:
    """``"a new machine with 8x H200 SXM and 512 GB"``."""
    return build.title.removeprefix("Build ").removeprefix("Buy ")
