"""Tab goes through a column of cards as one reads it, whenever its parts were made."""

from itertools import pairwise
from typing import Final

from PySide6.QtCore import QEvent, QObject, QPoint, Qt, QTimer
from PySide6.QtWidgets import QWidget

LINE: Final = 12
"""Px: controls whose tops are closer than this stand on one line."""


class ReadingOrder(QObject):
    """Keeps the tab order of a widget's parts line by line, left to right, as they come and go."""

    def __init__(self, column: QWidget) -> None:
        super().__init__(column)
        self._column = column
        self._soon = QTimer(self, singleShot=True, interval=0)
        self._soon.timeout.connect(self._order)
        column.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802 - Qt's name
        """Something came, went or moved."""
        if event.type() == QEvent.Type.LayoutRequest:
            self._soon.start()
        return super().eventFilter(watched, event)

    def _order(self) -> None:
        places: list[tuple[int, int, int, QWidget]] = []
        for number, part in enumerate(self._column.findChildren(QWidget)):
            if part.focusPolicy() & Qt.FocusPolicy.TabFocus and part.isVisible():
                at = part.mapTo(self._column, QPoint(0, 0))
                places.append((at.y() // LINE, at.x(), number, part))
        ordered = [part for *_place, part in sorted(places, key=lambda place: place[:3])]
        for first, second in pairwise(ordered):
            QWidget.setTabOrder(first, second)
