"""When all that a change of the question brings is there: what a test of layouts judges."""

from PySide6.QtCore import QCoreApplication, QObject, QTimer

from advisor.ui import jobs
from advisor.ui.turns import line

SOON_MS = 1000
"""Timers that take longer, to save a session, change nothing on screen."""


def _at_rest(parts: tuple[QObject, ...]) -> bool:
    timers = [timer for part in parts for timer in part.findChildren(QTimer)]
    soon = any(t.isActive() and t.isSingleShot() and t.interval() <= SOON_MS for t in timers)
    wanted = any(not job.cancelled for job in jobs._running)
    return not (soon or wanted or line._waiting)


def come_to_rest(qtbot, *parts: QObject) -> None:
    """Wait until no job is at work whose result is wanted, no piece of a page waits for its turn,
    no timer of ``parts`` will soon begin either, and what they brought is laid out.

    What looks earlier sees a page before it is filled, on which nothing can be wrong.
    """

    def rests() -> bool:
        if not _at_rest(parts):
            return False
        QCoreApplication.processEvents()
        return _at_rest(parts)

    qtbot.waitUntil(rests)
