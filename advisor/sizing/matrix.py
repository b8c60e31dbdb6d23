"""Every file type × context of a model on a rig at once: what the heat map shows.

A cell follows the same rules as a plan but leaves out what a heat map does not show. Three facts
make it fast: where layers go does not depend on file type or context; caches and compute buffers do
not depend on the file type as long as everything lies on devices, nor on what is free; and speed is
asked for at one depth, whatever the context.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from typing import Final, NamedTuple, cast

from advisor.basis import Range
from advisor.hardware.rig import Rig
from advisor.llm.model import Model
from advisor.sizing import refusals, speculative
from advisor.sizing.allocation import Room, allocate, place_model, room
from advisor.sizing.calibration import Calibration
from advisor.sizing.cell_speed import CellSpeeds
from advisor.sizing.family import family
from advisor.sizing.feasible import holds, learn
from advisor.sizing.matrix_columns import Column, columns
from advisor.sizing.matrix_verdicts import FITS, NEAR, NOWHERE, OFFLOAD, VERDICTS, Judgements, judge
from advisor.sizing.other_splits import OtherSplits
from advisor.sizing.plan import Verdict
from advisor.sizing.settings import RunSettings
from advisor.sizing.solver import solve
from advisor.sizing.speed_data import spill_room
from advisor.sizing.tables import Latest, PerModel
from advisor.sizing.verdict import judged


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


_REMEMBER: Final = 512
"""Such cells kept per model; more start anew."""
_settled: PerModel[str, dict[object, Verdict]] = PerModel(lambda _model, _key: {})
"""Verdicts of cells near the border of RAM, which only a placement tells."""


class _Border:
    """What cells near a border of memory are settled by."""

    def __init__(self, rig: Rig, space: Room, others: OtherSplits | None) -> None:
        """``others``: None where no other split of the devices is looked for."""
        self.others = others
        self._rig = rig
        self._space = space
        self._bandwidths = tuple(device.bandwidth_gbs for device in rig.devices)

    def settle(
        self,
        model: Model,
        columns: Sequence[Column],
        verdicts: Sequence[int],
        host_totals: Sequence[int | None],
    ) -> dict[int, Verdict]:
        """The verdicts of one file type's cells that are near, by place."""
        found: dict[int, Verdict] = {}
        # What holds a context with a part in RAM holds every shorter one.
        held = 0
        for place in sorted(range(len(columns)), key=lambda at: -columns[at].settings.ctx):
            code, ctx = verdicts[place], columns[place].settings.ctx
            if code == NEAR:
                found[place] = (
                    self._settled(model, columns[place], host_totals[place] or 0)
                    if ctx > held
                    else "offload"
                )
            if code == OFFLOAD or found.get(place) == "offload":
                held = max(held, ctx)
        return found

    def _settled(self, model: Model, column: Column, host_total: int) -> Verdict:
        known, key = _settled(model, ""), (column.settings, self._space, self._bandwidths)
        if key not in known:
            if len(known) >= _REMEMBER:
                known.clear()
            known[key] = self._placed(model, column, host_total)
        return known[key]

    def _placed(self, model: Model, column: Column, host_total: int) -> Verdict:
        settings, space = _opened(column.settings, "no"), self._space
        buffers = (sum(column.fixed) - column.caches) // len(column.fixed)
        beside = (*(buffers for _ in column.fixed), host_total)
        fits = holds(model, settings, space, beside)
        if fits is not None:
            return "offload" if fits else "no"
        solved = solve(model, self._rig, settings, space)
        allocation = allocate(model, solved, space.backends, space.free)
        verdict = judged(allocation, space, settings.margin).verdict
        if verdict in {"offload", "no"}:
            learn(model, settings, space, allocation, fits=verdict == "offload")
        return verdict


_new: Final = cast("Callable[[type[Cell], tuple[object, ...]], Cell]", getattr(tuple, "__new__"))  # noqa: B009
_cell: Final = partial(_new, Cell)
"""A tuple as a cell; ``Cell._make`` takes several times as long."""


def _rows(
    group: Sequence[tuple[str, Model]],
    columns: Sequence[Column],
    found: Judgements,
    border: _Border,
    speeds: CellSpeeds,
) -> Iterator[tuple[Cell, ...]]:
    """The cells of every file type."""
    contexts = [column.settings.ctx for column in columns]
    models = [model for _, model in group]
    others = border.others
    held = [
        others.of(model, columns, found.headroom[line], found.device_total[line]) if others else {}
        for line, model in enumerate(models)
    ]
    for line, cells in enumerate(held):
        for place in cells:
            found.verdict[line][place], found.runs[line][place] = FITS, NOWHERE
    verdicts = [[VERDICTS[code] for code in codes] for codes in found.verdict]
    for line, codes in enumerate(found.verdict):
        if NEAR in codes:
            settled = border.settle(models[line], columns, codes, found.host_total[line])
            for place, verdict in settled.items():
                verdicts[line][place] = verdict
                if verdict == "offload":
                    found.runs[line][place] = found.moves[line][place]
    decode = speeds.of(models, found.runs)
    for line, (file_type, _) in enumerate(group):
        for place, cell in held[line].items():
            verdicts[line][place], found.headroom[line][place] = cell.verdict, cell.headroom
            found.device_total[line][place] = cell.device_total
            found.host_total[line][place] = cell.host_total
            decode[line][place] = cell.decode
        yield tuple(
            map(
                _cell,
                zip(
                    repeat(file_type),
                    contexts,
                    verdicts[line],
                    found.headroom[line],
                    found.device_total[line],
                    found.host_total[line],
                    decode[line],
                    strict=False,
                ),
            )
        )


def _refuse(model: Model, asked: tuple[RunSettings]) -> None:
    refusals.check(model, asked[0])


_checked: Final = PerModel(_refuse)
_room: Final = Latest(room)
_spare: Final = Latest(spill_room)


def _check(models: Sequence[Model], settings: RunSettings) -> None:
    """Refuse what llama.cpp would refuse. Raises SettingsError."""
    for model in models:
        # File types of one catalogue model differ in types only, and those do not matter here.
        if model is models[0] or model.hp is not models[0].hp or model.source == "gguf":
            _checked(model, (settings,))


def matrix(
    models: Mapping[str, Model],
    rig: Rig,
    settings: RunSettings,
    contexts: Sequence[int],
    *,
    calibration: Calibration | None = None,
    closely: bool = False,
) -> Matrix:
    """Verdict, headroom and speed for every file type in ``models`` at every context.

    ``models``: the same model in different file types. "fit" counts as everything on devices; what
    does not fit there and would fit with a part in RAM is "offload". ``closely``: where llama.cpp's
    own split of several devices cannot hold everything, look for another one as a plan does, which
    takes longer. Raises SettingsError where llama.cpp would refuse to start.
    """
    for model in models.values():
        settings = speculative.by_its_file(model, settings)
    update: dict[str, object] = {}
    if settings.n_gpu_layers == "fit":
        update["n_gpu_layers"] = "all"
    if settings.n_cpu_moe == "fit":
        update["n_cpu_moe"] = 0
    plain = speculative.resolved(settings.model_copy(update=update) if update else settings)
    # Experts that are copied to a device for a batch make its buffer depend on their type.
    alike = not plain.n_cpu_moe and plain.n_gpu_layers == "all" and not plain.override_tensor
    # A draft model is split by what the main model leaves free.
    alike = alike and plain.spec_type != "draft-simple"
    space = _room(rig, calibration)
    groups = [tuple(models.items())] if alike else [(item,) for item in models.items()]
    may_spill = bool(space.backends) and plain.n_gpu_layers == "all"
    others = None
    if closely and OtherSplits.open_in(plain, space):
        others = OtherSplits(rig, space, calibration)
    border = _Border(rig, space, others)
    spare = _spare(rig)
    rows: list[tuple[Cell, ...]] = []
    for group in groups:
        some = [model for _, model in group]
        _check(some, plain)
        tables = family(some)
        placement = place_model(some[0], plain, space.backends, space.free)
        shared = columns(some[0], plain, contexts, space, placement)
        placed = tables.weights(plain, placement, space)
        found = judge(tables, placed, shared, space, may_spill=may_spill, spare=spare)
        speeds = CellSpeeds(rig, plain, placement, space.free, calibration)
        rows += _rows(group, shared.each, found, border, speeds)
    return Matrix(file_types=tuple(models), contexts=tuple(contexts), rows=tuple(rows))
