"""What is kept, or moved as it is, in place of being worked out and painted again."""

import pytest
from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QColor, QFocusEvent, QImage, QPaintEvent
from PySide6.QtWidgets import QApplication, QLabel, QWidget

from advisor.ui import design
from advisor.ui.page import Page, scrolling
from advisor.ui.state import AppState
from advisor.ui.widgets.basics import column, text
from advisor.ui.widgets.heat_map import HeatCell, HeatMap, HeatRow

WORDS = "A sentence that is long enough to need some lines where there is little room for it. " * 3


class _Painted(QObject):
    """How many px of widgets were painted."""

    def __init__(self, *widgets: QWidget) -> None:
        super().__init__()
        self.px = 0
        for widget in widgets:
            widget.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802 - Qt's name
        if isinstance(event, QPaintEvent):
            area = event.region().boundingRect()
            self.px += area.width() * area.height()
        return super().eventFilter(watched, event)


def _by_qt(label: QLabel, width: int) -> int:
    """What Qt itself says of a label of these words, made anew."""
    fresh = QLabel(label.text(), label.parentWidget())
    fresh.setTextFormat(Qt.TextFormat.PlainText)
    fresh.setWordWrap(True)
    fresh.setProperty("role", label.property("role"))
    fresh.ensurePolished()
    high = fresh.heightForWidth(width)
    fresh.deleteLater()
    return high


def test_a_paragraph_is_as_high_as_its_words_are_now(qtbot) -> None:
    window = QWidget()
    qtbot.addWidget(window)
    design.dress(window)
    label = text(WORDS, wrap=True)
    window.setLayout(column(label))
    window.resize(400, 400)
    window.show()
    qtbot.waitExposed(window)
    seen = []
    for width in (120, 300, 120):
        seen.append(label.heightForWidth(width))
        assert seen[-1] == _by_qt(label, width)
    assert seen[0] == seen[2] > seen[1]
    label.setText(WORDS * 2)
    assert label.heightForWidth(300) == _by_qt(label, 300) > seen[1]
    label.setText(WORDS)
    assert label.heightForWidth(300) == seen[1]
    design.set_role(label, "headline")
    assert label.heightForWidth(300) == _by_qt(label, 300) > seen[1]
    design.set_role(label, "small")
    assert label.heightForWidth(300) == _by_qt(label, 300) < seen[1]
    for width in range(100, 140):
        assert label.heightForWidth(width) == _by_qt(label, width)


@pytest.mark.parametrize("ground", ["window", "base"])
def test_what_is_scrolled_is_moved_and_only_the_rest_is_painted(qtbot, ground: str) -> None:
    content = QWidget()
    content.setLayout(column(*(text(f"{number}: {WORDS}", wrap=True) for number in range(40))))
    role = content.palette().ColorRole.Base if ground == "base" else None
    area = scrolling(content) if role is None else scrolling(content, role)
    window = QWidget()
    qtbot.addWidget(window)
    design.dress(window)
    window.setLayout(column(area))
    window.resize(500, 400)
    window.show()
    qtbot.waitExposed(window)
    QApplication.processEvents()
    high = area.viewport().height()
    assert area.verticalScrollBar().maximum() > high
    painted = _Painted(content)
    area.verticalScrollBar().setValue(30)
    qtbot.waitUntil(lambda: painted.px > 0)
    QApplication.processEvents()
    assert painted.px <= 60 * content.width()
    image = QImage(content.size(), QImage.Format.Format_RGB32)
    content.render(image)
    wanted = design.colours().surface if ground == "base" else design.colours().ground
    assert image.pixelColor(image.width() - 1, 0) == QColor(wanted)


def test_a_page_that_gets_the_keyboard_is_not_painted_again(qtbot) -> None:
    window, state = QWidget(), AppState()
    qtbot.addWidget(window)
    page, plain, other = Page(state), QWidget(), QLabel("other")
    for each in (page, plain):
        each.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        each.setMinimumHeight(40)
    window.setLayout(column(page, plain, other))
    window.show()
    qtbot.waitExposed(window)
    qtbot.waitUntil(lambda: not page.visibleRegion().isEmpty())
    watched = page, plain, other
    for kind in (QEvent.Type.FocusIn, QEvent.Type.FocusOut):
        QApplication.processEvents()
        painted = [_Painted(each) for each in watched]
        for each in (page, plain):
            QApplication.sendEvent(each, QFocusEvent(kind))
        other.update()
        qtbot.waitUntil(lambda painted=painted: painted[2].px > 0)
        assert painted[1].px > 0  # as Qt has it
        assert painted[0].px == 0
    state.close()


def _picture(heat: HeatMap) -> QImage:
    QApplication.processEvents()
    image = QImage(heat.size(), QImage.Format.Format_RGB32)
    heat.render(image)
    return image


def test_other_cells_and_heads_have_other_pictures(qtbot) -> None:
    told: list[str] = []

    def show(heat: HeatMap, main: str, title: str) -> None:
        cell = HeatCell(main, "", "good", lambda: told.append(main) or f"story of {main}")
        heat.show_cells((HeatRow(title),), ("4k",), ((cell,),))

    heats = [HeatMap("cells") for _ in range(2)]
    for heat in heats:
        qtbot.addWidget(heat)
        heat.resize(300, 120)
        heat.show()
        qtbot.waitExposed(heat)
    show(heats[0], "+1.0", "Q8_0")
    first = _picture(heats[0])
    show(heats[0], "+2.0", "Q4_K_M")
    show(heats[1], "+2.0", "Q4_K_M")
    second = _picture(heats[0])
    assert first != second == _picture(heats[1])
    show(heats[0], "+1.0", "Q8_0")
    assert _picture(heats[0]) == first
    assert not told
    index = heats[0].model().index(0, 0)
    assert index.data(Qt.ItemDataRole.ToolTipRole) == "story of +1.0"
    assert told == ["+1.0"]
