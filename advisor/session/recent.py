"""Session files opened or saved before, in one list that every window adds to.

Each has an entry of its own, so windows and processes that write at once lose nothing of each
other's, and none has to wait for another.
"""

import contextlib
import hashlib
import json
import time
from pathlib import Path
from typing import Any, Final

from advisor import paths
from advisor.errors import SessionError
from advisor.files import listed
from advisor.session.files import write

RECENT_FILES: Final = 10


def recent_files() -> tuple[Path, ...]:
    """Newest first. They are not looked at: a folder that is far away must not hold a menu up."""
    return tuple(path for path, _entry in _entries()[:RECENT_FILES])


def remember_file(path: Path) -> None:
    """Put a file at the head of the recent ones; where that cannot be kept, nothing is lost."""
    path = path.absolute()
    content = {"path": str(path), "opened_ns": time.time_ns()}
    with contextlib.suppress(SessionError):
        write(_entry_of(path), json.dumps(content).encode())
    for _path, entry in _entries()[RECENT_FILES:]:
        with contextlib.suppress(OSError):
            entry.unlink(missing_ok=True)


def forget_file(path: Path) -> None:
    """It is no longer there."""
    with contextlib.suppress(OSError):
        _entry_of(path.absolute()).unlink(missing_ok=True)


def _folder() -> Path:
    return paths.config() / "recent"


def _entry_of(path: Path) -> Path:
    return _folder() / f"{hashlib.sha256(str(path).encode()).hexdigest()[:16]}.json"


def _entries() -> list[tuple[Path, Path]]:
    """Files with their entries, newest first; an entry that cannot be read counts for nothing."""
    found: list[tuple[int, Path, Path]] = []
    for entry in listed(_folder(), "*.json"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            held: Any = json.loads(entry.read_bytes())
            found.append((int(held["opened_ns"]), Path(held["path"]), entry))
    return [(path, entry) for _opened, path, entry in sorted(found, reverse=True)]
