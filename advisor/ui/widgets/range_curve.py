"""A small pyqtgraph plot: a curve within its range, over two axes from nothing.

Ranges are set, not found: nothing moves under the reader's eye. pyqtgraph tells screen readers
nothing, so the curve's words stand for it.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QEvent, QSize, Qt
from PySide6.QtGui import QColor
from PySide6.QtWidgets import (
    QGraphicsGridLayout,
    QGraphicsWidget,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from advisor.basis import Range
from advisor.ui import design
from advisor.ui.turns import Turn

Tick = tuple[float, str]
"""A place on an axis, and its words."""
OPACITY: Final = 0.18
GRID: Final = 30
"""Opacity of the lines across, of 255."""
HEAD: Final = 1.12
"""How far the axis goes beyond the highest value."""


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
        self._plot: _Plot | None = None
        self._making = Turn(self)
        self._making.due.connect(self._make)
        self.setAccessibleName(name)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._inside = QVBoxLayout(self)
        self._inside.setContentsMargins(0, 0, 0, 0)

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
        if self._plot is None or self._inside.isEmpty():
            # As long a turn of the window's thread as the rest of its card: not in the same one.
            self._making.start()
        else:
            self._plot.draw(self._shown)

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Takes the width it gets."""
        return QSize(200, self._height)

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802 - Qt's name
        """Another colour scheme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and self._plot is not None:
            self._plot.restyle()

    def _make(self) -> None:
        if self._plot is None:
            self._plot = _Plot()
            self._making.start()
        elif self._shown is not None:
            self._plot.draw(self._shown)
            self._inside.addWidget(self._plot)


class _Plot(pg.GraphicsView):
    """The line, its ground and the axes; nothing that answers to the mouse.

    Not a pg.PlotWidget: that makes a form of all that its menu could change, two thirds of what it
    costs and longer than a frame has time for.
    """

    def __init__(self) -> None:
        super().__init__()
        # Or the page would not scroll where the wheel is turned over it.
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setFrameShape(self.Shape.NoFrame)
        self.setAntialiasing(True)
        self._area = pg.ViewBox(enableMenu=False)
        self._area.setMouseEnabled(False, False)
        self._area.disableAutoRange()
        self._left, self._bottom = pg.AxisItem("left"), pg.AxisItem("bottom")
        inside = QGraphicsGridLayout()
        inside.setContentsMargins(2, 8, 16, 2)
        inside.setSpacing(0)
        inside.addItem(self._area, 0, 1)
        for axis, place in ((self._left, (0, 0)), (self._bottom, (1, 1))):
            axis.linkToView(self._area)
            axis.setZValue(0.5)
            inside.addItem(axis, *place)
        whole = QGraphicsWidget()
        whole.setLayout(inside)
        self.setCentralItem(whole)
        self._line = pg.PlotDataItem(antialias=True)
        self._line.setZValue(10)
        self._low, self._high = pg.PlotDataItem(), pg.PlotDataItem()
        self._ground = pg.FillBetweenItem(self._low, self._high)
        self._ground.setZValue(-5)
        self._area.addItem(self._ground)
        self._area.addItem(self._line)
        self.restyle()

    def draw(self, shown: _Shown) -> None:
        """Other points."""
        x = np.array([place for place, _ in shown.points])
        high = np.array([found.high for _, found in shown.points])
        self._area.setRange(
            xRange=(0.0, float(x[-1])), yRange=(0.0, float(high.max()) * HEAD), padding=0
        )
        self._bottom.setTicks([list(shown.across)])
        self._left.setTicks([list(shown.up)])
        self._low.setData(x, np.array([found.low for _, found in shown.points]))
        self._high.setData(x, high)
        self._line.setData(x, np.array([found.mid for _, found in shown.points]))

    def restyle(self) -> None:
        """The colours of the scheme."""
        c = design.colours()
        self.setBackground(QColor(c.surface))
        for axis in (self._bottom, self._left):
            axis.setPen(pg.mkPen(QColor(c.line)))
            axis.setTextPen(pg.mkPen(QColor(c.muted)))
            axis.setStyle(
                tickFont=design.font(design.SMALL), tickLength=-3, hideOverlappingLabels=False
            )
        ground = QColor(c.accent)
        ground.setAlphaF(OPACITY)
        self._ground.setBrush(pg.mkBrush(ground))
        self._line.setPen(pg.mkPen(QColor(c.accent), width=2.0))
        self._left.setGrid(GRID)
