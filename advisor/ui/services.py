"""What the window asks of the rooms below, as plain functions for ``run_task``. No Qt in here."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from advisor import hardware, llm
from advisor import session as sessions
from advisor.errors import RigError, SettingsError
from advisor.hardware.rig import Rig
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
    if path.suffix.lower() == ".json" and (rig := _rig_in(path)) is not None:
        return Opened(rig=rig)
    return Opened(session=sessions.load(path))


def save_rig(rig: Rig, path: Path) -> None:
    """Write a rig to a file that ``open_anything`` and ``--rig`` read. Raises SessionError."""
    sessions.write_atomically(path, rig.model_dump_json(indent=1).encode())


def _rig_in(path: Path) -> Rig | None:
    """The rig in a JSON file, None when the file holds something else."""
    try:
        if path.stat().st_size > sessions.MAX_BYTES:
            return None
        document: Any = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or "hosts" not in document:
        return None
    try:
        rig = Rig.model_validate(document)
    except ValidationError as error:
        message = f"{path.name} looks like a rig but is damaged, so it was not opened."
        raise RigError(message, detail=str(error)) from error
    return rig.model_copy(update={"imagined": True})
