"""What the window asks of a page.

A page is one module in ``advisor/ui/pages/`` with one class; the window imports and builds it
after its first paint, ahead of its being asked for (``advisor.ui.ahead``); ``shown`` is what tells:

    class ProbePage(Page):
        def __init__(self, state: AppState) -> None:
            super().__init__(state)          # state.session, its signals, state.show_page("fit")
            self.title = self.tr("Probe")
            ...

        def shown(self) -> None: ...         # start timers, refresh
        def hidden(self) -> None: ...        # stop timers
        def closing(self) -> None: ...       # the window closes: end child processes
        def header_buttons(self) -> list[QWidget]: ...   # at the right of the header

Bad input and expected failures are a ``Banner`` inside the page (or ``state.failed.emit(text)``);
never a dialog. ``scrolling(widget)`` lets a part scroll when the window is small.
"""

import time
from collections.abc import Callable
from typing import Final

import shiboken6
from PySide6.QtCore import Qt
from PySide6.QtGui import QFocusEvent, QPalette, QShowEvent
from PySide6.QtWidgets import QApplication, QFrame, QScrollArea, QWidget

from advisor.ui import curtain, laid_out
from advisor.ui.state import AppState
from advisor.ui.turns import Turn

POLISH_S: Final = 0.006
"""Processor time in which a turn styles what nobody has seen yet."""


class Page(QWidget):
    """Base of the five pages."""

    def __init__(self, state: AppState) -> None:
        super().__init__()
        self.state = state
        self.title = ""
        self._unseen: dict[Callable[[], None], None] = {}
        """What is to be drawn when somebody looks, in its order."""
        self._unmade: list[str | Callable[[], bool]] = []
        """Cached properties that are parts of the page, in the order to make them; what is called
        makes a little of one and tells whether more is left."""
        self._unstyled: list[QWidget] | None = None
        """Widgets that the style sheet has not looked at; None before the parts are made."""
        self._catching_up = Turn(self)
        self._catching_up.due.connect(self._next)
        self._catching_up.start()

    def make_in_turns(self, *parts: str | Callable[[], bool]) -> None:
        """Make these cached properties in turns of the event loop, if nothing asks for them before.

        A part that is called is made in several turns, until it tells that nothing is left. What a
        page draws is drawn after them.
        """
        self._unmade = list(parts)
        self._catching_up.start()

    def has(self, part: str) -> bool:
        """Whether a part that is made in turns is there."""
        return part in self.__dict__

    def when_seen(self, draw: Callable[[], None]) -> None:
        """Call ``draw`` now, or once when the page is shown: a hidden page keeps no turn long."""
        if self.isVisible() and not self._unseen and not self._unmade:
            self._draw(draw)
        else:
            self._unseen[draw] = None
            if self.isVisible():
                self._catching_up.start()

    def in_turns(self, *draws: Callable[[], None]) -> None:
        """Call each in a turn of its own, once the page is on screen."""
        for draw in draws:
            self._unseen.pop(draw, None)
            self._unseen[draw] = None
        if self.isVisible():
            self._catching_up.start()

    def catch_up(self) -> None:
        """Make and draw now all that waits for its turn."""
        while self._unmade:
            self._make(self._unmade.pop(0))
        while self._unseen:
            draw = next(iter(self._unseen))
            del self._unseen[draw]
            draw()

    def _make(self, part: str | Callable[[], bool]) -> None:
        """A whole part, or a little of one that stays first in the line."""
        if isinstance(part, str):
            getattr(self, part)
        elif part():
            self._unmade.insert(0, part)

    def _next(self) -> None:
        self._unmade = [p for p in self._unmade if not (isinstance(p, str) and self.has(p))]
        if self._unmade:
            self._make(self._unmade.pop(0))
            self._catching_up.start()
        elif self._unseen and self.isVisible():
            draw = next(iter(self._unseen))
            del self._unseen[draw]
            self._draw(draw)
            self._catching_up.start()
        elif not self.isVisible() and self._style_some():
            self._catching_up.start()

    def _draw(self, draw: Callable[[], None]) -> None:
        curtain.hold_over(self)
        with laid_out.once(self):
            draw()

    def _style_some(self) -> bool:
        """Style a few widgets; whether some are left. The first look would style them all at once.

        Children before parents, for a parent styles those that are below it.
        """
        if self._unstyled is None:
            self._unstyled = self.findChildren(QWidget)
        until = time.thread_time() + POLISH_S
        while self._unstyled and time.thread_time() < until:
            widget = self._unstyled.pop()
            if shiboken6.isValid(widget):
                widget.ensurePolished()
        return bool(self._unstyled)

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802 - Qt's name
        """One thing that was left unmade or undrawn in each turn."""
        super().showEvent(event)
        self._catching_up.start()

    def focusInEvent(self, event: QFocusEvent) -> None:  # noqa: N802 - Qt's name
        """Nothing shows that the page itself has the keyboard; Qt's own paints all of it anew."""
        del event

    def focusOutEvent(self, event: QFocusEvent) -> None:  # noqa: N802 - Qt's name
        """As before."""
        del event

    def shown(self) -> None:
        """The page is on screen now."""

    def hidden(self) -> None:
        """Another page is on screen now, or the window closes."""

    def asked(self, request: str) -> None:
        """Another place asked for something by ``state.show_page("key:request")``."""

    def closing(self) -> None:
        """The window closes: stop child processes and timers; nothing may run on."""

    def header_buttons(self) -> list[QWidget]:
        """Buttons that the header shows at its right while this page is on screen."""
        return []


class _Followed(QScrollArea):
    """Scrolls to what gets the keyboard. Qt's own does only where the focus was in it before."""

    def __init__(self) -> None:
        super().__init__()
        app = QApplication.instance()
        if isinstance(app, QApplication):
            app.focusChanged.connect(self._follow)

    def _follow(self, _before: QWidget | None, now: QWidget | None) -> None:
        held: QWidget | None = self.widget()
        if now is None or held is None or not held.isAncestorOf(now):
            return
        # What the pointer pressed is seen, and must not move under it.
        if now.visibleRegion().isEmpty():
            self.ensureWidgetVisible(now)


def scrolling(
    content: QWidget, ground: QPalette.ColorRole = QPalette.ColorRole.Window
) -> QScrollArea:
    """``content`` in a frameless area that scrolls vertically when it has to.

    It paints its ``ground`` itself: what covers all that is below it is moved on screen as it is,
    and only what comes into sight is painted.
    """
    area = _Followed()
    area.setWidgetResizable(True)
    area.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # the focus walks its content and scrolls it
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setWidget(content)
    content.setBackgroundRole(ground)
    content.setAutoFillBackground(True)
    area.viewport().setAutoFillBackground(False)
    return area
