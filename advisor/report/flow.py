"""From blocks to pages: every block becomes pieces of known height, and pieces fill pages."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import zip_longest

from PySide6.QtCore import QSizeF
from PySide6.QtGui import QPainter

from advisor.report.blocks import block_pieces
from advisor.report.convention import Convention
from advisor.report.document import Bars, Block, Chart, Command, Document, Paragraph, Table
from advisor.report.furniture import FOOTER, HEADER, MARGIN, paint_furniture
from advisor.report.piece import Piece
from advisor.report.style import NOT_DRAWN, RESOLUTION, drawable


class Paper(Enum):
    """Paper sizes in 1/96 inch."""

    A4 = (210 / 25.4 * 96, 297 / 25.4 * 96)
    LETTER = (8.5 * 96, 11 * 96)

    @property
    def size(self) -> QSizeF:
        """Width and height."""
        return QSizeF(*self.value)


_SPACING = (1.0, 0.85, 0.7, 0.55, 0.4)
"""Shares of the white space between blocks: a few lines are not worth a page of their own."""
_LOWER_CHARTS = 0.7
"""So high are charts where that saves a page."""
_LOWEST_CHART = 170
"""Lower, and its curves cannot be told apart."""
_HALF_EMPTY = 0.5
_UNSEEN = 0.12
"""Nobody misses so much of a page at its end."""
_EMPTY = 10.0
"""What a page's empty rest weighs against a parted table."""
MAX_PAGES = 4
"""More are not read by whoever pays."""
_FINER = (102, 108, 110)
"""Tried where that keeps a report to MAX_PAGES: text of 9.2, 8.7 and 8.6 points instead of 9.8."""
_WHOLE_TABLES = (10, 4, 0)
"""Tables of so many rows are kept whole; fewer of them where that saves a page."""


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
    resolution: int = RESOLUTION
    """Units to an inch: more than RESOLUTION where everything was made a little smaller."""

    @property
    def size(self) -> QSizeF:
        """Width and height of the paper in the layout's units."""
        return self.paper.size * (self.resolution / RESOLUTION)

    def paint(self, painter: QPainter, number: int) -> None:
        """Paint page ``number`` (from 0) in the layout's units."""
        count = len(self.pages)
        paint_furniture(painter, self.document, self.size, number, count)
        for top, piece in self.pages[number].placed:
            painter.save()
            piece.paint(painter, MARGIN, top)
            painter.restore()


def lay_out(document: Document, paper: Paper = Paper.A4) -> Layout:
    """Break a document into pages.

    Raises RuntimeError without a QGuiApplication.
    """
    document = _drawable(document)
    usual = _laid_out(document, paper, RESOLUTION)
    if len(usual.pages) <= MAX_PAGES:
        return usual
    smaller = (_laid_out(document, paper, resolution) for resolution in _FINER)
    return next((laid for laid in smaller if len(laid.pages) <= MAX_PAGES), usual)


def _laid_out(document: Document, paper: Paper, resolution: int) -> Layout:
    size = Layout(document, paper, (), resolution).size
    width = size.width() - 2 * MARGIN
    room = size.height() - 2 * MARGIN - HEADER - FOOTER
    convention = Convention(document.region)
    plain = [block_pieces(block, width, convention) for block in document.blocks]
    lower = [
        block_pieces(_lower(block), width, convention) if isinstance(block, Chart) else pieces
        for block, pieces in zip(document.blocks, plain, strict=True)
    ]
    tries = [
        [
            _loosened(page, share, room)
            for page in _paginate(_closer(_together(document.blocks, laid), share, whole), room)
        ]
        for laid in (plain, lower)
        for share in _SPACING
        for whole in _WHOLE_TABLES
    ]
    # Of those that need the fewest pages, the fullest that part few tables, the most generous.
    pages = min(tries, key=lambda tried: (len(tried), _faults(tried, room)))
    return Layout(document, paper, tuple(pages), resolution)


def _loosened(page: Page, share: float, room: float) -> Page:
    """White space that was taken from the page and that it has room for."""
    taken = sum(piece.space for _, piece in page.placed[1:]) * (1 / share - 1)
    if taken <= 0:
        return page
    last_top, last = page.placed[-1]
    spare = MARGIN + HEADER + room - last_top - last.height
    gain = min(1.0, spare / taken) * (1 / share - 1)
    loose, moved = Page(), 0.0
    for index, (top, piece) in enumerate(page.placed):
        moved += piece.space * gain if index else 0.0
        loose.placed.append((top + moved, piece))
        if piece.bookmark:
            loose.bookmarks.append((piece.bookmark, top + moved))
    return loose


def _faults(pages: Sequence[Page], room: float) -> float:
    """Tables that go on over a page's end, and pages that end early."""
    if not pages[0].placed:
        return 0.0
    parted = sum(page.placed[-1][1].inside_rows > 0 for page in pages)
    ends = [top + last.height - MARGIN - HEADER for top, last in (p.placed[-1] for p in pages)]
    # The last page ends where it ends, and so does one before a part that starts its own.
    early = [
        max(0.0, 1 - end / room - _UNSEEN)
        for end, following in zip(ends[:-1], pages[1:], strict=True)
        if not following.placed[0][1].starts_page
    ]
    return parted + _EMPTY * sum(early)


def _lower(chart: Chart) -> Chart:
    height = max(round(chart.height * _LOWER_CHARTS), min(chart.height, _LOWEST_CHART))
    return chart.model_copy(update={"height": height})


def _together(blocks: Sequence[Block], laid: Sequence[list[Piece]]) -> list[Piece]:
    """All pieces; what introduces a table or a chart is of no use on the page before it."""
    pieces: list[Piece] = []
    for block, mine, following in zip_longest(blocks, laid, blocks[1:]):
        pieces += mine
        if isinstance(block, Paragraph) and isinstance(following, Table | Chart | Bars | Command):
            pieces[-1] = replace(pieces[-1], keep_with_next=True)
        if isinstance(block, Bars) and isinstance(following, Table):
            pieces[-1] = replace(pieces[-1], inside_rows=1)  # the same in figures
    return pieces


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
        # A few lines that ran over from the verdict's page do not keep a page for themselves.
        starts = group[0].starts_page and (len(pages) == 1 or y > room * _HALF_EMPTY)
        breaks = starts or y + space + height > room
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
