"""The basis mark: one small letter that says where a figure comes from, the same everywhere."""

import functools
from typing import Final, Literal

from PySide6.QtCore import QCoreApplication, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFont, QImage, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from advisor.ui import design

BasisName = Literal["computed", "dry-run", "measured"]
SIDE: Final = 15


class BasisMark(QWidget):
    """c computed, d dry-run, m measured. Takes a ``Basis`` or its value; None: blank."""

    def __init__(self, basis: str | None = None) -> None:
        super().__init__()
        self._basis: str | None = None
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.set_basis(basis)

    @property
    def word(self) -> str:
        """The mark in one word."""
        return mark_word(self._basis)

    def set_basis(self, basis: str | None) -> None:
        """Another rung, or none."""
        self._basis = None if basis is None else str(basis)
        self.setToolTip(mark_tip(self._basis))
        self.setAccessibleName(self.word)
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """A small square; its place is kept when blank so that figures stay aligned."""
        return QSize(SIDE, SIDE)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """The letter in its square: outlined, filled soft, filled green."""
        del event
        if self._basis is not None:
            with QPainter(self) as painter:
                paint_mark(painter, 0, 0, self._basis)


def mark_word(basis: str | None) -> str:
    """A basis in one word; nothing for none."""
    return _WORDS[str(basis)]() if basis else ""


def mark_tip(basis: str | None) -> str:
    """A basis in a sentence; nothing for none."""
    return _TIPS[str(basis)]() if basis else ""


def paint_mark(painter: QPainter, x: int, y: int, basis: str | None) -> None:
    """The mark of a basis, nothing for none. It is drawn once and then copied."""
    if basis is not None:
        ratio = painter.device().devicePixelRatio()
        painter.drawImage(x, y, _mark(str(basis), ratio, design.colours()))


@functools.cache
def _mark(basis: str, ratio: float, c: design.Colours) -> QImage:
    side = round(SIDE * ratio)
    image = QImage(side, side, QImage.Format.Format_ARGB32_Premultiplied)
    image.setDevicePixelRatio(ratio)
    image.fill(Qt.GlobalColor.transparent)
    ink = QColor(c.muted)
    with QPainter(image) as painter:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if basis == "computed":
            painter.setPen(QPen(QColor(c.line_strong)))
            painter.setBrush(QColor(c.surface))
        else:
            ink, ground = c.tone("accent" if basis == "dry-run" else "good")
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(ground)
        box = QRectF(0.5, 0.5, SIDE - 1, SIDE - 1)
        painter.drawRoundedRect(box, 3, 3)
        painter.setPen(ink)
        painter.setFont(design.font(9, QFont.Weight.DemiBold))
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, basis[0])
    return image


def _tr(source: str) -> str:
    return QCoreApplication.translate("BasisMark", source)


_WORDS: Final = {
    "computed": lambda: _tr("computed"),
    "dry-run": lambda: _tr("dry-run"),
    "measured": lambda: _tr("measured"),
}
_TIPS: Final = {
    "computed": lambda: _tr(
        "Computed by Rig Advisor from the model's tensors and llama.cpp's rules"
    ),
    "dry-run": lambda: _tr(
        "Reported by llama.cpp itself for these settings, without loading weights"
    ),
    "measured": lambda: _tr("Measured on this machine"),
}
