"""Monthly cost against volume: lines with their ranges, where two cross, and the user's volume."""

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFont,
    QFontMetricsF,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPixmap,
    QPolygonF,
)
from PySide6.QtWidgets import QSizePolicy, QWidget

from advisor.advice.assessment import Assessment
from advisor.advice.money import money, two_digits
from advisor.advice.verdict import Advice
from advisor.advice.whatif import name
from advisor.ui import design
from advisor.ui.pages.advice_axes import Grid, nice

MOST: Final = 1_000_000
GRIP: Final = 9
"""So near to its line the pointer takes hold of the volume, in px."""
STYLES: Final = (
    ("accent", Qt.PenStyle.SolidLine),
    ("compute", Qt.PenStyle.DashLine),
    ("context", Qt.PenStyle.DashDotLine),
    ("output", Qt.PenStyle.DotLine),
)
"""Colour and dash pattern of the lines, in their order."""
_STEP: Final = 1.1


Ends = tuple[float, float, float]
"""Cheap, expected, dear."""


@dataclass(frozen=True, slots=True)
class CostLine:
    """Cost over requests: straight from one bend to the next, and on from the last two."""

    name: str
    bends: tuple[tuple[float, Ends], ...]
    """At least two, from no requests up."""
    capacity: float | None
    """Requests a month that it can serve; None: any."""

    def at(self, requests: float, place: int = 1) -> float:
        """Cost of a month, ``place`` 0 to 2 for cheap, expected, dear."""
        last = len(self.bends) - 1
        end = next((n for n in range(1, last) if requests <= self.bends[n][0]), last)
        (left, low), (right, high) = self.bends[end - 1], self.bends[end]
        part = (requests - left) / (right - left)
        return low[place] + (high[place] - low[place]) * part

    def within(self, start: float, end: float) -> list[float]:
        """Both, and every bend between them."""
        return [start, *(x for x, _ in self.bends if start < x < end), end]


@dataclass(frozen=True, slots=True)
class CostPicture:
    """Everything that the plot shows."""

    lines: tuple[CostLine, ...]
    volume: int
    currency: str
    cross: tuple[float | None, float, float | None] | None
    """Requests a month at which the compared two cost the same: earliest, expected, latest."""
    cross_cost: float
    capacity: float | None
    """Requests a month that the compared rig can serve, where that is less than the crossing."""


_NEAR: Final = 2
"""Near misses that are drawn where nothing meets the need."""


def picture(advice: Advice) -> CostPicture:
    """The verdict, the runner-up and the two that are compared, as lines; else what comes near."""
    wanted = [advice.best, advice.runner_up, *(advice.compared or ())]
    if advice.compared is None:
        # A rig that leaves long requests to an API is not compared, but has a line.
        wanted += [a for a in advice.assessments if a.hybrid is not None and a.meets][:1]
    if advice.best is None:
        of_kind = {a.option.kind: a for a in reversed(advice.assessments) if a.local is not None}
        wanted += sorted(of_kind.values(), key=lambda a: a.miss)[:_NEAR]
    chosen: dict[str, Assessment] = {a.option.id: a for a in wanted if a is not None}
    lines = tuple(line for line in map(_line, chosen.values()) if line is not None)
    even, cross, cost, capacity = advice.break_even, None, 0.0, None
    if even is not None and even.mid and advice.compared is not None:
        ends = [None if end is None else float(end) for end in (even.low, even.high)]
        cross = (ends[0], float(even.mid), ends[1])
        capacity = None if even.reachable else float(even.capacity)
        local = _line(advice.compared[0])
        cost = local.at(cross[1]) if local is not None else 0.0
    usage = advice.usage
    return CostPicture(lines, usage.requests_per_month, usage.currency, cross, cost, capacity)


def _line(a: Assessment) -> CostLine | None:
    costs = [(x, a.monthly_at(x)) for x in (Decimal(0), *_volumes(a))]
    known = [(float(x), (float(c.low), float(c.mid), float(c.high))) for x, c in costs if c]
    if not known:
        return None
    capacity = float(a.local.capacity.mid) if a.local is not None else None
    return CostLine(name(a), tuple(known), capacity)


def _volumes(a: Assessment) -> list[Decimal]:
    """Where its line bends, and two volumes beyond."""
    last = max([*a.bends, Decimal(1)])
    return [*a.bends, last * 2, last * 3]


class CostPlot(QWidget):
    """The plot. The volume is dragged with the pointer, or moved with the arrow keys."""

    volume_chosen = Signal(int)
    volume_tried = Signal(int)
    """While it is dragged."""

    def __init__(self) -> None:
        super().__init__()
        self._picture: CostPicture | None = None
        self._volume = 0
        self._dragged = False
        self._drawn: tuple[tuple[object, ...], QPixmap] | None = None
        """The last picture, and all that it depends on."""
        self._x_max = 1.0
        self._y_max = 1.0
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMinimumSize(320, 200)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName(self.tr("Monthly cost against volume"))

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Wider than high."""
        return QSize(480, 250)

    def show_picture(self, shown: CostPicture) -> None:
        """Other lines, another volume; the axes' ends follow, but not under a dragging hand."""
        self._picture = shown
        if self._dragged:
            self.update()
            return
        self._volume = shown.volume
        reach = shown.volume * 2.5
        if shown.cross is not None and shown.cross[1] < shown.volume * 30:
            reach = max(reach, shown.cross[1] * 1.5)
        self._x_max = nice(min(MOST, reach))
        tops = [line.at(self._x_max) for line in shown.lines]
        top = max([*tops, 0.01])
        dear = max([line.at(self._x_max, 2) for line in shown.lines], default=0.0)
        self._y_max = nice(max(top * 1.08, min(dear, top * 1.6)))
        self.setAccessibleName(f"{self.tr('Monthly cost against volume')}: {self.in_words()}")
        self.update()

    def in_words(self) -> str:
        """What the plot shows, as sentences."""
        shown = self._picture
        if shown is None:
            return ""
        costs = "; ".join(
            f"{line.name} {money(Decimal(repr(line.at(self._volume))), shown.currency)}"
            for line in shown.lines
        )
        words = self.tr("At {volume} requests a month: {costs}.").format(
            volume=f"{self._volume:,}", costs=costs
        )
        return f"{words} {self.cross_in_words()}".strip()

    def cross_in_words(self) -> str:
        """Where the compared two cost the same; empty where they never do."""
        shown = self._picture
        if shown is None or shown.cross is None:
            return ""
        low, mid, high = shown.cross
        if high is None:
            text = self.tr("Break-even at {mid} requests a month (at best {low}, perhaps never).")
        else:
            text = self.tr("Break-even at {mid} requests a month ({low} to {high}).")
        words = text.format(mid=_volume(mid), low=_volume(low or 0), high=_volume(high or 0))
        if shown.capacity is not None:
            most = self.tr(
                "In the hours given the machine can serve {capacity}; beyond that its line is thin."
            )
            words += " " + most.format(capacity=_volume(shown.capacity))
        return words

    # pointer and keys

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Take hold of the volume's line."""
        if self._picture is not None and event.button() == Qt.MouseButton.LeftButton:
            x = self._grid().x(self._volume)
            self._dragged = abs(event.position().x() - x) <= GRIP

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Move the volume along."""
        if self._picture is None:
            return
        grid = self._grid()
        if self._dragged:
            share = (event.position().x() - grid.area.left()) / grid.area.width()
            self._volume = max(1, _tidy(share * self._x_max, self._x_max))
            self.update()
            self.volume_tried.emit(self._volume)
        near = abs(event.position().x() - grid.x(self._volume)) <= GRIP
        shape = Qt.CursorShape.SplitHCursor if near or self._dragged else Qt.CursorShape.ArrowCursor
        self.setCursor(shape)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """The volume where it was let go."""
        del event
        if self._dragged:
            self._dragged = False
            self._choose(self._volume)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802 - Qt's name
        """Arrow keys change the volume by a tenth."""
        factors = {Qt.Key.Key_Right: _STEP, Qt.Key.Key_Left: 1 / _STEP}
        factor = factors.get(Qt.Key(event.key()))
        if factor is None or self._picture is None:
            super().keyPressEvent(event)
            return
        step = max(1, round(abs(self._volume * (factor - 1))))
        self._choose(self._volume + (step if factor > 1 else -step))

    def _choose(self, volume: int) -> None:
        self._volume = min(MOST, max(1, volume))
        self.update()
        if self._picture is not None:
            self.volume_chosen.emit(self._volume)

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802 - Qt's name
        """Another colour scheme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange:
            self.update()

    # painting

    def _grid(self) -> Grid:
        return Grid(QRectF(self.rect()).adjusted(48, 20, -10, -38), self._x_max, self._y_max)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """A picture that is kept: a page is painted in bands, and each would draw all of it."""
        del event
        ratio, dark = self.devicePixelRatioF(), design.colours().dark
        shown = self._picture, self._volume, self._x_max, self._y_max
        how = (*shown, self.width(), self.height(), ratio, dark, self.hasFocus())
        if self._drawn is None or self._drawn[0] != how:
            made = QPixmap(self.size() * ratio)
            made.setDevicePixelRatio(ratio)
            made.fill(QColor(design.colours().surface))
            with QPainter(made) as painter:
                self._draw(painter)
            self._drawn = how, made
        with QPainter(self) as painter:
            painter.drawPixmap(0, 0, self._drawn[1])

    def _draw(self, painter: QPainter) -> None:
        """Axes, ranges, lines, their names, the crossing, the volume."""
        shown = self._picture
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if self.hasFocus():
            painter.setPen(QPen(QColor(design.colours().accent), 1))
            painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 6, 6)
        if shown is None:
            return
        grid = self._grid()
        grid.paint(
            painter,
            across=self.tr("requests a month"),
            up=self.tr("{currency} a month").format(currency=shown.currency),
        )
        painter.save()
        painter.setClipRect(grid.area)
        for line, style in zip(shown.lines, STYLES, strict=False):
            self._paint_range(painter, grid, line, _colour(style[0]))
        for line, style in zip(shown.lines, STYLES, strict=False):
            self._paint_line(painter, grid, line, style)
        painter.restore()
        self._paint_volume(painter, grid)
        self._paint_names(painter, grid, shown)
        self._paint_cross(painter, grid, shown)

    def _paint_range(self, painter: QPainter, grid: Grid, line: CostLine, colour: QColor) -> None:
        colour.setAlphaF(0.13)
        across = line.within(0.0, self._x_max)
        corners = [*((x, 0) for x in across), *((x, 2) for x in reversed(across))]
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colour)
        painter.drawPolygon(QPolygonF([grid.at(x, line.at(x, place)) for x, place in corners]))

    def _paint_line(
        self, painter: QPainter, grid: Grid, line: CostLine, style: tuple[str, Qt.PenStyle]
    ) -> None:
        """Fainter where the machine could not serve that many."""
        painter.setBrush(Qt.BrushStyle.NoBrush)
        ends = min(self._x_max, self._x_max if line.capacity is None else line.capacity)
        pen = QPen(_colour(style[0]), 2, style[1])
        painter.setPen(pen)
        painter.drawPolyline([grid.at(x, line.at(x)) for x in line.within(0.0, ends)])
        if ends < self._x_max:
            pen.setWidthF(0.8)
            painter.setPen(pen)
            painter.drawPolyline([grid.at(x, line.at(x)) for x in line.within(ends, self._x_max)])

    def _paint_names(self, painter: QPainter, grid: Grid, shown: CostPicture) -> None:
        """Each line's name above its right end, moved up or down where two would overlap."""
        font = design.font(design.SMALL, QFont.Weight.Medium)
        metrics = QFontMetricsF(font)
        height = metrics.height() + 1
        wanted = sorted(
            (
                (grid.at(0, line.at(self._x_max)).y() - height / 2 - 3, place, line)
                for place, line in enumerate(shown.lines)
            ),
            key=lambda w: (w[0], w[1]),
        )
        tops: list[float] = []
        lowest = grid.area.bottom() - height / 2
        for y, _, _ in wanted:
            tops.append(max(y, grid.area.top() + height / 2, tops[-1] + height if tops else -1e9))
        for place in range(len(tops) - 1, -1, -1):
            limit = lowest if place == len(tops) - 1 else tops[place + 1] - height
            tops[place] = min(tops[place], limit)
        painter.setFont(font)
        for y, (_y, place, line) in zip(tops, wanted, strict=True):
            words = metrics.elidedText(
                line.name, Qt.TextElideMode.ElideRight, grid.area.width() * 0.8
            )
            width = metrics.horizontalAdvance(words)
            box = QRectF(grid.area.right() - width - 6, y - height / 2, width + 4, height)
            ground = QColor(design.colours().surface)
            ground.setAlphaF(0.82)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(ground)
            painter.drawRect(box.adjusted(-26, 1, 2, -1))
            colour, dash = STYLES[place % len(STYLES)]
            painter.setPen(QPen(_colour(colour), 2, dash))
            painter.drawLine(QPointF(box.left() - 24, y), QPointF(box.left() - 4, y))
            painter.setPen(QColor(design.colours().text))
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, words)

    def _paint_cross(self, painter: QPainter, grid: Grid, shown: CostPicture) -> None:
        if shown.cross is None:
            return
        low, mid, high = shown.cross
        if mid > self._x_max:
            return
        c = design.colours()
        left, right = grid.x(low or 0), grid.x(min(high or self._x_max, self._x_max))
        base = grid.area.bottom()
        painter.setPen(QPen(QColor(c.text), 3))
        painter.drawLine(QPointF(left, base), QPointF(right, base))
        point = grid.at(mid, shown.cross_cost)
        painter.setPen(QPen(QColor(c.text), 1, Qt.PenStyle.DotLine))
        painter.drawLine(point, QPointF(point.x(), base))
        painter.setPen(QPen(QColor(c.surface), 1.5))
        painter.setBrush(QColor(c.text))
        painter.drawEllipse(point, 5, 5)
        top = "∞" if high is None else _volume(high)
        words = self.tr("break-even {low}–{high}").format(low=_volume(low or 0), high=top)
        self._tag(painter, QPointF(point.x() + 8, base - 10), words, grid)

    def _paint_volume(self, painter: QPainter, grid: Grid) -> None:
        c = design.colours()
        x = grid.x(min(self._volume, self._x_max))
        painter.setPen(QPen(QColor(c.text), 1.2, Qt.PenStyle.DashLine))
        painter.drawLine(QPointF(x, grid.area.top() - 2), QPointF(x, grid.area.bottom()))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(c.text))
        top = grid.area.top() - 2
        painter.drawPolygon(
            QPolygonF([QPointF(x - 5, top - 6), QPointF(x + 5, top - 6), QPointF(x, top)])
        )
        words = self.tr("you: {volume}").format(volume=f"{self._volume:,}")
        self._tag(painter, QPointF(x + 8, grid.area.top() - 8), words, grid)

    def _tag(self, painter: QPainter, place: QPointF, words: str, grid: Grid) -> None:
        """A few words right of a place, left of it where there is no room."""
        font = design.font(design.SMALL)
        metrics = QFontMetricsF(font)
        width = metrics.horizontalAdvance(words)
        left = place.x()
        if left + width > grid.area.right():
            left -= width + 16
        painter.setFont(font)
        painter.setPen(QColor(design.colours().text))
        painter.drawText(QPointF(left, place.y() + metrics.ascent() / 2), words)


def _colour(role: str) -> QColor:
    return QColor(getattr(design.colours(), role))


def _tidy(value: float, scale: float) -> int:
    """To a step that a pointer can aim at: a two-hundredth of the axis, rounded to its digit."""
    step = 10 ** max(0, math.floor(math.log10(max(1.0, scale / 200))))
    return min(MOST, max(1, round(value / step) * step))


def _volume(requests: float) -> str:
    return f"{two_digits(Decimal(round(requests))):,}"
