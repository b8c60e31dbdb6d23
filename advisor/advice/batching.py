"""What it gains to answer several requests at once, from llama.cpp's own published runs.

Weights are read once for all answers, each cache for its own alone. So of one answer's time only
the part that is not spent on its cache gets shorter (rows after longer prompts in
resources/batching.json hold this rule within a seventh, tests/advice/test_advice_batching.py).
"""

import functools
import math
from typing import Final, NamedTuple

from pydantic import BaseModel, ConfigDict

from advisor import resources

LEVELS: Final = (1, 2, 4, 8, 16)
"""Answers at once, as rows of the data have them."""
_SHORT: Final = 512
"""Prompts up to which a row's caches are too short to matter."""
_ENOUGH_ROWS: Final = 2


class BatchRow(BaseModel):
    """One published series."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: str
    backend: str
    model: str
    file_type: str
    experts: bool
    prompt: int
    """Tokens in every answer's cache before it begins."""
    tps: tuple[float, ...]
    """Tokens per second of all answers together, by ``LEVELS``; later ones may be missing."""
    source: str


class _Rows(BaseModel):
    date: str
    note: str
    rows: tuple[BatchRow, ...]


class Gain(NamedTuple):
    """Tokens per second of so many answers together over one alone, with empty caches."""

    at_once: int
    low: float
    mid: float
    high: float


@functools.cache
def rows() -> tuple[BatchRow, ...]:
    """Every published series."""
    return resources.load(_Rows, "batching.json").rows


@functools.cache
def gains(backend: str, *, experts: bool) -> tuple[Gain, ...]:
    """By answers at once, 2 and up; each step at most doubles, as the rows do.

    The middle is the rows' geometric mean. A backend without rows of its own gets the least of the
    others', and with one row alone their range.
    """
    return tuple(_gain(backend, place, experts) for place in range(1, len(LEVELS)))


def _gain(backend: str, place: int, experts: bool) -> Gain:
    by_backend: dict[str, list[float]] = {}
    for row in rows():
        if row.experts == experts and row.prompt <= _SHORT and len(row.tps) > place:
            by_backend.setdefault(row.backend, []).append(row.tps[place] / row.tps[0])
    means = {
        name: math.exp(sum(map(math.log, found)) / len(found)) for name, found in by_backend.items()
    }
    mine = by_backend.get(backend, [])
    mid = means.get(backend, min(means.values()))
    if len(mine) >= _ENOUGH_ROWS:
        return Gain(LEVELS[place], min(mine), mid, max(mine))
    lowest = min(min(found) for found in by_backend.values())
    return Gain(LEVELS[place], min(mid, lowest), mid, max(means.values()))


@functools.cache
def most(*, experts: bool) -> float:
    """The largest expected gain on any backend: for bounds."""
    backends = {row.backend for row in rows()}
    return max(gain.mid for name in backends for gain in gains(name, experts=experts))


def faster(gain: float, cache_share: float) -> float:
    """``gain`` where ``cache_share`` of one answer's time goes into reading its own cache."""
    return 1 / ((1 - cache_share) / gain + cache_share)
