"""The basis mark: one small letter that says where a figure comes from, the same everywhere."""

from typing import Final, Literal

from PySide6.QtCore import QCoreApplication, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFont, QPainter, QPaintEvent, QPen
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
        return _WORDS[self._basis]() if self._basis else ""

    def set_basis(self, basis: str | None) -> None:
        """Another rung, or none."""
        self._basis = None if basis is None else str(basis)
        self.setToolTip(_TIPS[self._basis]() if self._basis else "")
        self.setAccessibleName(self.word)
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """A small square; its place is kept when blank so that figures stay aligned."""
        return QSize(SIDE, SIDE)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """The letter in its square: outlined, filled soft, filled green."""
        del event
        if self._basis is None:
            return
        c = design.colours()
        with QPainter(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            box = QRectF(0.5, 0.5, SIDE - 1, SIDE - 1)
            ink = QColor(c.muted)
            if self._basis == "computed":
                painter.setPen(QPen(QColor(c.line_strong)))
                painter.setBrush(QColor(c.surface))
            else:
                ink, ground = c.tone("accent" if self._basis == "dry-run" else "good")
                painter.setPen(Qt.PenStyle.NoPen)
                painter.setBrush(ground)
            painter.drawRoundedRect(box, 3, 3)
            painter.setPen(ink)
            painter.setFont(design.font(9, QFont.Weight.DemiBold))
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, self._basis[0])


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
