"""What stands still in a headroom plot: axes, predicted bands, capacity and their labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QPainter, QPen, QPolygonF

from advisor import units
from advisor.ui import design
from advisor.ui.widgets.memory_scale import round_up, short, ticks, time_step
from advisor.ui.widgets.patterns import fill_series, series_ink

LEFT: Final = 52.0
TOP: Final = 12.0
BOTTOM: Final = 50.0
LABELS: Final = 148.0
STRIP: Final = 20.0
COMPACT_TOP: Final = 24.0
COMPACT_BOTTOM: Final = 28.0
COMPACT_LABELS: Final = 10.0
COMPACT_STRIP: Final = 8.0
LINE: Final = 16.0
"""Least distance between two labels, in px."""
LABEL_WIDTH: Final = 36.0
"""Least distance between two moments on the time axis, in px."""
_FEW: Final = 64
"""So few points are not worth thinning."""
BREAK: Final = 3.0
"""Capacity is drawn to scale unless it is this many times what the plot needs to show."""


@dataclass(frozen=True, slots=True)
class Band:
    """One predicted part, stacked on those before it."""

    series: design.Series
    name: str
    size: int
    """Bytes."""


@dataclass(frozen=True, slots=True)
class Axes:
    """From seconds and bytes to px."""

    area: QRectF
    """Where bands and lines are drawn."""
    top: float
    """Upper end in bytes: the capacity where that leaves something to see."""
    seconds: float
    """Right end."""
    to_scale: bool
    """Whether the capacity lies inside."""
    strip: float
    """Height of the phases below, in px."""

    def x(self, seconds: float) -> float:
        """Px from the left."""
        return self.area.left() + self.area.width() * min(1.0, seconds / self.seconds)

    def y(self, size: float) -> float:
        """Px from the top."""
        return self.area.bottom() - self.area.height() * size / self.top


def axes(
    width: float,
    height: float,
    *,
    compact: bool,
    needed: float,
    capacity: int | None,
    seconds: float,
) -> Axes:
    """Axes of a plot of ``width`` × ``height`` px that must show ``needed`` bytes."""
    top, bottom, labels = TOP, BOTTOM, LABELS
    if compact:
        top, bottom, labels = COMPACT_TOP, COMPACT_BOTTOM, COMPACT_LABELS
    area = QRectF(LEFT, top, max(50.0, width - LEFT - labels), max(20.0, height - top - bottom))
    to_scale = capacity is not None and capacity <= BREAK * needed
    if to_scale and capacity is not None:
        highest = max(capacity * 1.04, round_up(needed * 1.02))
    else:
        highest = round_up(needed * 1.15)
    return Axes(area, highest, seconds, to_scale, COMPACT_STRIP if compact else STRIP)


@dataclass(frozen=True, slots=True)
class Ground:
    """All that it shows. Painting it takes milliseconds, so it is done once per change."""

    title: str
    """Written above a compact plot; empty for others."""
    bands: tuple[Band, ...]
    capacity: int | None
    most: str
    """What the capacity is, with a place for it: ``"{size} in all"``."""
    compared: tuple[tuple[float, ...], tuple[float, ...]]
    """Seconds and bytes of another probe's line."""

    def paint(self, painter: QPainter, axes: Axes, width: float) -> None:
        """Paint it; ``width`` is the whole plot's, in px."""
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(design.colours().surface))
        painter.drawRect(axes.area)
        self._bands(painter, axes)
        self._scale(painter, axes)
        self._capacity(painter, axes)
        self._compared(painter, axes)
        if self.title:
            self._title(painter, axes)
        else:
            self._labels(painter, axes, width)

    def _bands(self, painter: QPainter, axes: Axes) -> None:
        area, below = axes.area, 0
        edges: list[tuple[design.Series, float]] = []
        painter.save()
        painter.setOpacity(0.42 if not design.colours().dark else 0.8)
        for band in self.bands:
            top, bottom = axes.y(below + band.size), axes.y(below)
            fill_series(painter, QRectF(area.left(), top, area.width(), bottom - top), band.series)
            below += band.size
            edges.append((band.series, top))
        painter.restore()
        for series, y in edges:
            painter.setPen(QPen(series_ink(series), 1))
            painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))

    def _scale(self, painter: QPainter, axes: Axes) -> None:
        c, area = design.colours(), axes.area
        painter.setFont(design.font(design.SMALL))
        for value in ticks(axes.top, min(6, int(area.height() / LINE))):
            y = axes.y(value)
            painter.setPen(QPen(QColor(c.line), 1))
            painter.drawLine(QPointF(area.left() - 4, y), QPointF(area.left(), y))
            painter.setPen(QColor(c.muted))
            painter.drawText(
                QRectF(0, y - 8, LEFT - 8, 16),
                int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter),
                short(value, axes.top),
            )
        painter.setPen(QPen(QColor(c.line_strong), 1))
        painter.drawLine(area.bottomLeft(), area.topLeft())
        painter.drawLine(area.bottomLeft(), area.bottomRight())
        base = area.bottom() + axes.strip + 6
        painter.setPen(QColor(c.muted))
        step = time_step(axes.seconds, max(2, min(8, int(axes.area.width() / LABEL_WIDTH))))
        count = int(axes.seconds / step)
        for index in range(count + 1):
            box = QRectF(axes.x(index * step) - 30, base, 60, 16)
            label = f"{index * step:g} s" if index in {0, count} else f"{index * step:g}"
            painter.drawText(box, int(Qt.AlignmentFlag.AlignHCenter), label)

    def _capacity(self, painter: QPainter, axes: Axes) -> None:
        if self.capacity is None or not axes.to_scale:
            return
        painter.setPen(QPen(QColor(design.colours().bad), 1.5, Qt.PenStyle.DashLine))
        y = axes.y(self.capacity)
        painter.drawLine(QPointF(axes.area.left(), y), QPointF(axes.area.right(), y))

    def _compared(self, painter: QPainter, axes: Axes) -> None:
        times, values = self.compared
        if not times:
            return
        painter.save()
        painter.setClipRect(axes.area.adjusted(0, -2, 4, 2))
        painter.setPen(QPen(QColor(design.colours().text), 1.5, Qt.PenStyle.DotLine))
        painter.drawPolyline(QPolygonF(line(axes, times, values)))
        painter.restore()

    def _title(self, painter: QPainter, axes: Axes) -> None:
        painter.setFont(design.font(12, QFont.Weight.DemiBold))
        painter.setPen(QColor(design.colours().text))
        box = QRectF(axes.area.left(), 2, axes.area.width(), 18)
        painter.drawText(box, int(Qt.AlignmentFlag.AlignVCenter), self.title)

    def labels(self, axes: Axes) -> list[tuple[float, float, str, design.Series | None]]:
        """Anchor y, text y, words and series of every label, moved apart."""
        wanted: list[tuple[float, str, design.Series | None]] = []
        below = 0
        for band in self.bands:
            middle = axes.y(below + band.size / 2)
            wanted.append((middle, f"{band.name} {units.size(band.size)}", band.series))
            below += band.size
        if self.capacity is not None:
            y = axes.y(self.capacity) if axes.to_scale else axes.area.top()
            words = self.most.format(size=units.size(self.capacity))
            wanted.append((y, words if axes.to_scale else f"↑ {words}", None))
        wanted.sort(key=lambda label: label[0])
        placed: list[float] = []
        for anchor, _words, _series in wanted:
            placed.append(max(anchor, placed[-1] + LINE if placed else axes.area.top()))
        # Pushed out below: move the lowest up, and those above it as far as they have to.
        limit = axes.area.bottom()
        for index in range(len(placed) - 1, -1, -1):
            placed[index] = min(placed[index], limit)
            limit = placed[index] - LINE
        return [
            (anchor, y, words, series)
            for (anchor, words, series), y in zip(wanted, placed, strict=True)
        ]

    def _labels(self, painter: QPainter, axes: Axes, width: float) -> None:
        c = design.colours()
        painter.setFont(design.font(design.SMALL))
        edge = axes.area.right()
        for anchor, y, words, series in self.labels(axes):
            painter.setPen(QPen(QColor(c.line_strong), 1))
            painter.drawPolyline(
                QPolygonF([QPointF(edge, anchor), QPointF(edge + 6, y), QPointF(edge + 10, y)])
            )
            left = edge + 13
            if series is not None:
                fill_series(painter, QRectF(left, y - 5, 10, 10), series, radius=2)
                left += 15
            painter.setPen(QColor(c.bad if series is None else c.text))
            painter.drawText(
                QRectF(left, y - 8, width - left, 16), int(Qt.AlignmentFlag.AlignVCenter), words
            )


def line(axes: Axes, times: Sequence[float], values: Sequence[float]) -> list[QPointF]:
    """Points of a line: first, lowest, highest and last of every pixel column, as no eye sees more.

    times in seconds, ascending; values in bytes.
    """
    if len(times) < _FEW:
        return [QPointF(axes.x(t), axes.y(v)) for t, v in zip(times, values, strict=True)]
    area = axes.area
    x = area.left() + area.width() * np.minimum(1.0, np.asarray(times) / axes.seconds)
    y = area.bottom() - area.height() * np.asarray(values) / axes.top
    starts = np.flatnonzero(np.diff(x.astype(np.int64), prepend=-1))
    column = np.zeros(len(x), dtype=np.int64)
    column[starts[1:]] = 1
    # Sorted by column, then by height: its first and last are the column's lowest and highest.
    order = np.lexsort((y, np.cumsum(column)))
    ends = np.append(starts[1:], len(x)) - 1
    kept = np.unique(np.concatenate((starts, ends, order[starts], order[ends])))
    return [QPointF(a, b) for a, b in zip(x[kept].tolist(), y[kept].tolist(), strict=True)]
