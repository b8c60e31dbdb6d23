"""The file type of a model that suits a rig best, found by sizing few of them.

A model has a dozen file types, and each one that is sized for the first time takes several
milliseconds. So every one counts as what it can be at best until it is sized: wholly on devices and
as fast as one likes. Whichever is best then is looked at closer, until that is one that is known.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import inf
from typing import Final, NamedTuple

from advisor.advice.wish import Wish
from advisor.basis import Range
from advisor.errors import RigAdvisorError
from advisor.llm.catalogue import CatalogueEntry
from advisor.llm.intelligence import kept
from advisor.llm.model import Model
from advisor.llm.quality import QualityNote, losses
from advisor.sizing.matrix import Asked, Cell, Matrices

GREEN: Final = ("fits", "tight")
_ALIKE: Final = 0.3
_ALIKE_IN_RAM: Final = 3.0
"""Per cent: file types that lose less are alike, as are those that are near lossless, and the
smallest of them is taken. With a part in RAM a smaller one is faster, and a small loss is worth it.
"""
_SOUND: Final = 0.97
"""Share of its ability from which a file type is not worth leaving the devices for a better one."""
_USABLE: Final = 0.5
"""Share of its ability below which a file type is taken only where no other runs."""
_AT_ONCE: Final = Range.exactly(inf)
"""A speed that nothing is known of yet."""
_UNSIZED, _UNTIMED, _TIMED, _SURE = range(4)


class _Hope(NamedTuple):
    """What a file type can be at best, or is."""

    cell: Cell
    stage: int
    """What is known: nothing, that devices may hold it, how fast it may be there at most, or what
    it is."""
    asked: Asked | None = None
    """As llama.cpp splits the cards, once it was sized so."""


class BestType:
    """One model's search. ``usual``: it in a file type that is at hand."""

    def __init__(
        self,
        entry: CatalogueEntry,
        file_types: Iterable[str],
        ctx: int,
        wish: Wish,
        *,
        known: Mapping[str, Cell] | None = None,
    ) -> None:
        """``file_types``: to choose from. ``known``: cells of some of them.

        Raises ModelError for a model whose file types cannot be predicted.
        """
        self.entry = entry
        self._ctx = ctx
        self._wish = wish
        self._usual = entry.model(entry.suggested_file_type)
        self._losses = losses(self._usual, file_types)
        known = known or {}
        self._hopes = {
            name: _Hope(known[name], _SURE) if name in known else self._unsized(name)
            for name in self._losses
        }

    @property
    def ctx(self) -> int:
        """What it is sized for."""
        return self._ctx

    @property
    def found(self) -> Cell | None:
        """The best of all as far as is known; None where none runs."""
        best: tuple[tuple[float, ...], Cell] | None = None
        for hope in self._hopes.values():
            rank = self._rank(hope)
            if rank is not None and (best is None or rank > best[0]):
                best = rank, hope.cell
        return None if best is None else best[1]

    def loss(self, file_type: str) -> QualityNote:
        """What a file type costs the model."""
        return self._losses[file_type]

    def fast(self, cell: Cell) -> bool:
        """Whether a file type is as fast as wished for."""
        return self._wish.fast(self._usual, cell.decode)

    def _unsized(self, file_type: str) -> _Hope:
        at_best = Cell(file_type, self._ctx, "fits", None, None, None, _AT_ONCE)
        return _Hope(at_best, _UNSIZED)

    def _rank(self, hope: _Hope) -> tuple[float, ...] | None:
        """Better is greater; None: it does not run."""
        cell = hope.cell
        if cell.verdict not in {*GREEN, "offload"}:
            return None
        tps = cell.decode.mid if cell.decode is not None else 0.0
        fast, whole = self.fast(cell), cell.verdict in GREEN
        loss, unknown = self._losses[cell.file_type], cell.decode is None
        alike = _ALIKE if whole and not unknown else _ALIKE_IN_RAM
        lost = max(alike, 100.0 if loss.typical is None else loss.typical)
        if kept(loss) == 1:
            lost = alike
        good = min(kept(loss), _SOUND)
        # Fast before good before whole; what is too slow is taken as fast as it comes, but sound.
        # For a speed that nobody knows (RAM not measured) no bits are given up.
        rest = (good, whole, -lost) if fast or unknown else (good, tps)
        # Names do not always tell which file is smaller, so what is like the best is looked at.
        nbytes = self.entry.model(cell.file_type).nbytes if hope.stage != _UNSIZED else 0
        return (kept(loss) > _USABLE, fast, *rest, -nbytes)

    def to_size(self, matrices: Matrices, close: Matrices | None) -> Asked | None:
        """What has to be sized next; None where the best is known.

        ``close`` tells what the solver makes of cards that are not alike. Raises RigAdvisorError.
        """
        while (cell := self.found) is not None:
            name = cell.file_type
            hope = self._hopes[name]
            if hope.stage == _SURE:
                return None
            if hope.stage == _UNSIZED:
                return matrices.ask(self._models(name), (self._ctx,), like=self._usual)
            if close is None or hope.asked is None:
                return None
            fastest = None
            if hope.stage == _UNTIMED and len(self._hopes) > 1:
                fastest = close.fastest_split(hope.asked, name)
            if fastest is not None:
                timed = cell._replace(decode=Range.exactly(fastest))
                self._hopes[name] = hope._replace(cell=timed, stage=_TIMED)
            else:
                # The solver takes its time, so it is asked about what may be best only.
                ((placed,),) = close.fill([close.ask(self._models(name), (self._ctx,))])[0].rows
                self._hopes[name] = hope._replace(cell=placed, stage=_SURE)
        return None

    def take(self, cell: Cell, asked: Asked, close: Matrices | None) -> None:
        """What was asked for."""
        hope = _Hope(cell, _SURE, asked)
        self._hopes[cell.file_type] = hope if close is None else self._hoped(hope, asked, close)

    def _models(self, file_type: str) -> dict[str, Model]:
        return {file_type: self.entry.model(file_type)}

    def _hoped(self, hope: _Hope, asked: Asked, close: Matrices) -> _Hope:
        """What the solver may make of a cell at best. Its own is as llama.cpp splits the cards."""
        cell = hope.cell
        whole = cell.verdict in GREEN
        known = cell.device_total is not None and cell.headroom is not None
        if not known or not close.split_may_hold(asked, cell.file_type):
            # A margin that is not left takes the solver to RAM.
            return hope._replace(stage=_TIMED if whole else _SURE)
        if whole and self.fast(cell):
            return hope._replace(stage=_TIMED)
        at_best = cell._replace(verdict="fits", decode=_AT_ONCE)
        return hope._replace(cell=at_best, stage=_UNTIMED)


def find(
    searches: Sequence[BestType], matrices: Matrices, close: Matrices | None = None
) -> list[BestType]:
    """Those of several searches that end, together; what cannot be sized is left out."""
    ended: list[BestType] = []
    going = [*searches]
    while going:
        asked: list[tuple[BestType, Asked]] = []
        for search in going:
            try:
                wanted = search.to_size(matrices, close)
            except RigAdvisorError:
                continue
            if wanted is None:
                ended.append(search)
            else:
                asked.append((search, wanted))
        filled = matrices.fill([wanted for _, wanted in asked])
        for (search, wanted), made in zip(asked, filled, strict=True):
            search.take(made.rows[0][0], wanted, close)
        going = [search for search, _ in asked]
    return [search for search in searches if search in ended]
