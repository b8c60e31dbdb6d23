"""Cost against speed of every rig that meets the need; those that nothing beats are filled."""

import math
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFont, QHelpEvent, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from advisor.advice.money import money
from advisor.advice.verdict import Advice
from advisor.advice.whatif import name
from advisor.ui import design
from advisor.ui.pages.advice_axes import TICKS, amount, nice
from advisor.ui.widgets.basics import Card, text
from advisor.units import rate

NEAR = 9
"""So near to a mark the pointer means it, in px."""


@dataclass(frozen=True, slots=True)
class _Mark:
    title: str
    story: str
    cost: float
    speed: float
    front: bool
    best: bool


class FrontPlot(QWidget):
    """Marks over a logarithmic axis of cost; the story of each is its tooltip."""

    def __init__(self) -> None:
        super().__init__()
        self._marks: tuple[_Mark, ...] = ()
        self._currency = ""
        self.setMinimumHeight(190)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Wider than high."""
        return QSize(480, 210)

    def show_advice(self, advice: Advice) -> int:
        """Other marks; returns how many."""
        self._currency = advice.usage.currency
        best = advice.best.option.id if advice.best is not None else ""
        self._marks = tuple(
            _Mark(
                name(a),
                f"{name(a)}: {money(a.monthly.mid, self._currency)}, {rate(a.decode_tps.mid)}",
                max(0.01, float(a.monthly.mid)),
                a.decode_tps.mid,
                a.option.id in advice.front,
                a.option.id == best,
            )
            for a in advice.assessments
            if a.meets and a.monthly is not None and a.decode_tps is not None
        )
        unbeaten = "; ".join(mark.story for mark in self._marks if mark.front)
        self.setAccessibleName(
            self.tr("Cost against speed, not beaten by any other: {list}").format(list=unbeaten)
        )
        self.update()
        return len(self._marks)

    def _place(self, mark: _Mark) -> QPointF:
        area, low, high, top = self._frame()
        across = (math.log10(mark.cost) - low) / (high - low)
        return QPointF(
            area.left() + across * area.width(), area.bottom() - mark.speed / top * area.height()
        )

    def _frame(self) -> tuple[QRectF, int, int, float]:
        """The area, the decades of cost at its ends, and the speed at its top."""
        costs = [math.log10(mark.cost) for mark in self._marks]
        low, high = math.floor(min(costs)), math.ceil(max(costs))
        top = nice(max(mark.speed for mark in self._marks) * 1.1)
        return QRectF(self.rect()).adjusted(48, 10, -14, -38), low, max(high, low + 1), top

    def event(self, event: QEvent) -> bool:
        """The story of the mark under the pointer."""
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip and self._marks:
            at = QPointF(event.pos())
            told = [
                mark.story
                for mark in self._marks
                if (self._place(mark) - at).manhattanLength() <= NEAR
            ]
            QToolTip.showText(event.globalPos(), "\n".join(told), self)
            return True
        if event.type() == QEvent.Type.PaletteChange:
            self.update()
        return super().event(event)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """Axes, then the marks, the verdict last and with its name."""
        del event
        if not self._marks:
            return
        c = design.colours()
        with QPainter(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            self._paint_axes(painter)
            for mark in sorted(self._marks, key=lambda m: (m.best, m.front)):
                place = self._place(mark)
                if not mark.front and not mark.best:
                    painter.setPen(QPen(QColor(c.muted), 1.3))
                    painter.setBrush(Qt.BrushStyle.NoBrush)
                    painter.drawEllipse(place, 4, 4)
                    continue
                side = 7.0 if mark.best else 5.0
                painter.setPen(QPen(QColor(c.surface), 1))
                painter.setBrush(QColor(c.text if mark.best else c.accent))
                steps = ((0, -side), (side, 0), (0, side), (-side, 0))
                painter.drawPolygon(QPolygonF([place + QPointF(x, y) for x, y in steps]))
                if mark.best:
                    painter.setPen(QColor(c.text))
                    painter.setFont(design.font(design.SMALL, QFont.Weight.Medium))
                    right = place.x() < self.width() / 2
                    box = QRectF(place.x() + 11 if right else 0, place.y() - 9, place.x() - 11, 18)
                    if right:
                        box.setRight(self.width())
                    side_ = Qt.AlignmentFlag.AlignLeft if right else Qt.AlignmentFlag.AlignRight
                    where = side_ | Qt.AlignmentFlag.AlignVCenter
                    ground = QColor(c.surface)
                    ground.setAlphaF(0.85)
                    painter.fillRect(painter.boundingRect(box, where, mark.title), ground)
                    painter.drawText(box, where, mark.title)

    def _paint_axes(self, painter: QPainter) -> None:
        c = design.colours()
        area, low, high, top = self._frame()
        painter.setFont(design.font(design.SMALL))
        for step in range(TICKS + 1):
            y = area.bottom() - step / TICKS * area.height()
            painter.setPen(QPen(QColor(c.line), 1))
            painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
            painter.setPen(QColor(c.muted))
            right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
            painter.drawText(
                QRectF(0, y - 8, area.left() - 6, 16), right, amount(step / TICKS * top, top)
            )
        for decade in range(low, high + 1):
            x = area.left() + (decade - low) / (high - low) * area.width()
            below = QRectF(x - 40, area.bottom() + 3, 80, 16)
            if decade == high:
                below.translate(-34, 0)
            side = Qt.AlignmentFlag.AlignRight if decade == high else Qt.AlignmentFlag.AlignHCenter
            painter.drawText(below, side, amount(10.0**decade, 10.0**decade))
        under = QRectF(area.left(), area.bottom() + 19, area.width(), 16)
        across = self.tr("{currency} a month, each step tenfold").format(currency=self._currency)
        painter.drawText(under, Qt.AlignmentFlag.AlignRight, across)
        painter.drawText(under, Qt.AlignmentFlag.AlignLeft, self.tr("↑ tok/s"))


class FrontCard(Card):
    """The plot and its legend; hidden where fewer than two rigs meet the need."""

    def __init__(self) -> None:
        super().__init__(self.tr("Cost against speed"))
        self.plot = FrontPlot()
        self.body.addWidget(self.plot)
        legend = self.tr(
            "Every rig that meets the need. Filled: no other beats it in cost, speed and quality "
            "at once. An API's speed is not known."
        )
        self.body.addWidget(text(legend, "small", wrap=True))

    def show_advice(self, advice: Advice) -> None:
        """Other marks."""
        self.setVisible(self.plot.show_advice(advice) > 1)
