"""Work off the GUI thread: ``run_task`` is the only way, and results come back on the GUI thread.

    job = run_task(lambda job: slow(job), on_result=self._show, on_error=self._complain, owner=self)
    job.cancel()

The function gets its ``Job``: it may report progress and should look at ``job.cancelled`` from
time to time. It must not touch widgets.
"""

import contextlib
import logging
from collections.abc import Callable
from typing import Any, Final, TypeVar

import shiboken6
from PySide6.QtCore import QObject, Qt, QThreadPool, Signal, Slot
from PySide6.QtWidgets import QWidget

from advisor.errors import RigAdvisorError
from advisor.ui import laid_out
from advisor.ui.turns import Turn

T = TypeVar("T")
log: Final = logging.getLogger(__name__)

_running: Final[set["Job"]] = set()


class Job(QObject):
    """One piece of work. Lives on the GUI thread; the worker only emits its signals."""

    _reported = Signal(float, str)
    """Share done from 0 to 1 (negative: not known), and what is being done."""
    finished = Signal()
    """After the result or the error was delivered, or dropped because of a cancellation."""
    _ended = Signal(object, object)

    def __init__(
        self,
        fn: "Callable[[Job], Any]",
        on_result: Callable[[Any], None],
        on_error: Callable[[RigAdvisorError], None] | None,
        on_progress: Callable[[float, str], None] | None,
        owner: QObject | None,
    ) -> None:
        super().__init__()
        self._fn = fn
        self._on_result = on_result
        self._on_error = on_error
        self._on_progress = on_progress
        self._owner = owner
        self._cancelled = False
        self._came: tuple[object, Exception | None] = None, None
        self._due = Turn(self, awaited=True)
        self._due.due.connect(self._deliver)
        self._ended.connect(self._arrived, Qt.ConnectionType.QueuedConnection)
        self._reported.connect(self._tell, Qt.ConnectionType.QueuedConnection)

    @property
    def cancelled(self) -> bool:
        """Whether its result is no longer wanted."""
        return self._cancelled

    def cancel(self) -> None:
        """Ask the work to stop; whatever it still returns is dropped."""
        self._cancelled = True

    def report(self, share: float, text: str = "") -> None:
        """Called by the work: how far it is."""
        if not self._cancelled:
            self._reported.emit(share, text)

    @property
    def _unwanted(self) -> bool:
        return self._cancelled or (self._owner is not None and not shiboken6.isValid(self._owner))

    def work(self) -> None:
        """The worker thread's part."""
        result: Any = None
        failure: Exception | None = None
        if not self._cancelled:
            try:
                result = self._fn(self)
            except Exception as error:  # noqa: BLE001 - carried to the GUI thread, raised there
                failure = error
        # At the end of the program Qt may already have taken the object down.
        if shiboken6.isValid(self):
            self._ended.emit(result, failure)

    @Slot(float, str)
    def _tell(self, share: float, text: str) -> None:
        # Said before it was cancelled, heard only now.
        if self._on_progress is not None and not self._unwanted:
            self._on_progress(share, text)

    @Slot(object, object)
    def _arrived(self, result: object, failure: Exception | None) -> None:
        """Shown in a turn of its own: what is painted in this one may be as long as a frame."""
        self._came = result, failure
        self._due.start()

    def _deliver(self) -> None:
        result, failure = self._came
        self._came = None, None
        _running.discard(self)
        self.deleteLater()
        try:
            if self._unwanted:
                if failure is not None:
                    log.info("dropped the error of a cancelled job: %s", failure)
            elif failure is None:
                with _laid_out_once(self._owner):
                    self._on_result(result)
            elif isinstance(failure, RigAdvisorError) and self._on_error is not None:
                self._on_error(failure)
            else:
                raise failure
        finally:
            self.finished.emit()


def _laid_out_once(owner: QObject | None) -> contextlib.AbstractContextManager[None]:
    if isinstance(owner, QWidget) and owner.isVisible():
        return laid_out.once(owner)
    return contextlib.nullcontext()


def run_task(
    fn: Callable[[Job], T],
    *,
    on_result: Callable[[T], None],
    on_error: Callable[[RigAdvisorError], None] | None = None,
    on_progress: Callable[[float, str], None] | None = None,
    owner: QObject | None = None,
    pool: QThreadPool | None = None,
) -> Job:
    """Run ``fn`` on a thread pool; exactly one of the callbacks follows on the GUI thread.

    Nothing follows after ``Job.cancel()`` or once ``owner`` is deleted. ``on_error`` gets expected
    failures only (RigAdvisorError); anything else is a bug and is raised on the GUI thread, where
    the crash dialog shows it.
    """
    job = Job(fn, on_result, on_error, on_progress, owner)
    _running.add(job)
    (pool or QThreadPool.globalInstance()).start(job.work)
    return job


def any_running() -> bool:
    """Whether some work is not delivered yet."""
    return bool(_running)


def cancel_all(wait_ms: int = 3000) -> bool:
    """Before the program ends: cancel everything and wait. False if something still runs."""
    for job in list(_running):
        job.cancel()
    return QThreadPool.globalInstance().waitForDone(wait_ms)
