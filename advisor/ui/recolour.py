"""Another colour scheme in an open window, a few widgets in each turn of the event loop."""

import time
from collections.abc import Iterator
from typing import Final

import shiboken6
from PySide6.QtCore import QCoreApplication, QEvent, QObject, QTimer
from PySide6.QtWidgets import QApplication, QWidget

from advisor.ui import design
from advisor.ui.curtain import Curtain
from advisor.ui.turns import PUT_OFF, line

BUDGET_S: Final = 0.005
"""Processor time of one turn, a third of a frame: as much work also while other threads compute."""


def change(app: QApplication, scheme: design.Scheme) -> None:
    """Put ``scheme`` on screen, soon."""
    (app.findChild(_Recolour) or _Recolour(app)).begin(scheme)


def finish(widget: QWidget) -> None:
    """Before ``widget`` comes on screen: it may still have its old colours."""
    app = QApplication.instance()
    running = None if app is None else app.findChild(_Recolour)
    if running is not None and running.waits:
        for part in _tree([widget]):
            design.renew(part)


class _Recolour(QObject):
    """What is on screen stands still until all of it has its colours; then comes what is hidden."""

    def __init__(self, app: QApplication) -> None:
        super().__init__(app)
        # Of its own: in the line of other work a window would stand still behind all of it.
        self._timer = QTimer(self, interval=0)
        self._timer.timeout.connect(self._next)
        self._app = app
        self._frozen: list[QWidget] = []
        self._seen: list[QWidget] = []
        """Visible widgets that wait, each with all that is below it."""
        self._hidden: list[QWidget] = []
        self._put_off = 0
        """Turns since the last that had time for it."""

    @property
    def waits(self) -> bool:
        """Whether something still has its old colours."""
        return bool(self._seen or self._hidden)

    def begin(self, scheme: design.Scheme) -> None:
        """Change to ``scheme``."""
        self._thaw()
        design.begin(self._app, scheme)
        windows = [w for w in self._app.topLevelWidgets() if w.parentWidget() is None]
        self._seen = [window for window in windows if window.isVisible()]
        self._hidden = [window for window in windows if not window.isVisible()]
        self._frozen = list(self._seen)
        for window in self._frozen:
            window.setUpdatesEnabled(False)
        self._timer.start()

    def _next(self) -> None:
        """A few widgets, or the painting of all that was seen: each in a turn of its own."""
        if line.busy and self._put_off < PUT_OFF:
            self._put_off += 1  # something is painted or was worked on
            return
        self._put_off = 0
        if not self._seen and self._frozen:
            self._thaw()
        else:
            until = time.thread_time() + BUDGET_S
            waiting = _tree(self._seen, self._hidden) if self._seen else _tree(self._hidden)
            for widget in waiting:
                design.renew(widget)
                if time.thread_time() > until:
                    break
        if not self._frozen and not self.waits:
            self._timer.stop()

    def _thaw(self) -> None:
        for window in self._frozen:
            if shiboken6.isValid(window):
                for curtain in window.findChildren(Curtain):
                    curtain.hold()
                window.setUpdatesEnabled(True)
                # What waited to be painted when updates ended lost its event, and Qt posts no other
                # while something is dirty: the window would show the old picture for good.
                QCoreApplication.postEvent(window, QEvent(QEvent.Type.UpdateRequest))
        self._frozen = []


def _tree(waiting: list[QWidget], hidden: list[QWidget] | None = None) -> Iterator[QWidget]:
    """Widgets with all below them, parents first; taken out of ``waiting`` as they come.

    With ``hidden``, only what is visible comes, and the rest is put there.
    """
    while waiting:
        widget = waiting.pop()
        if not shiboken6.isValid(widget):
            continue
        if hidden is not None and not widget.isVisible():
            hidden.append(widget)
            continue
        # Before it is yielded: who asks may stop there.
        waiting += [child for child in widget.children() if isinstance(child, QWidget)]
        yield widget
