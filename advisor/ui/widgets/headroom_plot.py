"""Memory of one place against time: predicted bands, the measured line over them, phases below.

Painted by hand: bands, scales and words are drawn once per change into a pixmap, and the line into
another as it comes, so that a frame while a probe runs costs two pixmaps and a few new segments.
Labels stand beside the plot and move apart, never over it; a compact plot leaves them to a legend.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import (
    QColor,
    QFont,
    QFontMetricsF,
    QHelpEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPixmap,
    QPolygonF,
    QResizeEvent,
)
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

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


class HeadroomPlot(QWidget):
    """One device, or the host's RAM."""

    def __init__(self, title: str, *, compact: bool = False) -> None:
        """compact: small among many, with ``title`` inside and a legend elsewhere."""
        super().__init__()
        self._title = title
        self._compact = compact
        self._note = ""
        self._bands: tuple[Band, ...] = ()
        self._capacity: int | None = None
        self._spans: tuple[Span, ...] = ()
        self._seconds = 30.0
        self._times: list[float] = []
        self._values: list[float] = []
        self._points: list[QPointF] = []
        self._drawn = 0
        self._ghost_times: tuple[float, ...] = ()
        self._ghost_values: tuple[float, ...] = ()
        self._peak = 0.0
        self._events: tuple[Event, ...] = ()
        self._ground: QPixmap | None = None
        self._trace: QPixmap | None = None
        """The measured line as far as it is drawn."""
        self.setMinimumSize(*((200, 92) if compact else (360, 170)))
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName(title)

    # --- What it shows --------------------------------------------------------------------------

    def set_prediction(self, bands: Sequence[Band], capacity: int | None) -> None:
        """Predicted parts from the bottom up, and what the place holds at most."""
        self._bands = tuple(band for band in bands if band.size > 0)
        self._capacity = capacity
        self._changed()

    def set_phases(self, spans: Sequence[Span]) -> None:
        """Phases so far."""
        self._spans = tuple(spans)
        self.update()

    def set_events(self, events: Sequence[Event]) -> None:
        """What happened, marked at its moment."""
        self._events = tuple(events)
        self.update()

    def set_seconds(self, seconds: float) -> None:
        """Length of the time axis; grows by itself when the line gets there."""
        if seconds != self._seconds:
            self._seconds = max(1.0, seconds)
            self._changed()

    def compare(self, times: Sequence[float], values: Sequence[float]) -> None:
        """A second line, dotted: another probe. Empty takes it away."""
        self._ghost_times, self._ghost_values = tuple(times), tuple(values)
        self._changed()

    def restart(self) -> None:
        """The measured line begins anew; what it reached still counts."""
        self._times, self._values = [], []
        self._changed()

    def clear(self) -> None:
        """Take the measured line away."""
        self._times, self._values, self._peak = [], [], 0.0
        self._spans = ()
        self._events = ()
        self._changed()

    def extend(self, times: Sequence[float], values: Sequence[float]) -> None:
        """More of the measured line: seconds and bytes."""
        if not times:
            return
        before = self._top()
        self._times.extend(times)
        self._values.extend(values)
        self._peak = max(self._peak, *values)
        if self._times[-1] > self._seconds:
            self.set_seconds(self._times[-1] * 1.25)
        if self._top() != before:
            self._changed()
        self.update()

    def say(self, summary: str) -> None:
        """What the plot shows now, in words; a compact plot writes them beside its title."""
        self.setAccessibleDescription(summary)
        self._note = summary

    @property
    def title(self) -> str:
        """The place's name."""
        return self._title

    @property
    def bands(self) -> tuple[Band, ...]:
        """Predicted parts from the bottom up."""
        return self._bands

    @property
    def peak(self) -> float:
        """Highest measured value, in bytes."""
        return self._peak

    # --- Geometry -------------------------------------------------------------------------------

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Wide and not high, so that several stand above each other."""
        return QSize(640, 300)

    def _area(self) -> QRectF:
        top, bottom, labels = TOP, BOTTOM, LABELS
        if self._compact:
            top, bottom, labels = COMPACT_TOP, COMPACT_BOTTOM, COMPACT_LABELS
        width, height = self.width() - LEFT - labels, self.height() - top - bottom
        return QRectF(LEFT, top, max(50.0, width), max(20.0, height))

    def _strip(self) -> float:
        return COMPACT_STRIP if self._compact else STRIP

    def _needed(self) -> float:
        return max(float(sum(band.size for band in self._bands)), self._peak, 1.0)

    def _to_scale(self) -> bool:
        return self._capacity is not None and self._capacity <= BREAK * self._needed()

    def _top(self) -> float:
        """Upper end of the axis in bytes: the capacity where that leaves something to see."""
        if self._to_scale() and self._capacity is not None:
            return max(float(self._capacity) * 1.04, round_up(self._needed() * 1.02))
        return round_up(self._needed() * 1.15)

    def _x(self, seconds: float, area: QRectF) -> float:
        return area.left() + area.width() * min(1.0, seconds / self._seconds)

    def _y(self, size: float, area: QRectF) -> float:
        return area.bottom() - area.height() * size / self._top()

    def _changed(self) -> None:
        self._ground = self._trace = None
        self._drawn = 0
        self.update()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 - Qt's name
        """The still part is drawn anew."""
        self._changed()
        super().resizeEvent(event)

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802 - Qt's name
        """Another colour scheme."""
        if event.type() in {QEvent.Type.PaletteChange, QEvent.Type.StyleChange}:
            self._changed()
        super().changeEvent(event)

    # --- Painting -------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """The still part, the line so far, and its end."""
        del event
        ratio = self.devicePixelRatioF()
        if self._ground is None or self._ground.devicePixelRatio() != ratio:
            self._ground = self._sheet(ratio)
            painter = QPainter(self._ground)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            self._paint_ground(painter)
            painter.end()
            self._trace = None
        if self._trace is None:
            self._trace = self._sheet(ratio)
            self._drawn = 0
        self._draw_new(self._trace)
        with QPainter(self) as painter:
            area = self._area()
            painter.drawPixmap(0, 0, self._ground)
            # Phases change all the time: drawing the ground anew for each would cost a frame.
            self._paint_phases(painter, area)
            painter.drawPixmap(0, 0, self._trace)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            self._paint_events(painter, area)
            self._paint_end(painter)

    def _sheet(self, ratio: float) -> QPixmap:
        sheet = QPixmap(self.size() * ratio)
        sheet.setDevicePixelRatio(ratio)
        sheet.fill(Qt.GlobalColor.transparent)
        return sheet

    def _paint_ground(self, painter: QPainter) -> None:
        c = design.colours()
        area = self._area()
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(c.surface))
        painter.drawRect(area)
        self._paint_bands(painter, area)
        self._paint_scale(painter, area)
        self._paint_capacity(painter, area)
        self._paint_compared(painter, area)
        self._paint_title(painter, area)
        if not self._compact:
            self._paint_labels(painter, area)

    def _paint_bands(self, painter: QPainter, area: QRectF) -> None:
        below = 0
        painter.save()
        painter.setOpacity(0.42 if not design.colours().dark else 0.8)
        for band in self._bands:
            top = self._y(below + band.size, area)
            bottom = self._y(below, area)
            fill_series(painter, QRectF(area.left(), top, area.width(), bottom - top), band.series)
            below += band.size
        painter.restore()
        below = 0
        for band in self._bands:
            below += band.size
            painter.setPen(QPen(series_ink(band.series), 1))
            y = self._y(below, area)
            painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))

    def _paint_scale(self, painter: QPainter, area: QRectF) -> None:
        c = design.colours()
        painter.setFont(design.font(design.SMALL))
        for value in ticks(self._top()):
            y = self._y(value, area)
            painter.setPen(QPen(QColor(c.line), 1))
            painter.drawLine(QPointF(area.left() - 4, y), QPointF(area.left(), y))
            painter.setPen(QColor(c.muted))
            painter.drawText(
                QRectF(0, y - 8, LEFT - 8, 16),
                int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter),
                short(value, self._top()),
            )
        painter.setPen(QPen(QColor(c.line_strong), 1))
        painter.drawLine(area.bottomLeft(), area.topLeft())
        painter.drawLine(area.bottomLeft(), area.bottomRight())
        base = area.bottom() + self._strip() + 6
        painter.setPen(QColor(c.muted))
        step = time_step(self._seconds)
        count = int(self._seconds / step)
        for index in range(count + 1):
            x = self._x(index * step, area)
            box = QRectF(x - 30, base, 60, 16)
            label = f"{index * step:g} s" if index in {0, count} else f"{index * step:g}"
            painter.drawText(box, int(Qt.AlignmentFlag.AlignHCenter), label)

    def _paint_capacity(self, painter: QPainter, area: QRectF) -> None:
        if self._capacity is None or not self._to_scale():
            return
        c = design.colours()
        pen = QPen(QColor(c.bad), 1.5, Qt.PenStyle.DashLine)
        painter.setPen(pen)
        y = self._y(self._capacity, area)
        painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))

    def _paint_phases(self, painter: QPainter, area: QRectF) -> None:
        c = design.colours()
        font = design.font(design.SMALL)
        painter.setFont(font)
        metrics = QFontMetricsF(font)
        strip = area.bottom() + 4
        for number, span in enumerate(self._spans):
            left = self._x(span.start, area)
            end = span.end if span.end is not None else self._seconds
            right = max(left + 1, self._x(end, area))
            box = QRectF(left, strip, right - left, self._strip() - 4)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(c.sunken if number % 2 else c.line))
            painter.drawRect(box)
            painter.setPen(QPen(QColor(c.line_strong), 1))
            painter.drawLine(QPointF(left, area.top()), QPointF(left, box.bottom()))
            # A name that does not fit is left to the tool tip: half a word helps nobody.
            if not self._compact and metrics.horizontalAdvance(span.name) + 8 <= box.width():
                painter.setPen(QColor(c.text))
                painter.drawText(
                    box.adjusted(5, 0, -3, 0), int(Qt.AlignmentFlag.AlignVCenter), span.name
                )

    def _labels(self, area: QRectF) -> list[tuple[float, float, str, design.Series | None]]:
        """Anchor y, text y, words and series of every label, moved apart."""
        wanted: list[tuple[float, str, design.Series | None]] = []
        below = 0
        for band in self._bands:
            middle = self._y(below + band.size / 2, area)
            wanted.append((middle, f"{band.name} {units.size(band.size)}", band.series))
            below += band.size
        if self._capacity is not None:
            y = self._y(self._capacity, area) if self._to_scale() else area.top()
            words = f"{units.size(self._capacity)} in all"
            wanted.append((y, words if self._to_scale() else f"↑ {words}", None))
        wanted.sort(key=lambda label: label[0])
        placed: list[float] = []
        for anchor, _words, _series in wanted:
            placed.append(max(anchor, placed[-1] + LINE) if placed else max(anchor, area.top()))
        # Pushed out below: move the lowest up, and those above it as far as they have to.
        limit = area.bottom()
        for index in range(len(placed) - 1, -1, -1):
            placed[index] = min(placed[index], limit)
            limit = placed[index] - LINE
        return [
            (anchor, y, words, series)
            for (anchor, words, series), y in zip(wanted, placed, strict=True)
        ]

    def _paint_labels(self, painter: QPainter, area: QRectF) -> None:
        c = design.colours()
        painter.setFont(design.font(design.SMALL))
        edge = area.right()
        for anchor, y, words, series in self._labels(area):
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
                QRectF(left, y - 8, self.width() - left, 16),
                int(Qt.AlignmentFlag.AlignVCenter),
                words,
            )

    def _paint_title(self, painter: QPainter, area: QRectF) -> None:
        if not self._compact:
            return
        c = design.colours()
        painter.setFont(design.font(12, QFont.Weight.DemiBold))
        painter.setPen(QColor(c.text))
        box = QRectF(area.left(), 2, area.width(), 18)
        painter.drawText(box, int(Qt.AlignmentFlag.AlignVCenter), self._title)

    def _paint_compared(self, painter: QPainter, area: QRectF) -> None:
        if not self._ghost_times:
            return
        painter.save()
        painter.setClipRect(area.adjusted(0, -2, 4, 2))
        painter.setPen(QPen(QColor(design.colours().text), 1.5, Qt.PenStyle.DotLine))
        pairs = zip(self._ghost_times, self._ghost_values, strict=True)
        other = [QPointF(self._x(t, area), self._y(v, area)) for t, v in pairs]
        painter.drawPolyline(QPolygonF(_thinned(other)))
        painter.restore()

    def _paint_events(self, painter: QPainter, area: QRectF) -> None:
        """A dashed line at each moment with its word at the top, moved down where two meet."""
        c = design.colours()
        font = design.font(design.SMALL, QFont.Weight.DemiBold)
        painter.setFont(font)
        metrics = QFontMetricsF(font)
        taken: list[QRectF] = []
        for happened in self._events:
            x = self._x(happened.seconds, area)
            ink, ground = c.tone("tight")
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

    def _draw_new(self, sheet: QPixmap) -> None:
        """Append what came since the last frame to the drawn line."""
        if self._drawn == len(self._times):
            return
        area = self._area()
        known = len(self._points) if self._drawn else 0
        points = self._line(area)[max(0, known - 1) :]
        painter = QPainter(sheet)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setClipRect(area.adjusted(0, -2, 4, 2))
        painter.setPen(QPen(QColor(design.colours().text), 1.5 if self._compact else 2))
        painter.drawPolyline(QPolygonF(points))
        painter.end()

    def _paint_end(self, painter: QPainter) -> None:
        c = design.colours()
        area = self._area()
        if self._compact and self._note:
            painter.setFont(design.font(design.SMALL))
            painter.setPen(QColor(c.muted))
            box = QRectF(area.left(), 2, area.width(), 18)
            right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
            painter.drawText(box, int(right), self._note)
        if self._times:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(c.text))
            at = QPointF(self._x(self._times[-1], area), self._y(self._values[-1], area))
            radius = 2.5 if self._compact else 3.5
            painter.drawEllipse(at, radius, radius)

    def _line(self, area: QRectF) -> list[QPointF]:
        """Points of the measured line; only samples that came since the last frame are new."""
        if self._drawn == 0:
            self._points = []
        for index in range(self._drawn, len(self._times)):
            x, y = self._x(self._times[index], area), self._y(self._values[index], area)
            # A sample in the same pixel column that lies between the two before adds nothing.
            if len(self._points) > 1:
                one, two = self._points[-2], self._points[-1]
                low, high = min(one.y(), two.y()), max(one.y(), two.y())
                if int(one.x()) == int(two.x()) == int(x) and low <= y <= high:
                    continue
            self._points.append(QPointF(x, y))
        self._drawn = len(self._times)
        return self._points

    # --- Words under the pointer ----------------------------------------------------------------

    def event(self, event: QEvent) -> bool:
        """Tool tips: the phase and the value at that moment."""
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            words = self._words_at(event.pos().x())
            if words:
                QToolTip.showText(event.globalPos(), words, self)
            else:
                QToolTip.hideText()
            return True
        return super().event(event)

    def _words_at(self, x: float) -> str:
        area = self._area()
        if not area.left() <= x <= area.right():
            return ""
        seconds = (x - area.left()) / area.width() * self._seconds
        parts = [f"{seconds:.1f} s"]
        parts += [
            span.name
            for span in self._spans
            if span.start <= seconds and (span.end is None or seconds <= span.end)
        ]
        known = [v for t, v in zip(self._times, self._values, strict=True) if t <= seconds]
        if known and seconds <= self._times[-1]:
            parts.append(units.size(int(known[-1])))
        near = 4 * self._seconds / area.width()
        parts += [e.story for e in self._events if abs(e.seconds - seconds) <= near]
        return " · ".join(parts)


def _thinned(points: list[QPointF]) -> list[QPointF]:
    """First, lowest, highest and last point of every pixel column: all that can be seen."""
    kept: list[QPointF] = []
    for _x, column in itertools.groupby(points, key=lambda p: int(p.x())):
        some = list(column)
        ends = {0, len(some) - 1}
        ends |= {some.index(min(some, key=QPointF.y)), some.index(max(some, key=QPointF.y))}
        kept += [some[index] for index in sorted(ends)]
    return kept
