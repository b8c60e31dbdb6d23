"""What it gains to answer several requests at once, from published runs and this project's own.

Weights are read once for all answers, each cache for its own alone. So of one answer's time only
the part that is not spent on its cache gets shorter (rows after longer prompts in
resources/batching.json hold this rule within a seventh, tests/advice/test_advice_batching.py).
"""

import functools
import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from pydantic import BaseModel, ConfigDict

from advisor import resources
from advisor.hardware.rig import Device
from advisor.sizing.speed_class import class_key

LEVELS: Final = (1, 2, 4, 8, 16, 32, 64)
"""Answers at once, as rows of the data have them."""
_SHORT: Final = 512
"""Prompts up to which a row's caches are too short to matter."""
_ENOUGH_ROWS: Final = 2


class BatchRow(BaseModel):
    """One published series."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: str
    backend: str
    hbm: bool = False
    """Whether the device has HBM: its memory is faster than its cores, which more answers at once
    make work earlier than on other cards."""
    model: str
    file_type: str
    experts: bool
    prompt: int
    """Tokens in every answer's cache before it begins."""
    tps: tuple[float, ...]
    """Tokens per second of all answers together, by ``LEVELS``; later ones may be missing."""
    source: str

    @property
    def kind(self) -> str:
        """Devices that gain alike."""
        return f"{self.backend}{_HBM if self.hbm else ''}"


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


_HBM: Final = "-hbm"


def kind(devices: Sequence[Device]) -> str:
    """Whose rows hold for these devices, for ``gains`` and ``most``."""
    if not devices:
        return "cpu"
    backend = devices[0].backend or ""
    hbm = all(
        class_key(d.backend or "", d.architecture or "", d.bandwidth_gbs).endswith(_HBM)
        for d in devices
    )
    return f"{backend}{_HBM}" if hbm else backend


@functools.cache
def gains(kind: str, *, experts: bool) -> tuple[Gain, ...]:
    """By answers at once, 2 and up.

    A step may more than double: eight tokens are read by kernels for few, sixteen by those for
    many, which on an H100 read K-quants faster. The middle is the rows' geometric mean. HBM that
    nobody measured with a backend is taken for its other devices. A backend without rows of its own
    gets the least of the others', as far as two of them go, and with one row alone their range.
    """
    found = (_gain(kind, place, experts) for place in range(1, len(LEVELS)))
    return tuple(gain for gain in found if gain is not None)


@functools.cache
def measured_on(kind: str) -> tuple[str, ...]:
    """The devices whose rows tell what such devices gain: their own, else all without HBM."""
    short = [row for row in rows() if row.prompt <= _SHORT]
    own = kind if any(row.kind == kind for row in short) else kind.removesuffix(_HBM)
    mine = [row for row in short if row.kind == own]
    told = mine if len(mine) >= _ENOUGH_ROWS else [r for r in short if not r.kind.endswith(_HBM)]
    return tuple(dict.fromkeys(row.device for row in told))


def _gain(kind: str, place: int, experts: bool) -> Gain | None:
    by_kind: dict[str, list[float]] = {}
    kinds: set[str] = set()
    for row in rows():
        if row.experts == experts and row.prompt <= _SHORT:
            kinds.add(row.kind)
            if len(row.tps) > place:
                by_kind.setdefault(row.kind, []).append(row.tps[place] / row.tps[0])
    at_once = LEVELS[place]
    own = kind if kind in kinds else kind.removesuffix(_HBM)
    mine = by_kind.get(own, [])
    if len(mine) >= _ENOUGH_ROWS:
        # Of two series one may have been measured a little slow, and more than double.
        return Gain(at_once, min(mine), _mean(mine), min(max(mine), at_once))
    others = [found for name, found in by_kind.items() if not name.endswith(_HBM)]
    if not mine and (own in kinds or len(others) < _ENOUGH_ROWS):
        return None
    means = [_mean(found) for found in others]
    mid = _mean(mine) if mine else min(means)
    return Gain(at_once, min(mid, *(min(found) for found in others)), mid, max(means))


def _mean(ratios: Sequence[float]) -> float:
    return math.exp(sum(map(math.log, ratios)) / len(ratios))


@functools.cache
def most(kind: str, *, experts: bool) -> float:
    """The largest expected gain of such devices: for bounds."""
    return max((gain.mid for gain in gains(kind, experts=experts)), default=1.0)


def faster(gain: float, cache_share: float) -> float:
    """``gain`` where ``cache_share`` of one answer's time goes into reading its own cache."""
    return 1 / ((1 - cache_share) / gain + cache_share)
