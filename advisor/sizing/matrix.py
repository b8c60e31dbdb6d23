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
from advisor.sizing.allocation import Allocation, Room, allocate, room
from advisor.sizing.plan import Verdict
from advisor.sizing.planner import fits, verdict
from advisor.sizing.settings import RunSettings
from advisor.sizing.weights import weights


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


def _spill(allocation: Allocation, space: Room, margin: int) -> Verdict:
    """Whether RAM can hold what the devices cannot."""
    host = allocation.host_total
    if space.host is None or host is None:
        return "unknown"
    moved = 0
    for device, free in enumerate(space.free):
        total = allocation.device_total(device)
        if free is None or total is None:
            return "unknown"
        moved += total + (space.driver[device] or 0) + margin - free
    whole = sum(allocation.weights.devices)
    if allocation.context is not None:
        whole += sum(allocation.context.devices)
    if any(space.unified):
        return "no"
    return "offload" if host + min(max(moved, 0), whole) <= space.host else "no"


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
    by_context = [plain.model_copy(update={"ctx": ctx}) for ctx in contexts]
    shared: list[Allocation] = []
    rows: list[tuple[Cell, ...]] = []
    may_spill = bool(space.backends) and plain.n_gpu_layers == "all"
    per_file = bool(plain.n_cpu_moe) or plain.n_gpu_layers != "all" or plain.split_mode in _CUTS
    for file_type, model in models.items():
        memory.check(model, plain)
        if not shared or per_file:
            shared = [allocate(model, s, space.backends, space.free) for s in by_context]
            placed = shared[0].weights
        else:
            placed = weights(model, plain, shared[0].placement, space.backends)
        cells: list[Cell] = []
        for ctx, common in zip(contexts, shared, strict=True):
            allocation = Allocation(
                placement=common.placement,
                weights=placed,
                context=common.context,
                compute=common.compute,
                output=common.output,
            )
            cells.append(_cell(file_type, ctx, allocation, space, plain.margin, spill=may_spill))
        rows.append(tuple(cells))
    return Matrix(file_types=tuple(models), contexts=tuple(contexts), rows=tuple(rows))


_CUTS = frozenset({"row", "tensor"})


def _cell(
    file_type: str, ctx: int, allocation: Allocation, space: Room, margin: int, *, spill: bool
) -> Cell:
    fit, headroom = fits(allocation, space)
    word = verdict(allocation, fit, headroom, margin)
    if word == "no" and spill:
        word = _spill(allocation, space, margin)
    totals = [allocation.device_total(device) for device in range(len(space.free))]
    known = [total for total in totals if total is not None]
    return Cell(
        file_type=file_type,
        ctx=ctx,
        verdict=word,
        headroom=headroom,
        device_total=sum(known) if len(known) == len(totals) else None,
        host_total=allocation.host_total,
    )
