"""What would change a verdict: the same options held against a slightly different usage.

Where none of them meets it, others are looked for.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from advisor.advice.assessment import Assessment, assess
from advisor.advice.money import money, two_digits
from advisor.advice.options import Answers, Option
from advisor.advice.usage import Usage
from advisor.units import rate, tokens

_MAX_VOLUME: Final = 1_000_000
_CONTENDERS: Final = 14
"""Options that a changed usage may bring to the top; the rest were far behind."""
_STEPS: Final = 9
"""Halvings of a threefold range: finer than the two digits that are told."""
THIS_RIG: Final = "Keep this rig"
"""How every title begins that leaves the rig as it is."""

Choose = Callable[[Iterable[Assessment], Usage], Assessment | None]
Ask = Callable[[Usage], Answers]
_TRIES: Final = 4
"""Rough answers that may turn out not to do when they are sized exactly."""
_LONGEST: Final = 1 << 20
_NEARLY: Final = 0.7
"""Of the speed that was asked for: no prediction is much better than that."""
_RATHER: Final = 0.999


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
    asked = _Asked(ranked, usage, best, choose, ask)
    return (
        *asked.at_another_volume(),
        *asked.with_prompts_elsewhere(),
        *asked.a_little_slower(),
        *asked.faster(),
        *asked.longer(),
    )


@dataclass(frozen=True, eq=False)
class _Asked:
    """A verdict, and everything that it was chosen from."""

    ranked: Sequence[Assessment]
    usage: Usage
    best: Assessment
    choose: Choose
    ask: Ask | None

    @functools.cached_property
    def options(self) -> list[Option]:
        return _contenders(self.ranked)

    def verdict(self, **update: object) -> Assessment | None:
        changed = self.usage.model_copy(update=update)
        return self.choose((assess(option, changed) for option in self.options), changed)

    def other(self, a: Assessment | None) -> bool:
        return a is None or different(a.option, self.best.option)

    def told(self, outcome: Assessment | None, **update: object) -> str:
        if outcome is None and self.ask is not None:
            need = self.usage.model_copy(update=update)
            outcome = _looked_for(need, self.ask, self.choose)
        return name(outcome)

    def at_another_volume(self) -> Iterator[Change]:
        volume = self.usage.requests_per_month
        for word in ("above", "below"):
            flip = _volume_flip(volume, self.verdict, self.other, upwards=word == "above")
            if flip is not None:
                there, outcome = flip
                then = self.told(outcome, requests_per_month=there)
                yield Change(
                    f"{word} about {two_digits(there):,} requests a month",
                    f"{then}{self.why_there(outcome, there)}",
                )

    def why_there(self, outcome: Assessment | None, requests: int) -> str:
        """Why another option takes over at a volume that is no break-even between the two."""
        changed = self.usage.model_copy(update={"requests_per_month": requests})
        before = assess(self.best.option, changed)
        if before.local is not None and not before.local.serves(requests):
            return " (more than what is advised now can answer in the hours given)"
        if outcome is None or outcome.monthly is None or before.monthly is None:
            return ""
        gap = outcome.monthly.mid - before.monthly.mid
        if gap <= 0 or outcome.changes or not before.changes:
            return ""
        return f" ({money(gap, changed.currency)} a month more there, too little for a change)"

    def with_prompts_elsewhere(self) -> Iterator[Change]:
        if self.best.option.api is not None:
            then = self.told(self.verdict(data_may_leave=False), data_may_leave=False)
            yield Change("if no prompt may leave the machine", then)
        elif not self.usage.api_allowed:
            opened = self.verdict(data_may_leave=True, must_work_offline=False)
            if self.other(opened):
                yield Change("if prompts may leave the machine", name(opened))

    def a_little_slower(self) -> Iterator[Change]:
        """What is here already and little below the speed that was asked for."""
        wanted = self.usage.min_decode_tps
        here = [a.decode_tps.mid for a in self.ranked if a.decode_tps and not a.changes]
        fastest = max(here, default=0.0)
        if not self.best.changes or not wanted * _NEARLY <= fastest < wanted:
            return
        outcome = self.verdict(min_decode_tps=fastest * _RATHER)
        if outcome is not None and not outcome.changes:
            yield Change(f"if {rate(fastest)} is enough", name(outcome))

    def faster(self) -> Iterator[Change]:
        """How fast an API is is not known."""
        known = [a for a in self.ranked if a.decode_tps is not None and a.option.api is None]
        same = [a.decode_tps.mid for a in known if a.decode_tps and not self.other(a)]
        if not same:
            return
        update = {"min_decode_tps": max(same) * 1.001}
        asked = self.usage.model_copy(update=update)
        outcome = self.choose((assess(a.option, asked) for a in known), asked)
        then = self.told(outcome, **update, data_may_leave=False)
        yield Change(f"if answers must be faster than {rate(max(same))}", then)

    def longer(self) -> Iterator[Change]:
        option = self.best.option
        most = option.plan.max_ctx if option.plan is not None else None
        if not most:
            return
        roomier = [o for o in self.options if _window(o) > most]
        outcome = self.choose((assess(o, self.usage) for o in roomier), self.usage)
        models = {a.option.model_id for a in self.ranked if a.option.rig is not None}
        if outcome is None and len(models) == 1 and most == option.trained_ctx:
            then = "the model was trained for no more"
        else:
            then = self.told(outcome, context=_next_context(most))
        yield Change(f"if more than {tokens(most)} tokens must fit at once", then)


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


def _volume_flip(
    volume: int,
    verdict: Callable[..., Assessment | None],
    other: Callable[[Assessment | None], bool],
    *,
    upwards: bool,
) -> tuple[int, Assessment | None] | None:
    """The nearest volume at which another option takes over, about to two digits."""
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
    return far, outcome
