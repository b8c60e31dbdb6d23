"""What fits best: the catalogue on one rig, ranked by what people want.

How able a model is, comes from a published index (``llm.intelligence``), lowered by what its file
type loses; a model without one is ranked by the least that its size, age and maker let expect.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from advisor.advice.best_type import GREEN, BestType, find
from advisor.advice.wish import Wish
from advisor.basis import Range
from advisor.errors import RigAdvisorError
from advisor.hardware.rig import Rig
from advisor.llm.catalogue import CatalogueEntry
from advisor.llm.filetypes import FILE_TYPES
from advisor.llm.intelligence import Purpose, Standing, is_copy, kept, standing
from advisor.llm.model import Model
from advisor.llm.quality import QualityNote
from advisor.sizing.calibration import Calibration
from advisor.sizing.matrix import Cell, Matrices
from advisor.sizing.other_splits import nothing_asked, unlike
from advisor.sizing.sampling import in_use, sampling_seconds, served
from advisor.sizing.settings import FIT, RunSettings
from advisor.units import tokens

_SAME_SHAPE: Final = 0.02
"""Difference in parameters up to which two releases have the same shape."""
TOGETHER: Final = 8
"""Models that are judged together, once the first ones are there."""
_DENSE: Final = 0.9
"""Share of the parameters from which on a model counts as dense."""


@dataclass(frozen=True, slots=True)
class Pick:
    """One model in the file type that suits the rig best."""

    entry: CatalogueEntry
    model: Model
    cell: Cell
    loss: QualityNote
    ctx: int
    """What it is sized for: what is wanted, or what it was trained for where that is less."""
    wanted_ctx: int
    fast: bool
    """At least the wanted speed; False also where it is not known."""
    standing: Standing
    """How able the model is in 16 bits."""
    placed: bool = False
    """The solver places it: on cards that are not alike its split is faster than llama.cpp's."""
    planned: bool = False
    """Its speed is its plan's; else, with a part in RAM, a guess (``closer``)."""
    settled: bool = True
    """Its file type is the best of all; else it is the usual one, for a first look."""

    @property
    def rough(self) -> bool:
        """Whether its speed is a guess at what a plan would say."""
        return self.cell.verdict == "offload" and not self.planned

    @property
    def served(self) -> Range | None:
        """Tokens per second as llama-server writes them, which ``fast`` is about."""
        decode = self.cell.decode
        return None if decode is None else served(decode, sampling_seconds(self.model))

    @property
    def in_use(self) -> str:
        """What that makes of its speed; empty where it hardly matters."""
        decode = self.cell.decode
        return "" if decode is None else in_use(decode, sampling_seconds(self.model))

    @property
    def fields(self) -> Mapping[str, object]:
        """The run settings that a plan of it needs beside its context."""
        return FIT if self.placed else {}

    @property
    def whole(self) -> bool:
        """Nothing of it has to go to RAM."""
        return self.cell.verdict in GREEN

    @property
    def dense(self) -> bool:
        """Nearly every parameter is used for every token."""
        return self.entry.active > _DENSE * self.model.n_params

    @property
    def score(self) -> float:
        """How able it is in this file type; higher is better."""
        share = kept(self.loss)
        index = self.standing.index
        return index * (share if index > 0 else 2 - share)

    @property
    def name(self) -> str:
        """The model's name, and the context that it was trained for where more is wanted."""
        trained = "" if self.long_enough else f" ({tokens(self.ctx)})"
        return f"{self.entry.name}{trained}"

    @property
    def long_enough(self) -> bool:
        """Whether the model was trained for the context that is wanted."""
        return self.ctx >= self.wanted_ctx

    @property
    def order(self) -> tuple[bool, bool, int, bool, bool, float, float]:
        """What is fast and long enough first, then the ablest.

        Where no speed is known what lies on the cards comes before what has a part in RAM, which
        is the slower of both.
        The index is told in whole points and is no better than that: of models that are alike by
        it, those come first whose index is published, then what needs no RAM, then the fastest.
        """
        tps = self.cell.decode.mid if self.cell.decode is not None else 0.0
        return (
            not (self.fast and self.long_enough),
            self.cell.decode is None and not self.whole,
            -round(self.score),
            self.standing.estimated,
            not self.whole,
            -tps,
            -self.score,
        )


def likely_order(
    entries: Iterable[CatalogueEntry], purpose: Purpose = "general"
) -> list[CatalogueEntry]:
    """The ablest first, so that a list that is filled from the top is useful at once."""
    return sorted(entries, key=lambda e: -standing(e, purpose).index)


def current(entries: Sequence[CatalogueEntry]) -> list[CatalogueEntry]:
    """Without copies of others, and without releases that their makers replaced.

    A newer release of the same shape that can do as much and is as able takes a model's place.
    """

    def replaces(new: CatalogueEntry, old: CatalogueEntry) -> bool:
        return (
            new.maker == old.maker
            and (new.released or date.min) > (old.released or date.min)
            and abs(new.n_params / old.n_params - 1) < _SAME_SHAPE
            and abs(new.active / old.active - 1) < _SAME_SHAPE
            and set(old.abilities) <= set(new.abilities)
            and standing(new).index >= standing(old).index
        )

    originals = [entry for entry in entries if not is_copy(entry)]
    return [old for old in originals if not any(replaces(new, old) for new in originals)]


def picks(
    entries: Sequence[CatalogueEntry],
    rig: Rig,
    wish: Wish,
    settings: RunSettings,
    *,
    calibration: Calibration | None = None,
    usual_type: bool = False,
    cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[Pick]:
    """Every wanted model that runs at all, one by one as they are sized; sort them by ``order``.

    Releases that newer ones replaced are left out unless they are looked for by name. The file type
    is, among those that are fast enough, one that keeps the model's ability, wholly
    on devices if it can be, with the least loss; else the fastest that keeps it. Where nobody asked
    for a placement on cards that are not alike, the solver makes it (``Pick.fields``), and every
    file type is judged by what the solver makes of it on them. With
    ``usual_type`` only the one that each entry suggests is sized, for a first look in a fraction of
    the time (``Pick.settled``). Models that cannot be sized are left out.
    """
    wanted = [entry for entry in entries if wish.admits(entry)]
    if not wish.words:
        wanted = current(wanted)
    close: Matrices | None = None
    if unlike(rig) and nothing_asked(settings):
        settings = settings.model_copy(update=FIT)
        close = Matrices(rig, settings, calibration=calibration, closely=True)
    matrices = Matrices(rig, settings, calibration=calibration)
    together: list[BestType] = []
    enough = 1

    def found() -> Iterator[Pick]:
        for search in find(together, matrices, close):
            best = pick_of(search, wish, settled=not usual_type, placed=close is not None)
            if best is not None:
                yield best

    for entry in likely_order(wanted, wish.purpose):
        if cancelled():
            return
        types = (
            [entry.suggested_file_type]
            if usual_type
            else [name for name in entry.file_types if offered(entry, name)]
        )
        try:
            ctx = min(wish.ctx, entry.hp.n_ctx_train or wish.ctx)
            together.append(BestType(entry, types, ctx, wish))
        except RigAdvisorError:
            continue
        if len(together) >= enough:
            yield from found()
            together, enough = [], min(2 * enough, TOGETHER)
    yield from found()


def offered(entry: CatalogueEntry, file_type: str) -> bool:
    """Whether people would take it: few publish MXFP4 of a model that was not released in it."""
    return file_type in {entry.native_file_type, entry.suggested_file_type} or (
        FILE_TYPES[file_type].family != "fp4"
    )


def pick_of(
    search: BestType, wish: Wish, *, settled: bool = True, placed: bool = False
) -> Pick | None:
    """A model in the file type that was found for it; None where none runs."""
    entry, cell = search.entry, search.found
    if cell is None:
        return None
    return Pick(
        entry=entry,
        model=entry.model(cell.file_type),
        cell=cell,
        loss=search.loss(cell.file_type),
        ctx=search.ctx,
        wanted_ctx=wish.ctx,
        fast=search.fast(cell),
        standing=standing(entry, wish.purpose),
        placed=placed,
        settled=settled,
    )
