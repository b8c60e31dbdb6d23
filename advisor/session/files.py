"""Session files: opened, and written so that nothing that was there is lost.

A file is written beside its target and moved into place, so a full disk or a crash leaves the
previous one as it was. A report's PDF carries the same JSON and opens like a file.
"""

import hashlib
import itertools
import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from advisor import __version__
from advisor.errors import SessionError
from advisor.files import write_atomically
from advisor.session.document import VERSION, NotASession, Session, loads
from advisor.session.shared import as_own

SUFFIX: Final = ".rig.json"
ATTACHMENT_NAME: Final = "session.rig.json"
"""The name under which a report's PDF carries its session."""
MAX_BYTES: Final = 64 << 20
"""A session is small; anything larger is not one."""


def load(path: Path) -> Session:
    """Open a session file, or the session inside a report's PDF."""
    try:
        if path.stat().st_size > MAX_BYTES:
            message = f"{path.name} is too large to be a Rig Advisor session."
            raise SessionError(message)
        content = path.read_bytes()
    except OSError as error:
        message = f"{path.name} could not be read: {error.strerror or error}."
        raise SessionError(message) from error
    if content.startswith(b"%PDF"):
        try:
            return as_own(loads(_attached(path), name=path.name))
        except NotASession as error:
            raise _damaged_pdf(path, error.detail) from error
    return loads(content, name=path.name)


def save(session: Session, path: Path, *, beside: Mapping[str, object] | None = None) -> Session:
    """Write atomically and return the session as saved. The previous file survives any failure.

    ``beside`` are further fields of the file that are no part of the session.
    What was there and is no session of this version is kept beside it.
    """
    session = session.model_copy(
        update={
            "modified": datetime.now(UTC),
            "version": VERSION,
            "app_version": __version__,
        }
    )
    _keep_other(path)
    content = session.to_json()
    if beside:
        content = json.dumps({**json.loads(content), **beside})
    write(path, content.encode())
    return session


def _keep_other(path: Path) -> None:
    """A backup of a file that an older or newer app wrote, that is damaged or something else."""
    try:
        content = path.read_bytes()
    except OSError:
        return
    try:
        version: Any = json.loads(content)["version"]
    except (ValueError, KeyError, TypeError, RecursionError):
        version = None
    if version == VERSION:
        return
    kind = f".v{version}" if isinstance(version, int) else ""
    backup = next(
        b
        for n in itertools.count()
        if not (b := path.with_name(f"{path.name}{kind}{f'.{n}' if n else ''}.bak")).exists()
        or b.read_bytes() == content
    )
    write(backup, content)


def fingerprint(path: Path) -> str | None:
    """What the file holds, in short; None where there is none. Tells whether it was changed."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def write(path: Path, content: bytes) -> None:
    """Write a file of the app whole or not at all. Raises SessionError with a sentence."""
    try:
        write_atomically(path, content)
    except OSError as error:
        message = (
            f"{path.name} could not be saved in {path.parent}: {error.strerror or error}. "
            "The previous file, if there was one, is unchanged."
        )
        raise SessionError(message) from error


def _attached(path: Path) -> bytes:
    from pypdf import PdfReader  # noqa: PLC0415 - only needed for a PDF

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # what it says is in our own sentence
    try:
        with PdfReader(path) as reader:
            found = reader.attachments.get(ATTACHMENT_NAME)
    except Exception as error:
        raise _damaged_pdf(path, str(error)) from error
    if not found:
        message = (
            f"{path.name} carries no Rig Advisor session. Only reports that Rig Advisor saved as "
            "a normal PDF (not PDF/A) can be opened again."
        )
        raise SessionError(message)
    return found[0]


def _damaged_pdf(path: Path, detail: str) -> SessionError:
    message = (
        f"{path.name} could not be read as a PDF with a session: it is damaged or incomplete. "
        "Fetch it again from where it came from; it was not changed."
    )
    return SessionError(message, detail=detail)
