"""The cells of a matrix, asked for all at once, and the plan of one of them. No Qt in here."""

from dataclasses import dataclass
from typing import NamedTuple

from advisor import answers
from advisor.hardware.rig import Rig
from advisor.llm import quality
from advisor.llm.model import Model
from advisor.probe.calibrate import learn
from advisor.session import ModelChoice
from advisor.sizing import size_anywhere
from advisor.sizing.matrix import Cell, lacking
from advisor.sizing.plan import Plan, Verdict
from advisor.sizing.settings import RunSettings
from advisor.ui.services import Probes
from advisor.units import gib


@dataclass(frozen=True, slots=True)
class FitCell:
    """One cell of the matrix."""

    verdict: Verdict
    headroom: int | None
    decode_tps: float | None
    lacking: int
    """Bytes that the devices lack together, about: what has to go to RAM."""


@dataclass(frozen=True, slots=True)
class Question:
    """What the cells of a matrix have in common."""

    model: str
    imatrix: bool
    rig: Rig
    settings: RunSettings
    """Whatever their context."""
    probes: Probes


def question_of(choice: ModelChoice, rig: Rig, settings: RunSettings, probes: Probes) -> Question:
    """What a matrix is asked, of which a file type and a context are one cell."""
    whatever = settings.model_copy(update={"ctx": 1})
    return Question(choice.model, choice.imatrix, rig, whatever, probes)


class GuessedCell(NamedTuple):
    """One of them whose speed is a guess that its plan replaces."""

    model: Model
    ctx: int

    @property
    def key(self) -> tuple[str, int]:
        """Its file type and context."""
        return self.model.file_type, self.ctx


@dataclass(frozen=True, slots=True)
class FitRow:
    """One file type."""

    file_type: str
    model: Model
    """In it, with what the settings run beside it."""
    nbytes: int
    loss: str
    """What it costs in quality, in a word or two."""
    story: str
    cells: tuple[FitCell, ...]


@dataclass(frozen=True, slots=True)
class FitMatrix:
    """File types by contexts."""

    question: Question
    contexts: tuple[int, ...]
    rows: tuple[FitRow, ...]
    calibrated_by: str = ""
    """Which probes of this machine its speeds are calibrated by; empty: by none."""


def fit_matrix(
    choice: ModelChoice, rig: Rig, settings: RunSettings, probes: Probes = ()
) -> FitMatrix:
    """Every file type of a catalogue model, or a GGUF's own, by contexts."""
    calibration = learn(rig, probes)
    found, models = answers.matrix_of(choice, rig, settings, calibration)
    return FitMatrix(
        question_of(choice, rig, settings, probes),
        found.contexts,
        tuple(
            _row(name, models[name], cells, rig)
            for name, cells in zip(found.file_types, found.rows, strict=True)
        ),
        calibrated_by="" if calibration is None else calibration.source,
    )


def plan_cell(cell: GuessedCell, asked: Question) -> Plan:
    """What choosing a cell would plan, without the longest context that would fit.

    Raises SettingsError.
    """
    return size_anywhere(
        cell.model,
        asked.rig,
        asked.settings.model_copy(update={"ctx": cell.ctx}),
        calibration=learn(asked.rig, asked.probes),
        longest=False,
    )


def _row(file_type: str, model: Model, cells: tuple[Cell, ...], rig: Rig) -> FitRow:
    note = quality.model_loss(model)
    story = f"{file_type}, {gib(model.nbytes)}. {note.sentence}"
    return FitRow(
        file_type, model, model.nbytes, note.word, story, tuple(_cell(cell, rig) for cell in cells)
    )


def _cell(cell: Cell, rig: Rig) -> FitCell:
    speed = None if cell.decode is None else cell.decode.mid
    return FitCell(cell.verdict, cell.headroom, speed, lacking(cell, rig))
