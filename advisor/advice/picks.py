"""What fits best: the catalogue on one rig, ranked by what people want.

No list of benchmarks is shipped, so the order claims nothing about answers beyond three facts: how
much a model knows and does per token (its parameters), how recent it is (later models do more per
parameter), and what its file type loses. A model that few people run is never listed first.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from math import log2
from typing import Final, Literal

from advisor.errors import RigAdvisorError
from advisor.hardware.rig import Rig
from advisor.llm.catalogue import Ability, CatalogueEntry
from advisor.llm.model import Model
from advisor.llm.quality import QualityNote, model_loss
from advisor.sizing.calibration import Calibration
from advisor.sizing.matrix import Cell, matrix
from advisor.sizing.settings import RunSettings
from advisor.sizing.speed_data import bench_data

Licence = Literal["any", "open", "commercial"]

OPEN: Final = frozenset({"apache-2.0", "mit"})
_NOT_COMMERCIAL: Final = ("-nc-", "research", "exaone")
_SINCE: Final = date(2024, 1, 1)
_PER_YEAR: Final = 1.0
"""A year of progress counts as a doubling of parameters. Published estimates are higher (arXiv
2412.04315: capability per parameter doubles every 3.5 months); half the catalogue is younger than a
year, so a low one keeps size and age in balance."""
_OBSCURE: Final = 3.0
"""Doublings that a model loses which nobody is known to run."""
_KNOWN_MAKER: Final = 4
"""Models in the catalogue from which on a maker counts as widely used."""
_UNHEARD: Final = 0.3
"""Per cent: file types that lose less are alike, and the smallest of them is taken."""
_GREEN: Final = ("fits", "tight")


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants of a model."""

    ctx: int = 32768
    least_tps: float = 10.0
    abilities: frozenset[Ability] = frozenset()
    licence: Licence = "any"
    most_params: int | None = None
    words: tuple[str, ...] = ()
    """In the model's name, id or maker, lower case."""

    def admits(self, entry: CatalogueEntry) -> bool:
        """Whether a model is one of those wanted, before it is sized."""
        licence = (entry.licence or "").lower()
        if self.licence == "open" and licence not in OPEN:
            return False
        if self.licence == "commercial" and any(word in licence for word in _NOT_COMMERCIAL):
            return False
        if self.most_params is not None and (entry.n_params > self.most_params):
            return False
        place = f"{entry.id} {entry.name} {entry.maker}".lower()
        return self.abilities <= set(entry.abilities) and all(w in place for w in self.words)


@dataclass(frozen=True, slots=True)
class Pick:
    """One model in the file type that suits the rig best."""

    entry: CatalogueEntry
    model: Model
    cell: Cell
    loss: QualityNote
    ctx: int
    fast: bool
    """At least the wanted speed; False also where it is not known."""
    score: float

    @property
    def order(self) -> tuple[int, float]:
        """What is wanted first: fast and whole, fast with a part in RAM, then slower ones."""
        whole = self.cell.verdict in _GREEN
        return (0 if self.fast and whole else 1 if self.fast else 2 if whole else 3, -self.score)


@functools.cache
def _measured_by_others() -> frozenset[str]:
    return frozenset(row.model.lower() for row in bench_data().rows)


def well_known(entry: CatalogueEntry, makers: Sequence[str]) -> bool:
    """Whether others published measurements of it, or its maker's models are widely used."""
    names = {entry.id.lower(), *(alias.lower() for alias in entry.aliases)}
    return bool(names & _measured_by_others()) or makers.count(entry.maker) >= _KNOWN_MAKER


def strength(entry: CatalogueEntry, *, known: bool) -> float:
    """Doublings of parameters, worth of age included; higher is better.

    A mixture of experts counts with the geometric mean of all and active parameters.
    """
    total = entry.n_params
    active = min(entry.active_params or total, total)
    years = ((entry.released or _SINCE) - _SINCE).days / 365.25
    return log2(total * active) / 2 + _PER_YEAR * years - (0.0 if known else _OBSCURE)


def likely_order(entries: Iterable[CatalogueEntry]) -> list[CatalogueEntry]:
    """The strongest first, so that a list that is filled from the top is useful at once."""
    entries = list(entries)
    makers = [entry.maker for entry in entries]
    return sorted(entries, key=lambda e: -strength(e, known=well_known(e, makers)))


def picks(
    entries: Sequence[CatalogueEntry],
    rig: Rig,
    wish: Wish,
    settings: RunSettings,
    *,
    calibration: Calibration | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[Pick]:
    """Every wanted model that runs at all, one by one as they are sized; sort them by ``order``.

    The file type is the one that loses least among those that fit wholly and are fast enough; else
    among those that are fast enough; else the fastest. Models that cannot be sized are left out.
    """
    makers = [entry.maker for entry in entries]
    for entry in likely_order(entries):
        if cancelled():
            return
        if wish.admits(entry):
            known = well_known(entry, makers)
            found = _pick(entry, rig, wish, settings, known=known, calibration=calibration)
            if found is not None:
                yield found


def _pick(
    entry: CatalogueEntry,
    rig: Rig,
    wish: Wish,
    settings: RunSettings,
    *,
    known: bool,
    calibration: Calibration | None,
) -> Pick | None:
    try:
        trained = entry.hp.n_ctx_train
        ctx = min(wish.ctx, trained or wish.ctx)
        models = {name: entry.model(name) for name in entry.file_types}
        found = matrix(models, rig, settings, (ctx,), calibration=calibration)
    except RigAdvisorError:
        return None
    best: tuple[tuple[float, ...], Cell] | None = None
    for name, (cell,) in zip(found.file_types, found.rows, strict=True):
        if cell.verdict not in {*_GREEN, "offload"}:
            continue
        tps = cell.decode.mid if cell.decode is not None else 0.0
        fast, whole = tps >= wish.least_tps, cell.verdict in _GREEN
        rise = model_loss(models[name]).typical
        lost = max(_UNHEARD, 100.0 if rise is None else rise)
        # Fast before whole before good; what is too slow is taken as fast as it comes.
        rank = (fast, whole, -lost if fast else tps, -models[name].nbytes)
        if best is None or rank > best[0]:
            best = rank, cell
    if best is None:
        return None
    cell = best[1]
    model = models[cell.file_type]
    loss = model_loss(model)
    lost = 100.0 if loss.typical is None else loss.typical
    score = strength(entry, known=known) - log2(1 + max(lost, 0.0) / 5)
    return Pick(entry, model, cell, loss, ctx, bool(best[0][0]), score)
