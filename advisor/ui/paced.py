"""Work in small steps behind the window, with a rest after each that is as long as the step.

Half a core at most is busy, and between two steps the window is as quiet as without. While this
machine is measured (``hold``) no step begins, and a job that takes its own steps rests as well
where it asks (``rest``).
"""

import threading
from collections.abc import Callable
from time import perf_counter
from typing import Any, Final

import shiboken6
from PySide6.QtCore import QObject, QTimer

from advisor.ui.jobs import Job, run_task

_LEAST_REST_MS: Final = 4
_measuring: Final[set[QObject]] = set()
_held: Final["dict[Paced, None]"] = {}
"""Those that would go on."""
_quiet: Final = threading.Event()
"""Nothing is measured, for threads that wait for it."""
_quiet.set()
_LOOK_S: Final = 0.1


def hold(measuring: QObject) -> None:
    """Begin no step until it is released or gone: what is computed here would slow it down."""
    if measuring not in _measuring:
        _measuring.add(measuring)
        measuring.destroyed.connect(lambda: release(measuring))
    _quiet.clear()


def release(measured: QObject) -> None:
    """It measures no more."""
    _measuring.discard(measured)
    if not _measuring:
        _quiet.set()
        held = [paced for paced in _held if shiboken6.isValid(paced)]
        _held.clear()
        for paced in held:
            paced.start()


def rest(cancelled: Callable[[], bool]) -> None:
    """For a job between two of its steps: wait while this machine is measured, or until it is
    cancelled. Never on the GUI thread."""
    while not cancelled() and not _quiet.wait(_LOOK_S):
        pass


class Paced(QObject):
    """Does one step after the other while there is one."""

    def __init__(
        self,
        owner: QObject,
        step: Callable[[], Callable[[], Any] | None],
        done: Callable[[Any], None],
    ) -> None:
        """``step``: what to do next, off the GUI thread; None: nothing. ``done`` gets its result.

        A step that fails with a RigAdvisorError is the last.
        """
        super().__init__(owner)
        self._step = step
        self._done = done
        self._job: Job | None = None
        self._rest = QTimer(self, singleShot=True)
        self._rest.timeout.connect(self._do_next)

    def start(self) -> None:
        """Go on, soon."""
        if self._job is None and not self._rest.isActive():
            self._rest.start(_LEAST_REST_MS)

    def stop(self) -> None:
        """The step that is being done comes to nothing."""
        self._rest.stop()
        _held.pop(self, None)
        if self._job is not None:
            self._job.cancel()
            self._job = None

    def _do_next(self) -> None:
        if _measuring:
            _held[self] = None
            return
        step = self._step()
        if step is None:
            return

        def work(_job: Job) -> tuple[object, float]:
            began = perf_counter()
            return step(), perf_counter() - began

        def done(result: tuple[object, float]) -> None:
            found, taken = result
            self._job = None
            self._rest.start(max(_LEAST_REST_MS, round(1000 * taken)))
            self._done(found)

        self._job = run_task(work, on_result=done, on_error=lambda _error: self.stop(), owner=self)
