"""Keeps the picture on screen while what is below it changes, and then opens from the top.

Making a page visible, laying it out and painting it are each about as long as a frame, and Qt does
all of it in one turn of the event loop. Behind the curtain each has a turn of its own, and what is
painted is painted in bands: a person sees the page as it was, then as it is.
"""

from collections.abc import Callable
from typing import Final

from PySide6.QtCore import QElapsedTimer, QPoint, QRect, Qt
from PySide6.QtGui import QImage, QPainter, QPaintEvent, QRegion
from PySide6.QtWidgets import (
    QAbstractSpinBox,
    QApplication,
    QLineEdit,
    QPlainTextEdit,
    QTextEdit,
    QWidget,
)

from advisor.ui.turns import Turn, line

BANDS: Final = 6
"""Turns in which what is below is painted."""
LONGEST_MS: Final = 120
"""As long pieces of a page are waited for, so that it appears whole; nobody notices more delay."""


TYPED: Final = (QLineEdit, QAbstractSpinBox, QPlainTextEdit, QTextEdit)
"""What a person may be typing in is seen through it."""


def hold_over(widget: QWidget) -> None:
    """Keep what is on screen around ``widget`` while it changes, where it is behind a curtain."""
    parent = widget.parentWidget()
    while parent is not None:
        curtain = parent.findChild(Curtain, options=Qt.FindChildOption.FindDirectChildrenOnly)
        if curtain is not None:
            curtain.hold()
            return
        parent = parent.parentWidget()


class Curtain(QWidget):
    """Over the whole of its parent, above its siblings; hears no mouse and takes no focus."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        # Qt paints nothing below it, and what is not painted over stays on screen.
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setAttribute(Qt.WidgetAttribute.WA_NoSystemBackground)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.hide()
        self._over = parent
        self._picture: QImage | None = None
        """What was on screen, where the window's own copy of it goes: when its size changes."""
        self._work: list[Callable[[], None]] = []
        self._opened = 0
        self._rested = False
        """Whether what is beside it has had a turn to be painted in."""
        self._closed = QElapsedTimer()
        self._turn = Turn(self)
        self._turn.due.connect(self._next)

    def hold(self) -> bool:
        """Keep what is on screen, and open soon; whether there was something to keep."""
        if not self._on_screen():
            return False
        if not self._late:
            self._close()
        return True

    def hold_resizing(self, change: Callable[[], None]) -> bool:
        """As ``hold``, before the window's size changes; ``change`` is called in another turn.

        One that is held for long lets changes through, so that a page follows a hand that drags.
        """
        if self._late:
            self._open()
        if not self._on_screen():
            return False
        picture = self._copy()
        if picture is None:
            return False
        self._picture = picture
        self._work = [change]
        self._close()
        return True

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """What was on screen; nothing where it still is."""
        del event
        if self._picture is not None:
            with QPainter(self) as painter:
                painter.fillRect(self.rect(), self.palette().window())
                painter.drawImage(QPoint(0, -self.y()), self._picture)

    @property
    def _late(self) -> bool:
        """Whether it has been closed for so long that it must open, whatever else changes."""
        return self.isVisible() and self._closed.elapsed() > LONGEST_MS

    def _on_screen(self) -> bool:
        window = self.window().windowHandle()
        return window is not None and window.isExposed() and self._over.isVisible()

    def _copy(self) -> QImage | None:
        """What the window shows of its parent; None where the platform does not tell."""
        store = self.window().backingStore()
        shown = None if store is None else store.paintDevice()
        if not isinstance(shown, QImage):
            return None
        ratio = shown.devicePixelRatio()
        at = self._over.mapTo(self.window(), QPoint()) * ratio
        return shown.copy(QRect(at, shown.size()))

    def _close(self) -> None:
        if not self.isVisible():
            self._closed.start()
        self._opened = 0
        self._rested = False
        self.setGeometry(self._over.rect())
        self._leave_out(QApplication.focusWidget())
        self.raise_()
        self.show()
        self._turn.start()

    def _leave_out(self, typed: QWidget | None) -> None:
        """What is typed appears at once."""
        self.clearMask()
        if isinstance(typed, TYPED) and self._over.isAncestorOf(typed) and self._picture is None:
            shown = QRect(typed.mapTo(self._over, QPoint()), typed.size())
            self.setMask(QRegion(self.rect()) - QRegion(shown))

    def _next(self) -> None:
        if self._work:
            self._work.pop(0)()
            self._turn.start()
        elif self._opened == 0 and line.others_seen and not self._late:
            self._turn.start()  # behind those that wait: the page is still being made
        elif not self._rested:
            self._rested = True
            self._turn.start()
        elif self._opened < BANDS - 1:
            self._opened += 1
            self.clearMask()
            whole = self._over.rect()
            self.setGeometry(whole.adjusted(0, whole.height() * self._opened // BANDS, 0, 0))
            self._turn.start()
        else:
            self._open()

    def _open(self) -> None:
        self._turn.stop()
        while self._work:
            self._work.pop(0)()
        self._picture = None
        self.hide()
