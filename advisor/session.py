"""The session: rig, model, settings, usage and results as one document that is never lost.

A file is JSON. It is written beside its target and moved into place, so a full disk or a crash
leaves the previous file as it was. A report's PDF carries the same JSON and opens like a file.
"""

import contextlib
import hashlib
import importlib.metadata
import json
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal
from uuid import uuid4

import psutil
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from advisor import __version__, paths
from advisor.advice import hardware_prices
from advisor.advice.usage import Usage
from advisor.errors import SessionError
from advisor.files import write_atomically
from advisor.hardware.rig import Rig
from advisor.hardware.table import gpu_table
from advisor.probe.result import ProbeResult
from advisor.sizing.plan import LLAMA_CPP
from advisor.sizing.settings import RunSettings

VERSION: Final = 2
SUFFIX: Final = ".rig.json"
ATTACHMENT_NAME: Final = "session.rig.json"
"""The name under which a report's PDF carries its session."""
MAX_BYTES: Final = 64 << 20
"""A session is small; anything larger is not one."""
RECENT_FILES: Final = 10

Migration = Callable[[dict[str, Any]], dict[str, Any]]


def _without_data(fields: dict[str, Any]) -> dict[str, Any]:
    """Version 1 did not record data and prices: they are unknown, whatever stands there."""
    return {name: held for name, held in fields.items() if name not in ("data", "prices")}


_MIGRATIONS: Final[dict[int, Migration]] = {1: _without_data}
"""From version N to N + 1."""


class NotASession(SessionError):  # noqa: N818 - reads as the sentence it stands for
    """The file is something else; a damaged or a newer session is none of these."""


class ModelChoice(BaseModel):
    """The model in question: a catalogue id with a file type, or a GGUF file."""

    model_config = ConfigDict(frozen=True)

    model: str
    """Catalogue id or the path of a GGUF file."""
    file_type: str | None = None
    """None: as the file has it, or the model's usual one."""
    imatrix: bool = False


class ReportChoices(BaseModel):
    """How the session's report is to be made; its title and note are the session's own."""

    model_config = ConfigDict(frozen=True)

    left_out: frozenset[str] = frozenset()
    """Sections that do not go in."""
    paper: Literal["A4", "Letter"] | None = None
    """None: what the desktop's language uses; A4 without a desktop."""
    archival: bool = False
    """PDF/A-1b, without the session inside."""
    region: str | None = None
    """Locale whose way of writing figures is used: ``"de_DE"``. Empty: international. None: the
    desktop's; international without a desktop."""
    decimal_bytes: bool = False
    """Memory in GB (10⁹ bytes) instead of GiB (2³⁰)."""


class DataVersions(BaseModel):
    """What the figures were worked out from."""

    model_config = ConfigDict(frozen=True)

    hardware_prices: str
    """Day on which the shipped prices were reviewed."""
    api_prices: str
    """Version of genai-prices."""
    gpus: str
    """Day of the GPU table."""
    engine: str
    """Version of xllamacpp."""

    @classmethod
    def current(cls) -> "DataVersions":
        """Those of this installation."""
        return cls(
            hardware_prices=hardware_prices.data_date(),
            api_prices=importlib.metadata.version("genai-prices"),
            gpus=gpu_table().date,
            engine=importlib.metadata.version("xllamacpp"),
        )


class PriceUsed(BaseModel):
    """A price that an option of the report was worked out with, in US dollars."""

    model_config = ConfigDict(frozen=True)

    name: str
    """The piece of hardware, or the API for one of the usage's requests."""
    low: Decimal
    mid: Decimal
    high: Decimal
    date: str = ""
    source: str = ""


class Session(BaseModel):
    """Everything a person has chosen and measured. Plans and advice are computed from it."""

    model_config = ConfigDict(frozen=True)

    version: int = VERSION
    app_version: str = __version__
    llama_cpp: str = LLAMA_CPP
    id: str = Field(default_factory=lambda: uuid4().hex)
    created: datetime = Field(default_factory=lambda: datetime.now(UTC))
    modified: datetime = Field(default_factory=lambda: datetime.now(UTC))
    title: str = ""
    note: str = ""
    rig: Rig | None = None
    """None: this machine, detected anew."""
    model: ModelChoice | None = None
    settings: RunSettings = RunSettings()
    usage: Usage = Usage()
    scenario: str | None = None
    """Name of the built-in scenario that it began with."""
    probes: tuple[ProbeResult, ...] = ()
    data: DataVersions | None = None
    """What the results were worked out from when it was saved; None: not recorded."""
    prices: tuple[PriceUsed, ...] = ()
    """Of the options in its report, when that was made."""
    report: ReportChoices = ReportChoices()

    def to_json(self) -> str:
        """The document as a file holds it."""
        return self.model_dump_json(indent=1)


def loads(text: str | bytes, *, name: str = "This file") -> Session:
    """A session from its JSON. Raises SessionError with a sentence for a damaged or newer one."""
    try:
        document: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        message = f"{name} is not a Rig Advisor session: it is not readable as JSON."
        raise NotASession(message, detail=str(error)) from error
    if not isinstance(document, dict) or not isinstance(document.get("version"), int):  # pyright: ignore[reportUnknownMemberType] - plain JSON
        message = f"{name} is not a Rig Advisor session."
        raise NotASession(message)
    fields: dict[str, Any] = document  # pyright: ignore[reportUnknownVariableType]
    if fields["version"] > VERSION:
        message = (
            f"{name} was made by a newer Rig Advisor ({fields.get('app_version', 'unknown')}); "
            f"this is {__version__}. Update the app to open it; the file was not changed."
        )
        raise SessionError(message)
    fields = migrate(fields)
    try:
        return Session.model_validate(fields)
    except ValidationError as error:
        message = f"{name} is damaged: {_first_problem(error)}. It was not changed."
        raise SessionError(message, detail=str(error)) from error


def migrate(
    fields: dict[str, Any], migrations: Mapping[int, Migration] = _MIGRATIONS
) -> dict[str, Any]:
    """Bring an older document up to the newest version that ``migrations`` lead to."""
    while (step := migrations.get(fields["version"])) is not None:
        version = fields["version"] + 1
        fields = {**step(dict(fields)), "version": version}
    return fields


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
        content = _attached(path)
    return loads(content, name=path.name)


def save(session: Session, path: Path) -> Session:
    """Write atomically and return the session as saved. The previous file survives any failure.

    A file of an older version is kept beside it, for the app that wrote it.
    """
    session = session.model_copy(
        update={
            "modified": datetime.now(UTC),
            "version": VERSION,
            "app_version": __version__,
            "data": DataVersions.current(),
        }
    )
    _keep_older(path)
    _write(path, session.to_json().encode())
    return session


def _keep_older(path: Path) -> None:
    try:
        content = path.read_bytes()
        version: Any = json.loads(content)["version"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return
    if isinstance(version, int) and version < VERSION:
        _write(path.with_name(f"{path.name}.v{version}.bak"), content)


def fingerprint(path: Path) -> str | None:
    """What the file holds, in short; None where there is none. Tells whether it was changed."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def _write(path: Path, content: bytes) -> None:
    try:
        write_atomically(path, content)
    except OSError as error:
        message = (
            f"{path.name} could not be saved in {path.parent}: {error.strerror or error}. "
            "The previous file, if there was one, is unchanged."
        )
        raise SessionError(message) from error


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

    def save(self, session: Session) -> None:
        """Keep the session as it is now."""
        save(session, self.path)

    def discard(self) -> None:
        """Forget this window's file; its session was saved elsewhere or is not wanted."""
        self.path.unlink(missing_ok=True)

    def restore(self) -> tuple[Session | None, str | None]:
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
            return session, problem
        return None, problem

    def _abandoned(self) -> list[Path]:
        def modified(path: Path) -> float:
            with contextlib.suppress(OSError):
                return path.stat().st_mtime
            return 0.0

        files = [p for p in self._folder.glob(f"autosave-*{SUFFIX}") if not _owner_alive(p)]
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


def recent_files() -> tuple[Path, ...]:
    """Session files opened or saved before, newest first; those that are gone are left out."""
    try:
        names: Any = json.loads((paths.config() / "recent.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ()
    if not isinstance(names, list):
        return ()
    listed = [Path(name) for name in names if isinstance(name, str)]  # pyright: ignore[reportUnknownVariableType] - plain JSON
    return tuple(path for path in listed if path.is_file())


def remember_file(path: Path) -> None:
    """Put a file at the head of the recent ones."""
    path = path.resolve()
    files = [path, *(known for known in recent_files() if known != path)][:RECENT_FILES]
    _write(paths.config() / "recent.json", json.dumps([str(f) for f in files]).encode())


def _attached(path: Path) -> bytes:
    from pypdf import PdfReader  # noqa: PLC0415 - only needed for a PDF
    from pypdf.errors import PyPdfError  # noqa: PLC0415

    try:
        with PdfReader(path) as reader:
            found = reader.attachments.get(ATTACHMENT_NAME)
    except (PyPdfError, OSError, ValueError, KeyError, RecursionError) as error:
        message = f"{path.name} could not be read as a PDF."
        raise SessionError(message, detail=str(error)) from error
    if not found:
        message = (
            f"{path.name} carries no Rig Advisor session. Only reports that Rig Advisor saved as "
            "a normal PDF (not PDF/A) can be opened again."
        )
        raise SessionError(message)
    return found[0]


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False)[0]
    place = " → ".join(str(part) for part in problem["loc"])
    return f"{place or 'the document'}: {problem['msg'].lower()}"
