"""How able a model is: a published index, or an estimate that never flatters."""

import functools
import math
from dataclasses import dataclass
from datetime import date
from math import log2
from typing import Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from advisor import resources
from advisor.llm.catalogue import CatalogueEntry, catalogue
from advisor.llm.quality import QualityNote, Word

Purpose = Literal["general", "code"]

CODING: Final = "Artificial Analysis Coding Index"
_SINCE: Final = date(2024, 1, 1)
_CODE: Final = 2 / 3
"""Weight of Terminal-Bench in the coding index; SciCode has the rest. It gives the published 46.9
of Mistral Medium 3.5."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Published(_Frozen):
    """What was published of one model."""

    model: str
    """Hugging Face id in the catalogue."""
    index: float = Field(ge=0, le=100)
    """In the mode that it is best in: reasoning where it can."""
    terminal_bench: float | None = Field(default=None, ge=0, le=100)
    """Per cent of Terminal-Bench 2.1."""
    scicode: float | None = Field(default=None, ge=0, le=100)
    """Per cent of SciCode."""
    source: str
    date: date

    @property
    def coding(self) -> float | None:
        """Coding index; None where one of its parts is not known."""
        if self.terminal_bench is None or self.scicode is None:
            return None
        return _CODE * self.terminal_bench + (1 - _CODE) * self.scicode


class IntelligenceData(_Frozen):
    """resources/intelligence.json."""

    date: date
    index: str
    measures: str
    source: str
    coding: str
    mode: str
    kept: dict[Word, float]
    """Share of its ability that a quantized model keeps, by what its file type loses."""
    kept_source: str
    same_weights: dict[str, str]
    """Entries that hold another's weights, with a draft head for example."""
    entries: tuple[Published, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """How able one model is."""

    index: float
    estimated: bool
    """Not published: what models of its size and age reach, less the spread."""
    source: str
    sentence: str

    @property
    def words(self) -> str:
        """``"38"``, or ``"~7"`` where it is estimated."""
        return f"{'~' if self.estimated else ''}{max(self.index, 0):.0f}"


@functools.cache
def data() -> IntelligenceData:
    """The shipped file, validated once per process."""
    return resources.load(IntelligenceData, "intelligence.json")


@functools.cache
def _published() -> dict[str, Published]:
    found = {entry.model: entry for entry in data().entries}
    return found | {copy: found[of] for copy, of in data().same_weights.items()}


def is_copy(entry: CatalogueEntry) -> bool:
    """Whether another entry of the catalogue holds the same weights."""
    return entry.id in data().same_weights


def size_and_age(entry: CatalogueEntry) -> tuple[float, float]:
    """Doublings of parameters (of all and active ones, their geometric mean), and years."""
    total = entry.n_params
    active = min(entry.active, total)
    return log2(total * active) / 2, ((entry.released or _SINCE) - _SINCE).days / 365.25


def _features(entry: CatalogueEntry) -> list[float]:
    size, age = size_and_age(entry)
    return [1.0, size, age, size * age]


@dataclass(frozen=True, slots=True)
class _Trend:
    weights: tuple[float, ...]
    spread: float
    below: dict[str, float]
    """By maker, how far its published models lie below the trend on average."""

    def at(self, entry: CatalogueEntry) -> float:
        """What is expected, less one standard deviation and its maker's distance."""
        expected = sum(w * x for w, x in zip(self.weights, _features(entry), strict=True))
        return expected - self.spread - self.below.get(entry.maker, 0.0)


def _value(known: Published, purpose: Purpose) -> float | None:
    return known.index if purpose == "general" else known.coding


@functools.cache
def _trend(purpose: Purpose) -> _Trend:
    """Least squares over the published models of the shipped catalogue."""
    published = {entry.model: entry for entry in data().entries}
    rows: list[list[float]] = []
    values: list[float] = []
    makers: list[str] = []
    for entry in catalogue().entries:
        known = published.get(entry.id)
        value = None if known is None else _value(known, purpose)
        if value is not None:
            rows.append(_features(entry))
            values.append(value)
            makers.append(entry.maker)
    x, y = np.array(rows), np.array(values)
    weights = np.linalg.lstsq(x, y, rcond=None)[0]
    above = y - x @ weights
    of = {m: above[[i for i, maker in enumerate(makers) if maker == m]] for m in set(makers)}
    below = {maker: max(-float(found.mean()), 0.0) for maker, found in of.items()}
    return _Trend(tuple(float(w) for w in weights), float(np.std(above)), below)


@functools.cache
def _coding_of_index() -> tuple[float, float, float]:
    """Slope, offset and spread of the coding index over the index."""
    pairs = [(e.index, e.coding) for e in data().entries if e.coding is not None]
    x, y = (np.array(column) for column in zip(*pairs, strict=True))
    slope, offset = np.polyfit(x, y, 1)
    return float(slope), float(offset), float(np.std(y - slope * x - offset))


def _best_before(entry: CatalogueEntry, purpose: Purpose) -> float:
    """The best published value of models no larger and no newer; a trend may point beyond."""
    published = {found.model: found for found in data().entries}
    values = [
        value
        for other in catalogue().entries
        if (known := published.get(other.id)) is not None
        and (value := _value(known, purpose)) is not None
        and other.n_params <= entry.n_params
        and (other.released or date.max) <= (entry.released or date.min)
    ]
    return max(values, default=math.inf)


def standing(entry: CatalogueEntry, purpose: Purpose = "general") -> Standing:
    """A model's published index, or what stands in for it.

    Where only the coding index is missing, the general one stands in by the line through the models
    that have both, less its spread. A model without any figure gets what size and age let expect,
    less one standard deviation and as much as its maker's models lie below, and no more than the
    best that is no larger and no newer: it may be better, and is never ranked by hope. Such an
    index may be below 0.
    """
    known = _published().get(entry.id)
    name = data().index if purpose == "general" else CODING
    if known is not None:
        value = _value(known, purpose)
        if value is not None:
            sentence = f"{value:.0f} of 100 on the {name} ({known.date})."
            return Standing(value, estimated=False, source=known.source, sentence=sentence)
        slope, offset, spread = _coding_of_index()
        value = slope * known.index + offset - spread
        sentence = (
            f"About {max(value, 0):.0f} of 100 for code, by its {known.index:.0f} on the "
            f"{data().index} ({known.date})."
        )
        return Standing(value, estimated=True, source=known.source, sentence=sentence)
    value = min(_trend(purpose).at(entry), _best_before(entry, purpose))
    sentence = (
        f"Not on the {name} by {data().date}; ranked as {max(value, 0):.0f} of 100, what its size, "
        "age and maker let expect at the least."
    )
    return Standing(value, estimated=True, source=data().source, sentence=sentence)


def kept(loss: QualityNote) -> float:
    """Share of its ability that a quantized model keeps, by its worst word; unknown is heavy."""
    shares = data().kept
    return min((shares[word] for word in loss.words), default=shares["heavy"])
