"""Every folder the app reads or writes, in one place; RIG_ADVISOR_HOME moves them all (tests)."""

import contextlib
import os
import re
from pathlib import Path

from platformdirs import PlatformDirs

_DIRS = PlatformDirs("rig-advisor", appauthor=False)


def _under(name: str, default: str) -> Path:
    home = os.environ.get("RIG_ADVISOR_HOME")
    folder = Path(home) / name if home else Path(default)
    # A disk that is full or read-only must not keep the app from starting: who writes is told.
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def data() -> Path:
    """Sessions, probe results, calibration, models the user added."""
    return _under("data", _DIRS.user_data_dir)


def config() -> Path:
    """Settings."""
    return _under("config", _DIRS.user_config_dir)


def cache() -> Path:
    """What can be made again: ghosts, dry-run results."""
    return _under("cache", _DIRS.user_cache_dir)


def logs() -> Path:
    """The app's own log."""
    return _under("logs", _DIRS.user_log_dir)


def without_home(text: str) -> str:
    """The text with ``~`` for this user's home folder: programs and shells still find the file."""
    home = os.path.expanduser("~")  # noqa: PTH111 - Path.home raises where there is none
    if len(home) < 2:
        return text
    return re.sub(re.escape(home) + r"(?=[/\\])", "~", text)
