"""Faces, sizes and inks of the printed report, and text set in them.

Lengths are in 1/96 inch everywhere in the report: at that resolution a QPdfWriter and a screen
image lay text out alike, so the preview shows the real pages.
"""

import functools
from dataclasses import dataclass
from typing import Final

from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import (
    QColor,
    QFont,
    QFontDatabase,
    QGuiApplication,
    QPainter,
    QTextLayout,
    QTextOption,
)

from advisor import resources
from advisor.report.document import Tone

INK: Final = QColor("#1b2330")
MUTED: Final = QColor("#566173")
RULE: Final = QColor("#d3d9e1")
ACCENT: Final = QColor("#1f5fbf")
PANEL: Final = QColor("#f4f6f9")

# Dark enough for text on white; told apart in grey by dash and hatch, not by hue alone.
SERIES_INKS: Final = tuple(
    QColor(c) for c in ("#1f5fbf", "#b25e09", "#0f7b62", "#7a4fc0", "#a8326b", "#4d5a6b")
)

TONE_FILL: Final[dict[Tone, QColor]] = {
    "plain": QColor("#ffffff"),
    "good": QColor("#d9f0e6"),
    "tight": QColor("#fdeec9"),
    "offload": QColor("#e3e6fa"),
    "bad": QColor("#eceff2"),
    "muted": QColor("#ffffff"),
}
TONE_INK: Final[dict[Tone, QColor]] = {
    "plain": INK,
    "good": QColor("#0c5a46"),
    "tight": QColor("#7a4a02"),
    "offload": QColor("#3c3fa0"),
    "bad": QColor("#6a7482"),
    "muted": MUTED,
}

BODY: Final = 13
SMALL: Final = 11
TINY: Final = 10


@functools.cache
def _family() -> str:
    families: list[str] = []
    for file in sorted(resources.path("fonts").glob("*.[ot]tf")):
        number = QFontDatabase.addApplicationFont(str(file))
        if number >= 0:
            families += QFontDatabase.applicationFontFamilies(number)
    return next((name for name in families if name.startswith("Inter")), "sans-serif")


def face(pixels: int, *, weight: QFont.Weight = QFont.Weight.Normal, mono: bool = False) -> QFont:
    """The report's typeface. Raises RuntimeError without a QGuiApplication."""
    if QGuiApplication.instance() is None:
        message = "fonts need a QGuiApplication"
        raise RuntimeError(message)
    if mono:
        font = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont)
    else:
        font = QFont(_family())
    font.setPixelSize(pixels)
    font.setWeight(weight)
    font.setHintingPreference(QFont.HintingPreference.PreferNoHinting)
    # Substituted glyphs carry no characters: text copied from the PDF would lose them. For the
    # same reason figures are Inter's own, not the tabular ones.
    for feature in ("calt", "liga"):
        font.setFeature(QFont.Tag(feature), 0)
    return font


def bold(pixels: int) -> QFont:
    """The typeface at semibold."""
    return face(pixels, weight=QFont.Weight.DemiBold)


@dataclass(frozen=True)
class SetText:
    """Text broken into lines for one width."""

    layout: QTextLayout
    height: float
    width: float
    """Of the longest line."""

    def draw(self, painter: QPainter, x: float, y: float, ink: QColor = INK) -> None:
        """Draw with the first line's top at ``y``."""
        painter.setPen(ink)
        self.layout.draw(painter, QPointF(x, y))


def set_text(
    text: str,
    font: QFont,
    width: float,
    *,
    align: Qt.AlignmentFlag = Qt.AlignmentFlag.AlignLeft,
    leading: float = 1.35,
) -> SetText:
    """Break ``text`` to ``width``; a word longer than a line is broken anywhere."""
    option = QTextOption(align)
    option.setWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
    option.setUseDesignMetrics(True)
    layout = QTextLayout(text.replace("\n", "\u2028"), font)
    layout.setTextOption(option)
    step = round(font.pixelSize() * leading)
    height = 0.0
    longest = 0.0
    layout.beginLayout()
    while (line := layout.createLine()).isValid():
        line.setLineWidth(max(width, 1.0))
        line.setPosition(QPointF(0, height + (step - line.height()) / 2))
        longest = max(longest, line.naturalTextWidth())
        height += step
    layout.endLayout()
    return SetText(layout, height, longest)
