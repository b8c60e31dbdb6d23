"""Folders of models that the user named, beside those of other programs; kept in the settings."""

import contextlib
from collections.abc import Generator
from pathlib import Path
from typing import Final

from advisor.errors import ModelError
from advisor.folder_list import FolderList

_LIST: Final = FolderList("model_folders.json")


def named() -> tuple[Path, ...]:
    """The folders, newest first; a file that cannot be read holds none."""
    return _LIST.named()


def add(folder: Path) -> None:
    """Remember a folder. Raises ModelError where that cannot be kept."""
    with _told():
        _LIST.add(folder.absolute())


def forget(folder: Path) -> None:
    """Look in it no longer. Raises ModelError where that cannot be kept."""
    with _told():
        _LIST.forget(folder)


@contextlib.contextmanager
def _told() -> Generator[None]:
    try:
        yield
    except OSError as error:
        message = f"The folders of models could not be remembered: {error.strerror or error}."
        raise ModelError(message) from error
