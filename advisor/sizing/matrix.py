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
from advisor.sizing import memory, speculative
from advisor.sizing.allocation import Allocation, Room, allocate, place_model, place_weights, room
from advisor.sizing.calibration import IDENTITY, Calibration
from advisor.sizing.cell_speed import CellSpeeds
from advisor.sizing.feasible import holds, learn, may_stay
from advisor.sizing.matrix_columns import Column, columns
from advisor.sizing.matrix_verdicts import (
    FITS,
    NEAR,
    OFFLOAD,
    TIGHT,
    VERDICTS,
    Judgements,
    Open,
    judge,
)
from advisor.sizing.placement import Placement
from advisor.sizing.plan import Verdict
from advisor.sizing.settings import RunSettings
from advisor.sizing.solver import filled, left_open, on_devices, solve
from advisor.sizing.speed import depends_on
from advisor.sizing.tables import PerModel
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


_RUNS: Final = frozenset({FITS, TIGHT, OFFLOAD})

_REMEMBER: Final = 512
"""Such cells kept per model; more start anew."""
_settled: PerModel[str, dict[object, Verdict]] = PerModel(lambda _model, _key: {})
"""Verdicts of cells near the border of RAM, which only a placement tells."""
_split: PerModel[str, dict[object, "_Split"]] = PerModel(lambda _model, _key: {})
"""The last split over the devices other than llama.cpp's own, and where it was found."""


class _Split(NamedTuple):
    """The fastest split that leaves the margin, None where none does."""

    space: Room
    made: Allocation | None


class _Border:
    """What cells near the border of RAM are settled by."""

    def __init__(
        self, rig: Rig, space: Room, calibration: Calibration | None, opened: RunSettings | None
    ) -> None:
        """``opened``: the settings that leave to the solver what the devices cannot hold."""
        self._rig = rig
        self._space = space
        self._calibration = calibration
        self._opened = opened
        self._bandwidths = tuple(device.bandwidth_gbs for device in rig.devices)

    def split(
        self,
        model: Model,
        columns: Sequence[Column],
        apart: Sequence[bool],
        headrooms: Sequence[int | None],
    ) -> dict[int, Allocation]:
        """The splits that hold everything of one file type, by place.

        ``headrooms`` of llama.cpp's own split.
        """
        found: dict[int, Allocation] = {}
        # What holds no short context holds no longer one.
        for place in sorted(range(len(columns)), key=lambda at: columns[at].settings.ctx):
            if apart[place]:
                own = (headrooms[place] or 0) >= columns[place].settings.margin
                made = self._split_over(model, columns[place], own=own)
                if made is None:
                    break
                found[place] = made
        return found

    def _split_over(self, model: Model, column: Column, *, own: bool) -> Allocation | None:
        """``own``: llama.cpp's own split, which follows what is free, leaves the margin too."""
        settings, space = column.settings, self._space
        if not may_stay(model, settings, space, column.buffers):
            return None
        key = (
            settings,
            space.backends,
            depends_on(self._rig, settings, self._calibration or IDENTITY),
        )
        known = _split(model, "")
        last = known.get(key)
        # Of fewer splits that hold everything the fastest of more is the fastest, if it is among
        # them.
        if last is not None and not own and space.within(last.space):
            if last.made is None:
                return None
            if judged(last.made, space, settings.margin).verdict == "fits":
                return last.made
        if len(known) >= _REMEMBER:
            known.clear()
        solved = on_devices(model, self._rig, settings, space, self._calibration)
        made = None if solved is None else allocate(model, solved, space.backends, space.free)
        known[key] = _Split(space, made)
        return made

    def headroom(self, made: Allocation) -> int | None:
        """Bytes left where it is tightest."""
        return judged(made, self._space, 0).headroom

    def settle(
        self,
        model: Model,
        columns: Sequence[Column],
        verdicts: Sequence[int],
        headrooms: Sequence[int | None],
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
                left = headrooms[place]
                if found[place] == "no" and left is not None and left >= 0:
                    # What only lacks the margin, and RAM cannot take, stays.
                    found[place] = self._as_asked(model, columns[place])
            if code == OFFLOAD or found.get(place) == "offload":
                held = max(held, ctx)
        return found

    def _as_asked(self, model: Model, column: Column) -> Verdict:
        settings, space, where = column.settings, self._space, column.placement
        made = allocate(model, settings, space.backends, space.free, placement=where)
        return judged(made, space, settings.margin).verdict

    def _settled(self, model: Model, column: Column, host_total: int) -> Verdict:
        known, key = _settled(model, ""), (column.settings, self._space, self._bandwidths)
        if key not in known:
            if len(known) >= _REMEMBER:
                known.clear()
            known[key] = self._placed(model, column, host_total)
        return known[key]

    def _placed(self, model: Model, column: Column, host_total: int) -> Verdict:
        settings = (self._opened or column.settings).model_copy(update={"ctx": column.settings.ctx})
        space = self._space
        rest = max(host_total - column.pipelining, 0)
        buffers = sum(column.fixed) - column.caches
        beside = (*(buffers // len(column.fixed) for _ in column.fixed), rest)
        fits = holds(model, settings, space, beside)
        if fits is not None:
            return "offload" if fits else "no"
        solved = solve(model, self._rig, settings, space)
        allocation = allocate(model, solved, space.backends, space.free)
        verdict = judged(allocation, space, settings.margin).verdict
        if verdict in {"offload", "no"}:
            learn(model, settings, space, allocation, fits=verdict == "offload")
        return verdict


_new = cast("Callable[[type[Cell], tuple[object, ...]], Cell]", getattr(tuple, "__new__"))  # noqa: B009
_made: Final = partial(_new, Cell)
"""``Cell._make`` without a call of Python's own for every cell."""


def _rows(
    group: Sequence[tuple[str, Model]],
    columns: Sequence[Column],
    found: Judgements,
    border: _Border,
    speeds: CellSpeeds,
) -> Iterator[tuple[Cell, ...]]:
    """The cells of every file type."""
    contexts = [column.settings.ctx for column in columns]
    for (file_type, model), *figures in zip(group, *found, strict=True):
        codes, headrooms, device_totals, host_totals, blocks, experts, apart = figures
        verdicts: list[Verdict] = [VERDICTS[code] for code in codes]
        runs = [code in _RUNS for code in codes]
        splits = border.split(model, columns, apart, headrooms) if True in apart else {}
        for place in splits:
            codes[place] = FITS
        if NEAR in codes:
            settled = border.settle(model, columns, codes, headrooms, host_totals)
            for place, verdict in settled.items():
                verdicts[place], runs[place] = verdict, verdict != "no"
                if verdict in {"fits", "tight"}:
                    blocks[place] = experts[place] = 0
        decode = speeds.of(model, runs, blocks, experts)
        for place, made in splits.items():
            verdicts[place], decode[place] = "fits", speeds.at(model, made.placement)
            headrooms[place] = border.headroom(made)
            device_totals[place] = made.devices_total
            host_totals[place] = made.host_total
        yield tuple(
            map(
                _made,
                zip(
                    repeat(file_type),
                    contexts,
                    verdicts,
                    headrooms,
                    device_totals,
                    host_totals,
                    decode,
                    strict=False,
                ),
            )
        )


def matrix(
    models: Mapping[str, Model],
    rig: Rig,
    settings: RunSettings,
    contexts: Sequence[int],
    *,
    calibration: Calibration | None = None,
) -> Matrix:
    """Verdict, headroom and speed for every file type in ``models`` at every context.

    ``models``: the same model in different file types. A cell says what ``size_anywhere`` says:
    what the devices hold in no split, and is not asked to lie there, is "offload" where it fits
    with a part in RAM. Raises SettingsError where llama.cpp would refuse to start.
    """
    settings = speculative.resolved(settings)
    opened = left_open(settings)
    plain = filled(settings)
    # Experts that are copied to a device for a batch make its buffer depend on their type.
    alike = not plain.n_cpu_moe and plain.n_gpu_layers == "all" and not plain.override_tensor
    # A draft model is split by what the main model leaves free.
    alike = alike and plain.spec_type != "draft-simple"
    space = room(rig, calibration)
    groups = [tuple(models.items())] if alike else [(item,) for item in models.items()]
    border = _Border(rig, space, calibration, opened)
    rows: list[tuple[Cell, ...]] = []
    for group in groups:
        some = [model for _, model in group]
        for model in some:
            # llama.cpp refuses by hyperparameters, which file types share.
            if model is some[0] or model.hp is not some[0].hp:
                memory.check(model, plain)
        placement = place_model(some[0], plain, space.backends, space.free)
        shared = columns(some[0], plain, contexts, space, placement)
        placed = [place_weights(m, plain, placement, space.backends, space.free) for m in some]
        found = judge(some, placed, shared, space, open_=_open(settings, opened, placement))
        speeds = CellSpeeds(rig, plain, placement, space.free, calibration)
        rows += _rows(group, shared, found, border, speeds)
    return Matrix(file_types=tuple(models), contexts=tuple(contexts), rows=tuple(rows))


def _open(settings: RunSettings, opened: RunSettings | None, placement: Placement) -> Open | None:
    """What of a placement the settings leave open."""
    if opened is None or not placement.on_device:
        return None
    by_hand = settings.tensor_split or placement.offloads
    split = settings.split_mode == "layer" and not by_hand
    return Open(
        # Asked to fit, the solver keeps the margin; otherwise what fits stays where it is.
        least=settings.margin if opened is settings else 0,
        layers=opened.n_gpu_layers == "fit",
        experts=opened.n_cpu_moe == "fit",
        split=split,
        faster=split and opened is settings,
    )
