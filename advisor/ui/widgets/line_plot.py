"""A plot over pyqtgraph in the app's design: curves, ranges, bands, marks; repainted at most 20 Hz.

Ranges are set, not found: nothing moves under the reader's eye. The plot tells its content to
screen readers by ``say``, because pyqtgraph exposes nothing.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QEvent, Qt, QTimer
from PySide6.QtGui import QColor, QHideEvent, QPen, QShowEvent
from PySide6.QtWidgets import QVBoxLayout, QWidget

from advisor.ui import design

FRAME_MS: Final = 50
Numbers = Sequence[float] | np.ndarray


class LinePlot(QWidget):
    """Named curves and areas; the same name again replaces what it showed."""

    def __init__(self, name: str, *, x_label: str = "", y_label: str = "") -> None:
        super().__init__()
        self._name = name
        self.setAccessibleName(name)
        self._x_label, self._y_label = x_label, y_label
        # A menu that is only switched off would be made all the same, a third of the plot's cost.
        self._plot = pg.PlotWidget(enableMenu=False)
        self._plot.setMouseEnabled(False, False)
        self._plot.hideButtons()
        self._plot.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._plot.setFrameShape(self._plot.Shape.NoFrame)
        self._plot.getViewBox().disableAutoRange()
        self._plot.setAntialiasing(True)
        inside: Any = self._plot.getPlotItem()  # its ``layout`` hides QGraphicsWidget's method
        inside.layout.setContentsMargins(2, 8, 16, 2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._plot)
        self._items: dict[str, tuple[Any, dict[str, Any]]] = {}
        self._waiting: dict[str, tuple[np.ndarray, ...]] = {}
        self._frames = QTimer(self, interval=FRAME_MS)
        self._frames.timeout.connect(self._flush)
        self._restyle()

    def say(self, sentence: str) -> None:
        """What the plot shows, in words."""
        self.setAccessibleName(f"{self._name}: {sentence}" if sentence else self._name)

    def set_range(
        self, x: tuple[float, float], y: tuple[float, float], *, log_x: bool = False
    ) -> None:
        """The axes' ends."""
        self._plot.setLogMode(x=log_x, y=False)
        self._plot.getViewBox().setRange(xRange=x, yRange=y, padding=0)

    def set_ticks(self, axis: str, ticks: Sequence[tuple[float, str]]) -> None:
        """Ticks of the "bottom" or "left" axis: place and words."""
        self._plot.getAxis(axis).setTicks([list(ticks)])

    def curve(
        self,
        name: str,
        x: Numbers,
        y: Numbers,
        *,
        series: design.Series | None = None,
        width: float = 2.0,
        dashed: bool = False,
    ) -> None:
        """A line. Cheap to call at any rate: it is drawn with the next frame."""
        if name not in self._items:
            item = pg.PlotDataItem(antialias=True)
            item.setZValue(10)
            self._add(name, item, series=series, width=width, dashed=dashed)
        self._waiting[name] = (np.asarray(x, dtype=float), np.asarray(y, dtype=float))
        self._start()

    def span(
        self,
        name: str,
        x: Numbers,
        low: Numbers,
        high: Numbers,
        *,
        series: design.Series | None = None,
        opacity: float = 0.18,
    ) -> None:
        """An area between two lines: a range of predictions, or a band of memory."""
        if name not in self._items:
            lower, upper = pg.PlotDataItem(), pg.PlotDataItem()
            area = pg.FillBetweenItem(lower, upper)
            area.setZValue(-5)
            self._add(name, area, series=series, opacity=opacity, edges=(lower, upper))
        self._waiting[name] = tuple(np.asarray(v, dtype=float) for v in (x, low, high))
        self._start()

    def mark(
        self, name: str, at: float, words: str = "", *, upright: bool = True, strong: bool = False
    ) -> None:
        """A dashed line across the plot, upright or level, with a few words beside it."""
        self.remove(name)
        item = pg.InfiniteLine(
            pos=at,
            angle=90 if upright else 0,
            label=words or None,
            labelOpts={"position": 0.94, "movable": False},
        )
        item.setZValue(5)
        self._add(name, item, mark=True, strong=strong)
        self._style(name)

    def remove(self, name: str) -> None:
        """Take something out again."""
        found = self._items.pop(name, None)
        self._waiting.pop(name, None)
        if found is not None:
            self._plot.removeItem(found[0])

    def clear(self) -> None:
        """Take everything out."""
        for name in list(self._items):
            self.remove(name)

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802 - Qt's name
        """Draw what came while hidden."""
        super().showEvent(event)
        self._start()

    def hideEvent(self, event: QHideEvent) -> None:  # noqa: N802 - Qt's name
        """No frames while nobody looks."""
        self._frames.stop()
        super().hideEvent(event)

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802 - Qt's name
        """Another colour scheme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange:
            self._restyle()

    def _add(self, name: str, item: Any, **style: Any) -> None:  # noqa: ANN401 - pyqtgraph's items
        self._items[name] = (item, style)
        self._plot.addItem(item)
        self._style(name)

    def _start(self) -> None:
        if self.isVisible() and not self._frames.isActive():
            self._flush()
            self._frames.start()

    def _flush(self) -> None:
        if not self._waiting:
            self._frames.stop()
            return
        waiting, self._waiting = self._waiting, {}
        for name, data in waiting.items():
            item, style = self._items[name]
            if "edges" in style:
                x, low, high = data
                lower, upper = style["edges"]
                lower.setData(x, low)
                upper.setData(x, high)
            else:
                item.setData(*data)

    def _colour(self, series: design.Series | None) -> QColor:
        c = design.colours()
        return QColor(c.accent) if series is None else c.series(series)

    def _style(self, name: str) -> None:
        item, style = self._items[name]
        c = design.colours()
        if "edges" in style:
            colour = self._colour(style["series"])
            colour.setAlphaF(style["opacity"])
            item.setBrush(pg.mkBrush(colour))
        elif style.get("mark"):
            pen = QPen(QColor(c.bad if style["strong"] else c.line_strong), 0)
            pen.setStyle(Qt.PenStyle.DashLine)
            item.setPen(pen)
            if item.label is not None:
                item.label.setColor(QColor(c.text if style["strong"] else c.muted))
                item.label.textItem.setFont(design.font(design.SMALL))
        else:
            pen = pg.mkPen(self._colour(style["series"]), width=style["width"])
            if style["dashed"]:
                pen.setStyle(Qt.PenStyle.DashLine)
            item.setPen(pen)

    def _restyle(self) -> None:
        c = design.colours()
        self._plot.setBackground(QColor(c.surface))
        for side in ("bottom", "left"):
            axis = self._plot.getAxis(side)
            axis.setPen(pg.mkPen(QColor(c.line)))
            axis.setTextPen(pg.mkPen(QColor(c.muted)))
            axis.setStyle(
                tickFont=design.font(design.SMALL), tickLength=-3, hideOverlappingLabels=False
            )
        if self._x_label:
            self._plot.setLabel("bottom", self._x_label, color=c.muted, **{"font-size": "11px"})
        if self._y_label:
            self._plot.setLabel("left", self._y_label, color=c.muted, **{"font-size": "11px"})
        self._plot.showGrid(x=False, y=True, alpha=0.12)
        for name in self._items:
            self._style(name)
