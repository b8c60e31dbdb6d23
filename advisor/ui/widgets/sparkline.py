"""A small live line without axes: the last minute of one sensor, drawn from a fixed buffer."""

from array import array
from typing import Final

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QWidget

from advisor.ui import design

SPACING: Final = 4
"""Px from one pair of values to the next: it is drawn 20 times a second."""


class Sparkline(QWidget):
    """``show_values`` takes the newest values, oldest first; ``None`` gaps are left out."""

    def __init__(self, name: str, *, top: float | None = None, height: int = 44) -> None:
        super().__init__()
        self._values: array[float] = array("d")
        self._top = top
        self._height = height
        self.setAccessibleName(name)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_values(
        self, values: "array[float] | list[float]", *, top: float | None = None
    ) -> None:
        """Other values; ``top`` is the upper end of the scale."""
        self._values = array("d", values)
        self._top = top if top is not None else self._top
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Takes the width it gets."""
        return QSize(160, self._height)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """A pair of lowest and highest value for every few pixels."""
        del event
        c = design.colours()
        with QPainter(self) as painter:
            painter.setPen(QPen(QColor(c.line), 1))
            base = self.height() - 1
            painter.drawLine(0, base, self.width(), base)
            count = len(self._values)
            if count < 2:
                return
            top = self._top or (max(self._values) or 1.0) * 1.1
            area = QRectF(0, 2, self.width() - 3, self.height() - 5)
            points = QPolygonF()
            step = max(1, round(count * SPACING / max(1.0, area.width())))
            for start in range(0, count, step):
                chunk = self._values[start : start + step]
                x = area.left() + start / max(1, count - 1) * area.width()
                for value in {min(chunk), max(chunk)}:
                    share = min(1.0, max(0.0, value / top))
                    points.append(QPointF(x, area.bottom() - share * area.height()))
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(
                QPen(QColor(c.accent), 1.4, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap)
            )
            painter.drawPolyline(points)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(c.accent))
            painter.drawEllipse(points.last(), 2.4, 2.4)
