"""Have the other pages ready before someone asks for them.

Importing a page's modules takes up to half a second and building its widgets about a tenth, so the
first look at a page would stall the window. The modules are imported on a worker thread after the
first page is on screen; the widgets, which only the GUI thread may make, are built one page at a
time while nobody presses anything. What was asked for comes first, but not for ever: the first look
at the whole catalogue takes minutes on a rig of many unlike cards.
"""

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from typing import Final

from PySide6.QtCore import QElapsedTimer, QObject, QTimer
from PySide6.QtWidgets import QApplication

from advisor.ui import jobs, pauses
from advisor.ui.turns import Turn

QUIET_MS: Final = 400
"""No job, no pressed button and no open menu for two looks that far apart counts as quiet."""
PATIENT_MS: Final = 3000
"""From here on a job that is still at work is built beside: it has a thread of its own."""


class Ahead(QObject):
    """Imports ``modules`` in the background, then calls ``build`` for each of ``keys``."""

    def __init__(
        self,
        modules: Sequence[str],
        keys: Sequence[str],
        build: Callable[[str], object],
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._keys = list(keys)
        self._build = build
        self._was_quiet = False
        self._waits = QElapsedTimer()
        self._turn = Turn(self)
        self._turn.due.connect(self._build_next)
        self._timer = QTimer(self, interval=QUIET_MS)
        self._timer.timeout.connect(self.look)

        def load(job: jobs.Job) -> None:
            for name in modules:
                # The window says what is missing once someone asks for that page.
                if not job.cancelled and importlib.util.find_spec(name) is not None:
                    importlib.import_module(name)
            from advisor.session import DataVersions  # noqa: PLC0415 - pydantic is loaded by now

            DataVersions.current()  # read from files, and kept: each session is saved with them

        def loaded(_none: None) -> None:
            pauses.keep_caches()
            self._waits.start()
            self._timer.start()

        jobs.run_task(load, on_result=loaded, owner=self)

    def stop(self) -> None:
        """Build no more."""
        self._timer.stop()
        self._turn.stop()
        self._keys.clear()

    def look(self) -> None:
        """Build the next page if nothing is going on."""
        if not self._keys:
            self._timer.stop()
            return
        busy = jobs.any_running() and self._waits.elapsed() < PATIENT_MS
        quiet = not (
            busy
            or QApplication.mouseButtons().value
            or QApplication.activePopupWidget() is not None
        )
        if quiet and self._was_quiet:
            self._turn.start()
            quiet = False
        self._was_quiet = quiet

    def _build_next(self) -> None:
        if self._keys:
            self._build(self._keys.pop(0))
