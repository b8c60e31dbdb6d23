"""What each window keeps by itself: its session as it is, and one that gave way to another."""

import contextlib
import json
import os
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import psutil

from advisor import paths
from advisor.errors import SessionError
from advisor.files import listed
from advisor.session.document import Session
from advisor.session.files import SUFFIX, load, save

KEPT_ASIDE: Final = 20
"""So many sessions that were never saved are kept."""
_ASIDE: Final = "Unsaved"
_ABOUT: Final = "autosaved"
"""Beside the session's own fields in an autosaved file."""


@dataclass(frozen=True)
class Restored:
    """What the last window left."""

    session: Session | None = None
    """None: nothing."""
    file: Path | None = None
    """The file that it was opened from or saved to."""
    seen: str | None = None
    """Fingerprint of that file as the window knew it."""
    modified: bool = False
    """Whether that file lacks something."""
    problem: str | None = None
    """A sentence about a session that was damaged."""


def is_aside(path: Path) -> bool:
    """Whether it is a file of the app's own, which goes some day: nothing is saved to it."""
    return path.absolute().parent == (paths.data() / "sessions").absolute()


class Autosave:
    """One window's autosaved session. Each window has its own file, marked by its process.

    ``restore`` takes over the newest file whose window is gone; one that cannot be read is kept
    as a backup and reported.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or paths.data() / "sessions"
        self._path: Path | None = None

    @property
    def path(self) -> Path:
        """This window's file."""
        if self._path is None:
            self._path = self._folder / f"autosave-{uuid4().hex[:8]}-{os.getpid()}{SUFFIX}"
        return self._path

    def save(
        self,
        session: Session,
        *,
        file: Path | None = None,
        seen: str | None = None,
        modified: bool = True,
    ) -> None:
        """Keep the session as it is now, and where it is saved (``Restored``)."""
        about = {"file": None if file is None else str(file), "seen": seen, "modified": modified}
        save(session, self.path, beside={_ABOUT: about})

    def put_aside(self, session: Session) -> Path:
        """Keep a session that was changed, not saved, and gives way to another; the file's path."""
        model = (
            "" if session.model is None else Path(session.model.model).name.removesuffix(".gguf")
        )
        named = (session.title or model or session.scenario or "")[:60]
        safe = "".join(c if c.isalnum() or c in "-_." else " " for c in named).strip()
        stamp = f"{datetime.now().astimezone():%Y-%m-%d %H.%M.%S}"
        path = self._folder / f"{_ASIDE} {stamp} {safe} {uuid4().hex[:4]}{SUFFIX}"
        save(session, path)
        # Their names sort by time.
        others = [old for old in listed(self._folder, f"{_ASIDE} *{SUFFIX}") if old != path]
        for old in others[: max(0, len(others) - KEPT_ASIDE + 1)]:
            with contextlib.suppress(OSError):
                old.unlink(missing_ok=True)
        return path

    def restore(self) -> Restored:
        """The session of the last window that ended, and a sentence if one was damaged."""
        problem = None
        for candidate in self._abandoned():
            try:
                session = load(candidate)
            except SessionError as error:
                backup = candidate.with_suffix(".bak")
                with contextlib.suppress(OSError):
                    candidate.replace(backup)
                problem = f"{error} A copy is kept as {backup}."
                continue
            # Renaming claims it: of two windows starting at once only one succeeds.
            try:
                candidate.rename(self.path)
            except OSError:
                continue
            return replace(self._about(session), problem=problem)
        return Restored(problem=problem)

    def _about(self, session: Session) -> Restored:
        """Where it was saved; one whose place is not recorded was not."""
        try:
            held: Any = json.loads(self.path.read_bytes())[_ABOUT]
            file = None if held["file"] is None else Path(held["file"])
            return Restored(session, file, held["seen"], modified=bool(held["modified"]))
        except (OSError, ValueError, KeyError, TypeError):
            return Restored(session, modified=True)

    def _abandoned(self) -> list[Path]:
        def modified(path: Path) -> float:
            with contextlib.suppress(OSError):
                return path.stat().st_mtime
            return 0.0

        files = [p for p in listed(self._folder, f"autosave-*{SUFFIX}") if not _owner_alive(p)]
        return sorted(files, key=modified, reverse=True)


def _owner_alive(path: Path) -> bool:
    owner = path.name.removesuffix(SUFFIX).rpartition("-")[2]
    if not owner.isdigit() or not psutil.pid_exists(int(owner)):
        return False
    # A process number is used again after a restart: the file must be younger than its process.
    try:
        return psutil.Process(int(owner)).create_time() <= path.stat().st_mtime
    except (psutil.Error, OSError):
        return False
