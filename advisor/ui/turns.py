"""Work of the window's thread in pieces, never two of them in one turn of the event loop.

Timers of no interval that are due together are served in one turn, after whatever was painted in
it: pages that are made in pieces of half a frame each would stop the window for all of them
together. So the pieces of every page and card wait in one line, with the results of jobs, and a
turn that has painted or handled something long takes none. What is on screen goes first.
"""

import time
from typing import Final

import shiboken6
from PySide6.QtCore import QAbstractEventDispatcher, QObject, Qt, QTimer, Signal
from PySide6.QtWidgets import QWidget

BUSY_S: Final = 0.004
"""Processor time of one turn from which it takes no piece of work as well: a quarter of a frame."""
PUT_OFF: Final = 4
"""Long turns in a row that take no piece; the next does, or what is painted all the time would keep
them waiting for ever."""


class Turn(QObject):
    """Emits ``due`` once in a turn to come after ``start``, as a timer of no interval would."""

    due = Signal()

    def __init__(self, owner: QWidget | QObject, *, awaited: bool = False) -> None:
        """``awaited``: as urgent as what is on screen, wherever it will be shown."""
        super().__init__(owner)
        self._awaited = awaited

    def start(self) -> None:
        """Wait at the end of the line; where it waits already, stay."""
        line.add(self)

    def stop(self) -> None:
        """Leave the line."""
        line.drop(self)

    @property
    def seen(self) -> bool:
        """Whether what it works on is on screen, or awaited."""
        owner = self.parent()
        return self._awaited or (isinstance(owner, QWidget) and owner.isVisible())


class _Line:
    """Those that wait. Its timer lives as long as the thread's event dispatcher."""

    def __init__(self) -> None:
        self._waiting: dict[Turn, None] = {}
        self._timer: QTimer | None = None
        self._began = 0.0
        """Processor time when the present turn of the event loop began."""
        self._put_off = 0
        """Long turns since the last piece."""

    def add(self, turn: Turn) -> None:
        self._waiting.setdefault(turn)
        self._start()

    def drop(self, turn: Turn) -> None:
        self._waiting.pop(turn, None)

    @property
    def busy(self) -> bool:
        """Whether the present turn has been long enough already."""
        self._watch()
        return time.thread_time() - self._began > BUSY_S

    @property
    def others_seen(self) -> bool:
        """Whether somebody else who is on screen waits, asked by one whose turn it is."""
        return any(shiboken6.isValid(turn) and turn.seen for turn in self._waiting)

    def _start(self) -> None:
        self._watch().start()

    def _watch(self) -> QTimer:
        timer = self._timer
        if timer is None or not shiboken6.isValid(timer):
            dispatcher = QAbstractEventDispatcher.instance()
            timer = self._timer = QTimer(dispatcher, singleShot=True, interval=0)
            timer.timeout.connect(self._next)
            self._turn_begins()
            dispatcher.aboutToBlock.connect(self._turn_begins, Qt.ConnectionType.DirectConnection)
        return timer

    def _turn_begins(self) -> None:
        self._began = time.thread_time()

    def _next(self) -> None:
        """One of those that wait, but for a turn that was long already; a later one has time."""
        if self.busy and self._put_off < PUT_OFF:
            self._put_off += 1
        else:
            self._put_off = 0
            waiting = [turn for turn in self._waiting if shiboken6.isValid(turn)]
            self._waiting = dict.fromkeys(waiting)
            if waiting:
                turn = next((turn for turn in waiting if turn.seen), waiting[0])
                del self._waiting[turn]
                turn.due.emit()
        if self._waiting:
            self._start()


line: Final = _Line()
