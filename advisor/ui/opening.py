"""What files turn out to be when they are opened, and sessions written back. No Qt in here."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from advisor import session as sessions
from advisor.errors import ModelError, RigError, SessionError
from advisor.files import is_folder, is_missing
from advisor.hardware import saved
from advisor.hardware.rig import Rig
from advisor.llm import catalogue as catalogues
from advisor.llm import companions, model_folders
from advisor.llm import local_files as local_files_module
from advisor.llm.gguf import read_header
from advisor.llm.ghost import is_ghost
from advisor.llm.local_files import LocalFile
from advisor.llm.open import is_gguf, model_of_header
from advisor.session import NotASession, Session


@dataclass(frozen=True, slots=True)
class Opened:
    """What a file turned out to be: a session, a rig or a model."""

    session: Session | None = None
    rig: Rig | None = None
    model: str | None = None
    projector: str | None = None
    added: str = ""
    """Name of the model, where it is one that the catalogue has now."""
    folder: Path | None = None
    """One that models are looked for in from now on."""
    file: str | None = None
    """Fingerprint of a session's file, which may be saved over; None for a report."""


def open_anything(path: Path) -> Opened:
    """A session, a report's PDF, a rig, a GGUF file, a folder of such, or a model's config.json.

    Raises RigAdvisorError with a sentence.
    """
    if is_folder(path):
        return Opened(folder=add_model_folder(path))
    if path.suffix.lower() == ".gguf" or is_gguf(path):
        return _opened_gguf(path)
    # Only a session file is saved over; a report, whatever its name, never.
    own = path.suffix.lower() == ".json" and not sessions.is_aside(path)
    seen = sessions.fingerprint(path) if own else None
    try:
        opened = Opened(session=sessions.load(path), file=seen)
    except NotASession as not_a_session:
        try:
            return Opened(rig=saved.load_rig(path))
        except RigError:
            added = _added_model(path)
            if added is not None:
                return added
            if own:
                raise not_a_session from None
            message = (
                f"{path.name} cannot be opened. What can: a session, a report's PDF, a saved rig, "
                "a GGUF model, a folder of GGUF models, or a model's config.json."
            )
            raise SessionError(message) from not_a_session
    except SessionError:
        if is_missing(path):
            sessions.forget_file(path)
        raise
    sessions.remember_file(path)
    return opened


def _opened_gguf(path: Path) -> Opened:
    """A file that cannot be read is told now, and what it holds if that is no model."""
    header = read_header(path, unfinished=True)
    if is_ghost(header.metadata):
        message = f"{path.name} is a stand-in made for a probe: it has a model's shape, no weights."
        raise ModelError(message)
    if companions.is_projector(header.metadata):
        return Opened(projector=str(path))
    model_of_header(header)
    return Opened(model=str(path))


def _added_model(path: Path) -> Opened | None:
    """The model of a config.json, in the catalogue from now on; None where it is none."""
    try:
        config: Any = json.loads(path.read_bytes())
        if config.get("peft_type"):
            base = config.get("base_model_name_or_path") or "another model"
            message = f"{path.name} is of an adapter, which changes {base}. Choose that to size it."
            raise ModelError(message)
        if not (config.get("model_type") or config.get("architectures")):
            return None
    except (OSError, ValueError, AttributeError, RecursionError):
        return None
    named = str(config.get("_name_or_path") or "")
    folder = path.parent.name if path.stem == "config" else path.stem
    entry = catalogues.add_from_config(config, named or folder or path.stem)
    return Opened(model=entry.id, added=entry.name)


def in_every_file_type(path: Path) -> Opened:
    """The model of a GGUF file, in the catalogue from now on. Raises ModelError."""
    entry = catalogues.add_from_gguf(path)
    return Opened(model=entry.id, added=entry.name)


def forget_model(model: str) -> None:
    """Take a model that the user added out of the catalogue."""
    catalogues.remove(catalogues.catalogue().find(model))


def save_session(session: Session, path: Path, *, seen: str | None, replace: bool) -> Opened:
    """Write a session and remember its file; ``seen`` is the file as this window knows it.

    What another window wrote since is replaced only where asked. Raises SessionError.
    """
    if not replace and sessions.fingerprint(path) not in (None, seen):
        message = (
            f"{path.name} was changed by another window since it was opened here, so it was not "
            "saved over. Use “Save as…” to keep both, or to replace it."
        )
        raise SessionError(message)
    kept = sessions.save(session, path)
    sessions.remember_file(path)
    return Opened(session=kept, file=sessions.fingerprint(path))


def local_files() -> tuple[LocalFile, ...]:
    """GGUF files in the folders of other programs and in those that the user named."""
    return local_files_module.local_files(model_folders.named())


def add_model_folder(folder: Path) -> Path:
    """Look for models in a folder from now on. Raises ModelError where there is none in it."""
    if not local_files_module.local_files([folder], []):
        message = f"There is no GGUF file in {folder}, nor in the folders below it."
        raise ModelError(message)
    model_folders.add(folder)
    return folder
