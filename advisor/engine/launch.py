"""How an engine child is started: its command, its address and its job."""

import os
import re
import secrets
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

from advisor.engine.worker import ARGUMENT
from advisor.sizing.settings import RunSettings

_SOCKET: Final = "engine.sock"
_LONGEST: Final = 103
"""Bytes of a socket's path without its end (sockaddr_un.sun_path: 104 on macOS, 108 on Linux)."""
_FOLDER: Final = re.compile(r"^rig-advisor-(?P<pid>\d+)-\w+$")


def worker_command() -> list[str]:
    """Command that starts this app as an engine worker: from a checkout, installed or frozen."""
    if getattr(sys, "frozen", False):
        return [sys.executable, ARGUMENT]
    return [sys.executable, "-m", "advisor", ARGUMENT]


def _sweep(folder: Path) -> None:
    """Remove socket folders of processes that ended without doing so."""
    for path in folder.glob("rig-advisor-*-*"):
        match = _FOLDER.match(path.name)
        if match and not psutil.pid_exists(int(match["pid"])):
            shutil.rmtree(path, ignore_errors=True)


def _own_folder() -> Path | None:
    """A new folder for a socket; None where none can be made, or where its path is too long."""
    try:
        # Socket paths are short, so not in the app's cache folder.
        place = Path(tempfile.gettempdir())
        _sweep(place)
        folder = Path(tempfile.mkdtemp(prefix=f"rig-advisor-{os.getpid()}-", dir=place))
    except OSError:
        return None
    if len(os.fsencode(folder / _SOCKET)) > _LONGEST:
        folder.rmdir()
        return None
    return folder


class Address:
    """Where a child will serve: a Unix socket in a folder of our own, else a loopback port.

    Both need the key, which travels over stdin or the environment, never over an argument list.
    """

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.host = "127.0.0.1"
        if sys.platform != "win32":
            self.folder = _own_folder()
            if self.folder is not None:
                self.host = str(self.folder / _SOCKET)
        self.api_key = secrets.token_urlsafe(24)

    def close(self) -> None:
        """Remove the socket's folder."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Files:
    """What a child loads."""

    model: Path
    draft: Path | None = None
    """The model that drafts tokens, where there is one."""


def placed(arguments: Sequence[str], files: Files) -> list[str]:
    """llama-server's arguments with the files that are really there in place of the names."""
    words = list(arguments)
    words[words.index("-m") + 1] = str(files.model)
    if files.draft is not None and "-md" in words:
        words[words.index("-md") + 1] = str(files.draft)
    return words


def embedded_job(
    files: Files,
    settings: RunSettings,
    address: Address,
    *,
    dry_run: bool = False,
    ghost: bool = False,
    threads: int | None = None,
    pooling: str = "",
    spec_type: str = "",
) -> dict[str, Any]:
    """What the worker needs to load a model into the embedded engine. ``settings`` are resolved.

    ghost: the model's file is one, cheap to read again. pooling: the model is asked for vectors, or
    for scores ("rank"), as ``Model.pooling`` says; empty: it writes. spec_type: how it drafts, as a
    draft model's own architecture says (``speculative.kind``); empty: as the settings say.
    """
    return {
        "task": "serve",
        "model": str(files.model),
        "settings": settings.model_dump(),
        "host": address.host,
        "api_key": address.api_key,
        "model_draft": "" if files.draft is None else str(files.draft),
        "dry_run": dry_run,
        "ghost": ghost,
        "release_pages": not dry_run and settings.mmap,
        "threads": threads,
        "pooling": pooling,
        "spec_type": spec_type or settings.spec_type,
        # 4 has the memory breakdown; 5 also has every buffer of a dry run, to 0.01 MiB.
        "verbosity": 5 if dry_run else 4,
    }


def program_job(arguments: Sequence[str]) -> dict[str, Any]:
    """What the worker needs to become another program."""
    return {"task": "run", "program": list(arguments)}
