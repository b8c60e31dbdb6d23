"""A table as pieces: its rows, with the header that every page repeats."""

import math
from collections.abc import Sequence
from dataclasses import replace

from PySide6.QtCore import QLineF, QRectF, Qt
from PySide6.QtGui import QFontMetricsF, QPainter, QPen

from advisor.report.document import Cell, Column, Table
from advisor.report.piece import Piece, draw_mark, text_piece
from advisor.report.style import (
    MUTED,
    RULE,
    SMALL,
    TINY,
    TONE_FILL,
    TONE_INK,
    SetText,
    bold,
    face,
    set_text,
)

GUTTER = 12.0
"""Before a column of words that follows one of figures."""
MARK = 16.0
"""Beside a figure, for the mark of its basis."""
_MOST = 0.3
"""Share of the table that a column may ask for."""


def table_pieces(block: Table, width: float) -> list[Piece]:
    """Header, rows and caption for this width."""
    widths = _widths(block, width)
    header = _table_header(block.columns, widths)
    pieces = [
        Piece(header.height, header.paint, space=12.0, keep_with_next=True),
    ]
    last = len(block.rows) - 1
    for index, row in enumerate(block.rows):
        piece = _table_row(row, block, widths, header, keep=index == 0 and last > 0)
        pieces.append(replace(piece, inside_rows=len(block.rows) if index < last else 0))
    if block.caption:
        caption = set_text(block.caption, face(SMALL), width)
        pieces[-1] = replace(pieces[-1], keep_with_next=True)
        pieces.append(text_piece(caption, ink=MUTED, space=5.0))
    return pieces


def _widths(block: Table, width: float) -> list[float]:
    """By weight; but no figure and no word is broken where another column has room to spare."""
    total = sum(column.weight for column in block.columns)
    shares = [width * column.weight / total for column in block.columns]
    least = [min(needed, width * _MOST) for needed in _needed(block)]
    spare = sum(max(0.0, share - need) for share, need in zip(shares, least, strict=True))
    lacking = sum(max(0.0, need - share) for share, need in zip(shares, least, strict=True))
    if not lacking or lacking > spare:
        return shares
    return [
        need if need > share else share - (share - need) * lacking / spare
        for share, need in zip(shares, least, strict=True)
    ]


def _needed(block: Table) -> list[float]:
    """Widths in which each column's figures and longest words stand whole."""
    title, plain, strong = (QFontMetricsF(font) for font in (bold(TINY), face(SMALL), bold(SMALL)))
    needed: list[float] = []
    for index, (column, gutter) in enumerate(
        zip(block.columns, _gutters(block.columns), strict=True)
    ):
        cells = [row[index] for row in block.rows]
        words = [column.title] if "/" in column.title else column.title.split()
        widest = max((title.horizontalAdvance(word) for word in words), default=0.0)
        for cell in cells:
            metrics = strong if cell.strong else plain
            parts = [cell.text] if column.align == "right" else cell.text.split()
            mark = MARK if cell.basis else 0.0
            widest = max(widest, *(metrics.horizontalAdvance(p) + mark for p in parts), 0.0)
        needed.append(math.ceil(widest) + 10 + gutter)
    return needed


def _alignment(column: Column) -> Qt.AlignmentFlag:
    right = column.align == "right"
    return Qt.AlignmentFlag.AlignRight if right else Qt.AlignmentFlag.AlignLeft


def _gutters(columns: Sequence[Column]) -> list[float]:
    """Room before each column: words must not touch the figures at their left."""
    before = (None, *(column.align for column in columns))
    return [
        GUTTER if (left, column.align) == ("right", "left") else 0.0
        for left, column in zip(before, columns, strict=False)
    ]


def _table_header(columns: Sequence[Column], widths: Sequence[float]) -> Piece:
    gutters = _gutters(columns)
    texts = [
        set_text(
            column.title, bold(TINY), wide - 10 - gutter, align=_alignment(column), leading=1.2
        )
        for column, wide, gutter in zip(columns, widths, gutters, strict=True)
    ]
    height = max(text.height for text in texts) + 6

    def paint(painter: QPainter, x: float, y: float) -> None:
        left = x
        for text, wide, gutter in zip(texts, widths, gutters, strict=True):
            text.draw(painter, left + 5 + gutter, y + height - 6 - text.height, MUTED)
            left += wide
        painter.setPen(QPen(MUTED, 0.9))
        painter.drawLine(QLineF(x, y + height - 2, left, y + height - 2))

    return Piece(height, paint)


def _table_row(
    row: Sequence[Cell], block: Table, widths: Sequence[float], header: Piece, *, keep: bool
) -> Piece:
    firsts: list[SetText] = []
    seconds: list[SetText] = []
    gutters = _gutters(block.columns)
    for cell, column, wide, gutter in zip(row, block.columns, widths, gutters, strict=True):
        room = wide - 10 - gutter - (MARK if cell.basis else 0)
        align = _alignment(column)
        font = bold(SMALL) if cell.strong else face(SMALL)
        firsts.append(set_text(cell.text, font, room, align=align, leading=1.25))
        seconds.append(set_text(cell.second, face(TINY), room, align=align, leading=1.2))
    height = 6 + max(
        a.height + (b.height if cell.second else 0)
        for a, b, cell in zip(firsts, seconds, row, strict=True)
    )

    def paint(painter: QPainter, x: float, y: float) -> None:
        left = x
        for cell, first, second, wide, gutter in zip(
            row, firsts, seconds, widths, gutters, strict=True
        ):
            text_left = left + 5 + gutter
            if TONE_FILL[cell.tone] != TONE_FILL["plain"]:
                inset = 1.0 if block.tiles else 0.0
                area = QRectF(left + inset, y + inset, wide - 2 * inset, height - 2 * inset)
                painter.fillRect(area, TONE_FILL[cell.tone])
            first.draw(painter, text_left, y + 3, TONE_INK[cell.tone])
            if cell.second:
                second.draw(painter, text_left, y + 3 + first.height, TONE_INK[cell.tone])
            if cell.basis:
                draw_mark(painter, left + wide - MARK, y + 3.5, cell.basis)
            left += wide
        if not block.tiles:
            painter.setPen(QPen(RULE, 0.6))
            painter.drawLine(QLineF(x, y + height, left, y + height))

    return Piece(height, paint, keep_with_next=keep, header=header)
