"""What pages are filled with: a piece that stays whole, and the mark of a figure's basis."""

from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen

from advisor.basis import Basis
from advisor.report.style import INK, MUTED, PANEL, SetText, bold, set_text

Paint = Callable[[QPainter, float, float], None]


@dataclass(frozen=True)
class Piece:
    """Something that stays on one page. ``header`` is repeated above it at the top of a page."""

    height: float
    paint: Paint
    space: float = 0.0
    """Above it, unless it starts a page."""
    keep_with_next: bool = False
    inside_rows: int = 0
    """Rows of the table that would part after it (1: a chart from its figures): better not, where
    that costs no page."""
    header: "Piece | None" = None
    bookmark: str | None = None
    starts_page: bool = False


def text_piece(text: SetText, *, ink: QColor = INK, space: float) -> Piece:
    """A text as it was set."""

    def paint(painter: QPainter, x: float, y: float) -> None:
        text.draw(painter, x, y, ink)

    return Piece(text.height, paint, space=space)


def draw_mark(painter: QPainter, x: float, y: float, basis: Basis) -> None:
    """The small letter that says whether a figure was computed, dry-run or measured."""
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
