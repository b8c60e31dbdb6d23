"""Every file type × context of a model on a rig at once: what the heat map shows.

A cell follows the same rules as a plan but leaves out what a heat map does not show. Three facts
make it fast: where layers go does not depend on file type or context; caches and compute buffers do
not depend on the file type as long as everything lies on devices, nor on what is free; and speed is
asked for at one depth, whatever the context.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, groupby, repeat
from typing import Final, NamedTuple, cast

from advisor.basis import Range
from advisor.hardware.rig import Rig
from advisor.llm.model import Model
from advisor.sizing import speculative
from advisor.sizing.allocation import place_model, room
from advisor.sizing.calibration import Calibration
from advisor.sizing.cell_speed import CellSpeeds
from advisor.sizing.compute.layout import fused_types
from advisor.sizing.family import family
from advisor.sizing.matrix_border import Border, opened
from advisor.sizing.matrix_columns import Column
from advisor.sizing.matrix_loads import Loads, loads
from advisor.sizing.matrix_verdicts import FITS, NEAR, NOWHERE, VERDICTS, Judgements, judge
from advisor.sizing.other_splits import Held, OtherSplits
from advisor.sizing.placement import Placement
from advisor.sizing.plan import Verdict
from advisor.sizing.settings import RunSettings
from advisor.sizing.speed_class import spill_room
from advisor.sizing.tables import Latest, PerModel


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
    return opened(settings.model_copy(update={"ctx": cell.ctx}), cell.verdict)


_new: Final = cast("Callable[[type[Cell], tuple[object, ...]], Cell]", getattr(tuple, "__new__"))  # noqa: B009
_cell: Final = partial(_new, Cell)
"""A tuple as a cell; ``Cell._make`` takes several times as long."""


_room: Final = Latest(room)
_spare: Final = Latest(spill_room)
_fused: Final[PerModel[str, object]] = PerModel(lambda model, _key: fused_types(model))
"""Whether routed and shared experts run together is the one thing that types decide of buffers."""


class _Part(NamedTuple):
    """File types of one model that share caches and buffers."""

    file_types: tuple[str, ...]
    models: tuple[Model, ...]
    placement: Placement
    loads: Loads


class Asked(NamedTuple):
    """A matrix to be filled."""

    settings: RunSettings
    contexts: tuple[int, ...]
    parts: list[_Part]


def _of(asked: Asked, file_type: str) -> tuple[Model, Column]:
    """A file type's model, and its column at the first context."""
    part = next(part for part in asked.parts if file_type in part.file_types)
    return part.models[part.file_types.index(file_type)], part.loads.columns.each[0]


class Matrices:
    """Matrices of many models on one rig, which cost less together than one by one."""

    def __init__(
        self,
        rig: Rig,
        settings: RunSettings,
        *,
        calibration: Calibration | None = None,
        closely: bool = False,
    ) -> None:
        """``settings``, ``calibration`` and ``closely`` as in ``matrix``."""
        update: dict[str, object] = {}
        if settings.n_gpu_layers == "fit":
            update["n_gpu_layers"] = "all"
        if settings.n_cpu_moe == "fit":
            update["n_cpu_moe"] = 0
        self._settings = settings.model_copy(update=update) if update else settings
        self._fit = settings if update else None
        self._rig = rig
        self._calibration = calibration
        self._space = _room(rig, calibration)
        self._border = Border(rig, self._space)
        self._spare = _spare(rig)
        self._closely = closely
        self._others = OtherSplits(rig, self._space, calibration, self._fit)

    def ask(
        self, models: Mapping[str, Model], contexts: Sequence[int], *, like: Model | None = None
    ) -> Asked:
        """Look everything up that does not depend on what is free.

        ``like``: the same model in a file type that was asked about before: what file types share
        is not worked out again. Raises SettingsError where llama.cpp would refuse to start.
        """
        plain = self._settings
        if plain.spec_type != "none":
            for model in models.values():
                plain = speculative.by_its_file(model, plain)
        plain = speculative.resolved(plain)
        # Experts that are copied to a device for a batch make its buffer depend on their type.
        alike = not plain.n_cpu_moe and plain.n_gpu_layers == "all" and not plain.override_tensor
        # A draft model is split by what the main model leaves free.
        alike = alike and plain.spec_type != "draft-simple"
        groups = (
            [tuple(group) for _, group in groupby(models.items(), lambda item: _fused(item[1], ""))]
            if alike
            else [(item,) for item in models.items()]
        )
        asked = tuple(contexts)
        like = like if alike else None
        return Asked(plain, asked, [self._part(group, plain, asked, like) for group in groups])

    def _part(
        self,
        group: Sequence[tuple[str, Model]],
        settings: RunSettings,
        contexts: tuple[int, ...],
        like: Model | None,
    ) -> _Part:
        file_types, models = zip(*group, strict=True)
        space = self._space
        first = models[0]
        if like is not None and _fused(like, "") == _fused(first, ""):
            first = like
        placement = place_model(first, settings, space.backends, space.free)
        found = loads(family(models), first, settings, contexts, space, placement=placement)
        return _Part(file_types, models, placement, found)

    def split_may_hold(self, asked: Asked, file_type: str) -> bool:
        """Whether devices can hold a file type at the first context, however they are split."""
        model, column = _of(asked, file_type)
        return self._others.packs(model, column)

    def fastest_split(self, asked: Asked, file_type: str) -> float | None:
        """Tokens per second that hardly any split of the devices that holds it decodes faster than.

        None where it is not known.
        """
        model, column = _of(asked, file_type)
        return self._others.fastest(model, column)

    def fill(self, asked: Sequence[Asked]) -> list[Matrix]:
        """The matrices, in the order in which they were asked for."""
        plain = self._settings
        if not asked:
            return []
        found = judge(
            [part.loads for each in asked for part in each.parts],
            self._space,
            margin=plain.margin,
            may_spill=bool(self._space.backends) and plain.n_gpu_layers == "all",
            spare=self._spare,
        )
        made: list[Matrix] = []
        start = 0
        for each in asked:
            rows: list[tuple[Cell, ...]] = []
            for part in each.parts:
                end = start + len(part.loads.host)
                rows += self._rows(part, each, found.between(start, end))
                start = end
            file_types = tuple(name for part in each.parts for name in part.file_types)
            made.append(Matrix(file_types, each.contexts, tuple(rows)))
        return made

    def _rows(self, part: _Part, asked: Asked, found: Judgements) -> Iterator[tuple[Cell, ...]]:
        """The cells of every file type."""
        settings, contexts, _ = asked
        columns = part.loads.columns.each
        devices, hosts = part.loads.device_totals, part.loads.host_totals
        held: dict[int, Held] = {}
        others = self._others
        if self._closely and (self._fit is not None or others.open_in(settings)):
            held = others.of(part.models, columns, found.headroom, devices)
        for place in held:
            found.verdict[place], found.runs[place] = FITS, NOWHERE
        verdicts = list(map(VERDICTS.__getitem__, found.verdict))
        if NEAR in found.verdict:
            for place, verdict in self._border.settle(part.models, columns, found.verdict, hosts):
                verdicts[place] = verdict
                if verdict == "offload":
                    found.runs[place] = found.moves[place]
        speeds = CellSpeeds(
            self._rig, settings, part.placement, self._space.free, self._calibration
        )
        decode = speeds.of(part.loads.tables, part.models, found.runs)
        if held:
            devices, hosts = [*devices], [*hosts]
        for place, cell in held.items():
            verdicts[place], found.headroom[place] = cell.verdict, cell.headroom
            devices[place], hosts[place], decode[place] = (
                cell.device_total,
                cell.host_total,
                cell.decode,
            )
        file_types = chain.from_iterable(repeat(name, len(contexts)) for name in part.file_types)
        again = chain.from_iterable(repeat(contexts, len(part.file_types)))
        cells = map(
            _cell,
            zip(file_types, again, verdicts, found.headroom, devices, hosts, decode, strict=False),
        )
        return zip(*[cells] * len(contexts), strict=True)


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
    own split of several devices cannot hold everything, or "fit" is asked for and the margin is not
    left, look as a plan does, which takes longer. Raises SettingsError where llama.cpp would refuse
    to start.
    """
    matrices = Matrices(rig, settings, calibration=calibration, closely=closely)
    return matrices.fill([matrices.ask(models, contexts)])[0]
