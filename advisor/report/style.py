"""Faces, sizes and inks of the printed report, and text set in them.

Lengths are in 1/96 inch everywhere in the report: at that resolution a QPdfWriter and a screen
image lay text out alike, so the preview shows the real pages.
"""

import functools
import unicodedata
from dataclasses import dataclass
from typing import Final

from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import (
    QColor,
    QFont,
    QFontDatabase,
    QGuiApplication,
    QPainter,
    QRawFont,
    QTextLayout,
    QTextOption,
)

from advisor import resources
from advisor.report.document import Tone
from advisor.report.finish import PdfPainter
from advisor.report.readable import draw_readable

INK: Final = QColor("#1b2330")
MUTED: Final = QColor("#566173")
RULE: Final = QColor("#d3d9e1")
ACCENT: Final = QColor("#1f5fbf")
PANEL: Final = QColor("#f4f6f9")

# Dark enough for text on white; told apart in grey by dash and label, not by hue alone.
SERIES_INKS: Final = tuple(
    QColor(c) for c in ("#1f5fbf", "#b25e09", "#0f7b62", "#7a4fc0", "#a8326b", "#4d5a6b")
)

# Each of another brightness, dark and light in turn: told apart in grey too.
BAR_FILLS: Final = tuple(
    QColor(c) for c in ("#173f7f", "#f0b878", "#2f8f76", "#d9cdf3", "#8c2a5a", "#a9b4c2", "#efe9bd")
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

RESOLUTION: Final = 96
"""Dots per inch of a QPdfWriter, so that its lengths are the report's."""
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


def faces() -> dict[str, QRawFont]:
    """The bundled faces by the name that a PDF gives them."""
    files = sorted(resources.path("fonts").glob("*.[ot]tf"))
    return {file.stem: QRawFont(str(file), 12.0) for file in files}


NOT_DRAWN: Final = "\u25a1"
"""Stands for a character that no font on this computer can draw."""
_WITHOUT_LOOKING: Final = "\u0250"
"""Inter draws every letter before this one."""


def drawable(text: str) -> str:
    """``text`` with a box for what cannot be drawn, and a space for control characters."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_drawable(character) for character in text)


@functools.cache
def _drawable(character: str) -> str:
    if character == "\n":
        return character
    kind = unicodedata.category(character)
    if kind == "Cc":
        return " "
    if kind == "Cs":
        return NOT_DRAWN
    if character < _WITHOUT_LOOKING:
        return character
    layout = QTextLayout(character, face(BODY))
    layout.beginLayout()
    layout.createLine()
    layout.endLayout()
    runs = layout.glyphRuns()
    # Where no font knows the script, Qt draws boxes from a face that has no tables.
    if runs and all(
        all(run.glyphIndexes()) and run.rawFont().fontTable("cmap").size() for run in runs
    ):
        return character
    return {"Cf": "", "Zs": " ", "Zl": "\n", "Zp": "\n"}.get(kind, NOT_DRAWN)


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
        if isinstance(painter, PdfPainter):
            draw_readable(painter, self.layout, QPointF(x, y))
        else:
            self.layout.draw(painter, QPointF(x, y))


def set_text(
    text: str,
    font: QFont,
    width: float,
    *,
    align: Qt.AlignmentFlag = Qt.AlignmentFlag.AlignLeft,
    leading: float = 1.35,
    own_direction: bool = False,
) -> SetText:
    """Break ``text`` to ``width``; a word longer than a line is broken anywhere.

    Names run from left to right as the text around them; ``own_direction`` is for sentences, which
    run as most of their letters do, and begin at that side.
    """
    from_right = own_direction and mostly_from_right(text)
    # Absolute: else Qt takes left for where the text begins.
    side = Qt.AlignmentFlag.AlignRight if from_right else align
    option = QTextOption(side | Qt.AlignmentFlag.AlignAbsolute)
    option.setTextDirection(
        Qt.LayoutDirection.RightToLeft if from_right else Qt.LayoutDirection.LeftToRight
    )
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


def mostly_from_right(text: str) -> bool:
    """Whether most of its letters are Hebrew, Arabic or the like."""
    if text.isascii():
        return False
    kinds = [unicodedata.bidirectional(character) for character in text]
    return sum(kind in ("R", "AL") for kind in kinds) > kinds.count("L")
