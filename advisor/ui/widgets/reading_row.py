"""One line of a card: a name, a value with its unit and basis. Painted, so that many are cheap.

A `FigureRow` is seven widgets, each of which the style sheet looks at; where nothing opens, one
that paints its words is a tenth of the work to make and to change.
"""

from dataclasses import dataclass
from typing import Final

from PySide6.QtCore import QEvent, QPoint, QSize, Qt
from PySide6.QtGui import (
    QColor,
    QFont,
    QFontMetrics,
    QHelpEvent,
    QPainter,
    QPaintEvent,
    QResizeEvent,
    QStaticText,
)
from PySide6.QtWidgets import QLabel, QSizePolicy, QToolTip

from advisor.ui import design
from advisor.ui.widgets.figures import NAME_WIDTH, split_value
from advisor.ui.widgets.marks import SIDE, mark_tip, mark_word, paint_mark

HEIGHT: Final = 20
GAP: Final = 5
NAME_LEAST: Final = 40
"""Px of a name that are kept beside the longest value."""
NOTE_LEAST: Final = 28
"""Px below which a note is left out."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """Words at a place, with their glyphs."""

    at: QPoint
    glyphs: QStaticText
    font: QFont
    muted: bool


class ReadingRow(QLabel):
    """A name at the left; note, value, unit and basis mark at the right.

    Where room is short the note gives way first, then the end of the name, then that of the value;
    the tooltip has the whole.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self._value = self._note = self._tip = ""
        self._basis: str | None = None
        self._pieces: list[_Piece] | None = None
        """None until they are placed for the present words and width."""
        self._glyphs: dict[tuple[str, bool], QStaticText] = {}
        """Those of the last placing, by words and whether they are heavy: shaping takes longest."""
        self._cut = False
        """Whether something had to be shortened or left out."""
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setAccessibleName(self.words)

    @property
    def words(self) -> str:
        """All that it says, as a screen reader has it."""
        said = (f"{self._name}: {self._value}", self._note, mark_word(self._basis))
        return ", ".join(part for part in said if part)

    def show_value(
        self,
        value: str,
        *,
        basis: str | None = None,
        note: str = "",
        name: str | None = None,
        tip: str = "",
    ) -> None:
        """Another value, with its basis and a few words beside it; ``tip`` says more of it."""
        name = self._name if name is None else name
        new = (name, value, note, tip, basis)
        if new != (self._name, self._value, self._note, self._tip, self._basis):
            self._name, self._value, self._note, self._tip, self._basis = new
            self.setAccessibleName(self.words)
            self.setAccessibleDescription(tip)
            self._pieces = None
            self.update()

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Takes the width it gets."""
        return QSize(NAME_WIDTH, HEIGHT)

    def minimumSizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """That of a narrow card."""
        return QSize(NAME_WIDTH, HEIGHT)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 - Qt's name
        """Words have other places at another width."""
        super().resizeEvent(event)
        self._pieces = None

    def _place(self) -> list[_Piece]:
        """What stands where, from the right."""
        body, strong = design.font(), design.font(weight=QFont.Weight.DemiBold)
        number, unit = split_value(self._value) or (self._value, "")
        heavy = strong if split_value(self._value) else body
        name_width = QFontMetrics(body).horizontalAdvance(self._name)
        pieces: list[_Piece] = []
        before, self._glyphs = self._glyphs, {}
        self._cut = False

        def put(words: str, font: QFont, right: int, room: int, *, muted: bool = False) -> int:
            metrics = QFontMetrics(font)
            width = metrics.horizontalAdvance(words)
            if width > room:
                mode = Qt.TextElideMode.ElideMiddle if words is self._note else _END
                words, width, self._cut = metrics.elidedText(words, mode, room), room, True
            key = words, font is strong
            glyphs = before.get(key)
            if glyphs is None:
                glyphs = QStaticText(words)
                glyphs.setTextFormat(Qt.TextFormat.PlainText)
            self._glyphs[key] = glyphs
            at = QPoint(right - width, (self.height() - metrics.height()) // 2)
            pieces.append(_Piece(at, glyphs, font, muted))
            return right - width - GAP

        at = self.width() - SIDE - GAP
        if unit:
            at = put(unit, body, at, at, muted=True)
        at = put(number, heavy, at, max(0, at - min(name_width, NAME_LEAST) - GAP))
        name_width = max(0, min(name_width, at - GAP))
        room = at - name_width - GAP
        if self._note and room >= NOTE_LEAST:
            put(self._note, body, at, room, muted=True)
        elif self._note:
            self._cut = True
        put(self._name, body, name_width, name_width)
        return pieces

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """Name, note, value and mark."""
        del event
        if self._pieces is None:
            self._pieces = self._place()
        c = design.colours()
        with QPainter(self) as painter:
            for piece in self._pieces:
                painter.setFont(piece.font)
                painter.setPen(QColor(c.muted if piece.muted else c.text))
                painter.drawStaticText(piece.at, piece.glyphs)
            paint_mark(painter, self.width() - SIDE, (self.height() - SIDE) // 2, self._basis)

    def event(self, event: QEvent) -> bool:
        """The tooltip: the whole where it is shortened, and more about it."""
        if isinstance(event, QHelpEvent):
            told = (self.words if self._cut else "", self._tip, mark_tip(self._basis))
            QToolTip.showText(event.globalPos(), "\n".join(filter(None, told)), self)
            return True
        return super().event(event)


_END: Final = Qt.TextElideMode.ElideRight
