"""What follows from a session: the model, its plan, and the matrix of what fits.

The window, the command line and the report all ask here, so that they give the same answers.
"""

from collections.abc import Mapping

from advisor import llm
from advisor.hardware.rig import Rig
from advisor.llm.catalogue import catalogue
from advisor.llm.model import Model
from advisor.session import ModelChoice
from advisor.sizing import size
from advisor.sizing.calibration import Calibration
from advisor.sizing.matrix import Matrix, matrix
from advisor.sizing.plan import Plan
from advisor.sizing.settings import RunSettings

SHORTEST_CONTEXT = 4096
LONGEST_UNTRAINED = 131072
"""Longest context shown for a model that does not say what it was trained for."""


def load_model(choice: ModelChoice) -> Model:
    """The tensors of a choice. Raises ModelError."""
    return llm.load(choice.model, choice.file_type, imatrix=choice.imatrix)


def plan_of(
    model: Model, rig: Rig, settings: RunSettings, calibration: Calibration | None = None
) -> Plan:
    """The plan as asked for; where nobody asked for a placement and it does not fit, with RAM.

    Raises SettingsError where llama.cpp would refuse to start.
    """
    plan = size(model, rig, settings, calibration=calibration)
    nothing_asked = settings.n_gpu_layers == "all" and settings.n_cpu_moe == 0
    if plan.verdict == "no" and nothing_asked:
        placed = settings.model_copy(update={"n_gpu_layers": "fit", "n_cpu_moe": "fit"})
        elsewhere = size(model, rig, placed, calibration=calibration)
        if elsewhere.verdict != "no":
            return elsewhere
    return plan


def file_types_of(choice: ModelChoice) -> Mapping[str, Model]:
    """The chosen model in every file type worth showing, largest first; a GGUF in its own."""
    chosen = load_model(choice)
    if chosen.source == "gguf":
        return {chosen.file_type: chosen}
    entry = catalogue().find(choice.model)
    names = dict.fromkeys((*entry.file_types, chosen.file_type))
    models = {name: entry.model(name, imatrix=choice.imatrix) for name in names}
    return dict(sorted(models.items(), key=lambda item: -item[1].nbytes))


def contexts_of(model: Model, settings: RunSettings) -> tuple[int, ...]:
    """4k and up to what the model was trained for; the chosen context is always among them."""
    trained = model.hp.n_ctx_train if model.hp is not None else 0
    top = max(trained or LONGEST_UNTRAINED, SHORTEST_CONTEXT)
    usual = [ctx for ctx in (1024 << n for n in range(2, 11)) if ctx <= top]
    return tuple(sorted({*usual, settings.ctx}))


def matrix_of(
    choice: ModelChoice, rig: Rig, settings: RunSettings
) -> tuple[Matrix, Mapping[str, Model]]:
    """The matrix of file types and contexts, and the models of its rows."""
    models = file_types_of(choice)
    contexts = contexts_of(next(iter(models.values())), settings)
    return matrix(models, rig, settings, contexts), models
