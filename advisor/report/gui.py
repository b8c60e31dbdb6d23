"""A QGuiApplication for reports that are made without a window."""

import functools
import os

from PySide6.QtCore import QCoreApplication
from PySide6.QtGui import QGuiApplication


@functools.cache
def ensure_gui() -> QCoreApplication:
    """Text needs a QGuiApplication; make one without a screen where there is none.

    It is kept for the life of the process: Qt cannot make a second one reliably.
    """
    running = QGuiApplication.instance()
    if running is not None:
        return running
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    return QGuiApplication(["rig-advisor"])
