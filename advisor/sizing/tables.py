"""Tables derived from a model once and kept as long as the model lives."""

import weakref
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from advisor.llm.model import Model

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)

_KEPT = 512
"""Tables of one kind kept per model; more start anew."""


class PerModel(Generic[K, T]):
    """Remembers ``make(model, key)`` by the model's identity.

    Hashing a model would walk its whole tensor list, which costs more than most of what is looked
    up here.
    """

    def __init__(self, make: Callable[[Model, K], T]) -> None:
        self._make = make
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
            if len(tables) >= _KEPT:
                tables.clear()
            value = tables[key] = self._make(model, key)
            return value
