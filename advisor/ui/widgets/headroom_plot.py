"""Memory of one place against time: predicted bands, the measured line over them, phases below.

Painted by hand: bands, scales and words are drawn once per change into a pixmap, and the line into
another as it comes, so that a frame while a probe runs costs two pixmaps and a few new segments.
Where many plots change at once they take turns; until its turn a plot shows its old pixmaps.
Labels stand beside the plot and move apart, never over it; a compact plot leaves them to a legend.
"""

from collections.abc import Sequence
from typing import Final

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import (
    QColor,
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
from advisor.ui.widgets.headroom_ground import COMPACT_TOP, Axes, Band, Ground, axes, line
from advisor.ui.widgets.headroom_marks import Event, Span, paint_events, paint_phases
from advisor.ui.widgets.paint_turns import turns

LEAST: Final = QSize(280, 170)
"""Px of a plot with its labels beside it."""
COMPACT: Final = QSize(200, 92)
"""Px of one among many."""
END: Final = 6.0
"""Px around the line's last point that its mark may cover."""


class HeadroomPlot(QWidget):
    """One device, or the host's RAM."""

    def __init__(self, title: str, *, compact: bool = False, shared: bool = False) -> None:
        """compact: small among many, with ``title`` inside and a legend elsewhere.

        shared: its capacity is what other programs left of it.
        """
        super().__init__()
        self._title = title
        self._most = self.tr("{size} available") if shared else self.tr("{size} in all")
        self._compact = compact
        self._note = ""
        self._bands: tuple[Band, ...] = ()
        self._capacity: int | None = None
        self._spans: tuple[Span, ...] = ()
        self._seconds = 30.0
        self._times: list[float] = []
        self._values: list[float] = []
        self._drawn = 0
        self._compared: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())
        self._peak = 0.0
        self._least = 0.0
        """Bytes that its scale reaches at least."""
        self._events: tuple[Event, ...] = ()
        self._ground: QPixmap | None = None
        self._trace: QPixmap | None = None
        """The measured line as far as it is drawn."""
        self._stale = True
        """The two no longer show what they should."""
        # Nothing shines through: what is behind need not be painted with every new sample.
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setMinimumSize(COMPACT if compact else LEAST)
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
        compared = (tuple(times), tuple(values))
        if compared != self._compared:
            self._compared = compared
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
        self._compared = ((), ())
        self.say("")
        self._changed()

    def extend(self, times: Sequence[float], values: Sequence[float]) -> None:
        """More of the measured line: seconds and bytes."""
        if not times:
            return
        before = self.axes()
        since = self._times[-1] if self._times else times[0]
        self._times.extend(times)
        self._values.extend(values)
        self._peak = max(self._peak, *values)
        if self._times[-1] > self._seconds:
            self.set_seconds(self._times[-1] * 1.25)
        after = self.axes()
        if (after.top, after.seconds) != (before.top, before.seconds):
            self._changed()
            return
        left, right = after.x(since) - END, after.x(self._times[-1]) + END
        self.update(QRectF(left, 0, right - left, self.height()).toAlignedRect())

    def say(self, summary: str) -> None:
        """What the plot shows now, in words; a compact plot writes them beside its title."""
        self.setAccessibleDescription(summary)
        if self._compact and summary != self._note:
            self.update(0, 0, self.width(), int(COMPACT_TOP))
        self._note = summary

    def reach(self, least: float) -> None:
        """Show at least so many bytes: plots beside each other have one scale."""
        before = self.axes().top
        self._least = least
        if self.axes().top != before:
            self._changed()

    @property
    def needed(self) -> float:
        """Bytes that have to be shown for its own sake."""
        return max(float(sum(band.size for band in self._bands)), self._peak, 1.0)

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

    @property
    def ground(self) -> Ground:
        """What stands still in it."""
        title = self._title if self._compact else ""
        return Ground(title, self._bands, self._capacity, self._most, self._compared)

    def axes(self) -> Axes:
        """Its axes as they are now."""
        return axes(
            self.width(),
            self.height(),
            compact=self._compact,
            needed=max(self.needed, self._least),
            capacity=self._capacity,
            seconds=self._seconds,
        )

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """No more than it must have: it takes all the room that is left, and none by scrolling."""
        return self.minimumSize()

    # --- Painting -------------------------------------------------------------------------------

    def _changed(self) -> None:
        self._stale = True
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

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """The still part, the line so far, and its end."""
        axes = self.axes()
        ratio = self.devicePixelRatioF()
        stale = self._stale or self._ground is None or self._ground.devicePixelRatio() != ratio
        if stale and turns.allows(self):
            with turns.painting():
                self._redraw(axes, ratio)
            stale = False
        with QPainter(self) as painter:
            painter.fillRect(event.rect(), QColor(design.colours().surface))
            if self._ground is None or self._trace is None:
                return
            if stale:  # not its turn yet
                painter.drawPixmap(0, 0, self._ground)
                painter.drawPixmap(0, 0, self._trace)
                return
            self._draw_new(self._trace, axes)
            painter.drawPixmap(0, 0, self._ground)
            # Phases change all the time: drawing the ground anew for each would cost a frame.
            paint_phases(painter, axes, self._spans, named=not self._compact)
            painter.drawPixmap(0, 0, self._trace)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            paint_events(painter, axes, self._events)
            self._paint_end(painter, axes)

    def _redraw(self, axes: Axes, ratio: float) -> None:
        self._ground, self._trace = self._sheet(ratio), self._sheet(ratio)
        with QPainter(self._ground) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            self.ground.paint(painter, axes, self.width())
        self._drawn = 0
        self._draw_new(self._trace, axes)
        self._stale = False

    def _sheet(self, ratio: float) -> QPixmap:
        sheet = QPixmap(self.size() * ratio)
        sheet.setDevicePixelRatio(ratio)
        sheet.fill(Qt.GlobalColor.transparent)
        return sheet

    def _draw_new(self, sheet: QPixmap, axes: Axes) -> None:
        """Append what came since the last frame to the drawn line."""
        if self._drawn == len(self._times):
            return
        since = max(0, self._drawn - 1)
        points = line(axes, self._times[since:], self._values[since:])
        self._drawn = len(self._times)
        with QPainter(sheet) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setClipRect(axes.area.adjusted(0, -2, 4, 2))
            painter.setPen(QPen(QColor(design.colours().text), 1.5 if self._compact else 2))
            painter.drawPolyline(QPolygonF(points))

    def _paint_end(self, painter: QPainter, axes: Axes) -> None:
        c = design.colours()
        if self._compact and self._note:
            painter.setFont(design.font(design.SMALL))
            painter.setPen(QColor(c.muted))
            box = QRectF(axes.area.left(), 2, axes.area.width(), 18)
            right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
            painter.drawText(box, int(right), self._note)
        if self._times:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(c.text))
            at = QPointF(axes.x(self._times[-1]), axes.y(self._values[-1]))
            radius = END - 3.5 if self._compact else END - 2.5
            painter.drawEllipse(at, radius, radius)

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
        area = self.axes().area
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
