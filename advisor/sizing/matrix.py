"""Every file type × context of a model on a rig at once: what the heat map shows.

A cell follows the same rules as a plan but leaves out what a heat map does not show. Three facts
make it fast: where layers go does not depend on file type or context; caches and compute buffers do
not depend on the file type as long as everything lies on devices, nor on what is free; and speed is
asked for at one depth, whatever the context.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from advisor.basis import Range
from advisor.hardware.rig import Rig
from advisor.llm.model import Model
from advisor.sizing import memory, speculative
from advisor.sizing.allocation import Allocation, Room, allocate, place_model, place_weights, room
from advisor.sizing.calibration import Calibration
from advisor.sizing.feasible import holds
from advisor.sizing.placement import HOST, Placement
from advisor.sizing.plan import Verdict
from advisor.sizing.settings import RunSettings
from advisor.sizing.solver import solve
from advisor.sizing.speed import predict
from advisor.sizing.spill import spilled, what_moves
from advisor.sizing.tables import PerModel
from advisor.sizing.verdict import judged
from advisor.sizing.weights import WeightBytes, weight_table

_SLACK = 1 << 29
"""Bytes by which compute buffers may shrink when layers move to RAM."""


class Cell(NamedTuple):
    """One file type at one context. Sizes in bytes, None where unknown."""

    file_type: str
    ctx: int
    verdict: Verdict
    headroom: int | None
    """Smallest headroom over the devices (over the host without devices) with every layer on a
    device; negative is what would have to go to RAM."""
    device_total: int | None
    """Weights, context and compute over all devices."""
    host_total: int | None
    decode: Range | None
    """Decode speed in tok/s; of an "offload" cell for a quick guess at the solver's placement."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """Rows of cells: one row per file type, one cell per context."""

    file_types: tuple[str, ...]
    contexts: tuple[int, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def cell(self, file_type: str, ctx: int) -> Cell:
        """The cell of a file type and context. Raises ValueError when it is not in the matrix."""
        return self.rows[self.file_types.index(file_type)][self.contexts.index(ctx)]


def lacking(cell: Cell, rig: Rig) -> int:
    """Bytes that the devices of ``rig`` lack together for a cell, about: what would go to RAM.

    At least what the tightest device lacks, as the cell's headroom has it; 0 where all fits.
    """
    tightest = max(0, -(cell.headroom or 0))
    free = [device.memory_free for device in rig.devices]
    known = [value for value in free if value is not None]
    if cell.device_total is None or len(known) < len(free):
        return tightest
    return max(tightest, cell.device_total - sum(known))


def settings_of(cell: Cell, settings: RunSettings) -> RunSettings:
    """The settings under which a cell opens as a plan: what does not fit is left to the solver."""
    return _opened(settings.model_copy(update={"ctx": cell.ctx}), cell.verdict)


def _opened(settings: RunSettings, verdict: Verdict) -> RunSettings:
    update: dict[str, object] = {}
    if verdict in {"offload", "no"} and settings.n_gpu_layers in {"all", "fit"}:
        update["n_gpu_layers"] = "fit"
        if settings.n_cpu_moe in {0, "fit"}:
            update["n_cpu_moe"] = "fit"
    return settings.model_copy(update=update)


class _Column(NamedTuple):
    """What all file types share at one context, whatever is free. Bytes."""

    settings: RunSettings
    placement: Placement
    known: bool
    """False where caches or buffers are not known; the sizes are 0 then."""
    fixed: tuple[int, ...]
    """Per device, caches and buffers, and what runs beside the model."""
    host: int
    """On the host, everything but weights."""
    caches: int
    """Bytes of caches on devices."""


def _column(allocation: Allocation, settings: RunSettings) -> _Column:
    context, compute, output = allocation.context, allocation.compute, allocation.output
    placement = allocation.placement
    n_devices = len(allocation.weights.devices)
    beside = [allocation.companions_on(device) for device in (*range(n_devices), HOST)]
    known = [size for size in beside if size is not None]
    if context is None or compute is None or output is None or len(known) < len(beside):
        nothing = (0,) * n_devices
        return _Column(settings, placement, False, nothing, 0, 0)
    return _Column(
        settings=settings,
        placement=placement,
        known=True,
        fixed=tuple(
            sum(parts) for parts in zip(context.devices, compute.devices, known[:-1], strict=True)
        ),
        host=context.host + compute.host + output + known[HOST],
        caches=sum(context.devices),
    )


_Asked = tuple[RunSettings, tuple[int, ...], tuple[str, ...], tuple[int | None, ...], Placement]


def _make_columns(model: Model, asked: _Asked) -> tuple[_Column, ...]:
    settings, contexts, backends, free, placement = asked
    columns: list[_Column] = []
    for ctx in contexts:
        wanted = settings.model_copy(update={"ctx": ctx})
        allocation = allocate(model, wanted, backends, free, placement=placement)
        columns.append(_column(allocation, wanted))
    return tuple(columns)


_columns = PerModel(_make_columns)


def _asked(
    settings: RunSettings, contexts: Sequence[int], space: Room, placement: Placement
) -> _Asked:
    # Free memory decides where layers go, and beyond that only how matrices are cut and where a
    # draft model goes.
    cut = settings.split_mode in {"row", "tensor"} or settings.spec_type == "draft-simple"
    free = space.free if cut else (None,) * len(space.free)
    return settings, tuple(contexts), space.backends, free, placement


_solved: PerModel[str, dict[object, Verdict]] = PerModel(lambda _model, _key: {})
"""Verdicts of cells near the border, which only the solver knows."""

_UNKNOWN: Final = -(1 << 62)
"""Stands for an unknown amount of free memory in arrays."""

_Sizes = NDArray[np.int64]


class _Judgements(NamedTuple):
    """Every cell by file type and context, while everything lies where the settings say."""

    verdict: _Sizes
    """Index into ``_VERDICTS``."""
    headroom: _Sizes
    moved: _Sizes
    """Bytes that would have to leave the devices to leave their margin."""
    host_total: _Sizes
    device_total: _Sizes
    shared: _Sizes
    """On unified devices, everything."""


_VERDICTS: Final[tuple[Verdict, ...]] = ("fits", "tight", "offload", "no", "unknown")
_FITS, _TIGHT, _OFFLOAD, _NO, _UNSURE = range(5)


def _judge(
    placed: Sequence[WeightBytes], columns: Sequence[_Column], space: Room, margin: int
) -> _Judgements:
    """The verdicts of ``verdict.judge`` for all cells at once."""
    weights = np.array([found.devices for found in placed], dtype=np.int64)
    weights = weights.reshape(len(placed), len(space.free))[:, None, :]
    fixed = np.array([column.fixed for column in columns], dtype=np.int64)
    fixed = fixed.reshape(len(columns), len(space.free))
    driver = np.array([value or 0 for value in space.driver], dtype=np.int64)
    free = np.array([_UNKNOWN if f is None else f for f in space.free], dtype=np.int64)
    used = weights + (fixed + driver)[None]
    left = free - used
    unsure = free == _UNKNOWN
    on_host = np.array([found.host for found in placed], dtype=np.int64)
    host_total = on_host[:, None] + np.array([column.host for column in columns], dtype=np.int64)
    shared = (used * np.array(space.unified, dtype=bool)).sum(axis=2)
    host = (space.host or 0) - host_total - shared
    placement = columns[0].placement
    in_use = np.broadcast_to(weights + fixed[None] > 0, left.shape)
    shape = left.shape[:2]
    verdict = np.full(shape, _FITS, dtype=np.int64)
    known = np.array([column.known for column in columns], dtype=bool)[None]
    if placement.on_device:
        smallest = np.where(in_use, left, np.iinfo(np.int64).max).min(axis=2)
        unknown = (in_use & unsure).any(axis=2) | ~in_use.any(axis=2)
    else:
        smallest = host
        unknown = np.full(shape, space.host is None)
    unknown = unknown | ~known
    headroom = np.where(unknown, _UNKNOWN, smallest)
    offloads = placement.on_device and placement.offloads
    verdict[smallest < margin] = _TIGHT
    if offloads:
        verdict[:] = _OFFLOAD
    if space.host is not None:
        verdict[host < 0] = _NO
    elif offloads:
        verdict[:] = _UNSURE
    verdict[smallest < 0] = _NO
    verdict[unknown] = _UNSURE
    moved = (margin - left).sum(axis=2)
    moved[np.broadcast_to(unsure, left.shape).any(axis=2)] = _UNKNOWN
    return _Judgements(
        verdict=verdict,
        headroom=headroom,
        moved=moved,
        host_total=host_total,
        device_total=(weights + fixed[None]).sum(axis=2),
        shared=shared,
    )


@dataclass(slots=True)
class _Row:
    """One file type: what its cells are judged with."""

    file_type: str
    model: Model
    rig: Rig
    space: Room
    margin: int
    placed: WeightBytes
    load_mtp: bool
    calibration: Calibration | None
    may_spill: bool
    _speeds: dict[tuple[int, int], Range | None] = field(
        default_factory=dict[tuple[int, int], Range | None]
    )
    _offloads_up_to: int = 0
    """A context that fits with a part in RAM: what holds it holds every shorter one."""

    def decode(self, column: _Column, moved: tuple[int, int] = (0, 0)) -> Range | None:
        """Decode speed with so many blocks, and experts of so many blocks, moved to RAM.

        It does not depend on the context: speed is asked for at one depth.
        """
        if moved not in self._speeds:
            where = column.placement
            if any(moved):
                where = spilled(where, moved, self.space.free)
            found = predict(self.model, self.rig, column.settings, where, self.calibration)
            self._speeds[moved] = found.decode_tps
        return self._speeds[moved]

    def spills(
        self, column: _Column, moved: int, host_total: int, shared: int
    ) -> tuple[Verdict, tuple[int, int] | None]:
        """Whether RAM can hold what the devices cannot, and about what would have to move."""
        ram = self.space.host
        if ram is None or not column.known or moved == _UNKNOWN:
            return "unknown", None
        moved = min(max(moved, 0), sum(self.placed.devices) + column.caches)
        # What leaves a unified device stays in the same memory.
        needed = host_total + (shared or moved)
        verdict: Verdict = "offload"
        if needed > ram + _SLACK:
            return "no", None
        largest = weight_table(self.model, "cpu", load_mtp=self.load_mtp).largest
        # Whole layers move, so the sum is too small by up to a layer per device. Near the border
        # only the solver knows.
        near = needed > ram - (1 + len(self.space.free)) * largest
        if near and column.settings.ctx > self._offloads_up_to:
            buffers = (sum(column.fixed) - column.caches) // len(column.fixed)
            beside = (*(buffers for _ in column.fixed), host_total)
            verdict = self.solved(column.settings, beside)
        if verdict != "offload":
            return verdict, None
        self._offloads_up_to = max(self._offloads_up_to, column.settings.ctx)
        return verdict, what_moves(self.model, moved, column.caches)

    def solved(self, settings: RunSettings, beside: tuple[int, ...]) -> Verdict:
        """The verdict on the solver's placement. ``beside``: as ``holds`` has it."""
        bandwidths = tuple(device.bandwidth_gbs for device in self.rig.devices)
        known, key = _solved(self.model, ""), (settings, self.space, bandwidths)
        verdict = known.get(key)
        if verdict is None:
            opened = _opened(settings, "no")
            fits = holds(self.model, opened, self.space, beside)
            verdict = known[key] = (
                self._searched(opened) if fits is None else "offload" if fits else "no"
            )
        return verdict

    def _searched(self, settings: RunSettings) -> Verdict:
        found = solve(self.model, self.rig, settings, self.space)
        allocation = allocate(self.model, found, self.space.backends, self.space.free)
        return judged(allocation, self.space, self.margin).verdict

    def cells(self, columns: Sequence[_Column], numbers: list[list[int]]) -> tuple[Cell, ...]:
        """The row's cells. ``numbers``: its judgements by context."""
        longest_first = sorted(range(len(columns)), key=lambda i: -columns[i].settings.ctx)
        made: dict[int, Cell] = {}
        for place in longest_first:
            column, figures = columns[place], numbers[place]
            code, headroom, moved, host_total, device_total, shared = figures
            verdict = _VERDICTS[code]
            if verdict == "no" and self.may_spill:
                verdict, where = self.spills(column, moved, host_total, shared)
                decode = None if where is None else self.decode(column, where)
            elif code < _NO:
                decode = self.decode(column)
            else:
                decode = None
            made[place] = Cell(
                self.file_type,
                column.settings.ctx,
                verdict,
                None if headroom == _UNKNOWN else headroom,
                device_total if column.known else None,
                host_total if column.known else None,
                decode,
            )
        return tuple(made[place] for place in range(len(columns)))


def matrix(
    models: Mapping[str, Model],
    rig: Rig,
    settings: RunSettings,
    contexts: Sequence[int],
    *,
    calibration: Calibration | None = None,
) -> Matrix:
    """Verdict, headroom and speed for every file type in ``models`` at every context.

    ``models``: the same model in different file types. "fit" counts as everything on devices; what
    does not fit there and would fit with a part in RAM is "offload". Raises SettingsError where
    llama.cpp would refuse to start.
    """
    update: dict[str, object] = {}
    if settings.n_gpu_layers == "fit":
        update["n_gpu_layers"] = "all"
    if settings.n_cpu_moe == "fit":
        update["n_cpu_moe"] = 0
    plain = speculative.resolved(settings.model_copy(update=update))
    # Experts that are copied to a device for a batch make its buffer depend on their type.
    alike = not plain.n_cpu_moe and plain.n_gpu_layers == "all" and not plain.override_tensor
    # A draft model is split by what the main model leaves free.
    alike = alike and plain.spec_type != "draft-simple"
    space = room(rig, calibration)
    groups = [tuple(models.items())] if alike else [(item,) for item in models.items()]
    rows: list[tuple[Cell, ...]] = []
    for group in groups:
        for _, model in group:
            memory.check(model, plain)
        first = group[0][1]
        placement = place_model(first, plain, space.backends, space.free)
        columns = _columns(first, _asked(plain, contexts, space, placement))
        placed = [
            place_weights(model, plain, placement, space.backends, space.free) for _, model in group
        ]
        judgements = _judge(placed, columns, space, plain.margin)
        numbers = cast("list[list[list[int]]]", np.stack(judgements, axis=-1).tolist())
        for at, (file_type, model) in enumerate(group):
            row = _Row(
                file_type=file_type,
                model=model,
                rig=rig,
                space=space,
                margin=plain.margin,
                placed=placed[at],
                load_mtp=plain.load_mtp,
                calibration=calibration,
                may_spill=bool(space.backends) and plain.n_gpu_layers == "all",
            )
            rows.append(row.cells(columns, numbers[at]))
    return Matrix(file_types=tuple(models), contexts=tuple(contexts), rows=tuple(rows))
