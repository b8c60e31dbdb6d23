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

_Where = tuple[object, int]
"""What stands for the devices of the layers, and how many blocks' experts are in RAM."""
_Layers = tuple[object, tuple[int, ...]]
"""The same with the devices themselves."""
_Speeds = dict[_Where | None, Range | None]
_known: PerModel[object, _Speeds] = PerModel(lambda _model, _key: {})


@lru_cache(maxsize=4096)
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
        self._split: dict[int, _Layers] = {}
        """By how many blocks are in RAM."""

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
        if not any(blocks) and not any(experts):
            speed = self._speed(model, known, 0, 0) if True in runs else None
            return [speed if run else None for run in runs]
        found: list[Range | None] = []
        last, speed = (-1, -1), None
        for run, moved in zip(runs, zip(blocks, experts, strict=True), strict=True):
            if run and moved != last:
                last, speed = moved, self._speed(model, known, *moved)
            found.append(speed if run else None)
        return found

    def at(self, model: Model, placement: Placement) -> Range | None:
        """Decode speed of another split over the devices, None where it is not known."""
        known, where = _known(model, self._asked), (_number(placement.layer_device), 0)
        if where not in known:
            known[where] = self._priced(model, placement)
        return known[where]

    def _speed(self, model: Model, known: _Speeds, blocks: int, experts: int) -> Range | None:
        if not blocks and not experts:
            where, layers = None, self._whole.layer_device
        else:
            number, layers = self._layers(blocks)
            where = (number, experts)
        if where not in known:
            if len(known) >= _REMEMBER:
                known.clear()
            known[where] = self._priced(
                model, self._whole if where is None else self._placement(layers, experts)
            )
        return known[where]

    def _priced(self, model: Model, placement: Placement) -> Range | None:
        return decode_range(model, self._rig, self._settings, placement, self._calibration)

    def _layers(self, blocks: int) -> _Layers:
        placed = self._split.get(blocks)
        if placed is None:
            whole = self._whole.layer_device
            if blocks:
                devices = tuple(sorted(set(whole)))
                shares = tuple(float(self._free[device] or 0) for device in devices)
                whole = layer_devices(len(whole) - 1, len(whole) - blocks, devices, shares)
            placed = self._split[blocks] = _number(whole), whole
        return placed

    def _placement(self, layers: tuple[int, ...], experts: int) -> Placement:
        return replace(
            self._whole,
            layer_device=layers,
            experts_on_host=self._whole.experts_on_host | frozenset(range(experts)),
            n_copies=1,
        )
