"""From blocks to pages: every block becomes pieces of known height, and pieces fill pages."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import zip_longest

from PySide6.QtCore import QLineF, QRectF, QSizeF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPen

from advisor.basis import Basis
from advisor.report import charts
from advisor.report.convention import Convention, day
from advisor.report.document import (
    Bars,
    Block,
    Bullets,
    Cell,
    Chart,
    Column,
    Command,
    Document,
    Heading,
    KeyFigure,
    KeyFigures,
    PageBreak,
    Paragraph,
    Table,
)
from advisor.report.style import (
    ACCENT,
    BODY,
    INK,
    MUTED,
    NOT_DRAWN,
    PANEL,
    RULE,
    SMALL,
    TINY,
    TONE_FILL,
    TONE_INK,
    SetText,
    bold,
    drawable,
    face,
    set_text,
)

Paint = Callable[[QPainter, float, float], None]


class Paper(Enum):
    """Paper sizes in 1/96 inch."""

    A4 = (210 / 25.4 * 96, 297 / 25.4 * 96)
    LETTER = (8.5 * 96, 11 * 96)

    @property
    def size(self) -> QSizeF:
        """Width and height."""
        return QSizeF(*self.value)


_SPACING = (1.0, 0.85, 0.7, 0.55)
"""Shares of the white space between blocks: a few lines are not worth a page of their own."""
_WHOLE_TABLES = (10, 4, 0)
"""Tables of so many rows are kept whole; fewer of them where that saves a page."""
GUTTER = 12.0
"""Before a column of words that follows one of figures."""
MARGIN = 56.0
HEADER = 34.0
FOOTER = 34.0


@dataclass(frozen=True)
class Piece:
    """Something that stays on one page. ``header`` is repeated above it at the top of a page."""

    height: float
    paint: Paint
    space: float = 0.0
    """Above it, unless it starts a page."""
    keep_with_next: bool = False
    inside_rows: int = 0
    """Rows of the table that would part after it: better not, where that costs no page."""
    header: "Piece | None" = None
    bookmark: str | None = None
    starts_page: bool = False


@dataclass
class Page:
    """Pieces at their places, and the bookmarks that point here."""

    placed: list[tuple[float, Piece]] = field(default_factory=list[tuple[float, Piece]])
    bookmarks: list[tuple[str, float]] = field(default_factory=list[tuple[str, float]])


@dataclass(frozen=True)
class Layout:
    """A document on paper, ready to be painted page by page on anything.

    Qt keeps fonts per thread: paint a layout only in the thread that made it.
    """

    document: Document
    paper: Paper
    pages: tuple[Page, ...]

    def paint(self, painter: QPainter, number: int) -> None:
        """Paint page ``number`` (from 0) in 1/96 inch coordinates."""
        _paint_furniture(painter, self, number)
        for top, piece in self.pages[number].placed:
            painter.save()
            piece.paint(painter, MARGIN, top)
            painter.restore()


def lay_out(document: Document, paper: Paper = Paper.A4) -> Layout:
    """Break a document into pages.

    Raises RuntimeError without a QGuiApplication.
    """
    document = _drawable(document)
    width = paper.size.width() - 2 * MARGIN
    convention = Convention(document.region)
    pieces: list[Piece] = []
    for block, following in zip_longest(document.blocks, document.blocks[1:]):
        laid = _pieces(block, width, convention)
        if isinstance(block, Paragraph) and isinstance(following, Table | Chart | Bars | Command):
            # What introduces a table is of no use on the page before it.
            laid[-1] = replace(laid[-1], keep_with_next=True)
        pieces += laid
    room = paper.size.height() - 2 * MARGIN - HEADER - FOOTER
    tries = [
        _paginate(_closer(pieces, share, whole), room)
        for share in _SPACING
        for whole in _WHOLE_TABLES
    ]
    # The most generous of those that need the fewest pages.
    return Layout(document, paper, tuple(min(tries, key=len)))


def _closer(pieces: Sequence[Piece], share: float, whole: int) -> list[Piece]:
    """Pieces with less space between; tables of up to ``whole`` rows are not parted."""
    return [
        replace(
            piece,
            space=piece.space * share,
            keep_with_next=piece.keep_with_next or 0 < piece.inside_rows <= whole,
        )
        for piece in pieces
    ]


def _drawable(document: Document) -> Document:
    """Replace what no font here can draw, and say so at the end."""
    shown = document.with_texts(drawable)
    texts, before = "".join(shown.texts()), "".join(document.texts())
    if texts.count(NOT_DRAWN) == before.count(NOT_DRAWN):
        return shown
    note = Paragraph(
        style="small",
        text=f"{NOT_DRAWN} stands for a character that no font on this computer can draw.",
    )
    return shown.model_copy(update={"blocks": (*shown.blocks, note)})


def _paginate(pieces: Sequence[Piece], room: float) -> list[Page]:
    first = MARGIN + HEADER
    pages = [Page()]
    y = 0.0
    for group in _groups(pieces):
        height = sum(p.height for p in group) + sum(p.space for p in group[1:])
        space = group[0].space if y else 0.0
        breaks = group[0].starts_page or y + space + height > room
        if breaks and y:
            pages.append(Page())
            y = 0.0
        for piece in group:
            if y and y + piece.space + piece.height > room:  # a group larger than a page
                pages.append(Page())
                y = 0.0
            if not y and piece.header:
                pages[-1].placed.append((first, piece.header))
                y += piece.header.height
            y += piece.space if y else 0.0
            pages[-1].placed.append((first + y, piece))
            if piece.bookmark:
                pages[-1].bookmarks.append((piece.bookmark, first + y))
            y += piece.height
    return [page for page in pages if page.placed] or [Page()]


def _groups(pieces: Sequence[Piece]) -> Iterator[list[Piece]]:
    group: list[Piece] = []
    for piece in pieces:
        group.append(piece)
        if not piece.keep_with_next:
            yield group
            group = []
    if group:
        yield group


def _paint_furniture(painter: QPainter, layout: Layout, number: int) -> None:
    size = layout.paper.size
    width = size.width() - 2 * MARGIN
    document = layout.document
    made = day(document.made, document.region)
    date = set_text(made, face(TINY), width, align=Qt.AlignmentFlag.AlignRight)
    date.draw(painter, MARGIN, MARGIN - 14, MUTED)
    head = QFontMetricsF(face(TINY)).elidedText(
        f"Rig Advisor · {document.title}", Qt.TextElideMode.ElideRight, width - date.width - 24
    )
    set_text(head, face(TINY), width).draw(painter, MARGIN, MARGIN - 14, MUTED)
    painter.setPen(QPen(RULE, 0.8))
    painter.drawLine(QLineF(MARGIN, MARGIN + 6, MARGIN + width, MARGIN + 6))
    foot = size.height() - MARGIN - 4
    painter.drawLine(QLineF(MARGIN, foot - 6, MARGIN + width, foot - 6))
    x = MARGIN
    for basis, words in (
        (Basis.COMPUTED, "computed by Rig Advisor"),
        (Basis.DRY_RUN, "llama.cpp's own accounting"),
        (Basis.MEASURED, "measured"),
    ):
        _draw_mark(painter, x, foot, basis)
        text = set_text(words, face(TINY), 200)
        text.draw(painter, x + 16, foot, MUTED)
        x += text.width + 32
    page = f"Page {number + 1} of {len(layout.pages)}"
    set_text(page, face(TINY), width, align=Qt.AlignmentFlag.AlignRight).draw(
        painter, MARGIN, foot, MUTED
    )


def _draw_mark(painter: QPainter, x: float, y: float, basis: Basis) -> None:
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(MUTED, 0.7))
    filled = basis is Basis.MEASURED
    painter.setBrush(PANEL if filled else Qt.BrushStyle.NoBrush)
    painter.drawRoundedRect(QRectF(x, y + 1, 12, 12), 2.5, 2.5)
    letter = {Basis.COMPUTED: "c", Basis.DRY_RUN: "d", Basis.MEASURED: "m"}[basis]
    text = set_text(letter, bold(9), 12, align=Qt.AlignmentFlag.AlignHCenter)
    text.draw(painter, x, y + 7 - text.height / 2, INK)
    painter.restore()


def _pieces(block: Block, width: float, convention: Convention) -> list[Piece]:  # noqa: PLR0911 - one per kind
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
            return _table(block, width)
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


def _text_piece(text: SetText, *, ink: QColor = INK, space: float) -> Piece:
    def paint(painter: QPainter, x: float, y: float) -> None:
        text.draw(painter, x, y, ink)

    return Piece(text.height, paint, space=space)


def _heading(block: Heading, width: float) -> Piece:
    # A verdict is a long sentence: it must not fill the page that it is to open.
    title = 25 if len(block.text) <= 90 else 21
    size, space = {1: (title, 0.0), 2: (17, 22.0), 3: (BODY, 14.0)}[block.level]
    text = set_text(block.text, bold(size), width, leading=1.22)
    if block.level == 1:
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
        narrower = set_text(words, bold(size), width * share, leading=1.22)
        if narrower.height <= text.height:
            return narrower
    return text


def _paragraph(block: Paragraph, width: float) -> Piece:
    if block.style == "verdict":
        return _verdict(block.text, width)
    size = {"body": BODY, "lead": 16, "small": SMALL}[block.style]
    text = set_text(block.text, face(size), width, leading=1.42)
    return _text_piece(text, ink=MUTED if block.style == "small" else INK, space=8.0)


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


def _key_figures(items: tuple[KeyFigure, ...], width: float) -> Piece:
    gap, inset = 12.0, 12.0
    box = (width - gap * (len(items) - 1)) / len(items)
    inner = box - 2 * inset
    labels = [set_text(item.label, face(SMALL), inner) for item in items]
    values = [set_text(item.value, bold(18), inner - 16, leading=1.25) for item in items]
    notes = [set_text(item.note, face(TINY), inner) for item in items]
    height = 2 * inset + max(
        a.height + b.height + (c.height if item.note else 0)
        for a, b, c, item in zip(labels, values, notes, items, strict=True)
    )

    def paint(painter: QPainter, x: float, y: float) -> None:
        for label, value, note, item in zip(labels, values, notes, items, strict=True):
            painter.setPen(QPen(RULE, 0.9))
            painter.setBrush(PANEL)
            painter.drawRoundedRect(QRectF(x, y, box, height), 6, 6)
            top = y + inset
            label.draw(painter, x + inset, top, MUTED)
            value.draw(painter, x + inset, top + label.height)
            if item.basis:
                _draw_mark(painter, x + inset + value.width + 5, top + label.height + 5, item.basis)
            if item.note:
                note.draw(painter, x + inset, top + label.height + value.height, MUTED)
            x += box + gap

    return Piece(height, paint, space=12.0)


def _table(block: Table, width: float) -> list[Piece]:
    total = sum(column.weight for column in block.columns)
    widths = [width * column.weight / total for column in block.columns]
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
        pieces.append(_text_piece(caption, ink=MUTED, space=5.0))
    return pieces


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
        room = wide - 10 - gutter - (16 if cell.basis else 0)
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
                _draw_mark(painter, left + wide - 16, y + 3.5, cell.basis)
            left += wide
        if not block.tiles:
            painter.setPen(QPen(RULE, 0.6))
            painter.drawLine(QLineF(x, y + height, left, y + height))

    return Piece(height, paint, keep_with_next=keep, header=header)


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
    return _text_piece(set_text(text, face(SMALL), width), ink=MUTED, space=2.0)


def _command(block: Command, width: float) -> Piece:
    text = set_text(block.text, face(SMALL, mono=True), width - 20)

    def paint(painter: QPainter, x: float, y: float) -> None:
        painter.fillRect(QRectF(x, y, width, text.height + 12), PANEL)
        text.draw(painter, x + 10, y + 6)

    return Piece(text.height + 12, paint, space=8.0)
