"""Axes for the advice plots: ends that are easy to read, lines and their numbers."""

import math
from dataclasses import dataclass
from typing import Final

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen

from advisor.ui import design

TICKS: Final = 4
_STEPS: Final = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
_THOUSAND: Final = 1000


def nice(value: float) -> float:
    """The next number upwards with one digit that quarters well."""
    scale = 10.0 ** math.floor(math.log10(value))
    return next((step * scale for step in _STEPS if step * scale >= value * 0.9999), 10 * scale)


def amount(value: float, top: float) -> str:
    """A number on an axis that ends at ``top``: in thousands where that is long, and short."""
    if value and top >= 10 * _THOUSAND:
        return f"{value / _THOUSAND:,.4g}k"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


@dataclass(frozen=True, slots=True)
class Grid:
    """An area with two linear axes from nothing."""

    area: QRectF
    x_max: float
    y_max: float

    def x(self, value: float) -> float:
        """Place of a value across, in px."""
        return self.area.left() + value / self.x_max * self.area.width()

    def at(self, across: float, up: float) -> QPointF:
        """Place of a point in px."""
        return QPointF(self.x(across), self.area.bottom() - up / self.y_max * self.area.height())

    def paint(self, painter: QPainter, *, across: str, up: str) -> None:
        """Level lines, numbers and the axes' names."""
        c = design.colours()
        painter.setFont(design.font(design.SMALL))
        area = self.area
        for place in range(TICKS + 1):
            share = place / TICKS
            y = area.bottom() - share * area.height()
            painter.setPen(QPen(QColor(c.line), 1))
            painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
            painter.setPen(QColor(c.muted))
            left = QRectF(0, y - 8, area.left() - 6, 16)
            right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
            painter.drawText(left, right, amount(share * self.y_max, self.y_max))
            x = area.left() + share * area.width()
            below = QRectF(x - 40, area.bottom() + 3, 80, 16)
            if place == TICKS:
                below = QRectF(x - 74, area.bottom() + 3, 80, 16)
            side = Qt.AlignmentFlag.AlignRight if place == TICKS else Qt.AlignmentFlag.AlignHCenter
            painter.drawText(below, side, amount(share * self.x_max, self.x_max))
        under = QRectF(area.left(), area.bottom() + 19, area.width(), 16)
        painter.drawText(under, Qt.AlignmentFlag.AlignRight, across)
        painter.drawText(under, Qt.AlignmentFlag.AlignLeft, f"↑ {up}")
