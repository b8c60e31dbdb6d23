"""Ask a program of the user's one thing, and read what it prints, how it ends and what it holds."""

import contextlib
import errno
import os
import subprocess
import threading
import time
from pathlib import Path
from typing import Final

import psutil

from advisor.engine.outside import NO_WINDOW, by_slot, clean_environment, without_our_libraries

ASK_S: Final = 20.0
"""How long a program may take to list its devices; drivers start slowly after boot."""

_WRONG_KIND: Final = frozenset({193, 216})
"""Windows' ERROR_BAD_EXE_FORMAT and ERROR_EXE_MACHINE_TYPE_MISMATCH (winerror.h)."""
_LOOK_S: Final = 0.002
_MOST_OUTPUT: Final = 1 << 20
_READ: Final = 1 << 16
_DRAIN_S: Final = 1.0
"""How long the rest of its output may take once a program has ended."""


def ask_program(program: Path, argument: str) -> tuple[str, str, int | None]:
    """Output of a program, what went wrong (a sentence), and the most RAM it held, in bytes."""
    try:
        with without_our_libraries():
            process = subprocess.Popen(
                [str(program), argument],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=by_slot(clean_environment(os.environ)),
                creationflags=NO_WINDOW,
            )
    except OSError as error:
        why = error.strerror or str(error)
        if error.errno == errno.ENOEXEC or getattr(error, "winerror", None) in _WRONG_KIND:
            why = "it was built for another kind of processor or system"
        return "", f"{program} could not be started: {why}.", None
    parts: list[bytes] = []
    reader = threading.Thread(target=_drain, args=(process, parts), daemon=True)
    reader.start()
    held = _watch(process)
    if process.returncode is not None:
        reader.join(_DRAIN_S)
    text = b"".join(parts).decode("utf-8", "replace")
    if process.returncode is None:
        process.kill()
        process.wait()
        return "", f"{program} did not answer within {ASK_S:.0f} seconds.", None
    if process.returncode != 0:
        last = text.strip().splitlines()[-1:] or ["no message"]
        return text, f"{program} fails ({last[0][:200]}).", held
    return text, "", held


def _drain(process: "subprocess.Popen[bytes]", parts: list[bytes]) -> None:
    """Read all that a child prints, and keep the beginning. Ends with the last who can print."""
    assert process.stdout is not None  # noqa: S101 - asked for
    kept = 0
    with process.stdout as stream:
        while chunk := os.read(stream.fileno(), _READ):
            if kept < _MOST_OUTPUT:
                parts.append(chunk)
                kept += len(chunk)


def _watch(process: "subprocess.Popen[bytes]") -> int | None:
    """Wait for the end of a child; the most RAM that it was seen to hold, None if unknown.

    The system's own maximum would count what this process held when it forked (getrusage(2)).
    """
    most = 0
    until = time.monotonic() + ASK_S
    with contextlib.suppress(psutil.Error):
        asked = psutil.Process(process.pid)
        while process.poll() is None and time.monotonic() < until:
            with contextlib.suppress(psutil.Error):
                most = max(most, asked.memory_info().rss)
            time.sleep(_LOOK_S)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(max(0.0, until - time.monotonic()))
    return most or None
