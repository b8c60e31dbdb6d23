"""Folders with a llama.cpp that the user named, kept in the settings."""

import json
import os
from pathlib import Path
from typing import Any

from advisor import paths
from advisor.engine.builds import programs
from advisor.errors import EngineError


def _file() -> Path:
    return paths.config() / "engine_folders.json"


def named() -> tuple[Path, ...]:
    """The folders, newest first; a file that cannot be read holds none."""
    try:
        found: Any = json.loads(_file().read_bytes())
        return tuple(Path(name) for name in found if isinstance(name, str))
    except (OSError, ValueError, TypeError):
        return ()


def find(place: Path) -> Path:
    """The llama-server that a path names: itself, in a folder, or in the folder's ``bin``.

    Raises EngineError with a sentence where there is none.
    """
    if place.is_file():
        return place
    for folder in (place, place / "bin", place / "build" / "bin"):
        inside = [p for p in programs((folder,), {}, folder) if p.parent == folder]
        if inside:
            return inside[0]
    message = f"There is no llama-server in {place}, nor in its bin or build/bin."
    raise EngineError(message)


def add(folder: Path) -> Path:
    """Remember a folder (or a folder above its ``bin``). Returns the llama-server found there.

    Raises EngineError with a sentence where there is none, or when it cannot be kept.
    """
    found = find(folder)
    _keep(found.parent)
    return found


def _keep(folder: Path) -> None:
    folders = [folder, *(known for known in named() if known != folder)]
    draft = _file().with_name(f".engine_folders.{os.getpid()}")
    try:
        draft.write_text(json.dumps([str(f) for f in folders], indent=1), encoding="utf-8")
        draft.replace(_file())
    except OSError as error:
        draft.unlink(missing_ok=True)
        message = f"The folder could not be remembered: {error.strerror or error}."
        raise EngineError(message) from error
