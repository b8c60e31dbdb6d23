"""Tab goes through columns of cards as one reads them, whenever their parts were made."""

from itertools import pairwise
from typing import Final

from PySide6.QtCore import QEvent, QObject, QPoint, Qt
from PySide6.QtWidgets import QWidget

from advisor.ui.turns import Turn

LINE: Final = 12
"""Px: controls whose tops are closer than this stand on one line."""
# Compared whole: an operation on flags takes several times as long.
_BY_TAB: Final = (Qt.FocusPolicy.TabFocus, Qt.FocusPolicy.StrongFocus, Qt.FocusPolicy.WheelFocus)


class ReadingOrder(QObject):
    """Keeps the tab order of columns' parts line by line, left to right, as they come and go.

    One column after the other; the first keeps it alive.
    """

    def __init__(self, *columns: QWidget) -> None:
        super().__init__(columns[0])
        self._columns = columns
        self._ordered: list[QWidget] = []
        self._soon = Turn(self)
        self._soon.due.connect(self._order)
        for column in columns:
            column.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802 - Qt's name
        """Something came, went or moved."""
        if event.type() == QEvent.Type.LayoutRequest:
            self._soon.start()
        return super().eventFilter(watched, event)

    def _order(self) -> None:
        places: list[tuple[int, int, int, int, QWidget]] = []
        for nth, column in enumerate(self._columns):
            for number, part in enumerate(column.findChildren(QWidget)):
                if part.isVisible() and part.focusPolicy() in _BY_TAB:
                    at = part.mapTo(column, QPoint(0, 0))
                    places.append((nth, at.y() // LINE, at.x(), number, part))
        ordered = [part for *_place, part in sorted(places, key=lambda place: place[:4])]
        if ordered != self._ordered:
            self._ordered = ordered
            for first, second in pairwise(ordered):
                QWidget.setTabOrder(first, second)
