"""Every block of a document as pieces for a width."""

from PySide6.QtCore import QRectF
from PySide6.QtGui import QFontMetricsF, QPainter, QPen

from advisor.report import charts
from advisor.report.convention import Convention
from advisor.report.document import (
    Bars,
    Block,
    Bullets,
    Chart,
    Command,
    Heading,
    KeyFigure,
    KeyFigures,
    PageBreak,
    Paragraph,
    Table,
)
from advisor.report.piece import Piece, draw_mark, text_piece
from advisor.report.style import (
    ACCENT,
    BODY,
    INK,
    MUTED,
    PANEL,
    RULE,
    SMALL,
    TINY,
    SetText,
    bold,
    face,
    mostly_from_right,
    set_text,
)
from advisor.report.tables import table_pieces


def block_pieces(block: Block, width: float, convention: Convention) -> list[Piece]:  # noqa: PLR0911 - one per kind
    """The pieces of one block, in order."""
    match block:
        case Heading():
            return [_heading(block, width)]
        case Paragraph():
            return [_paragraph(block, width)]
        case Bullets():
            return [
                _bullet(item, block, width, space=4.0 if index else 9.0)
                for index, item in enumerate(block.items)
            ]
        case KeyFigures():
            return [_key_figures(block.items, width)] if block.items else []
        case Table():
            return table_pieces(block, width)
        case Chart():
            return [_chart(block, width, convention), _summary(block.summary, width)]
        case Bars():
            return [_bars(block, width), _summary(block.summary, width)]
        case Command():
            return [_command(block, width)]
        case PageBreak():
            return [
                Piece(0.0, lambda _painter, _x, _y: None, starts_page=True, keep_with_next=True)
            ]


def _heading(block: Heading, width: float) -> Piece:
    # A verdict is a long sentence: it must not fill the page that it is to open.
    title = 25 if len(block.text) <= 90 else 21
    size, space = {1: (title, 0.0), 2: (17, 22.0), 3: (BODY, 14.0)}[block.level]
    text = set_text(block.text, bold(size), width, leading=1.22, own_direction=True)
    if block.level == 1 and not mostly_from_right(block.text):
        text = _balanced(text, block.text, size, width)
    return Piece(
        text.height + 3,
        text.draw,
        space=space,
        keep_with_next=True,
        bookmark=block.text if block.level <= 2 else None,
    )


def _balanced(text: SetText, words: str, size: int, width: float) -> SetText:
    """The same in as many lines of about one length: no word is left alone on the last."""
    for share in (0.6, 0.7, 0.8, 0.9):
        narrower = set_text(words, bold(size), width * share, leading=1.22, own_direction=True)
        if narrower.height <= text.height:
            return narrower
    return text


def _paragraph(block: Paragraph, width: float) -> Piece:
    if block.style == "verdict":
        return _verdict(block.text, width)
    size = {"body": BODY, "lead": 16, "small": SMALL}[block.style]
    text = set_text(block.text, face(size), width, leading=1.42, own_direction=True)
    return text_piece(text, ink=MUTED if block.style == "small" else INK, space=8.0)


def _verdict(words: str, width: float) -> Piece:
    text = set_text(words, face(16), width - 36, leading=1.4)
    height = text.height + 24

    def paint(painter: QPainter, x: float, y: float) -> None:
        painter.fillRect(QRectF(x, y, width, height), PANEL)
        painter.fillRect(QRectF(x, y, 4, height), ACCENT)
        text.draw(painter, x + 20, y + 12)

    return Piece(height, paint, space=10.0)


def _bullet(item: str, block: Bullets, width: float, *, space: float) -> Piece:
    font = face(BODY if block.style == "body" else SMALL)
    text = set_text(item, font, width - 16)
    dot = set_text("•", font, 12)

    def paint(painter: QPainter, x: float, y: float) -> None:
        dot.draw(painter, x + 2, y, MUTED)
        text.draw(painter, x + 16, y)

    return Piece(text.height, paint, space=space)


def _boxes(wanted: list[float], shares: list[float], room: float) -> list[float]:
    """Widths of boxes: what each wants for its figure, and the rest by how much they have to say.

    Where that is too much in all, by how much they have to say alone.
    """
    left = room - sum(wanted)
    if left < 0:
        wanted, left = [0.0] * len(wanted), room
    return [w + left * share / sum(shares) for w, share in zip(wanted, shares, strict=True)]


def _key_figures(items: tuple[KeyFigure, ...], width: float) -> Piece:
    gap, inset = 12.0, 12.0
    mark = [16.0 if item.basis else 0.0 for item in items]
    boxes = _boxes(
        [
            2 * inset + m + 1 + QFontMetricsF(bold(18)).horizontalAdvance(i.value)
            for i, m in zip(items, mark, strict=True)
        ],
        [1.0 + min(len(item.note), 120) / 120 for item in items],
        width - gap * (len(items) - 1),
    )
    inner = [box - 2 * inset for box in boxes]
    labels = [set_text(i.label, face(SMALL), w) for i, w in zip(items, inner, strict=True)]
    values = [
        set_text(i.value, bold(18), w - m, leading=1.25)
        for i, w, m in zip(items, inner, mark, strict=True)
    ]
    notes = [set_text(i.note, face(TINY), w) for i, w in zip(items, inner, strict=True)]
    height = 2 * inset + max(
        a.height + b.height + (c.height if item.note else 0)
        for a, b, c, item in zip(labels, values, notes, items, strict=True)
    )

    def paint(painter: QPainter, x: float, y: float) -> None:
        for label, value, note, item, box in zip(labels, values, notes, items, boxes, strict=True):
            painter.setPen(QPen(RULE, 0.9))
            painter.setBrush(PANEL)
            painter.drawRoundedRect(QRectF(x, y, box, height), 6, 6)
            top = y + inset
            label.draw(painter, x + inset, top, MUTED)
            value.draw(painter, x + inset, top + label.height)
            if item.basis:
                draw_mark(painter, x + inset + value.width + 5, top + label.height + 5, item.basis)
            if item.note:
                note.draw(painter, x + inset, top + label.height + value.height, MUTED)
            x += box + gap

    return Piece(height, paint, space=12.0)


def _chart(block: Chart, width: float, convention: Convention) -> Piece:
    return Piece(
        block.height,
        lambda painter, x, y: charts.draw_chart(painter, block, x, y, width, convention=convention),
        space=14.0,
        keep_with_next=True,
    )


def _bars(block: Bars, width: float) -> Piece:
    return Piece(
        charts.bars_height(block, width),
        lambda painter, x, y: charts.draw_bars(painter, block, x, y, width),
        space=14.0,
        keep_with_next=True,
    )


def _summary(text: str, width: float) -> Piece:
    return text_piece(set_text(text, face(SMALL), width), ink=MUTED, space=2.0)


def _command(block: Command, width: float) -> Piece:
    text = set_text(block.text, face(SMALL, mono=True), width - 20)

    def paint(painter: QPainter, x: float, y: float) -> None:
        painter.fillRect(QRectF(x, y, width, text.height + 12), PANEL)
        text.draw(painter, x + 10, y + 6)

    return Piece(text.height + 12, paint, space=8.0)
