"""What fits best: the catalogue on one rig, ranked by what people want.

How able a model is, comes from a published index (``llm.intelligence``), lowered by what its file
type loses; a model without one is ranked by the least that its size, age and maker let expect.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from math import inf
from typing import Final, Literal, NamedTuple

from advisor.basis import Range
from advisor.errors import RigAdvisorError
from advisor.hardware.rig import Rig
from advisor.llm.catalogue import Ability, CatalogueEntry
from advisor.llm.filetypes import FILE_TYPES
from advisor.llm.intelligence import Purpose, Standing, is_copy, kept, standing
from advisor.llm.model import Model
from advisor.llm.quality import QualityNote, model_loss
from advisor.sizing.calibration import Calibration
from advisor.sizing.matrix import Asked, Cell, Matrices
from advisor.sizing.other_splits import nothing_asked, unlike
from advisor.sizing.sampling import in_use, reaches, sampling_seconds, served
from advisor.sizing.settings import FIT, RunSettings
from advisor.units import tokens

Licence = Literal["any", "open", "commercial"]

ABILITIES: Final[tuple[Ability, ...]] = (
    "reasoning", "tools", "code", "vision", "audio", "multilingual",
)  # fmt: skip
"""Of the catalogue's models that chat."""
OPEN: Final = frozenset({"apache-2.0", "mit"})
_NOT_COMMERCIAL: Final = ("-nc-", "research", "exaone")
_ALIKE: Final = 0.3
_ALIKE_IN_RAM: Final = 3.0
"""Per cent: file types that lose less are alike, as are those that are near lossless, and the
smallest of them is taken. With a part in RAM a smaller one is faster, and a small loss is worth it.
"""
_SOUND: Final = 0.97
"""Share of its ability from which a file type is not worth leaving the devices for a better one."""
_USABLE: Final = 0.5
"""Share of its ability below which a file type is taken only where no other runs."""
_SAME_SHAPE: Final = 0.02
"""Difference in parameters up to which two releases have the same shape."""
_GREEN: Final = ("fits", "tight")
TOGETHER: Final = 8
"""Models that are judged together, once the first ones are there."""
_UNTIMED, _TIMED, _SURE = range(3)
_AT_ONCE: Final = Range.exactly(inf)
"""A speed that nothing is known of yet."""
_DENSE: Final = 0.9
"""Share of the parameters from which on a model counts as dense."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants of a model."""

    ctx: int = 32768
    least_tps: float = 10.0
    """Of llama-server, which also chooses each token."""
    abilities: frozenset[Ability] = frozenset()
    licence: Licence = "any"
    most_params: int | None = None
    words: tuple[str, ...] = ()
    """In the model's name, id or maker, lower case."""

    def admits(self, entry: CatalogueEntry) -> bool:
        """Whether a model is one of those wanted, before it is sized."""
        if not entry.chats:
            return False
        licence = (entry.licence or "").lower()
        if self.licence == "open" and licence not in OPEN:
            return False
        if self.licence == "commercial" and any(word in licence for word in _NOT_COMMERCIAL):
            return False
        if self.most_params is not None and (entry.n_params > self.most_params):
            return False
        place = f"{entry.id} {entry.name} {entry.maker}".lower()
        if not all(word in place for word in self.words):
            return False
        # Every chat model writes code; those who ask for it want them ranked by it.
        return self.abilities - {"code"} <= set(entry.abilities)

    def fast(self, model: Model, decode: Range | None) -> bool:
        """Whether a model that decodes so is as fast in use as wished for."""
        return reaches(decode, sampling_seconds(model), self.least_tps)

    @property
    def purpose(self) -> Purpose:
        """What models are ranked by."""
        return "code" if "code" in self.abilities else "general"


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
        return self.cell.verdict in _GREEN

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
    def order(self) -> tuple[bool, int, bool, bool, float, float]:
        """What is fast and long enough first, then the ablest.

        The index is told in whole points and is no better than that: of models that are alike by
        it, those come first whose index is published, then what needs no RAM, then the fastest.
        """
        tps = self.cell.decode.mid if self.cell.decode is not None else 0.0
        return (
            not (self.fast and self.long_enough),
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
    together: list[_Candidate] = []
    enough = 1
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
            models = {name: entry.model(name) for name in types}
            asked = matrices.ask(models, (ctx,))
            together.append(_Candidate(entry, models, ctx, asked, settled=not usual_type))
        except RigAdvisorError:
            continue
        if len(together) >= enough:
            yield from _picked(matrices, close, together, wish)
            together, enough = [], min(2 * enough, TOGETHER)
    yield from _picked(matrices, close, together, wish)


def offered(entry: CatalogueEntry, file_type: str) -> bool:
    """Whether people would take it: few publish MXFP4 of a model that was not released in it."""
    return file_type in {entry.native_file_type, entry.suggested_file_type} or (
        FILE_TYPES[file_type].family != "fp4"
    )


class _Candidate(NamedTuple):
    """A model in the file types to choose from."""

    entry: CatalogueEntry
    models: Mapping[str, Model]
    ctx: int
    asked: Asked
    settled: bool
    """These are all."""


class _Hope(NamedTuple):
    """What a file type can be at best, or is, on cards that are not alike."""

    cell: Cell
    stage: int
    """What is known: that devices may hold it, how fast it may be there at most, or what it is."""


def _picked(
    matrices: Matrices, close: Matrices | None, candidates: Sequence[_Candidate], wish: Wish
) -> Iterator[Pick]:
    """Those of the candidates that run, each in its best file type.

    ``close`` tells what the solver makes of cards that are not alike.
    """
    filled = matrices.fill([candidate.asked for candidate in candidates])
    for candidate, found in zip(candidates, filled, strict=True):
        cells = [cell for (cell,) in found.rows]
        if close is None:
            pick = _best(candidate, cells, wish)
        else:
            pick = _placed(candidate, cells, wish, close)
        if pick is not None:
            yield replace(pick, settled=candidate.settled)


def _placed(
    candidate: _Candidate, cells: Sequence[Cell], wish: Wish, close: Matrices
) -> Pick | None:
    """The best as the solver places it. ``cells``: as llama.cpp splits cards that are not alike.

    The solver takes its time, so it is asked about what may be best only: every file type is first
    what it can be at best, and the best of all becomes what it is, until that is what it was.
    """
    hopes = {cell.file_type: _hoped(candidate, cell, wish, close) for cell in cells}
    while True:
        pick = _best(candidate, [hope.cell for hope in hopes.values()], wish)
        if pick is None:
            return None
        name = pick.cell.file_type
        stage = hopes[name].stage
        if stage == _SURE:
            return replace(pick, placed=True)
        fastest = None
        if stage == _UNTIMED and len(hopes) > 1:
            fastest = close.fastest_split(candidate.asked, name)
        if fastest is not None:
            cell = pick.cell._replace(decode=Range.exactly(fastest))
            hopes[name] = _Hope(cell, _TIMED)
        else:
            filled = close.fill([close.ask({name: pick.model}, (candidate.ctx,))])[0]
            hopes[name] = _Hope(filled.rows[0][0], _SURE)


def _hoped(candidate: _Candidate, cell: Cell, wish: Wish, close: Matrices) -> _Hope:
    """What the solver may make of a cell at best."""
    whole = cell.verdict in _GREEN
    known = cell.device_total is not None and cell.headroom is not None
    if not known or not close.split_may_hold(candidate.asked, cell.file_type):
        # A margin that is not left takes the solver to RAM.
        return _Hope(cell, _TIMED if whole else _SURE)
    if whole and wish.fast(candidate.models[cell.file_type], cell.decode):
        return _Hope(cell, _TIMED)
    return _Hope(cell._replace(verdict="fits", decode=_AT_ONCE), _UNTIMED)


def _best(candidate: _Candidate, cells: Sequence[Cell], wish: Wish) -> Pick | None:
    return chosen(candidate.entry, candidate.models, candidate.ctx, cells, wish)


def chosen(
    entry: CatalogueEntry,
    models: Mapping[str, Model],
    ctx: int,
    cells: Sequence[Cell],
    wish: Wish,
) -> Pick | None:
    """The file type that suits a rig best, by the cells of all; None where none runs."""
    best: tuple[tuple[float, ...], Cell] | None = None
    for cell in cells:
        name = cell.file_type
        if cell.verdict not in {*_GREEN, "offload"}:
            continue
        tps = cell.decode.mid if cell.decode is not None else 0.0
        fast, whole = wish.fast(models[name], cell.decode), cell.verdict in _GREEN
        loss, unknown = model_loss(models[name]), cell.decode is None
        alike = _ALIKE if whole and not unknown else _ALIKE_IN_RAM
        lost = max(alike, 100.0 if loss.typical is None else loss.typical)
        if kept(loss) == 1:
            lost = alike
        good = min(kept(loss), _SOUND)
        # Fast before good before whole; what is too slow is taken as fast as it comes, but sound.
        # For a speed that nobody knows (RAM not measured) no bits are given up.
        rest = (good, whole, -lost) if fast or unknown else (good, tps)
        rank = (kept(loss) > _USABLE, fast, *rest, -models[name].nbytes)
        if best is None or rank > best[0]:
            best = rank, cell
    if best is None:
        return None
    cell = best[1]
    model = models[cell.file_type]
    return Pick(
        entry,
        model,
        cell,
        model_loss(model),
        ctx,
        wish.ctx,
        bool(best[0][1]),
        standing(entry, wish.purpose),
    )
