"""What the window asks of the rooms below, as plain functions for ``run_task``. No Qt in here."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from advisor import hardware, llm
from advisor import session as sessions
from advisor.errors import RigError, SessionError, SettingsError
from advisor.hardware import saved
from advisor.hardware.rig import Rig
from advisor.llm import local_files as local_files_module
from advisor.llm.catalogue import CatalogueEntry, catalogue
from advisor.llm.local_files import LocalFile
from advisor.llm.model import Model
from advisor.probe.result import ProbeResult
from advisor.session import ModelChoice, Session
from advisor.sizing import size
from advisor.sizing.plan import Plan
from advisor.sizing.settings import RunSettings


@dataclass(frozen=True, slots=True)
class Opened:
    """What a file turned out to be; one of the three is set."""

    session: Session | None = None
    rig: Rig | None = None
    model: str | None = None


def changed_settings(settings: RunSettings, changes: Mapping[str, Any]) -> RunSettings:
    """The settings with some fields changed. Raises SettingsError with a sentence."""
    try:
        return RunSettings.model_validate({**settings.model_dump(), **changes})
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=True)[0]
        name = str(problem["loc"][0]) if problem["loc"] else "The settings"
        message = f"{name} cannot be {problem['input']!r}: {problem['msg'].lower()}."
        raise SettingsError(message, detail=str(error)) from error


def load_model(choice: ModelChoice) -> Model:
    """The tensors of a choice. Raises ModelError."""
    return llm.load(choice.model, choice.file_type, imatrix=choice.imatrix)


def plan(
    choice: ModelChoice,
    known: Model | None,
    rig: Rig,
    settings: RunSettings,
    probes: tuple[ProbeResult, ...],
) -> tuple[Model, Plan]:
    """The model and its plan on a rig; ``known`` is used again when it is the one chosen."""
    del probes
    model = known if known is not None else load_model(choice)
    return model, size(model, rig, settings)


def detect() -> Rig:
    """This machine."""
    return hardware.detect()


def open_anything(path: Path) -> Opened:
    """A session, a report's PDF, a rig or a GGUF file. Raises RigAdvisorError with a sentence."""
    if path.suffix.lower() == ".gguf":
        llm.open_gguf(path)  # a file that cannot be read is told now
        return Opened(model=str(path))
    if path.suffix.lower() == ".pdf":
        return Opened(session=sessions.load(path))
    try:
        return Opened(session=sessions.load(path))
    except SessionError as not_a_session:
        try:
            return Opened(rig=saved.load_rig(path))
        except RigError:
            raise not_a_session from None


def local_files() -> tuple[LocalFile, ...]:
    """GGUF files that other programs have put on this machine."""
    return local_files_module.local_files()


def search_models(wanted: str) -> list[CatalogueEntry]:
    """Catalogue models that have every word of ``wanted``, best first; all of them for none."""
    return catalogue().search(wanted)
