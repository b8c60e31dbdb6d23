"""Keep the interpreter's own pauses short: none longer than a frame while a person works.

Two of them are long by default. A collection of all cyclic garbage walks every object there is,
100 to 200 ms once the catalogue is sized; it also may run on any thread, where it would destroy Qt
objects that belong to the GUI thread. And a thread that computes keeps the interpreter for 5 ms
each time the GUI thread asks for it (docs.python.org: gc, sys.setswitchinterval).

So nothing is collected automatically. The GUI thread does it between jobs, young objects now and
then, as many as a frame has time for; what a job left in a heap is set aside unseen, for it is
values in trees, which go with their last reference. All of it is looked through once the window has
been in the background for a while.
"""

import gc
import sys
from typing import Final

from PySide6.QtCore import QObject, Qt, QTimer
from PySide6.QtGui import QGuiApplication

from advisor.ui import jobs

SWITCH_S: Final = 0.0005
LOOK_MS: Final = 1000
YOUNG: Final = 4_000
"""New objects from which a collection of them is worth its time."""
HEAP: Final = 10_000
"""New objects whose collection takes longer than a frame has: 1.2 µs each on a slow processor."""
BACKGROUND_MS: Final = 4000
"""So long in the background nobody is about to come back."""
ASIDE: Final = 500_000
"""Objects set aside since the last look at all of them, from which the next looks at them too."""
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
        self._away = QTimer(self, singleShot=True, interval=BACKGROUND_MS)
        self._away.timeout.connect(self.look_at_all)
        self._looked_at = 0
        """Objects that were set aside when all were looked at."""
        app.applicationStateChanged.connect(self._state_changed)

    def stop(self) -> None:
        """Leave the interpreter as it was."""
        self._timer.stop()
        self._away.stop()
        interval, enabled = self._before
        sys.setswitchinterval(interval)
        if enabled:
            gc.enable()

    def look(self) -> None:
        """Collect what is young, or set it aside where that would take too long.

        Not while a job is at work: what it needs would be looked through.
        """
        new = gc.get_count()[0]
        if new > MOST:
            gc.collect(1)
        elif new > YOUNG and not jobs.any_running():
            if new > HEAP:
                gc.freeze()
            else:
                gc.collect(0)

    def look_at_all(self) -> None:
        """Collect everything, what was set aside too where that is much."""
        if jobs.any_running():
            return
        aside = gc.get_freeze_count()
        if aside - self._looked_at < ASIDE:
            gc.collect()
            return
        gc.unfreeze()
        gc.collect()
        gc.freeze()
        self._looked_at = gc.get_freeze_count()

    def _state_changed(self, state: Qt.ApplicationState) -> None:
        if state == Qt.ApplicationState.ApplicationActive:
            self._away.stop()
        else:
            self._away.start()


def keep_caches() -> None:
    """After a job that filled caches: what is here now stays, and is not looked through again.

    Does nothing while Python collects by itself or when little was made.
    """
    if not gc.isenabled() and gc.get_count()[0] > CACHES:
        gc.freeze()
