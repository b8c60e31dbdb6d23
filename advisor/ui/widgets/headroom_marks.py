"""What happened while a headroom plot was drawn: phases below it, events across it."""

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QPainter, QPen

from advisor.ui import design
from advisor.ui.widgets.headroom_ground import LINE, Axes


@dataclass(frozen=True, slots=True)
class Span:
    """One phase, in seconds."""

    name: str
    start: float
    end: float | None


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened at one moment."""

    seconds: float
    name: str
    """A word or two, beside the mark."""
    story: str
    """The whole sentence, for the tool tip."""


def paint_phases(painter: QPainter, axes: Axes, spans: Sequence[Span], *, named: bool) -> None:
    """A strip below the plot, and a line where each phase begins."""
    c = design.colours()
    font = design.font(design.SMALL)
    painter.setFont(font)
    metrics = QFontMetricsF(font)
    strip = axes.area.bottom() + 4
    for number, span in enumerate(spans):
        left = axes.x(span.start)
        right = max(left + 1, axes.x(span.end if span.end is not None else axes.seconds))
        box = QRectF(left, strip, right - left, axes.strip - 4)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(c.sunken if number % 2 else c.line))
        painter.drawRect(box)
        painter.setPen(QPen(QColor(c.line_strong), 1))
        painter.drawLine(QPointF(left, axes.area.top()), QPointF(left, box.bottom()))
        # A name that does not fit is left to the tool tip: half a word helps nobody.
        if named and metrics.horizontalAdvance(span.name) + 8 <= box.width():
            painter.setPen(QColor(c.text))
            painter.drawText(
                box.adjusted(5, 0, -3, 0), int(Qt.AlignmentFlag.AlignVCenter), span.name
            )


def paint_events(painter: QPainter, axes: Axes, events: Sequence[Event]) -> None:
    """A dashed line at each moment with its word at the top, moved down where two meet."""
    if not events:
        return
    area = axes.area
    font = design.font(design.SMALL, QFont.Weight.DemiBold)
    painter.setFont(font)
    metrics = QFontMetricsF(font)
    ink, ground = design.colours().tone("tight")
    taken: list[QRectF] = []
    for happened in events:
        x = axes.x(happened.seconds)
        painter.setPen(QPen(ink, 1.5, Qt.PenStyle.DashLine))
        painter.drawLine(QPointF(x, area.top()), QPointF(x, area.bottom()))
        words = f"! {happened.name}"
        wide = metrics.horizontalAdvance(words) + 10
        left = min(x, area.right() - wide)
        box = QRectF(max(area.left(), left), area.top() + 3, wide, LINE)
        while any(box.intersects(other) for other in taken):
            box.translate(0, LINE + 2)
        taken.append(box)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(ground)
        painter.drawRoundedRect(box, 3, 3)
        painter.setPen(ink)
        painter.drawText(box, int(Qt.AlignmentFlag.AlignCenter), words)
