"""Decode speed of a matrix's cells: where the settings put everything, and with a part in RAM."""

from collections.abc import Hashable, Sequence
from dataclasses import replace
from functools import lru_cache

from advisor.basis import Range
from advisor.hardware.rig import Rig
from advisor.llm.model import Model
from advisor.sizing.calibration import IDENTITY, Calibration
from advisor.sizing.placement import Placement, layer_devices
from advisor.sizing.settings import RunSettings
from advisor.sizing.speed import decode_range, depends_on
from advisor.sizing.tables import PerModel

_REMEMBER = 512
"""Placements of one model and rig kept; more start anew."""

_Where = tuple[tuple[int, ...], int]
"""Devices of the layers, and how many blocks' experts are in RAM."""
_Speeds = dict[_Where | None, Range | None]
_known: PerModel[object, _Speeds] = PerModel(lambda _model, _key: {})


@lru_cache(maxsize=64)
def _number(_asked: Hashable) -> object:
    """What stands for equal questions: hashing one costs more than finding an answer."""
    return object()


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
        self._free = free
        self._asked = _number((whole, depends_on(rig, settings, self._calibration)))
        self._split: dict[int, tuple[int, ...]] = {0: whole.layer_device}
        """Devices of the layers, by how many blocks are in RAM."""

    def of(
        self,
        model: Model,
        runs: Sequence[bool],
        blocks: Sequence[int],
        experts: Sequence[int],
    ) -> list[Range | None]:
        """Decode speeds of one file type's cells, None where it does not run or is not known.

        ``blocks`` of every cell, and the experts of so many, are in RAM; with neither, everything
        lies where the settings say.
        """
        known = _known(model, self._asked)
        found: list[Range | None] = []
        last, speed = (-1, -1), None
        for run, moved in zip(runs, zip(blocks, experts, strict=True), strict=True):
            if run and moved != last:
                last, speed = moved, self._speed(model, known, *moved)
            found.append(speed if run else None)
        return found

    def _speed(self, model: Model, known: _Speeds, blocks: int, experts: int) -> Range | None:
        where = (self._layers(blocks), experts) if blocks or experts else None
        if where not in known:
            if len(known) >= _REMEMBER:
                known.clear()
            known[where] = decode_range(
                model, self._rig, self._settings, self._placement(where), self._calibration
            )
        return known[where]

    def _layers(self, blocks: int) -> tuple[int, ...]:
        placed = self._split.get(blocks)
        if placed is None:
            whole = self._whole.layer_device
            devices = tuple(sorted(set(whole)))
            shares = tuple(float(self._free[device] or 0) for device in devices)
            placed = layer_devices(len(whole) - 1, len(whole) - blocks, devices, shares)
            self._split[blocks] = placed
        return placed

    def _placement(self, where: _Where | None) -> Placement:
        if where is None:
            return self._whole
        layers, experts = where
        return replace(
            self._whole,
            layer_device=layers,
            experts_on_host=frozenset(range(experts)),
            n_copies=1,
        )
