"""Charts drawn for print: vector lines, words beside the lines, readable in black and white."""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from PySide6.QtCore import QLineF, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen, QPolygonF

from advisor.report.convention import Convention
from advisor.report.document import Bar, Bars, Chart, Mark, Series
from advisor.report.style import (
    ACCENT,
    BAR_FILLS,
    BODY,
    INK,
    MUTED,
    PANEL,
    RULE,
    SERIES_INKS,
    SMALL,
    TINY,
    SetText,
    bold,
    face,
    set_text,
)

INTERNATIONAL: Final = Convention()
_DASHES: Final = (
    Qt.PenStyle.SolidLine,
    Qt.PenStyle.DashLine,
    Qt.PenStyle.DashDotLine,
    Qt.PenStyle.DotLine,
    Qt.PenStyle.DashDotDotLine,
)
_TITLE: Final = 24.0
_UNIT: Final = 18.0
_MARK_ROW: Final = 14.0
_MARK_ROWS: Final = 2
_AXIS: Final = 34.0
_LEFT: Final = 58.0
_SOME_BARS: Final = 4
_MANY_BARS: Final = 7
_NOTE: Final = 96.0
"""Room at a bar's end for what it leaves, at the least."""
_SEAM: Final = 0.8
"""White between the segments of a bar."""
_RIGHT: Final = 150.0
"""Room beside the plot for the names of lines and bands."""


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About ``count`` round numbers from ``low`` to ``high`` (Heckbert, Graphics Gems 1990)."""
    if not math.isfinite(low) or not math.isfinite(high) or high <= low:
        return [low]
    rough = (high - low) / max(count, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def tick_texts(values: Sequence[float], convention: Convention = INTERNATIONAL) -> list[str]:
    """``"0"``, ``"0.75"``, ``"1.50"``: as many decimals each, as the reader writes them."""
    exact = (d for d in range(6) if all(abs(round(v, d) - v) < 1e-9 for v in values))
    digits = next(exact, 6)
    return [convention.number(f"{v:,.{digits}f}" if v else "0") for v in values]


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move label positions apart to at least ``gap``, in order, inside ``low`` … ``high``."""
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    placed = [0.0] * len(wanted)
    position = low
    for index in order:
        position = max(position, wanted[index])
        placed[index] = position
        position += gap
    limit = high
    for index in reversed(order):
        placed[index] = min(placed[index], limit)
        limit = placed[index] - gap
    return placed


class _Axes:
    """Data to page coordinates."""

    def __init__(self, chart: Chart, frame: QRectF) -> None:
        xs = [x for s in chart.series for x in s.x] + [mark.x for mark in chart.marks]
        ys = [y for s in chart.series for y in (*s.y, *s.high)]
        ys += [band.high for band in chart.bands] + [limit.y for limit in chart.limits]
        self.frame = frame
        self.x_max = chart.x_max or max(xs, default=1.0) or 1.0
        self.y_max = chart.y_max or max(ys, default=1.0) * 1.06 or 1.0

    def x(self, value: float) -> float:
        share = min(max(value / self.x_max, 0.0), 1.0)
        return self.frame.left() + share * self.frame.width()

    def y(self, value: float) -> float:
        share = min(max(value / self.y_max, 0.0), 1.0)
        return self.frame.bottom() - share * self.frame.height()

    def line(self, xs: Sequence[float], ys: Sequence[float]) -> QPolygonF:
        points = zip(xs, ys, strict=True)
        return QPolygonF([QPointF(self.x(x), self.y(y)) for x, y in points])


def draw_chart(
    painter: QPainter,
    chart: Chart,
    x: float,
    y: float,
    width: float,
    *,
    convention: Convention = INTERNATIONAL,
) -> None:
    """Draw the chart with its top left corner at (x, y); it is ``chart.height`` high."""
    set_text(chart.title, bold(BODY), width).draw(painter, x, y)
    rows = min(_MARK_ROWS, len(chart.marks) // 2)  # one mark stands beside the unit
    head = _TITLE + _UNIT + _MARK_ROW * rows
    frame = QRectF(x + _LEFT, y + head, width - _LEFT - _RIGHT, chart.height - head - _AXIS)
    axes = _Axes(chart, frame)
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    _draw_bands(painter, chart, axes)
    _draw_grid(painter, chart, axes, convention)
    labels = _draw_series(painter, chart, axes)
    labels += [(axes.y((b.low + b.high) / 2), b.name, MUTED) for b in chart.bands]
    labels += _draw_limits(painter, chart, axes)
    _draw_marks(painter, chart, axes)
    painter.restore()
    _draw_side_labels(painter, labels, axes)


def _draw_bands(painter: QPainter, chart: Chart, axes: _Axes) -> None:
    for index, band in enumerate(chart.bands):
        top, bottom = axes.y(band.high), axes.y(band.low)
        area = QRectF(axes.frame.left(), top, axes.frame.width(), bottom - top)
        ink = SERIES_INKS[index % len(SERIES_INKS)]
        painter.fillRect(area, _pale(ink, 70 if index % 2 else 35))


def _draw_grid(painter: QPainter, chart: Chart, axes: _Axes, convention: Convention) -> None:
    frame = axes.frame
    small = face(TINY)
    ticks = nice_ticks(0, axes.y_max)
    for tick, words in zip(ticks, tick_texts(ticks, convention), strict=True):
        height = axes.y(tick)
        painter.setPen(QPen(RULE, 0.6))
        painter.drawLine(QLineF(frame.left(), height, frame.right(), height))
        text = set_text(words, small, _LEFT - 10, align=Qt.AlignmentFlag.AlignRight)
        text.draw(painter, frame.left() - _LEFT + 2, height - text.height / 2, MUTED)
    painter.setPen(QPen(MUTED, 0.9))
    painter.drawLine(QLineF(frame.left(), frame.bottom(), frame.right(), frame.bottom()))
    ticks = nice_ticks(0, axes.x_max)
    for tick, words in zip(ticks, tick_texts(ticks, convention), strict=True):
        text = set_text(words, small, 70, align=Qt.AlignmentFlag.AlignHCenter)
        text.draw(painter, axes.x(tick) - 35, frame.bottom() + 3, MUTED)
    label = set_text(chart.x_label, small, frame.width(), align=Qt.AlignmentFlag.AlignHCenter)
    label.draw(painter, frame.left(), frame.bottom() + 17, MUTED)
    unit = set_text(chart.y_label, small, frame.width())
    unit.draw(painter, frame.left() - _LEFT + 2, frame.top() - unit.height - 3, MUTED)


def _draw_series(painter: QPainter, chart: Chart, axes: _Axes) -> list[tuple[float, str, QColor]]:
    labels: list[tuple[float, str, QColor]] = []
    # All bands first: they are opaque and would hide another series' line.
    painter.setPen(Qt.PenStyle.NoPen)
    for index, series in enumerate(chart.series):
        if series.low and series.high:
            painter.setBrush(_pale(_series_ink(index, series), 45))
            xs, ys = (*series.x, *series.x[::-1]), (*series.high, *series.low[::-1])
            painter.drawPolygon(axes.line(xs, ys))
    for index, series in enumerate(chart.series):
        ink = _series_ink(index, series)
        pen = QPen(ink, 1.9 if series.measured else 1.5)
        if not series.measured:
            pen.setStyle(_DASHES[index % len(_DASHES)])
        painter.setPen(pen)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawPolyline(axes.line(series.x, series.y))
        if series.y:
            labels.append((axes.y(series.y[-1]), series.name, ink))
    return labels


def _series_ink(index: int, series: Series) -> QColor:
    return INK if series.measured else SERIES_INKS[index % len(SERIES_INKS)]


def _draw_limits(painter: QPainter, chart: Chart, axes: _Axes) -> list[tuple[float, str, QColor]]:
    ink = QColor("#a3211a")
    painter.setPen(QPen(ink, 1.1, Qt.PenStyle.DashLine))
    for limit in chart.limits:
        height = axes.y(limit.y)
        painter.drawLine(QLineF(axes.frame.left(), height, axes.frame.right(), height))
    return [(axes.y(limit.y), limit.label, ink) for limit in chart.limits]


def _draw_marks(painter: QPainter, chart: Chart, axes: _Axes) -> None:
    marks = sorted(chart.marks, key=lambda m: m.x)
    for mark in marks:
        across = axes.x(mark.x)
        painter.setPen(QPen(MUTED, 0.8, Qt.PenStyle.DotLine))
        painter.drawLine(QLineF(across, axes.frame.top() - 3, across, axes.frame.bottom()))
        if mark.y is not None:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(ACCENT)
            painter.drawEllipse(QPointF(across, axes.y(mark.y)), 3.4, 3.4)
    for left, row, text in _mark_names(marks, axes):
        text.draw(painter, left, axes.frame.top() - 4 - (row + 1) * _MARK_ROW, INK)


def _mark_names(marks: Sequence[Mark], axes: _Axes) -> list[tuple[float, int, SetText]]:
    """Left edge, row and words of each name; of marks too close for two names, one holds both."""
    groups = [[mark] for mark in marks]
    while True:
        row_ends = [-math.inf] * _MARK_ROWS
        placed: list[tuple[float, int, SetText]] = []
        for group in groups:
            words = ", ".join(_repeated(mark.label for mark in group))
            text = set_text(words, face(TINY), axes.frame.width())
            left = min(axes.x(group[0].x) + 2, axes.frame.right() - text.width)
            row = next((r for r, end in enumerate(row_ends) if left > end + 8), None)
            if row is None:
                break
            row_ends[row] = left + text.width
            placed.append((left, row, text))
        if len(placed) == len(groups):
            return placed
        crowded = groups.pop(len(placed))
        groups[len(placed) - 1] += crowded


def _repeated(labels: Iterable[str]) -> Iterator[str]:
    """``prefill, prefill, decode`` → ``prefill ×2, decode``."""
    for label, same in itertools.groupby(labels):
        count = len(list(same))
        yield label if count == 1 else f"{label} ×{count}"


def _draw_side_labels(
    painter: QPainter, labels: list[tuple[float, str, QColor]], axes: _Axes
) -> None:
    frame = axes.frame
    texts = [set_text(name, face(SMALL), _RIGHT - 14, leading=1.15) for _, name, _ in labels]
    gap = max((text.height for text in texts), default=0) + 1
    tops = [height - text.height / 2 for (height, _, _), text in zip(labels, texts, strict=True)]
    placed = spread(tops, gap, frame.top(), frame.bottom() - gap)
    for (height, _, ink), text, top in zip(labels, texts, placed, strict=True):
        painter.setPen(QPen(RULE, 0.8))
        painter.drawLine(QLineF(frame.right(), height, frame.right() + 8, top + text.height / 2))
        text.draw(painter, frame.right() + 11, top, ink)


def bars_height(bars: Bars, width: float) -> float:
    """Height that `draw_bars` needs."""
    label_width = _label_width(width)
    return (
        _TITLE
        + sum(_pitch(bars, bar, label_width) for bar in bars.bars)
        + _legend(None, bars, 0, 0, width)
        + 6
    )


def _label_width(width: float) -> float:
    return min(170.0, width * 0.28)


def _bar_label(bar: Bar, label_width: float) -> SetText:
    return set_text(bar.label, face(SMALL), label_width - 8, leading=1.15)


def _pitch(bars: Bars, bar: Bar, label_width: float) -> float:
    """From one bar to the next: closer where there are many, wider below a long label."""
    count = len(bars.bars)
    usual, apart = (
        (30.0, 8) if count < _SOME_BARS else (24.0, 6) if count < _MANY_BARS else (19.0, 4)
    )
    return max(usual, _bar_label(bar, label_width).height + apart)


def draw_bars(painter: QPainter, bars: Bars, x: float, y: float, width: float) -> None:
    """Stacked bars on one scale with their legend below."""
    set_text(bars.title, bold(BODY), width).draw(painter, x, y)
    label_width = _label_width(width)
    notes = [set_text(bar.note, face(SMALL), width) for bar in bars.bars]
    note_width = max([_NOTE, *(note.width + 12 for note in notes)])
    track = width - label_width - note_width
    scale = max(
        [bar.capacity or 0 for bar in bars.bars]
        + [sum(max(s.value, 0) for s in bar.segments) for bar in bars.bars],
        default=1.0,
    )
    top = y + _TITLE
    for bar, note in zip(bars.bars, notes, strict=True):
        _bar_label(bar, label_width).draw(painter, x, top + 2)
        left = x + label_width
        if bar.capacity:
            painter.fillRect(QRectF(left, top + 2, track * bar.capacity / scale, 16), PANEL)
        for segment in bar.segments:
            wide = track * max(segment.value, 0) / scale
            painter.fillRect(QRectF(left, top + 2, wide, 16), _fill(bars, segment.name))
            left += wide
            painter.fillRect(QRectF(left - _SEAM, top + 2, _SEAM, 16), QColor("white"))
        if bar.capacity:
            edge = x + label_width + track * bar.capacity / scale
            painter.setPen(QPen(INK, 1.2))
            painter.drawLine(QLineF(edge, top, edge, top + 20))
        note.draw(painter, x + width - note.width, top + 2, INK)
        top += _pitch(bars, bar, label_width)
    _legend(painter, bars, x, top, width)


def _segment_names(bars: Bars) -> list[str]:
    return list(dict.fromkeys(s.name for bar in bars.bars for s in bar.segments))


def _fill(bars: Bars, name: str) -> QColor:
    names = bars.inks or _segment_names(bars)
    return BAR_FILLS[names.index(name) % len(BAR_FILLS)]


def _legend(painter: QPainter | None, bars: Bars, x: float, y: float, width: float) -> float:
    left, top = 0.0, 0.0
    for name in _segment_names(bars):
        text = set_text(name, face(SMALL), width)
        if left and left + 18 + text.width > width:
            left, top = 0.0, top + 18
        if painter:
            painter.fillRect(QRectF(x + left, y + top + 3, 11, 11), _fill(bars, name))
            text.draw(painter, x + left + 16, y + top, MUTED)
        left += text.width + 34
    return top + 20


def _pale(ink: QColor, alpha: int) -> QColor:
    """``ink`` mixed with white: PDF/A-1 forbids transparency."""
    share = alpha / 255
    return QColor.fromRgbF(
        *(1 - (1 - channel) * share for channel in (ink.redF(), ink.greenF(), ink.blueF()))
    )
