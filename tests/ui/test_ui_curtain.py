"""The picture on screen stays until what is below it is made, laid out and painted in turns."""

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QColor, QImage, QPainter, QPaintEvent
from PySide6.QtWidgets import QApplication, QWidget

from advisor.ui import curtain as module
from advisor.ui import recolour
from advisor.ui.curtain import BANDS, Curtain
from advisor.ui.turns import Turn


class Plain(QWidget):
    """One colour, and how often it was painted."""

    def __init__(self, parent: QWidget, colour: str) -> None:
        super().__init__(parent)
        self.colour = QColor(colour)
        self.painted = 0

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        self.painted += 1
        with QPainter(self) as painter:
            painter.fillRect(event.rect(), self.colour)


class Stage(QWidget):
    """What is changed, behind a curtain."""

    def __init__(self) -> None:
        super().__init__()
        self.below = Plain(self, "red")
        self.curtain = Curtain(self)
        self.resize(300, 300)
        self.below.setGeometry(self.rect())

    def on_screen(self, y: int) -> str:
        """Colour that the window shows at this height."""
        shown = self.backingStore().paintDevice()
        assert isinstance(shown, QImage)
        return shown.pixelColor(QPoint(150, y)).name()


RED, BLUE = QColor("red").name(), QColor("blue").name()


@pytest.fixture
def stage(qtbot) -> Stage:
    stage = Stage()
    qtbot.addWidget(stage)
    stage.show()
    qtbot.waitExposed(stage)
    qtbot.waitUntil(lambda: stage.below.painted > 0)
    return stage


def test_what_changes_is_seen_from_the_top_and_in_the_end_whole(stage: Stage, qtbot) -> None:
    assert stage.curtain.hold()
    stage.below.colour = QColor("blue")
    stage.below.repaint()
    assert (stage.on_screen(10), stage.on_screen(290)) == (RED, RED)
    seen = list[tuple[str, str]]()

    def looked() -> bool:
        seen.append((stage.on_screen(10), stage.on_screen(290)))
        return stage.curtain.isHidden() and seen[-1] == (BLUE, BLUE)

    qtbot.waitUntil(looked)
    assert (RED, BLUE) not in seen
    assert stage.below.painted > BANDS


def test_pieces_of_a_page_are_waited_for_but_not_for_ever(
    stage: Stage, qtbot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LONGEST_MS", 2000)  # longer than a busy machine's three turns
    turn, pieces = Turn(stage.below), list[bool]()

    def piece() -> None:
        pieces.append(stage.curtain.height() == stage.height())
        turn.start()

    turn.due.connect(piece)
    turn.start()
    assert stage.curtain.hold()
    qtbot.waitUntil(stage.curtain.isHidden)
    assert pieces[:3] == [True] * 3
    turn.stop()


def test_a_window_is_laid_out_in_a_turn_after_it_has_another_size(stage: Stage, qtbot) -> None:
    changed = list[int]()
    assert stage.curtain.hold_resizing(lambda: changed.append(stage.width()))
    stage.resize(400, 500)
    assert changed == []
    QApplication.processEvents()
    assert stage.on_screen(100) == RED
    qtbot.waitUntil(stage.curtain.isHidden)
    assert changed == [400]


def test_a_hand_that_goes_on_dragging_is_followed(
    stage: Stage, qtbot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LONGEST_MS", -1)
    changed = list[str]()
    for name in ("first", "second", "third"):
        stage.curtain.hold_resizing(lambda name=name: changed.append(name))
    assert changed == ["first", "second"]
    qtbot.waitUntil(stage.curtain.isHidden)
    assert changed == ["first", "second", "third"]


def test_it_is_not_in_the_way(stage: Stage) -> None:
    assert stage.curtain.hold()
    assert stage.childAt(150, 150) is stage.below
    assert stage.curtain.focusPolicy() == Qt.FocusPolicy.NoFocus
    stage.hide()
    assert not stage.curtain.hold()
    assert not stage.curtain.hold_resizing(lambda: None)


def test_what_is_shown_while_the_colours_change_is_painted_and_so_is_all_that_follows(
    stage: Stage, qtbot, qapp
) -> None:
    other = Plain(stage, "blue")
    other.setGeometry(stage.rect())
    stage.curtain.hold()
    stage.below.hide()
    other.show()
    recolour.change(qapp, "dark")  # in the same turn: painting it is still to come
    qtbot.waitUntil(lambda: stage.on_screen(150) == BLUE)
    other.colour = QColor("red")
    other.update()
    qtbot.waitUntil(lambda: stage.on_screen(150) == RED)
    recolour.change(qapp, "light")
    qtbot.waitUntil(lambda: not qapp.findChild(recolour._Recolour).waits)
