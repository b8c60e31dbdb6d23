"""Makes Qt's classes on the window's thread, before another thread may.

PySide makes a class when it is asked for the first time, and two threads that do so at once may end
the process (PySide 6.11.3: in 17 of 25 tries). pyqtgraph asks for all of them when it is imported,
which is on a worker thread while the window is painted.
"""

from collections.abc import Iterator

from PySide6 import QtCore, QtGui, QtWidgets


def made() -> Iterator[None]:
    """One class after the other, 0.2 ms each."""
    for module in (QtCore, QtGui, QtWidgets):
        for name in dir(module):
            getattr(module, name)
            yield
