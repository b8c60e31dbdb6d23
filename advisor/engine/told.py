"""Which llama.cpp a run is predicted for where nobody says it; nothing is started or loaded."""

import functools
import importlib.metadata

from advisor.hardware.rig import Rig
from advisor.sizing import build_dates
from advisor.sizing.settings import RunSettings


@functools.cache
def embedded_version() -> str:
    """The build inside this app, ``"b11549"``, without starting it; empty where there is none.

    The package's version ends in llama.cpp's build number: 2026.10.11549.
    """
    try:
        return f"b{importlib.metadata.version('xllamacpp').rsplit('.', 1)[-1]}"
    except importlib.metadata.PackageNotFoundError:
        return ""


def told(settings: RunSettings, rig: Rig) -> RunSettings:
    """The settings with the llama.cpp that would run them, where they tell none.

    A rig that is imagined would be run by what is current: the app's own. Where the time of a build
    is not known, none is told.
    """
    if settings.built:
        return settings
    version = embedded_version() if rig.llama_cpp is None else rig.llama_cpp
    if not build_dates.month(version):
        return settings
    return settings.model_copy(update={"built": version})
