"""Decode speed of a matrix's cells: where the settings put everything, and with a part in RAM."""

from collections.abc import Hashable, Sequence
from dataclasses import replace
from functools import lru_cache

from advisor.basis import Range
from advisor.hardware.rig import Rig
from advisor.llm.model import Model
from advisor.sizing.calibration import IDENTITY, Calibration
from advisor.sizing.family import Family
from advisor.sizing.matrix_verdicts import MOST_BLOCKS, NOWHERE
from advisor.sizing.placement import HOST, Placement, layer_devices, layer_ends
from advisor.sizing.settings import RunSettings
from advisor.sizing.speed import decode_range, depends_on
from advisor.sizing.tables import Latest, PerModel

_REMEMBER = 512
"""Placements of one model and rig kept; more start anew."""

_Ends = tuple[int, ...]
"""How many layers lie on each device or before it."""
_Speeds = dict[tuple[_Ends, int], Range | None]
"""By where the layers end and what moves."""
_known: PerModel[object, _Speeds] = PerModel(lambda _model, _key: {})


class _Rows:
    """Speeds of some file types of one model when the same was last asked about a rig."""

    __slots__ = ("each", "ends")

    def __init__(self, n: int) -> None:
        self.ends: dict[int, _Ends] = {}
        """Where layers ended, by blocks in RAM."""
        self.each: list[dict[int, Range | None]] = [{NOWHERE: None} for _ in range(n)]
        """By file type and by what moves (``Judgements.moves``), while layers end there."""


_rows: PerModel[object, list[_Rows]] = PerModel(lambda _model, _key: [])


@lru_cache(maxsize=1024)
def _number(_asked: Hashable) -> object:
    """What stands for equal questions: hashing one costs more than finding an answer."""
    return object()


@Latest
def _question(rig: Rig, settings: RunSettings, calibration: Calibration) -> object:
    """What a prediction depends on beside model and placement."""
    return _number(depends_on(rig, settings, calibration))


class CellSpeeds:
    """The speeds of one model's file types on one rig.

    They do not depend on the context: speed is asked for at one depth.
    """

    def __init__(
        self,
        rig: Rig,
        settings: RunSettings,
        whole: Placement,
        free: tuple[int | None, ...],
        calibration: Calibration | None,
    ) -> None:
        self._rig = rig
        self._settings = settings
        self._whole = whole
        self._calibration = calibration or IDENTITY
        self._devices = tuple(sorted(set(whole.layer_device) - {HOST}))
        self._shares = tuple(float(free[device] or 0) for device in self._devices)
        self._asked = _number((whole, _question(rig, settings, self._calibration)))

    def of(
        self, tables: Family, models: Sequence[Model], runs: Sequence[int]
    ) -> list[Range | None]:
        """Decode speeds of all cells, None where it does not run or is not known.

        ``tables``: of these models. ``runs``: see ``Judgements.runs``; every model has equally
        many.
        """
        rows = self._remembered(tables, models, set(runs))
        n = len(runs) // len(models)
        speeds: list[Range | None] = []
        for line, row in enumerate(rows.each):
            moves = runs[line * n : line * n + n]
            try:
                speeds += map(row.__getitem__, moves)
            except KeyError:
                for move in set(moves).difference(row):
                    row[move] = self._speed(models[line], rows.ends[move // MOST_BLOCKS], move)
                speeds[line * n :] = map(row.__getitem__, moves)
        return speeds

    def _remembered(self, tables: Family, models: Sequence[Model], moves: set[int]) -> _Rows:
        """The speeds so far while layers end where they did, else none."""
        n, shares = len(self._whole.layer_device), self._shares
        here = {
            blocks: layer_ends(n - blocks, shares) if blocks < n else ()
            for blocks in {move // MOST_BLOCKS for move in moves - {NOWHERE}}
        }
        last = _rows(models[0], (self._asked, tables))
        if not last or any(last[0].ends.setdefault(b, ends) != ends for b, ends in here.items()):
            last[:] = [_Rows(len(models))]
            last[0].ends.update(here)
        return last[0]

    def _speed(self, model: Model, ends: _Ends, move: int) -> Range | None:
        known, where = _known(model, self._asked), (ends, move)
        if where not in known:
            if len(known) >= _REMEMBER:
                known.clear()
            known[where] = decode_range(
                model, self._rig, self._settings, self._placement(move), self._calibration
            )
        return known[where]

    def _placement(self, move: int) -> Placement:
        whole, (blocks, experts) = self._whole, divmod(move, MOST_BLOCKS)
        if not move:
            return whole
        n = len(whole.layer_device)
        layers = whole.layer_device
        if blocks:
            layers = layer_devices(n - 1, n - blocks, self._devices, self._shares)
        return replace(
            whole, layer_device=layers, experts_on_host=frozenset(range(experts)), n_copies=1
        )
