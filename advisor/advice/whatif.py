"""What would change a verdict: the same options held against a slightly different usage."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from advisor.advice.assessment import Assessment, assess
from advisor.advice.money import two_digits
from advisor.advice.options import Option
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
        return "nothing that was worked out here would do"
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
    ranked: Sequence[Assessment], usage: Usage, best: Assessment | None, choose: Choose
) -> tuple[Change, ...]:
    """Volume, privacy, speed and context at which another option takes over."""
    if best is None:
        return ()
    options = _contenders(ranked)

    def verdict(**update: object) -> Assessment | None:
        changed = usage.model_copy(update=update)
        return choose((assess(option, changed) for option in options), changed)

    def other(a: Assessment | None) -> bool:
        return a is None or different(a.option, best.option)

    found: list[Change] = []
    for upwards in (True, False):
        flip = _volume_flip(usage.requests_per_month, verdict, other, upwards=upwards)
        if flip is not None:
            volume, outcome = flip
            word = "above" if upwards else "below"
            found.append(Change(f"{word} about {volume:,} requests a month", name(outcome)))
    if best.option.api is not None:
        found.append(
            Change("if no prompt may leave the machine", name(verdict(data_may_leave=False)))
        )
    elif not usage.api_allowed:
        opened = verdict(data_may_leave=True, must_work_offline=False)
        if other(opened):
            found.append(Change("if prompts may leave the machine", name(opened)))
    found += _faster(ranked, usage, best, choose)
    plan = best.option.plan
    if plan is not None and plan.max_ctx:
        roomier = [o for o in options if _window(o) > plan.max_ctx]
        outcome = choose((assess(o, usage) for o in roomier), usage)
        found.append(
            Change(f"if more than {tokens(plan.max_ctx)} tokens must fit at once", name(outcome))
        )
    return tuple(found)


def _faster(
    ranked: Sequence[Assessment], usage: Usage, best: Assessment, choose: Choose
) -> Iterable[Change]:
    """What is needed where no file on this rig is fast enough. How fast an API is is not known."""
    known = [a for a in ranked if a.decode_tps is not None and a.option.api is None]
    same = [
        a.decode_tps.mid for a in known if a.decode_tps and not different(a.option, best.option)
    ]
    if not same:
        return
    asked = usage.model_copy(update={"min_decode_tps": max(same) * 1.001})
    outcome = choose((assess(a.option, asked) for a in known), asked)
    yield Change(f"if answers must be faster than {rate(max(same))}", name(outcome))


def _contenders(ranked: Sequence[Assessment]) -> list[Option]:
    """The best of every kind first, then the rest by rank."""
    kinds: dict[str, Assessment] = {}
    for a in ranked:
        kinds.setdefault(a.option.kind, a)
    chosen = dict.fromkeys((*kinds.values(), *ranked))
    priced = [a.option for a in chosen if a.monthly is not None]
    return priced[:_CONTENDERS]


def _window(option: Option) -> int:
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
