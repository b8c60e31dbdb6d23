"""Every file type × context of a model on a rig at once: what the heat map shows.

A cell follows the same rules as a plan but leaves out what a heat map does not show. Two facts make
it fast: where layers go does not depend on file type or context, and caches and compute buffers do
not depend on the file type as long as everything lies on devices.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from advisor.basis import Range
from advisor.hardware.rig import Rig
from advisor.llm.model import Model
from advisor.sizing import memory
from advisor.sizing.allocation import Allocation, Room, allocate, place_model, place_weights, room
from advisor.sizing.calibration import Calibration
from advisor.sizing.placement import Placement
from advisor.sizing.plan import Verdict
from advisor.sizing.settings import RunSettings
from advisor.sizing.solver import solve
from advisor.sizing.speed import predict
from advisor.sizing.spill import spilled
from advisor.sizing.tables import PerModel
from advisor.sizing.verdict import judge, judged
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
    """What all file types share at one context. Bytes."""

    settings: RunSettings
    placement: Placement
    fixed: int | None
    """Over all devices, caches and buffers."""
    budgets: tuple[int | None, ...]
    """Per device, what is left for weights."""
    host: int | None
    """On the host, everything but weights."""
    shared: int
    """On unified devices, everything but weights."""
    caches: int
    """Bytes of caches on devices."""


def _column(allocation: Allocation, settings: RunSettings, space: Room) -> _Column:
    context, compute, output = allocation.context, allocation.compute, allocation.output
    placement = allocation.placement
    if context is None or compute is None or output is None:
        return _Column(settings, placement, None, (None,) * len(space.free), None, 0, 0)
    fixed = [a + b for a, b in zip(context.devices, compute.devices, strict=True)]
    taken = [a + (b or 0) for a, b in zip(fixed, space.driver, strict=True)]
    return _Column(
        settings=settings,
        placement=placement,
        fixed=sum(fixed),
        budgets=tuple(
            None if free is None else free - used
            for free, used in zip(space.free, taken, strict=True)
        ),
        host=context.host + compute.host + output,
        shared=sum(used for used, unified in zip(taken, space.unified, strict=True) if unified),
        caches=sum(context.devices),
    )


def _columns(
    model: Model, settings: RunSettings, space: Room, contexts: Sequence[int]
) -> list[_Column]:
    placement = place_model(model, settings, space.backends, space.free)
    columns: list[_Column] = []
    for ctx in contexts:
        wanted = settings.model_copy(update={"ctx": ctx})
        allocation = allocate(model, wanted, space.backends, space.free, placement=placement)
        columns.append(_column(allocation, wanted, space))
    return columns


_solved: PerModel[str, dict[object, Verdict]] = PerModel(lambda _model, _key: {})
"""Verdicts of cells near the border, which only the solver knows."""


@dataclass(frozen=True, slots=True)
class _Row:
    """One file type: what its cells are judged with."""

    file_type: str
    model: Model
    rig: Rig
    space: Room
    margin: int
    placed: WeightBytes
    largest: int
    """Bytes of the largest block."""
    calibration: Calibration | None
    may_spill: bool

    def cell(self, column: _Column) -> Cell:
        """Judge one cell."""
        placed, space = self.placed, self.space
        left: list[int | None] = [
            None if budget is None else budget - size
            for budget, size in zip(column.budgets, placed.devices, strict=True)
        ]
        host_total = None if column.host is None else column.host + placed.host
        host = None
        shared = column.shared
        if shared:
            shared += sum(s for s, u in zip(placed.devices, space.unified, strict=True) if u)
        if host_total is not None and space.host is not None:
            host = space.host - host_total - shared
        left.append(host)
        _, headroom, verdict = judge(left, placed.devices, column.placement, self.margin)
        where: Placement | None = column.placement
        if verdict in {"no", "unknown"}:
            where = None
            if verdict == "no" and self.may_spill:
                verdict, where = self.spills(column, left, host_total, shared)
        decode = None
        if where is not None:
            speed = predict(self.model, self.rig, column.settings, where, self.calibration)
            decode = speed.decode_tps
        total = None if column.fixed is None else column.fixed + sum(placed.devices)
        ctx = column.settings.ctx
        return Cell(self.file_type, ctx, verdict, headroom, total, host_total, decode)

    def spills(
        self, column: _Column, left: Sequence[int | None], host_total: int | None, shared: int
    ) -> tuple[Verdict, Placement | None]:
        """Whether RAM can hold what the devices cannot, and about where it would lie."""
        ram = self.space.host
        devices = left[:-1]
        if ram is None or host_total is None or None in devices:
            return "unknown", None
        moved = sum(self.margin - (value or 0) for value in devices)
        moved = min(max(moved, 0), sum(self.placed.devices) + column.caches)
        # What leaves a unified device stays in the same memory.
        needed = host_total + (shared or moved)
        # Whole layers move, so the sum is too small by up to a layer per device. Near the border
        # only the solver knows.
        slack = (1 + len(devices)) * self.largest
        verdict: Verdict = "offload"
        if needed > ram + _SLACK:
            verdict = "no"
        elif needed > ram - slack:
            verdict = self.solved(column.settings)
        if verdict != "offload":
            return verdict, None
        free = self.space.free
        return verdict, spilled(self.model, column.placement, moved, column.caches, free)

    def solved(self, settings: RunSettings) -> Verdict:
        """The verdict on the solver's placement."""
        bandwidths = tuple(device.bandwidth_gbs for device in self.rig.devices)
        known, key = _solved(self.model, ""), (settings, self.space, bandwidths)
        verdict = known.get(key)
        if verdict is None:
            found = solve(self.model, self.rig, _opened(settings, "no"), self.space)
            allocation = allocate(self.model, found, self.space.backends, self.space.free)
            verdict = known[key] = judged(allocation, self.space, self.margin).verdict
        return verdict


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
    space = room(rig, calibration)
    update: dict[str, object] = {}
    if settings.n_gpu_layers == "fit":
        update["n_gpu_layers"] = "all"
    if settings.n_cpu_moe == "fit":
        update["n_cpu_moe"] = 0
    plain = settings.model_copy(update=update)
    # Experts that are copied to a device for a batch make its buffer depend on their type.
    alike = not plain.n_cpu_moe and plain.n_gpu_layers == "all" and not plain.override_tensor
    columns: list[_Column] = []
    rows: list[tuple[Cell, ...]] = []
    for file_type, model in models.items():
        memory.check(model, plain)
        if not columns or not alike:
            columns = _columns(model, plain, space, contexts)
        table = weight_table(model, "cpu", load_mtp=plain.load_mtp)
        row = _Row(
            file_type=file_type,
            model=model,
            rig=rig,
            space=space,
            margin=plain.margin,
            placed=place_weights(model, plain, columns[0].placement, space.backends, space.free),
            largest=table.largest,
            calibration=calibration,
            may_spill=bool(space.backends) and plain.n_gpu_layers == "all",
        )
        rows.append(tuple(row.cell(column) for column in columns))
    return Matrix(file_types=tuple(models), contexts=tuple(contexts), rows=tuple(rows))
