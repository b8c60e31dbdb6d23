"""Every file type × context of a model on a rig at once: what the heat map shows.

A cell follows the same rules as a plan but leaves out what a heat map does not show. Two facts make
it fast: where layers go does not depend on file type or context, and caches and compute buffers do
not depend on the file type as long as everything lies on devices.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from advisor.hardware.rig import Rig
from advisor.llm.model import Model
from advisor.sizing import memory
from advisor.sizing.allocation import Allocation, Room, allocate, place_model, place_weights, room
from advisor.sizing.placement import Placement
from advisor.sizing.plan import Verdict
from advisor.sizing.settings import RunSettings
from advisor.sizing.solver import solve
from advisor.sizing.verdict import judge, judged
from advisor.sizing.weights import WeightBytes, weight_table


@dataclass(frozen=True, slots=True)
class Cell:
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
    update: dict[str, object] = {"ctx": cell.ctx}
    if cell.verdict in {"offload", "no"} and settings.n_gpu_layers in {"all", "fit"}:
        update["n_gpu_layers"] = "fit"
        if settings.n_cpu_moe in {0, "fit"}:
            update["n_cpu_moe"] = "fit"
    return settings.model_copy(update=update)


@dataclass(frozen=True, slots=True)
class _Column:
    """What all file types share at one context."""

    ctx: int
    fixed: tuple[int | None, ...]
    """Per device, everything but weights."""
    host: int | None
    """On the host, everything but weights."""
    caches: int
    """Bytes of caches on devices."""
    placement: Placement


_SLACK = 1 << 29
"""Bytes by which compute buffers may shrink when layers move to RAM."""


@dataclass(frozen=True, slots=True)
class _Problem:
    """One row of the matrix: what the cells that do not fit are solved with."""

    model: Model
    rig: Rig
    settings: RunSettings
    space: Room
    largest: int
    """Bytes of the largest block."""

    def solved(self, ctx: int) -> Verdict:
        """The verdict on the solver's placement."""
        cell = Cell("", ctx, "no", None, None, None)
        settings = solve(self.model, self.rig, settings_of(cell, self.settings))
        allocation = allocate(self.model, settings, self.space.backends, self.space.free)
        return judged(allocation, self.space, self.settings.margin).verdict


def _column(allocation: Allocation, ctx: int) -> _Column:
    context, compute, output = allocation.context, allocation.compute, allocation.output
    placement = allocation.placement
    n_devices = len(allocation.weights.devices)
    if context is None or compute is None:
        return _Column(ctx, (None,) * n_devices, None, 0, placement)
    fixed = tuple(context.devices[d] + compute.devices[d] for d in range(n_devices))
    host = None if output is None else context.host + compute.host + output
    return _Column(ctx, fixed, host, sum(context.devices), placement)


def _needed(column: _Column, placed: WeightBytes, space: Room, margin: int) -> int | None:
    """Bytes of RAM when the devices hold as much as they can; None when a size is unknown."""
    if column.host is None:
        return None
    moved = shared = 0
    for fixed, size, free, driver, unified in zip(
        column.fixed, placed.devices, space.free, space.driver, space.unified, strict=True
    ):
        if free is None or fixed is None:
            return None
        total = fixed + size + (driver or 0)
        if unified:
            shared += total
        else:
            moved += total + margin - free
    movable = sum(placed.devices) + column.caches
    return column.host + placed.host + shared + min(max(moved, 0), movable)


def _spills(column: _Column, placed: WeightBytes, problem: _Problem) -> Verdict:
    """Whether RAM can hold what the devices cannot."""
    needed = _needed(column, placed, problem.space, problem.settings.margin)
    host = problem.space.host
    if needed is None or host is None:
        return "unknown"
    # Whole layers move, so the sum is too small by up to a layer per device. Near the border only
    # the solver knows.
    slack = (1 + len(placed.devices)) * problem.largest
    if needed <= host - slack:
        return "offload"
    if needed > host + _SLACK:
        return "no"
    return problem.solved(column.ctx)


def _cell(file_type: str, column: _Column, placed: WeightBytes, problem: _Problem) -> Cell:
    space = problem.space
    left: list[int | None] = []
    device_total: int | None = 0
    shared = 0
    for fixed, size, free, driver, unified in zip(
        column.fixed, placed.devices, space.free, space.driver, space.unified, strict=True
    ):
        if fixed is None:
            device_total = None
            left.append(None)
            continue
        total = fixed + size
        if device_total is not None:
            device_total += total
        used = total + (driver or 0) if total else 0
        if unified:
            shared += used
        left.append(None if free is None else free - used)
    host = None if column.host is None else column.host + placed.host
    left.append(None if host is None or space.host is None else space.host - host - shared)
    _, headroom, verdict = judge(left, placed.devices, column.placement, problem.settings.margin)
    if verdict == "no" and space.backends and problem.settings.n_gpu_layers == "all":
        verdict = _spills(column, placed, problem)
    return Cell(file_type, column.ctx, verdict, headroom, device_total, host)


def matrix(
    models: Mapping[str, Model], rig: Rig, settings: RunSettings, contexts: Sequence[int]
) -> Matrix:
    """Verdict and headroom for every file type in ``models`` at every context.

    ``models``: the same model in different file types. "fit" counts as everything on devices; what
    does not fit there and would fit with a part in RAM is "offload". Raises SettingsError where
    llama.cpp would refuse to start.
    """
    space = room(rig)
    update: dict[str, object] = {}
    if settings.n_gpu_layers == "fit":
        update["n_gpu_layers"] = "all"
    if settings.n_cpu_moe == "fit":
        update["n_cpu_moe"] = 0
    plain = settings.model_copy(update=update)
    # Experts that are copied to a device for a batch make its buffer depend on their type.
    alike = not plain.n_cpu_moe and plain.n_gpu_layers == "all"
    columns: list[_Column] = []
    rows: list[tuple[Cell, ...]] = []
    for file_type, model in models.items():
        memory.check(model, plain)
        if not columns or not alike:
            columns = _columns(model, plain, space, contexts)
        placement = columns[0].placement
        placed = place_weights(model, plain, placement, space.backends, space.free)
        table = weight_table(model, "cpu", load_mtp=plain.load_mtp)
        largest = max(a + b for a, b in zip(table.dense, table.experts, strict=True))
        problem = _Problem(model, rig, plain, space, largest)
        rows.append(tuple(_cell(file_type, column, placed, problem) for column in columns))
    return Matrix(file_types=tuple(models), contexts=tuple(contexts), rows=tuple(rows))


def _columns(
    model: Model, settings: RunSettings, space: Room, contexts: Sequence[int]
) -> list[_Column]:
    placement = place_model(model, settings, space.backends, space.free)
    return [
        _column(
            allocate(
                model,
                settings.model_copy(update={"ctx": ctx}),
                space.backends,
                space.free,
                placement=placement,
            ),
            ctx,
        )
        for ctx in contexts
    ]
