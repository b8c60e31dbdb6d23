"""A whole matrix checked by llama.cpp: one dry run per cell, told as they come. No Qt."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from advisor import answers
from advisor.engine.dry_run import dry_run_files, model_files
from advisor.errors import RigAdvisorError
from advisor.hardware.rig import Rig
from advisor.session import ModelChoice
from advisor.sizing.plan import Plan, Verdict
from advisor.sizing.settings import RunSettings
from advisor.ui.checks import Checked, engine_for, figures

MOST_FAILURES: Final = 3
"""When so many cells in a row fail, the rest of that file type is not tried."""

Key = tuple[str, int]
"""File type and context."""


@dataclass(frozen=True, slots=True)
class CheckedCell:
    """One cell: llama.cpp's figures beside ours, and what is left by them."""

    checked: Checked
    headroom: int | None
    """Bytes left where it is tightest by llama.cpp's figures, None where ours is unknown."""
    verdict: Verdict
    """Ours; "no" where llama.cpp's figures leave nothing."""


@dataclass(frozen=True, slots=True)
class CheckedMatrix:
    """What came of it."""

    engine: str
    cells: Mapping[Key, CheckedCell] = field(default_factory=dict[Key, CheckedCell])
    failures: Mapping[Key, str] = field(default_factory=dict[Key, str])

    @property
    def differing(self) -> Mapping[Key, CheckedCell]:
        """Cells where one of the figures is not ours."""
        return {key: cell for key, cell in self.cells.items() if cell.checked.differing}


def check_matrix(
    choice: ModelChoice,
    rig: Rig,
    settings: RunSettings,
    contexts: Sequence[int],
    *,
    cancel: threading.Event,
    on_cell: Callable[[int, int, Key, CheckedCell | None], None],
) -> CheckedMatrix:
    """Ask llama.cpp about every file type of a model at every context.

    on_cell: how many are done, of how many, which one, and its figures (None: it failed). One
    header-only ghost serves all contexts of a file type; the chosen one comes first. Raises
    EngineError where no llama.cpp here can check this rig.
    """
    build = engine_for(rig, len(rig.devices))
    engine = f"llama.cpp {build.version}"
    models = answers.file_types_of(choice)
    order = sorted(models, key=lambda name: name != choice.file_type)
    total = len(order) * len(contexts)
    cells: dict[Key, CheckedCell] = {}
    failures: dict[Key, str] = {}
    for number, file_type in enumerate(order):
        model = answers.accompanied(models[file_type], settings)
        in_a_row = 0
        with model_files(model) as files:
            for place, ctx in enumerate(contexts):
                if cancel.is_set():
                    return CheckedMatrix(engine, cells, failures)
                key = (file_type, ctx)
                if in_a_row < MOST_FAILURES:
                    try:
                        at = settings.model_copy(update={"ctx": ctx})
                        plan = answers.plan_of(model, rig, at, None)
                        run = dry_run_files(
                            files,
                            model,
                            plan.settings,
                            build=build,
                            n_devices=len(plan.devices),
                            cancel=cancel,
                        )
                        cells[key] = judged(plan, Checked(engine, figures(plan, run)))
                        in_a_row = 0
                    except RigAdvisorError as error:
                        failures[key] = str(error)
                        in_a_row += 1
                done = number * len(contexts) + place + 1
                on_cell(done, total, key, cells.get(key))
    return CheckedMatrix(engine, cells, failures)


def judged(plan: Plan, checked: Checked) -> CheckedCell:
    """What a plan leaves when llama.cpp's figures take the place of ours."""
    ours: dict[str, int | None] = {device.name: device.headroom for device in plan.devices}
    if not ours:
        ours["host"] = plan.host.headroom
    left: list[int] = []
    for name, headroom in ours.items():
        pairs = checked.places.get(name, {}).values()
        if headroom is None or any(pair.computed is None for pair in pairs):
            return CheckedCell(checked, None, plan.verdict)
        left.append(headroom - sum(pair.said - (pair.computed or 0) for pair in pairs))
    tightest = min(left)
    return CheckedCell(checked, tightest, "no" if tightest < 0 else plan.verdict)
