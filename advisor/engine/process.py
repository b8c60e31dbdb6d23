"""One engine child process: started, read line by line, and ended whatever it does."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

from advisor.engine import windows_job
from advisor.engine.launch import worker_command
from advisor.engine.log import Adjusted, Event, Failure, plain, read_line
from advisor.engine.outside import NO_WINDOW, by_slot
from advisor.errors import EngineError

TAIL_LINES: Final = 200
_FLOOD: Final = 20_000
"""Lines of log that no working llama.cpp writes during a probe."""
TERMINATE_S: Final = 0.8
"""How long it may take to end by itself before it is killed."""
KILL_S: Final = 1.5
DRAIN_S: Final = 0.3
"""How long the rest of its log may take once it has ended."""

_ILLEGAL: Final = signal.SIGILL
_BUS_ERROR: Final = getattr(signal, "SIGBUS", 1 << 16)
_READ: Final = 1 << 16
_MAX_FAILURES: Final = 100


@dataclass(frozen=True, slots=True)
class Exit:
    """How the process ended."""

    code: int
    """Exit status; a negative signal number where one ended it (POSIX)."""
    stopped: bool
    """We ended it."""
    out_of_memory: bool
    """The system's memory killer was at work meanwhile."""

    @property
    def sentence(self) -> str:
        """What happened, for people."""
        if self.stopped:
            return "llama.cpp was stopped."
        if self.out_of_memory:
            return "The system ran out of memory and ended llama.cpp."
        named = {
            -9: "llama.cpp was killed from outside.",
            -6: "llama.cpp gave up on an error of its own (abort).",
        }
        if self.code == -_BUS_ERROR:
            # What it had mapped could not be read: the file is shorter now, or its disk is gone.
            return "llama.cpp could not read a file any more that it had opened (bus error)."
        if self.code in {-_ILLEGAL, 0xC000001D}:  # STATUS_ILLEGAL_INSTRUCTION of ntstatus.h
            return "llama.cpp was built for instructions that this processor does not have."
        crashed = f"signal {-self.code}" if self.code < 0 else f"0x{self.code:08X}"
        if self.code < 0 or self.code > 0xFFFF:
            return named.get(self.code, f"llama.cpp crashed ({crashed}).")
        return f"llama.cpp ended by itself with status {self.code}."


class EngineProcess:
    """Start it, read its events, stop it. One thread reads; it ends with the process."""

    def __init__(
        self,
        job: Mapping[str, Any],
        *,
        on_event: Callable[[Event], None] | None = None,
        on_line: Callable[[str], None] | None = None,
        command: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._job = dict(job)
        self._command = list(command if command is not None else worker_command())
        # ggml would start a debugger on every failed assertion, and wait for it.
        own = {**os.environ, "GGML_NO_BACKTRACE": "1", **(environment or {})}
        self._environment = by_slot(own)
        self._on_event = on_event
        self._on_line = on_line
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._failures: list[Failure] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._stopped = False
        self._lock = threading.Lock()
        self._oom_before = 0
        self._windows_job: int | None = None
        self.exit: Exit | None = None
        self.lines = 0

    # --- Life -----------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the child. Raises EngineError when that is impossible."""
        self._oom_before = _oom_kills()
        try:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=sys.platform != "win32",
                creationflags=NO_WINDOW,
            )
        except OSError as error:
            name = Path(self._command[0]).name
            message = f"{name} could not be started: {error.strerror or error}."
            raise EngineError(message, detail=" ".join(self._command)) from error
        if sys.platform == "win32":
            self._windows_job = windows_job.bind_to_us(self._process.pid)
        self._reader = threading.Thread(target=self._read, name="engine-log", daemon=True)
        self._reader.start()
        job = json.dumps({**self._job, "parent": os.getpid()}).encode() + b"\n"
        # A child that died at once has closed the pipe; its exit says more than this error.
        with contextlib.suppress(OSError):
            assert self._process.stdin is not None  # noqa: S101 - asked for above
            self._process.stdin.write(job)
            self._process.stdin.flush()

    @property
    def pid(self) -> int | None:
        """Process id, None before it was started."""
        return None if self._process is None else self._process.pid

    @property
    def running(self) -> bool:
        """Whether the child lives."""
        return self._process is not None and self._process.poll() is None

    def wait(self, seconds: float) -> bool:
        """Wait for the child to end by itself. Returns whether it has."""
        if self._process is None:
            return True
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        self._finish()
        return True

    def stop(self) -> Exit:
        """End the child and everything it started, within three seconds. Safe to call again.

        Raises EngineError if it was never started.
        """
        process = self._process
        if process is None:
            message = "llama.cpp was not started."
            raise EngineError(message)
        if process.poll() is None:
            self._stopped = True
            family = _family(process.pid)
            with contextlib.suppress(OSError):
                process.terminate()
            if process.stdin is not None:
                with contextlib.suppress(OSError):
                    process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(TERMINATE_S)
            _kill(family)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(KILL_S)
        return self._finish()

    def _finish(self) -> Exit:
        process, reader = self._process, self._reader
        assert process is not None  # noqa: S101 - both callers have checked
        if reader is not None and reader is not threading.current_thread():
            reader.join(DRAIN_S)
            if reader.is_alive():
                # Somebody still holds the log: what the child started and did not take with it.
                self._end_family(process.pid)
                reader.join(KILL_S)
        with self._lock:
            if self.exit is None:
                for stream in (process.stdin, process.stdout):
                    if stream is not None:
                        with contextlib.suppress(OSError):
                            stream.close()
                code = process.poll()
                killed = code in {-9, 137} and not self._stopped
                self.exit = Exit(
                    code=-9 if code is None else code,
                    stopped=self._stopped,
                    out_of_memory=killed and _oom_kills() > self._oom_before,
                )
                self._end_family(None)
        return self.exit

    def _end_family(self, group: int | None) -> None:
        """End whatever the child left: Windows' job at once, elsewhere a process group."""
        if sys.platform == "win32":
            job, self._windows_job = self._windows_job, None
            if job is not None:
                windows_job.close(job)
        elif group is not None:
            with contextlib.suppress(OSError):
                os.killpg(group, signal.SIGKILL)

    # --- Log ------------------------------------------------------------------------------------

    def _read(self) -> None:
        assert self._process is not None  # noqa: S101 - started just before this thread
        stream = self._process.stdout
        assert stream is not None  # noqa: S101 - asked for in start
        with contextlib.suppress(OSError, ValueError):  # closed under us while stopping
            for raw in iter(lambda: stream.readline(_READ), b""):
                self.lines += 1
                if self._stopped and self.lines > _FLOOD:
                    continue  # reading a flood would hold up its end
                line = raw.decode("utf-8", "replace").rstrip("\r\n")
                self._tail.append(line[:1000])
                if self._on_line is not None:
                    self._on_line(line)
                event = read_line(line)
                if event is None:
                    continue
                if isinstance(event, Adjusted):
                    self._failures = []
                if isinstance(event, Failure) and len(self._failures) < _MAX_FAILURES:
                    self._failures.append(event)
                if self._on_event is not None:
                    self._on_event(event)

    @property
    def tail(self) -> str:
        """The end of the log, as text."""
        return "\n".join(list(self._tail))

    @property
    def failure(self) -> Failure | None:
        """The reason that the log gives: memory and device first, others follow from them."""
        order = ("out-of-memory", "device-lost", "unknown-architecture")
        failures = list(self._failures)
        for kind in order:
            for failure in failures:
                if failure.kind == kind:
                    return failure
        return failures[0] if failures else None

    def last_words(self, count: int = 12) -> str:
        """The last lines of the log without time stamps."""
        return "\n".join(plain(line) for line in list(self._tail)[-count:])


def _family(pid: int) -> list[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        parent = psutil.Process(pid)
        return [*parent.children(recursive=True), parent]
    return []


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()


def _oom_kills() -> int:
    """How often Linux's memory killer has struck since boot; 0 elsewhere."""
    try:
        with open("/proc/vmstat", encoding="ascii") as file:  # noqa: PTH123
            for line in file:
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
    except OSError:
        pass
    return 0
