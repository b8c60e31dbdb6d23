"""What cells near the border of RAM are settled by: a placement, found or proven absent."""

from collections.abc import Iterator, Sequence
from typing import Final

from advisor.hardware.rig import Rig
from advisor.llm.model import Model
from advisor.sizing.allocation import Room, allocate
from advisor.sizing.feasible import Case, case_of, holds, learn
from advisor.sizing.matrix_columns import Column
from advisor.sizing.matrix_verdicts import NEAR, OFFLOAD
from advisor.sizing.plan import Verdict
from advisor.sizing.settings import RunSettings
from advisor.sizing.solver import solve
from advisor.sizing.tables import PerModel
from advisor.sizing.verdict import judged

_REMEMBER: Final = 512
"""Such cells kept per model; more start anew."""
_settled: PerModel[str, dict[object, Verdict]] = PerModel(lambda _model, _key: {})
"""Verdicts of cells that only a search told."""


def opened(settings: RunSettings, verdict: Verdict) -> RunSettings:
    """The settings under which a cell opens as a plan: what does not fit is left to the solver."""
    update: dict[str, object] = {}
    if verdict in {"offload", "no"} and settings.n_gpu_layers in {"all", "fit"}:
        update["n_gpu_layers"] = "fit"
        if settings.n_cpu_moe in {0, "fit"}:
            update["n_cpu_moe"] = "fit"
    return settings.model_copy(update=update)


def _make_case(
    model: Model, key: tuple[RunSettings, tuple[str, ...]]
) -> tuple[RunSettings, Case | None]:
    settings = opened(key[0], "no")
    return settings, case_of(model, settings, key[1])


_cases = PerModel(_make_case)


class Border:
    """Settles the cells of one rig."""

    def __init__(self, rig: Rig, space: Room) -> None:
        self._rig = rig
        self._space = space
        self._bandwidths = tuple(device.bandwidth_gbs for device in rig.devices)

    def settle(
        self,
        models: Sequence[Model],
        columns: Sequence[Column],
        verdicts: Sequence[int],
        host_totals: Sequence[int | None],
    ) -> Iterator[tuple[int, Verdict]]:
        """The verdicts of the cells that are near, by place: ``models`` have a column each."""
        n = len(columns)
        order = sorted(range(n), key=lambda at: columns[at].settings.ctx)
        for line, model in enumerate(models):
            codes = verdicts[line * n : line * n + n]
            if NEAR not in codes:
                continue
            near = [at for at in order if codes[at] == NEAR]
            # What holds a context with a part in RAM holds every shorter one.
            held = max(
                (columns[at].settings.ctx for at in order if codes[at] == OFFLOAD), default=0
            )
            for at in near:
                if columns[at].settings.ctx <= held:
                    yield line * n + at, "offload"
            open_cells = [at for at in near if columns[at].settings.ctx > held]
            # The longest and the shortest may tell all of them; then what lies between halves.
            tries = [-1, 0]
            while open_cells:
                middle = tries.pop(0) if tries else len(open_cells) // 2
                at = open_cells[middle]
                verdict = self._verdict(model, columns[at], host_totals[line * n + at] or 0)
                start = 0 if verdict == "offload" else open_cells.index(at)
                end = len(open_cells) if verdict == "no" else open_cells.index(at) + 1
                # Another split of the cards, which the search may find, speaks for itself only.
                for told in open_cells[start:end]:
                    yield line * n + told, verdict
                del open_cells[start:end]

    def _verdict(self, model: Model, column: Column, host_total: int) -> Verdict:
        settings, case = _cases(model, (column.settings, self._space.backends))
        buffers = (sum(column.fixed) - column.caches) // len(column.fixed)
        beside = (*(buffers for _ in column.fixed), host_total)
        fits = holds(model, case, self._space, beside)
        if fits is not None:
            return "offload" if fits else "no"
        known, key = _settled(model, ""), (settings, self._space, self._bandwidths)
        if key not in known:
            if len(known) >= _REMEMBER:
                known.clear()
            known[key] = self._searched(model, settings, case)
        return known[key]

    def _searched(self, model: Model, settings: RunSettings, case: Case | None) -> Verdict:
        space = self._space
        solved = solve(model, self._rig, settings, space)
        allocation = allocate(model, solved, space.backends, space.free)
        verdict = judged(allocation, space, settings.margin).verdict
        if verdict in {"offload", "no"}:
            learn(case, space, allocation, fits=verdict == "offload")
        return verdict
