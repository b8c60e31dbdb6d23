"""Patterns that say the same as colours, for those who cannot tell the colours apart.

Every tone of a cell and every part of memory has its own: plain, dots, strokes at an angle, …
"""

from typing import Final, Literal

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPen, QPixmap

from advisor.ui import design

Pattern = Literal["solid", "dots", "rising", "falling", "upright", "level", "cross"]

SERIES: Final[dict[design.Series, Pattern]] = {
    "weights": "solid",
    "context": "rising",
    "compute": "dots",
    "output": "cross",
    "driver": "upright",
    "other": "level",
    "left": "solid",
    "line": "solid",
}
TONES: Final[dict[design.Tone, Pattern]] = {
    "plain": "solid",
    "accent": "solid",
    "good": "solid",
    "tight": "dots",
    "offload": "rising",
    "bad": "cross",
    "none": "solid",
}
INSET: Final = 1.5
_TILE: Final = 8
_cache: Final[dict[tuple[Pattern, str, float], QPixmap]] = {}
_grounds: Final[dict[tuple[design.Tone, bool, int, int, float], QPixmap]] = {}
GROUNDS_KEPT: Final = 64


def fill(
    painter: QPainter,
    area: QRectF,
    ground: QColor,
    ink: QColor,
    pattern: Pattern,
    *,
    radius: float = 0.0,
) -> None:
    """Paint ``area`` with a ground and its pattern in the ink."""
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(ground)
    painter.drawRoundedRect(area, radius, radius)
    if pattern == "solid":
        return
    tile = _tile(pattern, ink, painter.device().devicePixelRatioF())
    painter.setBrush(tile)
    painter.drawRoundedRect(area, radius, radius)


def _tile(pattern: Pattern, ink: QColor, ratio: float) -> QPixmap:
    key = (pattern, ink.name(QColor.NameFormat.HexArgb), ratio)
    if key in _cache:
        return _cache[key]
    pixmap = QPixmap(round(_TILE * ratio), round(_TILE * ratio))
    pixmap.setDevicePixelRatio(ratio)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(ink, 1.2))
    side = float(_TILE)
    if pattern in {"rising", "cross"}:
        for shift in (-side, 0.0, side):
            painter.drawLine(QPointF(shift, side), QPointF(shift + side, 0))
    if pattern in {"falling", "cross"}:
        for shift in (-side, 0.0, side):
            painter.drawLine(QPointF(shift, 0), QPointF(shift + side, side))
    if pattern == "upright":
        painter.drawLine(QPointF(side / 2, 0), QPointF(side / 2, side))
    if pattern == "level":
        painter.drawLine(QPointF(0, side / 2), QPointF(side, side / 2))
    if pattern == "dots":
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(ink)
        for x, y in ((2.0, 2.0), (6.0, 6.0)):
            painter.drawEllipse(QPointF(x, y), 0.95, 0.95)
    painter.end()
    _cache[key] = pixmap
    return pixmap


def series_ink(series: design.Series) -> QColor:
    """The pattern's ink on a part of memory: a shade of its own ground."""
    ground = design.colours().series(series)
    ink = QColor(ground)
    return ink.darker(135) if not design.colours().dark else ink.darker(165)


def fill_series(
    painter: QPainter, area: QRectF, series: design.Series, *, radius: float = 0.0
) -> None:
    """Paint one part of memory. What is left is an outline only."""
    c = design.colours()
    if series == "left":
        painter.setPen(QPen(QColor(c.line_strong), 1))
        painter.setBrush(QColor(c.surface))
        painter.drawRoundedRect(area.adjusted(0.5, 0.5, -0.5, -0.5), radius, radius)
        return
    fill(painter, area, c.series(series), series_ink(series), SERIES[series], radius=radius)


def fill_tone(painter: QPainter, area: QRectF, tone: design.Tone, *, radius: float = 0.0) -> None:
    """Paint a tone's ground with its pattern, faint enough to read words on."""
    ink, ground = design.colours().tone(tone)
    ink.setAlphaF(0.20 if design.colours().dark else 0.17)
    fill(painter, area, ground, ink, TONES[tone], radius=radius)


def cell_ground(tone: design.Tone, size: QSize, ratio: float) -> QPixmap:
    """The ground of a table's cell, ``INSET`` smaller on each side; cells of one size share it."""
    key = (tone, design.colours().dark, size.width(), size.height(), ratio)
    if key in _grounds:
        return _grounds[key]
    if len(_grounds) >= GROUNDS_KEPT:
        _grounds.clear()
    pixmap = QPixmap(size * ratio)
    pixmap.setDevicePixelRatio(ratio)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    area = QRectF(0, 0, size.width(), size.height()).adjusted(INSET, INSET, -INSET, -INSET)
    fill_tone(painter, area, tone, radius=5)
    painter.end()
    _grounds[key] = pixmap
    return pixmap
