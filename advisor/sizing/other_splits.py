"""Cells that llama.cpp's own split of the cards cannot hold, and another one can.

A plan looks for the fastest split that leaves the margin. A cell asks the same search, but only
where the layers could be packed at all beside buffers that are about as small as those of the split
that llama.cpp would choose. Where "fit" is asked for, a plan also gives up what does not leave the
margin, and takes the fastest split of cards that are not alike: so does a cell.
"""

from collections.abc import Sequence
from itertools import product
from typing import Final, NamedTuple

from advisor.basis import Range
from advisor.hardware.rig import Rig
from advisor.llm.model import Model
from advisor.sizing.allocation import Room, allocate
from advisor.sizing.borders import packs
from advisor.sizing.calibration import IDENTITY, Calibration
from advisor.sizing.layer_bytes import layer_bytes
from advisor.sizing.matrix_columns import Column
from advisor.sizing.placement import Placement
from advisor.sizing.plan import Verdict
from advisor.sizing.settings import RunSettings
from advisor.sizing.solver import on_devices, solve
from advisor.sizing.speed import decode_range, depends_on
from advisor.sizing.speed_class import spill_room
from advisor.sizing.tables import PerModel
from advisor.sizing.verdict import judged

_DOUBT: Final = 0.25
"""Share by which a compute buffer may be smaller in another split."""
_REMEMBER: Final = 512
"""Such cells kept per model; more start anew."""


def unlike(rig: Rig) -> bool:
    """Whether cards differ in speed: what llama.cpp gives each follows from its memory alone."""
    rates = {device.bandwidth_gbs for device in rig.devices}
    return len(rates) > 1 and None not in rates


def nothing_asked(settings: RunSettings) -> bool:
    """Whether nobody asked for a placement."""
    asked = settings.tensor_split or settings.override_tensor or settings.n_cpu_moe
    return settings.n_gpu_layers == "all" and settings.split_mode == "layer" and not asked


class Held(NamedTuple):
    """What another split makes of a cell. Sizes in bytes."""

    verdict: Verdict
    headroom: int | None
    device_total: int | None
    host_total: int | None
    decode: Range | None


_known: PerModel[str, dict[object, Held | None]] = PerModel(lambda _model, _key: {})


class OtherSplits:
    """The splits of one rig's cards that a plan may choose."""

    def __init__(
        self, rig: Rig, space: Room, calibration: Calibration | None, fit: RunSettings | None
    ) -> None:
        """``fit``: the settings as asked for, where they leave a placement to the solver."""
        self._fit = fit
        self._rig = rig
        self._unlike = unlike(rig) and fit is not None and fit.split_mode == "layer"
        self._space = space
        self._calibration = calibration or IDENTITY
        self._room = [
            (free or 0) - (driver or 0)
            for free, driver in zip(space.free, space.driver, strict=True)
        ]

    def open_in(self, settings: RunSettings) -> bool:
        """Whether a plan may choose: where nobody asked for a placement on several devices."""
        free = self._space.free
        return len(free) > 1 and None not in free and nothing_asked(settings)

    def of(
        self,
        models: Sequence[Model],
        columns: Sequence[Column],
        headrooms: Sequence[int | None],
        totals: Sequence[int | None],
    ) -> dict[int, Held]:
        """The cells that another split holds, by place: every model has one for each column.

        ``headrooms`` and ``totals``: of every cell, the least that is left, and what lies on
        devices.
        """
        found: dict[int, Held] = {}
        split = self.open_in(columns[0].settings)
        for place, ((model, column), headroom, total) in enumerate(
            zip(product(models, columns), headrooms, totals, strict=True)
        ):
            if headroom is None or total is None:
                continue
            if self._fit is not None and (
                0 <= headroom < column.settings.margin or (headroom >= 0 and self._unlike)
            ):
                held = self._held(model, column, fits=True)
                if held is not None:
                    found[place] = held
            if headroom >= 0 or not split:
                continue
            room = sum(max(free - column.settings.margin, 0) for free in self._room)
            if total - sum(column.buffers) > room:
                continue
            held = self._held(model, column)
            if held is not None:
                found[place] = held
        return found

    def _held(self, model: Model, column: Column, *, fits: bool = False) -> Held | None:
        settings = self._fitting(column) if fits else column.settings
        known = _known(model, "")
        key = (settings, self._space, depends_on(self._rig, settings, self._calibration))
        if key not in known:
            if len(known) >= _REMEMBER:
                known.clear()
            tried = fits or self.packs(model, column)
            known[key] = self._split(model, settings) if tried else None
        return known[key]

    def _fitting(self, column: Column) -> RunSettings:
        """A column's settings with what was asked to fit."""
        asked = self._fit or column.settings
        update = {"n_gpu_layers": asked.n_gpu_layers, "n_cpu_moe": asked.n_cpu_moe}
        return column.settings.model_copy(update=update)

    def packs(self, model: Model, column: Column) -> bool:
        """Whether the devices can hold all layers, one after the other."""
        loads = layer_bytes(model, column.settings, self._space.backends[0])
        if loads is None:
            return False
        beside = column.settings.margin + int(min(column.buffers) * (1 - _DOUBT))
        return packs(loads.sizes(0, 0), [free - beside for free in self._room])

    def fastest(self, model: Model, column: Column) -> float | None:
        """Tokens per second that hardly any split decodes faster than, with everything on devices.

        As if layers could be cut anywhere: the fastest device holds what it has room for, the next
        one what is left. None where it is not known.
        """
        settings = column.settings
        loads = layer_bytes(model, settings, self._space.backends[0])
        if loads is None:
            return None
        times: dict[object, float] = {}
        devices: list[tuple[float, int]] = []
        for index, (device, room) in enumerate(zip(self._rig.devices, self._room, strict=True)):
            kind = device.name, device.bandwidth_gbs, device.backend, device.host_index
            if kind not in times:
                alone = Placement((index,) * len(loads.dense), kv_offload=settings.kv_offload)
                speed = decode_range(model, self._rig, settings, alone, self._calibration)
                if speed is None:
                    return None
                times[kind] = 1 / speed.mid
            devices.append((times[kind], max(room - settings.margin, 0)))
        total = left = sum(loads.sizes(0, 0))
        seconds = 0.0
        for each, room in sorted(devices):
            seconds += each * min(left, room) / total
            left -= min(left, room)
        return 1 / seconds if seconds else None

    def _split(self, model: Model, asked: RunSettings) -> Held | None:
        """What the solver makes of a cell: all on devices unless "fit" was asked for."""
        settings = solve(model, self._rig, asked, self._space, self._calibration)
        if settings is asked:
            settings = on_devices(model, self._rig, asked, self._space, self._calibration)
        if settings is None:
            return None
        allocation = allocate(model, settings, self._space.backends, self._space.free)
        judgement = judged(allocation, self._space, settings.margin)
        # Where a driver may move a part to RAM, no speed is known.
        full = (judgement.headroom or 0) < spill_room(self._rig)
        each = [allocation.device_total(device) for device in range(len(self._room))]
        return Held(
            verdict=judgement.verdict,
            headroom=judgement.headroom,
            device_total=None if None in each else sum(size or 0 for size in each),
            host_total=allocation.host_total,
            decode=None
            if full
            else decode_range(model, self._rig, settings, allocation.placement, self._calibration),
        )
