"""A small curve within its range, over two axes from nothing."""

from dataclasses import dataclass
from typing import Final

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QWidget

from advisor.basis import Range
from advisor.ui import design

Tick = tuple[float, str]
"""A place on an axis, and its words."""
OPACITY: Final = 0.18
HEAD: Final = 1.12
"""How far the axis goes beyond the highest value."""
WORDS: Final = 16
"""Px for a line of an axis' words."""


@dataclass(frozen=True, slots=True)
class _Shown:
    points: tuple[tuple[float, Range], ...]
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]


class RangeCurve(QWidget):
    """A line through the expected values on the ground between the low and the high ones."""

    def __init__(self, name: str, *, height: int) -> None:
        super().__init__()
        self._name = name
        self._height = height
        self._shown: _Shown | None = None
        self.setAccessibleName(name)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_points(
        self,
        points: tuple[tuple[float, Range], ...],
        *,
        across: tuple[Tick, ...],
        up: tuple[Tick, ...],
        words: str,
    ) -> None:
        """Other points, at least two from left to right, ticks, and what they say in words."""
        self._shown = _Shown(points, across, up)
        self.setAccessibleName(f"{self._name}: {words}")
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Takes the width it gets."""
        return QSize(200, self._height)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """Axes with their words, the range, the line."""
        del event
        shown = self._shown
        if shown is None:
            return
        c = design.colours()
        with QPainter(self) as painter:
            painter.setFont(design.font(design.SMALL))
            metrics = QFontMetricsF(painter.font())
            left = max(metrics.horizontalAdvance(words) for _, words in shown.up)
            right = metrics.horizontalAdvance(shown.across[-1][1]) / 2
            area = QRectF(self.rect()).adjusted(left + 8, 8, -right - 4, -WORDS - 2)
            at = _Scale(area, shown.points[-1][0], max(r.high for _, r in shown.points))
            self._axes(painter, area, at, shown)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            ground = QColor(c.accent)
            ground.setAlphaF(OPACITY)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(ground)
            lower = [at(x, r.low) for x, r in shown.points]
            upper = [at(x, r.high) for x, r in shown.points]
            painter.drawPolygon(QPolygonF([*lower, *reversed(upper)]))
            painter.setPen(QPen(QColor(c.accent), 2))
            painter.drawPolyline(QPolygonF([at(x, r.mid) for x, r in shown.points]))

    def _axes(self, painter: QPainter, area: QRectF, at: "_Scale", shown: _Shown) -> None:
        c = design.colours()
        painter.setPen(QColor(c.line))
        painter.drawLine(area.bottomLeft(), area.bottomRight())
        painter.drawLine(area.bottomLeft(), area.topLeft())
        painter.setPen(QColor(c.muted))
        for x, words in shown.across:
            place = at(x, 0)
            below = QRectF(place.x() - 60, place.y() + 2, 120, WORDS)
            painter.drawText(below, Qt.AlignmentFlag.AlignHCenter, words)
        for y, words in shown.up:
            beside = QRectF(0, at(0, y).y() - WORDS / 2, area.left() - 5, WORDS)
            sides = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
            painter.drawText(beside, sides, words)


@dataclass(frozen=True, slots=True)
class _Scale:
    """From figures to px."""

    area: QRectF
    furthest: float
    highest: float

    def __call__(self, x: float, y: float) -> QPointF:
        across = x / self.furthest * self.area.width()
        up = y / (self.highest * HEAD) * self.area.height()
        return QPointF(self.area.left() + across, self.area.bottom() - up)
