"""Keep the interpreter's own pauses short: none longer than a frame while a person works.

Two of them are long by default. A collection of all cyclic garbage walks every object there is,
100 to 200 ms once the catalogue is sized; it also may run on any thread, where it would destroy Qt
objects that belong to the GUI thread. And a thread that computes keeps the interpreter for 5 ms
each time the GUI thread asks for it (docs.python.org: gc, sys.setswitchinterval).

So nothing is collected automatically; the GUI thread does it between jobs, young objects now and
then, all of them when the window is in the background.
"""

import gc
import sys
from typing import Final

from PySide6.QtCore import QObject, Qt, QTimer
from PySide6.QtGui import QGuiApplication

from advisor.ui import jobs

SWITCH_S: Final = 0.0005
LOOK_MS: Final = 5000
YOUNG: Final = 20_000
"""New objects from which a collection of them is worth its time."""
CACHES: Final = 100_000
"""New objects from which a job has filled caches that stay for good."""
MOST: Final = 3_000_000
"""New objects that are looked through even while a job runs, so that memory stays bounded."""


class Collector(QObject):
    """Collects garbage on the GUI thread for as long as it lives."""

    def __init__(self, app: QGuiApplication) -> None:
        super().__init__(app)
        self._before = sys.getswitchinterval(), gc.isenabled()
        sys.setswitchinterval(SWITCH_S)
        gc.disable()
        self._timer = QTimer(self, interval=LOOK_MS)
        self._timer.timeout.connect(self.look)
        self._timer.start()
        app.applicationStateChanged.connect(self._state_changed)

    def stop(self) -> None:
        """Leave the interpreter as it was."""
        self._timer.stop()
        interval, enabled = self._before
        sys.setswitchinterval(interval)
        if enabled:
            gc.enable()

    def look(self) -> None:
        """Collect what is young, unless a job is at work."""
        new = gc.get_count()[0]
        if new > MOST or (new > YOUNG and not jobs.any_running()):
            gc.collect(1)

    def _state_changed(self, state: Qt.ApplicationState) -> None:
        if state != Qt.ApplicationState.ApplicationActive and not jobs.any_running():
            gc.collect()


def keep_caches() -> None:
    """After a job that filled caches: what is here now stays, and is not looked through again.

    Does nothing while Python collects by itself or when little was made.
    """
    if not gc.isenabled() and gc.get_count()[0] > CACHES:
        gc.freeze()
