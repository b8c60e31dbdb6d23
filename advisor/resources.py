"""Reviewed data, fonts and icons: beside a checkout, inside the wheel or inside a frozen app."""

import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:  # the window asks for its fonts before pydantic is loaded
    from pydantic import BaseModel

T = TypeVar("T", bound="BaseModel")


@functools.cache
def folder() -> Path:
    """The folder that holds the shipped data. Raises FileNotFoundError if the install is broken."""
    package = Path(__file__).resolve().parent
    candidates = [package / "_resources", package.parent / "resources"]
    bundle = getattr(sys, "_MEIPASS", None)
    if bundle:
        candidates.insert(0, Path(bundle) / "resources")
    for candidate in candidates:
        if candidate.is_dir():
            return candidate
    message = f"Rig Advisor's data folder is missing; reinstall the app. Looked in {candidates}"
    raise FileNotFoundError(message)


def path(*parts: str) -> Path:
    """A shipped file, for example ``path("fonts", "Inter-Regular.ttf")``."""
    return folder().joinpath(*parts)


def load(model: type[T], *parts: str) -> T:
    """A shipped JSON file, validated. A bad entry raises pydantic's ValidationError."""
    return model.model_validate_json(path(*parts).read_bytes())
