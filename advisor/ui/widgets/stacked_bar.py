"""A bar of memory: its parts one after the other against the capacity, each with its pattern."""

from dataclasses import dataclass

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QHelpEvent, QPainter, QPainterPath, QPaintEvent, QPen, QPixmap
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from advisor import units
from advisor.ui import design
from advisor.ui.widgets import patterns


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a bar, in bytes."""

    name: str
    series: design.Series
    size: int


class StackedBar(QWidget):
    """Parts against a capacity. What exceeds the capacity is drawn past a marked line."""

    def __init__(self, *, height: int = 22) -> None:
        super().__init__()
        self._height = height
        self._parts: tuple[Part, ...] = ()
        self._capacity: int | None = None
        self._drawn: tuple[object, QPixmap] | None = None
        """Its picture, and of what it is one."""
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMinimumWidth(80)

    def show_parts(self, parts: tuple[Part, ...], capacity: int | None, title: str = "") -> None:
        """Other parts. ``capacity`` None: unknown, the bar is as long as its parts."""
        self._parts = tuple(part for part in parts if part.size > 0)
        self._capacity = capacity
        self._drawn = None
        words = ", ".join(f"{p.name} {units.size(p.size)}" for p in self._parts)
        of = f" / {units.size(capacity)}" if capacity is not None else ""
        self.setAccessibleName(f"{title}: {words}{of}" if title else f"{words}{of}")
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Takes the width it gets."""
        return QSize(200, self._height)

    def _spans(self) -> list[tuple[Part, QRectF]]:
        total = sum(part.size for part in self._parts)
        scale = max(total, self._capacity or 0) or 1
        spans, begin = [], 0
        for part in self._parts:
            left = begin / scale * self.width()
            right = (begin + part.size) / scale * self.width()
            spans.append((part, QRectF(left, 0, right - left, self.height())))
            begin += part.size
        return spans

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """A picture, drawn once."""
        del event
        key = (self.size().toTuple(), self.devicePixelRatioF(), design.colours().dark)
        if self._drawn is None or self._drawn[0] != key:
            picture = QPixmap(self.size() * self.devicePixelRatioF())
            picture.setDevicePixelRatio(self.devicePixelRatioF())
            picture.fill(Qt.GlobalColor.transparent)
            self._draw(picture)
            self._drawn = (key, picture)
        with QPainter(self) as painter:
            painter.drawPixmap(0, 0, self._drawn[1])

    def _draw(self, picture: QPixmap) -> None:
        """Ground, parts, and the line at the capacity when the parts reach past it."""
        c = design.colours()
        with QPainter(picture) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            whole = QRectF(self.rect())
            outline = QPainterPath()
            outline.addRoundedRect(whole, 5, 5)
            painter.setClipPath(outline)
            painter.fillRect(whole, QColor(c.sunken))
            for part, area in self._spans():
                patterns.fill_series(painter, area, part.series)
                if area.right() < whole.right() - 1:
                    painter.setPen(QPen(QColor(c.surface), 1))
                    painter.drawLine(area.topRight(), area.bottomRight())
            total = sum(part.size for part in self._parts)
            if self._capacity is not None and total > self._capacity:
                x = self._capacity / total * whole.width()
                over = QRectF(x, 0, whole.width() - x, whole.height())
                ink, ground = c.tone("bad")
                ground.setAlphaF(0.75)
                patterns.fill(painter, over, ground, ink, "cross")
                painter.setPen(QPen(ink, 2))
                painter.drawLine(QPointF(x, 0), QPointF(x, whole.height()))

    def event(self, event: QEvent) -> bool:
        """Name and size of the part under the pointer."""
        if isinstance(event, QHelpEvent):
            for part, area in self._spans():
                if area.contains(QPointF(event.pos())):
                    QToolTip.showText(event.globalPos(), f"{part.name}: {units.size(part.size)}")
                    return True
            QToolTip.hideText()
            return True
        return super().event(event)


class Swatch(QWidget):
    """The legend's square of one part, in its colour and pattern."""

    def __init__(self, series: design.Series) -> None:
        super().__init__()
        self._series: design.Series = series
        self.setFixedSize(12, 12)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """A small rounded square."""
        del event
        with QPainter(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            patterns.fill_series(painter, QRectF(0, 0, 12, 12), self._series, radius=3)


class ToneSwatch(QWidget):
    """A legend entry of a tone: a small cell with its ground and pattern."""

    def __init__(self, tone: design.Tone) -> None:
        super().__init__()
        self._tone: design.Tone = tone
        self.setFixedSize(16, 12)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """A small rounded cell with an outline."""
        del event
        with QPainter(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            patterns.fill_tone(painter, QRectF(0, 0, 16, 12), self._tone, radius=3)
            ink, _ground = design.colours().tone(self._tone)
            ink.setAlphaF(0.45)
            painter.setPen(QPen(ink, 1))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(QRectF(0.5, 0.5, 15, 11), 3, 3)
