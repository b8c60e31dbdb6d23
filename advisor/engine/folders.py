"""Folders with a llama.cpp that the user named, kept in the settings."""

from pathlib import Path
from typing import Final

from advisor.engine.builds import programs
from advisor.errors import EngineError
from advisor.files import is_file
from advisor.folder_list import FolderList

_LIST: Final = FolderList("engine_folders.json")


def named() -> tuple[Path, ...]:
    """The folders, newest first; a file that cannot be read holds none."""
    return _LIST.named()


def find(place: Path) -> Path:
    """The llama-server that a path names: itself, in a folder, or in the folder's ``bin``.

    Raises EngineError with a sentence where there is none.
    """
    if is_file(place):
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
    try:
        _LIST.add(found.parent)
    except OSError as error:
        message = f"The folder could not be remembered: {error.strerror or error}."
        raise EngineError(message) from error
    return found
