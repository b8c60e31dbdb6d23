"""Tables derived from a model once and kept as long as the model lives."""

import weakref
from collections.abc import Callable, Hashable
from operator import is_
from typing import Generic, ParamSpec, TypeVar

from advisor.llm.model import Model

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)
P = ParamSpec("P")

_KEPT = 512
"""Tables of one kind usually kept per model; more start anew."""


class PerModel(Generic[K, T]):
    """Remembers ``make(model, key)`` by the model's identity.

    Hashing a model would walk its whole tensor list, which costs more than most of what is looked
    up here.
    """

    def __init__(self, make: Callable[[Model, K], T], kept: int = _KEPT) -> None:
        """``kept``: most tables per model."""
        self._make = make
        self._kept = kept
        self._known: dict[int, dict[K, T]] = {}

    def __call__(self, model: Model, key: K) -> T:
        """The table of this model under this key, made on first use."""
        tables = self._known.get(id(model))
        if tables is None:
            tables = self._known[id(model)] = {}
            weakref.finalize(model, self._known.pop, id(model), None)
        try:
            return tables[key]
        except KeyError:
            if len(tables) >= self._kept:
                tables.clear()
            value = tables[key] = self._make(model, key)
            return value


class Latest(Generic[P, T]):
    """Remembers the answer to the last question, by the identity of what it was asked about.

    For questions that are asked of one rig again and again, and cost more to hash than to answer.
    """

    def __init__(self, make: Callable[P, T]) -> None:
        self._make = make
        self._last: tuple[tuple[object, ...], T] | None = None

    def __call__(self, *asked: P.args, **named: P.kwargs) -> T:
        """The answer, made anew where any argument is another object than last time."""
        key = (*asked, *named.values())
        last = self._last
        if last is not None and len(last[0]) == len(key) and all(map(is_, last[0], key)):
            return last[1]
        answer = self._make(*asked, **named)
        self._last = key, answer
        return answer
