"""Head and foot of a page: title, day, what the marks mean, page number."""

from PySide6.QtCore import QLineF, QSizeF, Qt
from PySide6.QtGui import QFontMetricsF, QPainter, QPen

from advisor.basis import Basis
from advisor.report.convention import day
from advisor.report.document import Document
from advisor.report.piece import draw_mark
from advisor.report.style import MUTED, RULE, TINY, face, set_text

MARGIN = 56.0
HEADER = 34.0
FOOTER = 34.0


def paint_furniture(
    painter: QPainter, document: Document, size: QSizeF, number: int, count: int
) -> None:
    """Around page ``number`` (from 0) of ``count`` on paper of ``size``."""
    width = size.width() - 2 * MARGIN
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
        draw_mark(painter, x, foot, basis)
        text = set_text(words, face(TINY), 200)
        text.draw(painter, x + 16, foot, MUTED)
        x += text.width + 32
    page = f"Page {number + 1} of {count}"
    set_text(page, face(TINY), width, align=Qt.AlignmentFlag.AlignRight).draw(
        painter, MARGIN, foot, MUTED
    )
