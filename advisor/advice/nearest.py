"""What comes nearest where nothing meets a need: each thing that was asked, let go by itself.

What the search finds for such a relaxed need meets everything else. Of it, what misses the need as
it was asked by least says what would have to be accepted.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_FLOOR
from typing import Final, NamedTuple

from advisor.advice.assessment import Assessment, assess
from advisor.advice.costs import LocalCost
from advisor.advice.money import money, price, two_digits
from advisor.advice.options import Answers, Option
from advisor.advice.usage import LossWord, Usage
from advisor.advice.verdict import demerit
from advisor.advice.whatif import Change, different, name
from advisor.sizing.memory import PADDING
from advisor.units import rate, tokens, wait

_HEAVIEST: Final[LossWord] = "heavy"
"""A loss that some accept; what is broken nobody does."""
_SHOWN: Final = 12
"""Near misses of one relaxed need that are kept."""
_LITTLE_MORE: Final = 2.0
"""Doublings: what is a quarter as fast for a tenth of the money is worth telling as well."""
_TOLD: Final = 2
_TRIES: Final = 3
"""Exact looks for one that still does: rough sizes flatter a little."""
_ROOM: Final[tuple[str, ...]] = ("free_slots", "card_width", "lanes", "supply_w", "max_ram_gib")


class Relaxed(NamedTuple):
    """A need with one thing less asked."""

    usage: Usage
    when: Callable[[Assessment], str]
    """What is accepted then, with the figures of an option that does it."""
    breaks: str = ""
    """What its options break of the need as it was asked, where their own figures do not tell."""


@dataclass(frozen=True)
class Nearest:
    """Options that miss the need, and what would open which."""

    options: tuple[Option, ...]
    openings: tuple[Change, ...]


def nearest(
    usage: Usage,
    ask: Callable[[Usage], Answers],
    cancelled: Callable[[], bool] = lambda: False,
    progress: Callable[[float], None] = lambda _share: None,
) -> Nearest:
    """Near misses and openings for a need that nothing meets. ``ask`` searches for another need."""
    kept: dict[str, tuple[Option, Answers]] = {}
    found: list[Change] = []
    less = list(relaxations(usage))
    for place, relaxed in enumerate(less):
        if cancelled():
            break
        progress(place / len(less))
        answers = _breaking(ask(relaxed.usage), relaxed.breaks)
        told: list[Assessment] = []
        near = _near(answers.options, usage, relaxed.usage)
        for able in (near, _cheaper(near, relaxed.usage)):
            best = _exact(able, relaxed.usage, answers)
            if best is None or any(not different(best.option, t.option) for t in told):
                continue
            told.append(best)
            found.append(Change(relaxed.when(best), _priced(best, usage, relaxed.usage)))
        # What is kept already may be exact.
        for option in (*(a.option for a in told), *(a.option for _, a in near[:_SHOWN])):
            kept.setdefault(option.id, (option, answers))
    if not any(option.rig for option, _ in kept.values()) and not cancelled():
        answers = ask(_everything(usage))
        for _, a in _near(answers.options, usage, _everything(usage))[:_SHOWN]:
            kept.setdefault(a.option.id, (a.option, answers))
    return Nearest(tuple(_settled(kept, usage, cancelled)), tuple(found))


def _settled(
    kept: dict[str, tuple[Option, Answers]], usage: Usage, cancelled: Callable[[], bool]
) -> list[Option]:
    """With the first few sized exactly, as they are what is told."""
    while not cancelled():
        first = sorted(kept.values(), key=lambda pair: assess(pair[0], usage).miss)[:_TOLD]
        rough = next((pair for pair in first if pair[0].rough), None)
        if rough is None:
            break
        kept[rough[0].id] = (rough[1].exactly(rough[0]), rough[1])
    return [option for option, _ in kept.values()]


def _breaking(answers: Answers, words: str) -> Answers:
    """With what is broken told of every option that buys something."""
    if not words:
        return answers

    def marked(option: Option) -> Option:
        broken = words in option.broken or not option.purchases
        return option if broken else replace(option, broken=(*option.broken, words))

    def exactly(option: Option) -> Option:
        return marked(answers.exactly(option))

    return Answers([marked(option) for option in answers.options], exactly)


_Near = tuple[float, Assessment]
"""By how much an option misses the need as it was asked, and how it stands to the relaxed one."""


def _near(options: Sequence[Option], usage: Usage, relaxed: Usage) -> list[_Near]:
    """What meets the relaxed need, what misses the other one by least first."""
    bare = [(o, replace(o, broken=()) if o.broken else o) for o in options]
    able = [(o, assess(plain, relaxed)) for o, plain in bare]
    missed = [(round(assess(o, usage).miss, 2), replace(a, option=o)) for o, a in able if a.meets]
    return sorted(missed, key=lambda pair: (pair[0], demerit(pair[1], relaxed), pair[1].option.id))


def _cheaper(near: Sequence[_Near], usage: Usage) -> list[_Near]:
    """Of what misses it by little more than the nearest, the most sensible first."""
    close = [pair for pair in near if pair[0] <= near[0][0] + _LITTLE_MORE]
    return sorted(close, key=lambda pair: demerit(pair[1], usage))


def _exact(able: Sequence[_Near], usage: Usage, answers: Answers) -> Assessment | None:
    """The first that meets the relaxed need when it is sized exactly as well."""
    for _, a in able[:_TRIES]:
        option = answers.exactly(a.option)
        exact = assess(replace(option, broken=()), usage)
        if exact.meets:
            return replace(exact, option=option)
    return None


def _priced(a: Assessment, usage: Usage, relaxed: Usage) -> str:
    """With what it costs a month; where fewer requests are told, with so many."""
    words, monthly = name(a), a.monthly
    if a.local is not None and relaxed.requests_per_month != usage.requests_per_month:
        monthly = a.local.monthly(_most(a.local))
    if monthly is not None:
        words += f", {money(monthly.mid, usage.currency)} a month"
    if a.hardware.mid:
        words += f", {price(a.hardware.mid, usage.currency)} to buy"
    return words


def relaxations(usage: Usage) -> Iterator[Relaxed]:
    """Every need that asks one thing less."""
    yield from _of_place(usage)
    yield from _of_work(usage)
    yield from _of_machine(usage)


def _without(usage: Usage, when: str | Callable[[Assessment], str], **update: object) -> Relaxed:
    def say(a: Assessment) -> str:
        return when(a) if callable(when) else when

    return Relaxed(usage.model_copy(update=update), say)


def _of_place(usage: Usage) -> Iterator[Relaxed]:
    """Where the data may go."""
    if not usage.api_allowed:
        words = "if prompts may leave the machine"
        yield _without(usage, words, data_may_leave=True, must_work_offline=False)
    elif usage.same_model_api_only:
        yield _without(usage, "if an API may serve another model", same_model_api_only=False)


def _of_work(usage: Usage) -> Iterator[Relaxed]:
    """How fast, how much, how well, and for how much money."""
    if usage.min_decode_tps:
        yield _without(usage, _speed, min_decode_tps=0.0)
    if usage.max_ttft_s is not None:
        yield _without(usage, _wait, max_ttft_s=None)
    if usage.budget is not None:
        yield _without(usage, lambda a: _spending(a, usage.currency), budget=None)
    if not usage.accepts_loss(_HEAVIEST):
        yield _without(usage, _loss, max_loss=_HEAVIEST)
    if _shortest(usage) < usage.context:
        yield _without(usage, _context, context=_shortest(usage))
    if usage.requests_per_month > 1:
        yield _without(usage, _volume, requests_per_month=1)


def _of_machine(usage: Usage) -> Iterator[Relaxed]:
    """What may be bought and what the machine can take."""
    limits = usage.limits
    room = any(getattr(limits, key) is not None for key in _ROOM)
    asked: list[tuple[bool, str, str, Mapping[str, object]]] = [
        (limits.quiet, "if noise does not matter", "is not quiet", {"quiet": False}),
        (
            not limits.used_parts,
            "if used parts are acceptable",
            "takes used parts",
            {"used_parts": True},
        ),
        (
            not (limits.server_cards or limits.quiet),
            "if cards without fans are acceptable",
            "has cards without fans",
            {"server_cards": True},
        ),
        (
            limits.needs_windows,
            "if a new machine need not run Windows",
            "does not run Windows",
            {"needs_windows": False},
        ),
        (
            room,
            "in a machine with more slots, lanes, power and RAM",
            "needs more slots, lanes, power or RAM than there are",
            dict.fromkeys(map(str, _ROOM)),
        ),
    ]
    for there, words, breaks, update in asked:
        if there:
            found = _without(usage, words, limits=limits.model_copy(update=update))
            yield found._replace(breaks=breaks)


def _everything(usage: Usage) -> Usage:
    """Nothing asked but where the data may go and what the machine can take."""
    return usage.model_copy(
        update={
            "min_decode_tps": 0.0,
            "max_ttft_s": None,
            "budget": None,
            "max_loss": _HEAVIEST,
            "context": _shortest(usage),
            "requests_per_month": 1,
        }
    )


def _shortest(usage: Usage) -> int:
    """The shortest context that a request fits into, as llama.cpp pads it.

    No usual length: a model may be trained for less than the next one, and a request still fit.
    """
    return -(-(usage.prompt_tokens + usage.output_tokens) // PADDING) * PADDING


def _speed(a: Assessment) -> str:
    speed = a.decode_tps
    return "if any speed is enough" if speed is None else f"if {rate(speed.mid)} is enough"


def _spending(a: Assessment, currency: str) -> str:
    return f"with {price(a.hardware.mid, currency)} to spend"


def _loss(a: Assessment) -> str:
    return f"if {a.option.loss} loss is acceptable"


def _wait(a: Assessment) -> str:
    if a.ttft_s is None:
        return "if the first token may take any time"
    return f"if the first token may take {wait(a.ttft_s.mid)}"


def _context(a: Assessment) -> str:
    plan = a.option.plan
    return f"if {tokens((plan.max_ctx if plan else None) or a.option.ctx)} at once is enough"


def _volume(a: Assessment) -> str:
    if a.local is None:
        return "for fewer requests"
    return f"for {_most(a.local):,} requests a month at most"


def _most(local: LocalCost) -> int:
    """Requests a month that it serves, rounded down: as many have to be served."""
    return two_digits(local.capacity.mid, ROUND_FLOOR)
