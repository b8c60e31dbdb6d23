"""Folders of models that the user named, beside those of other programs; kept in the settings."""

import json
from pathlib import Path
from typing import Any

from advisor import paths
from advisor.errors import ModelError
from advisor.files import write_atomically


def _file() -> Path:
    return paths.config() / "model_folders.json"


def named() -> tuple[Path, ...]:
    """The folders, newest first; a file that cannot be read holds none."""
    try:
        found: Any = json.loads(_file().read_bytes())
        return tuple(Path(name) for name in found if isinstance(name, str))
    except (OSError, ValueError, TypeError):
        return ()


def add(folder: Path) -> None:
    """Remember a folder. Raises ModelError where that cannot be kept."""
    folder = folder.absolute()
    _keep((folder, *(known for known in named() if known != folder)))


def forget(folder: Path) -> None:
    """Look in it no longer. Raises ModelError where that cannot be kept."""
    _keep(tuple(known for known in named() if known != folder))


def _keep(folders: tuple[Path, ...]) -> None:
    try:
        write_atomically(_file(), json.dumps([str(f) for f in folders], indent=1).encode())
    except OSError as error:
        message = f"The folders of models could not be remembered: {error.strerror or error}."
        raise ModelError(message) from error
