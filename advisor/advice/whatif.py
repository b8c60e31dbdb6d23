"""What would change a verdict: the same options held against a slightly different usage.

Where none of them meets it, others are looked for.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from advisor.advice.assessment import Assessment, assess
from advisor.advice.money import two_digits
from advisor.advice.options import Answers, Option
from advisor.advice.usage import Usage
from advisor.units import rate, tokens

_MAX_VOLUME: Final = 1_000_000
_CONTENDERS: Final = 14
"""Options that a changed usage may bring to the top; the rest were far behind."""
_STEPS: Final = 9
"""Halvings of a threefold range: finer than the two digits that are told."""
_FASTER: Final = 1.1
"""No prediction is good enough to tell less."""
THIS_RIG: Final = "Keep this rig"
"""How every title begins that leaves the rig as it is."""

Choose = Callable[[Iterable[Assessment], Usage], Assessment | None]
Ask = Callable[[Usage], Answers]
_TRIES: Final = 4
"""Rough answers that may turn out not to do when they are sized exactly."""
_LONGEST: Final = 1 << 20


@dataclass(frozen=True)
class Change:
    """Something that would change the verdict, and to what."""

    when: str
    then: str

    def __str__(self) -> str:
        return f"{self.when}: {self.then}"


def name(a: Assessment | None) -> str:
    """An outcome in a few words."""
    if a is None:
        return "nothing known would do"
    option = a.option
    if option.rig is None or option.api is not None or option.kind == "tune":
        return option.title
    return f"{option.title}, {option.runs}"


def different(option: Option, other: Option) -> bool:
    """Whether it is another thing to do, not the same rig with another file of the same model."""
    return _thing(option) != _thing(other)


def _thing(option: Option) -> tuple[str, ...]:
    rented = "" if option.api is None else option.api.api.id
    if option.title.startswith(THIS_RIG):
        return THIS_RIG, option.model_id, rented
    return option.title, rented


def changes(
    ranked: Sequence[Assessment],
    usage: Usage,
    best: Assessment | None,
    choose: Choose,
    ask: Ask | None = None,
) -> tuple[Change, ...]:
    """Volume, privacy, speed and context at which another option takes over.

    ``ask`` looks for more where none of these options does.
    """
    if best is None:
        return ()
    options = _contenders(ranked)

    def verdict(**update: object) -> Assessment | None:
        changed = usage.model_copy(update=update)
        return choose((assess(option, changed) for option in options), changed)

    def other(a: Assessment | None) -> bool:
        return a is None or different(a.option, best.option)

    def told(outcome: Assessment | None, **update: object) -> str:
        if outcome is None and ask is not None:
            outcome = _looked_for(usage.model_copy(update=update), ask, choose)
        return name(outcome)

    found = [
        Change(f"{word} about {volume:,} requests a month", told(then, requests_per_month=volume))
        for word, volume, then in _volumes(usage.requests_per_month, verdict, other)
    ]
    if best.option.api is not None:
        private = told(verdict(data_may_leave=False), data_may_leave=False)
        found.append(Change("if no prompt may leave the machine", private))
    elif not usage.api_allowed:
        opened = verdict(data_may_leave=True, must_work_offline=False)
        if other(opened):
            found.append(Change("if prompts may leave the machine", name(opened)))
    known = [a for a in ranked if a.decode_tps is not None and a.option.api is None]
    same = [a.decode_tps.mid for a in known if a.decode_tps and not other(a)]
    if same:
        # How fast an API is is not known.
        faster = {"min_decode_tps": max(same) * 1.001}
        asked = usage.model_copy(update=faster)
        outcome = choose((assess(a.option, asked) for a in known), asked)
        when = f"if answers must be faster than {rate(max(same))}"
        found.append(Change(when, told(outcome, **faster, data_may_leave=False)))
    most = best.option.plan.max_ctx if best.option.plan is not None else None
    if most:
        roomier = [o for o in options if _window(o) > most]
        outcome = choose((assess(o, usage) for o in roomier), usage)
        when = f"if more than {tokens(most)} tokens must fit at once"
        one = {a.option.model_id for a in ranked if a.option.rig is not None} == {
            best.option.model_id
        }
        if outcome is None and one and most == best.option.trained_ctx:
            then = "the model was trained for no more"
        else:
            then = told(outcome, context=_next_context(most))
        found.append(Change(when, then))
    return tuple(found)


def _looked_for(need: Usage, ask: Ask, choose: Choose) -> Assessment | None:
    """The verdict of a search of its own."""
    answers = ask(need)
    settled = {option.id: option for option in answers.options}
    best: Assessment | None = None
    for _ in range(_TRIES):
        best = choose((assess(option, need) for option in settled.values()), need)
        if best is None or not best.option.rough:
            break
        settled[best.option.id] = answers.exactly(best.option)
    return best


def _next_context(most: int) -> int:
    """The next usual context above so many tokens."""
    return max(most + 1, min(_LONGEST, 1 << most.bit_length()))


def _contenders(ranked: Sequence[Assessment]) -> list[Option]:
    """The best of every kind first, then the rest by rank."""
    kinds: dict[str, Assessment] = {}
    for a in ranked:
        kinds.setdefault(a.option.kind, a)
    chosen = dict.fromkeys((*kinds.values(), *ranked))
    priced = [a.option for a in chosen if a.monthly is not None]
    return priced[:_CONTENDERS]


def _window(option: Option) -> int:
    """Tokens at once; a rig that leaves long requests to an API has none to speak of."""
    if option.kind == "hybrid":
        return 0
    if option.plan is not None:
        return option.plan.max_ctx or 0
    return (option.api.context_window or 0) if option.api else 0


def _volumes(
    volume: int,
    verdict: Callable[..., Assessment | None],
    other: Callable[[Assessment | None], bool],
) -> Iterator[tuple[str, int, Assessment | None]]:
    """Above and below which volume another option takes over."""
    for word in ("above", "below"):
        flip = _volume_flip(volume, verdict, other, upwards=word == "above")
        if flip is not None:
            yield word, *flip


def _volume_flip(
    volume: int,
    verdict: Callable[..., Assessment | None],
    other: Callable[[Assessment | None], bool],
    *,
    upwards: bool,
) -> tuple[int, Assessment | None] | None:
    """The nearest volume at which another option takes over, to two digits."""
    near, step = volume, 3 if upwards else Decimal(1) / 3
    end = _MAX_VOLUME if upwards else 1
    far: int | None = None
    outcome: Assessment | None = None
    while near != end and far is None:
        trial = max(1, min(_MAX_VOLUME, int(near * step)))
        outcome = verdict(requests_per_month=trial)
        if other(outcome):
            far = trial
        else:
            near = trial
    if far is None:
        return None
    for _ in range(_STEPS):
        middle = (near + far) // 2
        if middle in (near, far):
            break
        there = verdict(requests_per_month=middle)
        if other(there):
            far, outcome = middle, there
        else:
            near = middle
    return two_digits(far), outcome
