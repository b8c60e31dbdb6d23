"""Changes that are laid out together, and parts that are made in steps."""

import time
from collections.abc import Iterator
from itertools import pairwise

import pytest
from PySide6.QtCore import QCoreApplication, QRect
from PySide6.QtWidgets import QApplication, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from advisor.ui import laid_out, pieces
from advisor.ui.pieces import Pieces


class Counting(QVBoxLayout):
    """How often it was laid out."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.times = 0

    def setGeometry(self, rect: QRect) -> None:  # noqa: N802 - Qt's name
        self.times += 1
        super().setGeometry(rect)


@pytest.fixture
def nested(qtbot) -> Iterator[tuple[QWidget, Counting, Counting]]:
    """A part in a window, with five lines that are hidden."""
    window, part = QWidget(), QWidget()
    qtbot.addWidget(window)
    around, inside = Counting(window), Counting(part)
    around.addWidget(part)
    around.addStretch(1)
    for number in range(5):
        line = QLabel(str(number))
        line.hide()
        inside.addWidget(line)
    window.resize(200, 300)
    window.show()
    qtbot.waitExposed(window)
    QApplication.processEvents()
    around.times = inside.times = 0
    yield part, around, inside
    window.close()


def show_all(part: QWidget) -> None:
    for line in part.findChildren(QLabel):
        line.show()


def test_lines_that_come_together_are_laid_out_once(nested) -> None:
    part, around, inside = nested
    show_all(part)
    assert (around.times, inside.times) >= (5, 5)  # what Qt does by itself
    for line in part.findChildren(QLabel):
        line.hide()
    QApplication.processEvents()
    around.times = inside.times = 0
    with laid_out.once(part):
        show_all(part)
    assert (around.times, inside.times) == (0, 0)
    QApplication.processEvents()
    assert inside.times <= 2
    lines = [line.geometry() for line in part.findChildren(QLabel)]
    assert all(above.bottom() < below.top() for above, below in pairwise(lines))
    assert part.height() > lines[-1].bottom()


def test_a_part_that_got_another_size_meanwhile_is_laid_out_for_it(nested) -> None:
    part, _around, _inside = nested
    show_all(part)
    QApplication.processEvents()
    with laid_out.once(part):
        part.resize(90, part.height())
    line = part.findChildren(QLabel)[0]
    assert line.width() > 90
    QApplication.processEvents()
    assert line.width() <= part.width()
    assert part.layout().geometry() == part.rect()


def test_layouts_are_as_before_when_something_fails(nested) -> None:
    part, _around, inside = nested

    def fail() -> None:
        with laid_out.once(part):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert inside.isEnabled()


def test_steps_are_made_until_their_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    made = list[int]()

    def steps() -> Iterator[None]:
        for number in range(4):
            made.append(number)
            until = time.thread_time() + 0.002
            while time.thread_time() < until:
                pass
            yield

    monkeypatch.setattr(pieces, "BUDGET_S", 0.001)
    parts = Pieces(steps())
    assert parts.some()
    assert made == [0]
    assert parts.some()
    assert made == [0, 1]
    parts.all()
    assert made == [0, 1, 2, 3]
    assert parts.complete
    assert not parts.some()


def test_what_was_never_laid_out_before_is_so_afterwards(qtbot) -> None:
    """The head of Fit's column of quality losses was missing: nobody asked its layout again."""
    holder, inner = QWidget(), QWidget()
    qtbot.addWidget(holder)
    inner.setParent(holder)
    line, label = QHBoxLayout(), QLabel("quality loss")
    line.addWidget(label)
    inner.setLayout(line)
    inner.hide()
    QCoreApplication.processEvents()  # its layout is asked while nobody sees it
    with qtbot.waitExposed(holder):
        holder.show()
    with laid_out.once(holder):
        inner.setGeometry(0, 0, 152, 24)
        inner.show()
    qtbot.waitUntil(lambda: inner.rect().contains(label.geometry()))
