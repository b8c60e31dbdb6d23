"""Text in a PDF that every reader copies as it was written.

A PDF holds glyphs at places, from which readers guess the text: line by line from left to right,
with what runs from the right turned round. A line that as a whole runs from the right does not
survive that, nor do the glyphs of scripts that are composed. The first is therefore shown as
outlines, with unseen text in the order that readers guess from (as under a scanned page); the
second says what it reads as. Poppler and PDFium turn round what is said of letters from the right
too (TextOutputDev.cc: TextPage; cpdf_textpage.cpp: CloseTempLine), so saying does not do for these.
"""

import re
import unicodedata
from itertools import groupby
from typing import Final

from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import (
    QFont,
    QGlyphRun,
    QPainter,
    QPainterPath,
    QRawFont,
    QTextLayout,
    QTextLine,
)

from advisor.report.finish import KEEPS_PLACE, PdfPainter

_COMPOSED: Final = re.compile("[\u0900-\u1dff\U00010000-\U0010ffff]")
"""Scripts whose glyphs are not one for each letter, and characters that Qt's maps leave out."""
_RIGHT: Final = r"\u0590-\u065f\u066a-\u06ef\u06fa-\u08ff\ufb1d-\ufdff\ufe70-\ufefe"
"""Letters and points of Hebrew, Arabic and their like."""
_FROM_RIGHT: Final = re.compile(f"[{_RIGHT}]+")
_ONLY_FROM_RIGHT: Final = re.compile(rf"[{_RIGHT}](?:[{_RIGHT}\s,.;:!?'\"-]*[{_RIGHT}])?")
_PART: Final = re.compile(rf"[{_RIGHT}]+|[^\w{_RIGHT}]|\w[^{_RIGHT}]*")
"""A word from the right, a sign, or a stretch from the left."""


def draw_readable(painter: PdfPainter, layout: QTextLayout, at: QPointF) -> None:
    """Draw ``layout`` with the painter's pen."""
    text = layout.text()
    if _FROM_RIGHT.search(text):
        for number in range(layout.lineCount()):
            line = layout.lineAt(number)
            _draw_outlines(painter, line, at)
            with painter.unseen():
                _draw_as_guessed(painter, layout, line, at)
    elif _COMPOSED.search(text):
        with painter.reading(text):
            layout.draw(painter, at)
    else:
        layout.draw(painter, at)


def as_guessed(line: str) -> list[str]:
    """Parts that readers put together to ``line``, from left to right.

    Every reader turns the letters of a word round. Most do so with several words and what stands
    between them too, each by rules of its own, unless a left-to-right mark (KEEPS_PLACE) follows
    every word; PDFium wants more marks than words.
    """
    if _ONLY_FROM_RIGHT.fullmatch(line):
        return [line[::-1]]
    parts = _PART.findall(line)
    return [
        KEEPS_PLACE,
        *(part[::-1] + KEEPS_PLACE if _FROM_RIGHT.match(part) else part for part in parts),
    ]


def _draw_outlines(painter: PdfPainter, line: QTextLine, at: QPointF) -> None:
    ink = painter.pen().color()
    outlines = QPainterPath()
    outlines.setFillRule(Qt.FillRule.WindingFill)
    for run in line.glyphRuns():
        face = run.rawFont()
        if not any(face.fontTable(table).size() for table in ("glyf", "CFF ")):  # made of pictures
            with painter.reading(""):
                painter.drawGlyphRun(at, run)
            continue
        for glyph, place in zip(run.glyphIndexes(), run.positions(), strict=True):
            outlines.addPath(face.pathForGlyph(glyph).translated(at + place))
    painter.fillPath(outlines, ink)


def _draw_as_guessed(painter: QPainter, layout: QTextLayout, line: QTextLine, at: QPointF) -> None:
    start = line.textStart()
    text = layout.text()[start : start + line.textLength()].strip()
    text = "".join(c for c in text if unicodedata.category(c) != "Cf")
    if not text:
        return
    parts = as_guessed(text)
    letters = "".join(parts)
    faces = _faces(letters, layout.font())
    wide = sum(_advance(face, letter) for face, letter in zip(faces, letters, strict=True)) or 1.0
    # So large that the letters fill the line without being spaced, which would part words.
    size = layout.font().pixelSize() * line.naturalTextWidth() / wide
    place = QPointF(line.naturalTextRect().left(), line.y() + line.ascent()) + at
    numbers = [number for number, part in enumerate(parts) for _ in part]
    drawn = zip(numbers, faces, letters, strict=True)
    for (_, face), together in groupby(drawn, key=lambda letter: letter[:2]):
        sized = QRawFont(face)
        sized.setPixelSize(size)
        glyphs: list[int] = []
        places: list[QPointF] = []
        for _, _, letter in together:
            glyphs.append(_glyph(sized, letter))
            places.append(place)
            place = place + QPointF(_advance(sized, letter), 0)
        run = QGlyphRun()
        run.setRawFont(sized)
        run.setGlyphIndexes(glyphs)
        run.setPositions(places)
        painter.drawGlyphRun(QPointF(), run)


def _faces(letters: str, font: QFont) -> list[QRawFont]:
    """For each letter one that has it, as seldom another as can be: it would part words."""
    found: list[QRawFont] = []
    face = _face(max(letters, key=lambda letter: _FROM_RIGHT.match(letter) is not None), font)
    for letter in letters:
        if not _glyph(face, letter):
            face = _face(letter, font)
        found.append(face)
    return found


def _glyph(face: QRawFont, letter: str) -> int:
    return next(iter(face.glyphIndexesForString(letter)), 0)


def _advance(face: QRawFont, letter: str) -> float:
    return face.advancesForGlyphIndexes([_glyph(face, letter)])[0].x()


def _face(letter: str, font: QFont) -> QRawFont:
    """The face that Qt draws the letter with."""
    layout = QTextLayout(letter, font)
    layout.beginLayout()
    layout.createLine()
    layout.endLayout()
    return next((run.rawFont() for run in layout.glyphRuns()), QRawFont.fromFont(font))
