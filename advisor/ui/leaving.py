"""The window goes in good order when it is told to from outside: by a signal, or by its desktop.

Closing keeps the session, ends the probe's child and deletes its ghost.
"""

import ctypes
import signal
import socket
import sys
from types import FrameType
from typing import Final

from PySide6.QtCore import (
    QAbstractNativeEventFilter,
    QByteArray,
    QObject,
    QSocketNotifier,
    QTimer,
)
from PySide6.QtWidgets import QApplication, QWidget

_DESTROYED: Final = 17
"""X11's DestroyNotify (X.h); bit 7 says that another client sent it."""


class DestroyedWindow(QAbstractNativeEventFilter):
    """Closes a window that another X client destroyed: Qt does not notice, and would run on."""

    def __init__(self, window: QWidget) -> None:
        super().__init__()
        self._window = window

    def nativeEventFilter(  # noqa: N802 - Qt's name
        self, kind: QByteArray | bytes | bytearray | memoryview, message: int
    ) -> tuple[bool, int]:
        """Looks at each event of X11, and lets all of them pass."""
        if kind == b"xcb_generic_event_t":
            event = ctypes.string_at(int(message), 12)
            of_ours = int.from_bytes(event[8:12], sys.byteorder) == int(self._window.winId())
            if event[0] & 0x7F == _DESTROYED and of_ours:
                # Not in here: Qt is still at work on the event.
                QTimer.singleShot(0, self._window, lambda: leave(self._window))
        return False, 0


class Signals(QObject):
    """Closes a window on SIGTERM, SIGINT and SIGHUP; a second one ends the program at once."""

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        self._window = window
        self._ours, self._woken = socket.socketpair()
        self._ours.setblocking(False)
        self._woken.setblocking(False)
        self._before = signal.set_wakeup_fd(self._woken.fileno())
        numbers = [signal.SIGTERM, signal.SIGINT]
        if sys.platform != "win32":
            numbers.append(signal.SIGHUP)
        self._handlers = {number: signal.signal(number, _again) for number in numbers}
        self._notifier = QSocketNotifier(self._ours.fileno(), QSocketNotifier.Type.Read, self)
        self._notifier.activated.connect(self._heard)

    def _heard(self) -> None:
        self._ours.recv(64)
        leave(self._window)

    def stop(self) -> None:
        """Leave signals as they were."""
        self._notifier.setEnabled(False)
        signal.set_wakeup_fd(self._before)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._ours.close()
        self._woken.close()


def _again(number: int, _frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)


def leave(window: QWidget) -> None:
    """Close a window and end the program, dialogs or not."""
    window.close()
    QApplication.quit()
