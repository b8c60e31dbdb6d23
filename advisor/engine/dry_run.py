"""Ask llama.cpp itself what it would allocate: start it, read its breakdown, end it.

The breakdown comes before any weight is read (fit.cpp:common_get_device_memory_data_impl), so the
weights need not exist: a model without a file is asked through a header-only ghost.
"""

import contextlib
import functools
import threading
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

from advisor import paths
from advisor.engine.builds import Build
from advisor.engine.command import for_build
from advisor.engine.launch import Address, Files, embedded_job, placed, program_job
from advisor.engine.log import (
    BreakdownHeader,
    BreakdownRow,
    BufferSize,
    CacheSize,
    Event,
    Failure,
    ProjectorNeeds,
)
from advisor.engine.process import EngineProcess
from advisor.errors import EngineCrashed, EngineError, SettingsError
from advisor.llm.ghost import ghost_of
from advisor.llm.model import Model
from advisor.sizing.arguments import program_of, server_arguments
from advisor.sizing.settings import RunSettings
from advisor.sizing.speculative import draft_settings

TIMEOUT_S: Final = 60.0
"""A dry run takes 0.1 to 0.4 s; this long only on a machine that is busy or swapping."""

Part = Literal["draft", "projector"]
_EMBEDDED: Final = "embedded"
_MTP: Final = "draft-mtp"
_JUDGED: Final = "projected to use"
"""What fit.cpp says when it knows all that it will know."""
_TRIES: Final = 4
"""How often a breakdown may be lost before that is an error."""


@dataclass(frozen=True)
class DryRun:
    """llama.cpp's own accounting of a run that did not take place."""

    devices: tuple[BreakdownRow, ...]
    host: BreakdownRow
    extra: tuple[BreakdownRow, ...]
    """Host buffer types of their own: ``CPU_REPACK``."""
    compute: dict[str, int]
    """Bytes of each compute buffer, to 0.01 MiB, by buffer type. Empty where the log has none."""
    caches: tuple[CacheSize, ...]
    seconds: float
    """From starting the process to the breakdown."""
    engine: str
    output: dict[str, int] = field(default_factory=dict[str, int])
    """Bytes of the output buffers, to 0.01 MiB, by buffer type; not part of the rows."""
    draft: tuple[BreakdownRow, ...] = ()
    """Rows of what drafts tokens, without the model's own weights, which an MTP context shares;
    empty where nothing drafts, or where it was not told."""
    projector: int | None = None
    """Bytes of the projector with its buffer; None where there is none, or it was not told."""
    untold: tuple[Part, ...] = ()
    """Parts of the run that this llama.cpp did not account for: the embedded engine ends before it
    makes an MTP context."""

    @property
    def host_model(self) -> int:
        """Bytes of weights in the host's memory, repacked ones included (floored to MiB)."""
        return self.host.model + sum(row.model for row in self.extra)

    @property
    def host_total(self) -> int:
        """Bytes in the host's memory."""
        rows = (self.host, *self.extra)
        return sum(row.model + row.context + row.compute for row in rows)


class _LogLost(EngineCrashed):
    """The embedded engine ends every dry run by an abort (llama-model.cpp: no_alloc), and a thread
    of its own prints: on a busy machine the end comes before the breakdown is out, or before the
    reason of a refusal is.
    """


@dataclass
class _Collected:
    """Rows of the first breakdowns, and what was printed before them."""

    wanted: int = 1
    """Breakdowns: the model's, and perhaps one of what drafts."""
    tables: list[list[BreakdownRow]] = field(default_factory=list[list[BreakdownRow]])
    projector: int | None = None
    compute: dict[str, int] = field(default_factory=dict[str, int])
    output: dict[str, int] = field(default_factory=dict[str, int])
    caches: list[CacheSize] = field(default_factory=list[CacheSize])
    failure: Failure | None = None
    done: threading.Event = field(default_factory=threading.Event)

    def take(self, event: Event) -> None:
        if self.done.is_set():
            return
        if isinstance(event, BreakdownHeader):
            if len(self.tables) == self.wanted:
                self.done.set()
            else:
                self.tables.append([])
        elif isinstance(event, BreakdownRow) and self.tables:
            self.tables[-1].append(event)
        elif isinstance(event, BufferSize) and event.kind == "compute" and not self.tables:
            self.compute[event.place] = event.size
        elif isinstance(event, BufferSize) and event.kind == "output" and not self.tables:
            self.output[event.place] = event.size
        elif isinstance(event, CacheSize) and not self.tables:
            self.caches.append(event)
        elif isinstance(event, ProjectorNeeds):
            self.projector = event.size
        elif isinstance(event, Failure):
            self.failure = self.failure or event
            self.done.set()

    def line(self, line: str) -> None:
        # The table has no last line: the first line that is not part of it ends it. A version
        # that does not account for what drafts goes on to judge what it has.
        inside = not self.tables or not self.tables[-1] or "breakdown_print" in line
        if not inside and (len(self.tables) == self.wanted or _JUDGED in line):
            self.done.set()


def cannot(build: Build) -> str:
    """Why a build cannot account for a run without loading it; empty when it can."""
    if build.problem:
        return build.problem
    if build.kind == _EMBEDDED or "--fit" in build.options:
        return ""
    return f"llama.cpp {build.version} cannot say what it needs without loading: it is too old."


def dry_run(
    model: Model | Path,
    settings: RunSettings,
    *,
    build: Build | None = None,
    n_devices: int = 0,
    devices: Sequence[str] = (),
    cancel: threading.Event | None = None,
    timeout: float = TIMEOUT_S,
) -> DryRun:
    """What a llama.cpp would allocate for this run.

    build: None is the embedded one; for another, ``model`` must be a Model and ``n_devices`` the
    number of accelerators that it will use, ``devices`` their names where ``-dev`` has to tell them
    (``command.devices_for``). cancel: set it from another thread to give up early.
    Raises SettingsError for settings that are not resolved or that llama.cpp refuses,
    EngineCrashed when it ends by itself, EngineError for anything else, cancellation included,
    and ModelError when no ghost can be written.
    """
    if "fit" in {settings.n_gpu_layers, settings.n_cpu_moe}:
        message = 'A dry run needs numbers: let the solver replace "fit" first.'
        raise SettingsError(message)
    with model_files(model) as files:
        return dry_run_files(
            files,
            model,
            settings,
            build=build,
            n_devices=n_devices,
            devices=devices,
            cancel=cancel or threading.Event(),
            timeout=timeout,
        )


@contextlib.contextmanager
def model_files(model: Model | Path) -> Generator[Files]:
    """Files that llama.cpp can account for: the models' own, else ghosts of their headers."""
    with contextlib.ExitStack() as stack:

        def file_of(one: Model) -> Path:
            if one.whole is not None:
                return one.whole
            folder = paths.cache() / "ghosts"
            return stack.enter_context(ghost_of(one, folder, header_only=True)).path

        if isinstance(model, Path):
            yield Files(model)
        else:
            yield Files(file_of(model), None if model.draft is None else file_of(model.draft))


def dry_run_files(
    files: Files,
    model: Model | Path,
    settings: RunSettings,
    *,
    build: Build | None,
    n_devices: int,
    devices: Sequence[str] = (),
    cancel: threading.Event,
    timeout: float = TIMEOUT_S,
) -> DryRun:
    """``dry_run`` of files that are already there, for several runs of one model."""

    def ask(files: Files, settings: RunSettings) -> DryRun:
        once = functools.partial(
            _once, files, model, settings,
            build=build, n_devices=n_devices, devices=devices, cancel=cancel, timeout=timeout,
        )  # fmt: skip
        for _ in range(_TRIES - 1):
            with contextlib.suppress(_LogLost):
                return once()
        return once()

    asked = settings
    if isinstance(model, Model) and model.projector is not None and model.projector.path is None:
        # There is no file of it that llama.cpp could read: that part stays untold.
        settings = settings.model_copy(update={"mmproj": ""})
    found = ask(files, settings)
    if found.engine == _EMBEDDED and files.draft is not None:
        # It ends behind the main model, so what drafts is asked about alone.
        alone = draft_settings(settings).model_copy(update={"mmproj": ""})
        run = ask(Files(files.draft), alone)
        found = replace(found, draft=(*run.devices, run.host, *run.extra))
    if settings.spec_type == _MTP:
        own = [replace(row, model=0) for row in found.draft]
        found = replace(found, draft=tuple(row for row in own if row.context or row.compute))
    return replace(found, untold=_untold(found, asked))


def _untold(found: DryRun, settings: RunSettings) -> tuple[Part, ...]:
    drafts, projects = settings.spec_type != "none", bool(settings.mmproj)
    parts: tuple[tuple[Part, bool], ...] = (
        ("draft", drafts and not found.draft),
        ("projector", projects and found.projector is None),
    )
    return tuple(part for part, missing in parts if missing)


def _once(
    files: Files,
    model: Model | Path,
    settings: RunSettings,
    *,
    build: Build | None,
    n_devices: int,
    devices: Sequence[str],
    cancel: threading.Event,
    timeout: float,
) -> DryRun:
    build = None if build is None or build.kind == _EMBEDDED else build
    reason = "" if build is None else cannot(build)
    if reason:
        raise EngineError(reason)
    address = Address()
    collected = _Collected()
    if build is None or isinstance(model, Path):
        # What drafts would be loaded behind the point at which it ends.
        plain = settings.model_copy(update={"spec_type": "none"})
        pooling = model.pooling if isinstance(model, Model) else ""
        job = embedded_job(files, plain, address, dry_run=True, pooling=pooling)
    else:
        collected.wanted = 1 + (settings.spec_type != "none")
        given = server_arguments(model, settings, n_devices=n_devices, devices=devices)
        words = placed(given, files)
        if model.pooling:
            words += program_of(model)[1:]
        job = _program(words, build, address)
    process = EngineProcess(job, on_event=collected.take, on_line=collected.line)
    started = time.monotonic()
    try:
        process.start()
        while not collected.done.wait(0.01):
            if cancel.is_set():
                message = "The dry run was cancelled."
                raise EngineError(message)
            if not process.running and process.wait(0):
                break
            if time.monotonic() - started > timeout:
                message = f"llama.cpp did not report its memory within {timeout:.0f} seconds."
                raise EngineError(message, detail=process.last_words())
        seconds = time.monotonic() - started
    finally:
        if process.pid is not None:
            process.stop()
        address.close()
    if not collected.tables or not collected.tables[0]:
        _explain(process, collected, files.model)
    return _result(collected, seconds, _EMBEDDED if build is None else build.path)


def _program(words: list[str], build: Build, address: Address) -> dict[str, Any]:
    """llama-server as it would really run: its fit step accounts before anything is read."""
    arguments = [*words, "--fit", "on", "-lv", "5", "--host", address.host, "--port", "0"]
    return program_job([build.path, *for_build(arguments, build)])


def _explain(process: EngineProcess, collected: _Collected, path: Path) -> None:
    """Raise the error that says why there is no breakdown."""
    failure = process.failure or collected.failure
    detail = process.last_words()
    if failure is not None and failure.kind == "unknown-architecture":
        message = f'This llama.cpp does not know the architecture "{failure.place}" of {path.name}.'
        raise EngineError(message, detail=detail)
    if failure is not None and failure.kind == "old-build":
        message = f"This llama.cpp is too old for {path.name}: {failure.text}"
        raise EngineError(message, detail=detail)
    if failure is not None and failure.kind == "settings":
        message = f"llama.cpp refuses these settings: {failure.text}"
        raise SettingsError(message, detail=detail)
    if failure is not None and failure.kind == "bad-file":
        message = f"llama.cpp cannot read {path.name}: {failure.text}"
        raise EngineError(message, detail=detail)
    ended = process.exit.sentence if process.exit else ""
    if failure is not None and failure.kind == "assertion" and "no_alloc" in failure.text:
        message = "llama.cpp ended its dry run before it had printed how much memory it needs."
        raise _LogLost(message, detail=detail)
    message = f"llama.cpp did not say how much memory it needs. {ended}"
    refused = failure is None and process.exit is not None and process.exit.code == 1
    raise (_LogLost if refused else EngineCrashed)(message.strip(), detail=detail)


def _result(collected: _Collected, seconds: float, engine: str) -> DryRun:
    rows = collected.tables[0]
    devices = tuple(row for row in rows if row.is_device)
    hosts = [row for row in rows if not row.is_device]
    host = next((row for row in hosts if row.name == "Host"), BreakdownRow("Host", 0, 0, 0))
    return DryRun(
        devices=devices,
        host=host,
        extra=tuple(row for row in hosts if row is not host),
        compute=dict(collected.compute),
        caches=tuple(collected.caches),
        seconds=seconds,
        engine=engine,
        output=dict(collected.output),
        draft=tuple(collected.tables[1]) if len(collected.tables) > 1 else (),
        projector=collected.projector,
    )
