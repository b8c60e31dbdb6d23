"""Pieces of work in the window's thread: one in each turn of the event loop, what is seen first."""

import time

from PySide6.QtCore import QAbstractEventDispatcher, QTimer
from PySide6.QtWidgets import QWidget

from advisor.ui.turns import BUSY_S, PUT_OFF, Turn


class Log:
    """What happened, with a bar wherever the event loop began another turn."""

    def __init__(self) -> None:
        self.said: list[str] = []
        QAbstractEventDispatcher.instance().aboutToBlock.connect(self._turned)

    def _turned(self) -> None:
        self.said.append("|")

    def together(self) -> list[str]:
        """What was said in each turn that said something."""
        return [words for words in "".join(self.said).split("|") if words]


def said_by(log: Log, owner: QWidget, word: str, *, times: int = 1) -> Turn:
    turn, left = Turn(owner), [times]

    def due() -> None:
        log.said.append(word)
        left[0] -= 1
        if left[0]:
            turn.start()

    turn.due.connect(due)
    return turn


def worked(log: Log, word: str) -> None:
    """As long as a turn may last that takes a piece of work as well, and longer."""
    log.said.append(word)
    until = time.thread_time() + 2 * BUSY_S
    while time.thread_time() < until:
        pass


def test_pieces_that_are_due_together_come_one_after_the_other(qtbot) -> None:
    owner, log = QWidget(), Log()
    qtbot.addWidget(owner)
    turns = [said_by(log, owner, word, times=2) for word in "abc"]
    for turn in turns:
        turn.start()
        turn.start()
    qtbot.waitUntil(lambda: len("".join(log.together())) >= 6)
    assert log.together() == ["a", "b", "c", "a", "b", "c"]


def test_what_is_on_screen_goes_first(qtbot) -> None:
    hidden, seen, log = QWidget(), QWidget(), Log()
    qtbot.addWidget(hidden)
    qtbot.addWidget(seen)
    with qtbot.waitExposed(seen):
        seen.show()
    first, second = said_by(log, hidden, "h"), said_by(log, seen, "s", times=2)
    first.start()
    second.start()
    qtbot.waitUntil(lambda: len(log.together()) == 3)
    assert log.together() == ["s", "s", "h"]


def test_turns_that_were_long_take_no_piece_but_not_for_ever(qtbot) -> None:
    owner, log = QWidget(), Log()
    qtbot.addWidget(owner)
    turn = said_by(log, owner, "a")
    busy = QTimer(owner, interval=0)
    busy.timeout.connect(lambda: worked(log, "w"))
    busy.start()
    turn.start()
    qtbot.waitUntil(lambda: "a" in log.said)
    busy.stop()
    told = log.together()
    assert told[:PUT_OFF] == ["w"] * PUT_OFF
    assert "a" in told[PUT_OFF]


def test_what_is_awaited_goes_with_what_is_on_screen(qtbot) -> None:
    hidden, log = QWidget(), Log()
    qtbot.addWidget(hidden)
    last, first = said_by(log, hidden, "h"), Turn(hidden, awaited=True)
    first.due.connect(lambda: log.said.append("f"))
    last.start()
    first.start()
    qtbot.waitUntil(lambda: len(log.together()) == 2)
    assert log.together() == ["f", "h"]


def test_a_piece_can_be_called_off_and_goes_with_its_owner(qtbot) -> None:
    owner, other, log = QWidget(), QWidget(), Log()
    qtbot.addWidget(owner)
    off, gone, last = said_by(log, owner, "o"), said_by(log, other, "g"), said_by(log, owner, "l")
    for turn in (off, gone, last):
        turn.start()
    off.stop()
    other.deleteLater()
    qtbot.waitUntil(lambda: "l" in log.said)
    assert "".join(log.together()) == "l"
