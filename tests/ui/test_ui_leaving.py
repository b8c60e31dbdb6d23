"""Told to go from outside, the window closes in good order."""

import ctypes
import os
import signal
import sys

import pytest
from PySide6.QtWidgets import QWidget

from advisor.ui import leaving


@pytest.fixture
def left(monkeypatch) -> list[QWidget]:
    found: list[QWidget] = []
    monkeypatch.setattr(leaving, "leave", found.append)
    return found


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_a_signal_closes_the_window_and_a_second_one_ends_the_program(qtbot, left, name):
    window, number = QWidget(), getattr(signal, name)
    qtbot.addWidget(window)
    before = signal.getsignal(number)
    signals = leaving.Signals(window)
    os.kill(os.getpid(), number)
    qtbot.waitUntil(lambda: left == [window])
    assert signal.getsignal(number) is signal.SIG_DFL
    signals.stop()
    assert signal.getsignal(number) is before


def event(kind: int, window: int) -> ctypes.Array:
    """xcb_destroy_notify_event_t: type, padding, sequence, event window, window."""
    content = bytes([kind, 0, 0, 0]) + bytes(4) + window.to_bytes(4, sys.byteorder)
    return ctypes.create_string_buffer(content, 32)


def test_a_window_that_another_program_destroyed_is_closed(qtbot, left):
    window = QWidget()
    qtbot.addWidget(window)
    seen, own = leaving.DestroyedWindow(window), int(window.winId())
    for kind, which in ((18, own), (17, own + 1), (17, own), (17 | 0x80, own)):
        held = event(kind, which)
        address = ctypes.addressof(held)
        assert seen.nativeEventFilter(b"xcb_generic_event_t", address) == (False, 0)
    assert seen.nativeEventFilter(b"windows_generic_MSG", 0) == (False, 0)
    qtbot.waitUntil(lambda: len(left) == 2)


def test_leaving_closes_the_window(qtbot, monkeypatch):
    monkeypatch.setattr(leaving.QApplication, "quit", lambda: None)
    window = QWidget()
    qtbot.addWidget(window)
    window.show()
    leaving.leave(window)
    assert not window.isVisible()
