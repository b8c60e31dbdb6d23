"""A row of a list that can be pressed."""

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QAbstractButton, QSizePolicy

from advisor.ui import design


class RowButton(QAbstractButton):
    """A row of a list that can be pressed: its children are only looked at."""

    marks = True
    """Whether a chosen row keeps the chosen ground."""

    def __init__(self) -> None:
        super().__init__()
        # A button's own policy would not let its words be shortened.
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """A soft ground under the pointer or while chosen, a line around it with keyboard focus."""
        del event
        if not self.isCheckable() or not (self.underMouse() or self.hasFocus() or self.isChecked()):
            return
        c = design.colours()
        with QPainter(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setBrush(QColor(c.accent_soft if self.isChecked() and self.marks else c.ground))
            painter.setPen(QColor(c.accent) if self.hasFocus() else Qt.PenStyle.NoPen)
            painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 5, 5)

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """What its content needs."""
        layout = self.layout()
        return layout.sizeHint() if layout is not None else super().sizeHint()
