"""The window: left rail, header, page, status line. Shows itself first, loads everything after."""

import importlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from PySide6.QtCore import QCoreApplication, QEvent, QSettings, QSize, Qt, QTimer
from PySide6.QtGui import (
    QCloseEvent,
    QDragEnterEvent,
    QDropEvent,
    QResizeEvent,
)
from PySide6.QtWidgets import (
    QFrame,
    QScrollArea,
    QStackedWidget,
    QWidget,
)

from advisor.ui import design, jobs, pauses, qt_classes, recolour
from advisor.ui.ahead import Ahead
from advisor.ui.curtain import Curtain
from advisor.ui.header import Header
from advisor.ui.pieces import Pieces
from advisor.ui.rail import Rail
from advisor.ui.session_menu import SessionMenu
from advisor.ui.status import StatusLine
from advisor.ui.turns import Turn
from advisor.ui.widgets.basics import Banner, EmptyState, column, row, translate

if TYPE_CHECKING:  # these load pydantic and numpy: only after the first paint
    from advisor.ui.page import Page
    from advisor.ui.state import AppState

log: Final = logging.getLogger(__name__)
HEAVY: Final = (
    "numpy",
    "pydantic",
    "pyqtgraph",
    "advisor.ui.state",
    "advisor.ui.earlier_probes",
    "advisor.ui.texts",
    "advisor.ui.widgets.model_picker",
    "advisor.ui.pages.machine",
)
"""Imported on a worker thread after the first paint; none of them creates Qt objects."""
LEAST: Final = QSize(720, 420)
"""Of the window, where the screen has as much: an enlarged one on a laptop may have less."""
LEAST_PAGE: Final = QSize(735, 450)
"""What a page is laid out for at the least; a smaller window scrolls it. 1280 x 800 enlarged by
half (853 x 533) has as much beside the rail."""
NESTED: Final = 12
"""Layouts within each other, at the most, from a line's words to the window."""
NARROW: Final = 1120
"""Below this width the rail gives room to the page."""


@dataclass(frozen=True, slots=True)
class PageEntry:
    """Where a page's class is; it is imported after the first page is on screen."""

    key: str
    title: str
    module: str
    name: str


def page_entries() -> list[PageEntry]:
    """The five pages in the rail's order."""
    return [
        PageEntry(
            "machine", translate("Window", "Machine"), "advisor.ui.pages.machine", "MachinePage"
        ),
        PageEntry("fit", translate("Window", "Fit"), "advisor.ui.pages.fit", "FitPage"),
        PageEntry("probe", translate("Window", "Probe"), "advisor.ui.pages.probe", "ProbePage"),
        PageEntry("advice", translate("Window", "Advice"), "advisor.ui.pages.advice", "AdvicePage"),
        PageEntry("report", translate("Window", "Report"), "advisor.ui.pages.report", "ReportPage"),
    ]


class _AtLeast(QWidget):
    """Holds the pages and is never smaller than they are laid out for.

    It has no layout: one would ask for all the height that their words want, where they scroll.
    """

    def __init__(self, held: QWidget) -> None:
        super().__init__()
        self._held = held
        held.setParent(self)
        self.curtain = Curtain(self)
        self.setMinimumSize(LEAST_PAGE)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 - Qt's name
        """All of it is theirs, in a turn of the event loop after the window's own parts."""
        super().resizeEvent(event)
        if not self.curtain.hold_resizing(self._lay_out):
            self._lay_out()

    def _lay_out(self) -> None:
        self._held.setGeometry(self.rect())


class MainWindow(QWidget):
    """Wires the pages to one session; holds no rules of its own."""

    def __init__(self, preferences: QSettings, *, open_first: Path | None = None) -> None:
        super().__init__()
        self.setWindowTitle("Rig Advisor")
        self.setAcceptDrops(True)
        self.setMinimumSize(LEAST.boundedTo(self.screen().availableSize()))
        self._preferences = preferences
        self._open_first = open_first
        self.state: AppState | None = None
        """None until the libraries are loaded."""
        self._restored = False
        """Whether what the last window left is taken up: what is asked before would be lost."""
        self._entries = {entry.key: entry for entry in page_entries()}
        self._pages: dict[str, Page] = {}
        self._to_add: list[Page] = []
        """Made, and not in the window yet."""
        self._adding = Turn(self)
        self._adding.due.connect(self._add_pages)
        self._current = "machine"
        self._ahead: Ahead | None = None
        self.menu = SessionMenu(self, preferences)
        self.rail = Rail([(e.key, e.title) for e in self._entries.values()], self.menu)
        self.rail.chosen.connect(self.show_page)
        self.rail.mark(self._current)
        self.header = Header()
        self.banner = Banner(above=design.GAP)
        self.status = StatusLine()
        self._stack = QStackedWidget()
        self._waiting = EmptyState(self.tr("Reading this machine…"), self.tr("A moment."))
        self._stack.addWidget(self._waiting)
        at_least = _AtLeast(self._stack)
        self._curtain = at_least.curtain
        room = QScrollArea()
        room.setWidgetResizable(True)
        room.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        room.setFrameShape(QFrame.Shape.NoFrame)
        room.setWidget(at_least)
        banner_area = column(self.banner)
        banner_area.setContentsMargins(design.GAP + 4, 0, design.GAP + 4, 0)
        right = column(self.header, banner_area, room, self.status, spacing=0)
        right.setStretch(2, 1)
        self.setLayout(row(self.rail, right, spacing=0))
        design.dress(self)
        self._restore_size()

    # start

    def load_after_first_paint(self, then: Callable[[], object] = lambda: None) -> None:
        """Load the heavy libraries on a worker thread once the window has been drawn.

        ``then`` is called on that thread before they are used.
        """

        def load(_job: jobs.Job) -> None:
            for name in HEAVY:
                importlib.import_module(name)
            from advisor.engine.told import embedded_version  # noqa: PLC0415 - loaded now

            embedded_version()  # kept: the window's thread would read the package's files for it
            then()

        classes = Pieces(qt_classes.made())

        def begin() -> None:
            if classes.some():
                QTimer.singleShot(0, self, begin)
                return
            job = jobs.run_task(load, on_result=lambda _none: self._loaded(), owner=self)
            job.finished.connect(self._load_ended)

        QTimer.singleShot(0, self, begin)

    def _load_ended(self) -> None:
        if self.state is None:
            self._waiting.say(
                self.tr("Rig Advisor could not start"),
                self.tr("A part of it did not load. Start it again; if that fails, reinstall it."),
            )

    def _loaded(self) -> None:
        from advisor.ui.earlier_probes import EarlierProbes  # noqa: PLC0415 - as the next
        from advisor.ui.state import AppState  # noqa: PLC0415 - its libraries are loaded now

        pauses.keep_caches()
        state = AppState(self)
        EarlierProbes(state)
        self.state = state
        state.failed.connect(self.show_problem)
        state.noticed.connect(self.status.notice)
        state.page_wanted.connect(self.show_page)
        state.model_wanted.connect(self.header.open_model_picker)
        state.words_wanted.connect(self.menu.explain_words)
        state.file_changed.connect(self._show_title)
        state.machine_read.connect(self._show_detection)
        state.saved.connect(
            lambda path: self.status.notice(self.tr("Saved {name}").format(name=path.name))
        )
        restoring = state.restore()
        restoring.finished.connect(lambda: None if restoring.cancelled else self._begin())
        self.show_page(self._current)
        self.detect()
        self._ahead = Ahead(
            [entry.module for entry in self._entries.values()],
            list(self._entries),
            lambda key: self._pages.get(key) or self._build(key),
            self,
        )

    def _begin(self) -> None:
        """What was asked meanwhile, on the command line first, comes after what was left."""
        state = self.state
        if state is None:
            return
        self._restored = True
        self.header.bind(state)
        if self._open_first is not None:
            state.open_file(self._open_first)

    def detect(self) -> None:
        """Read this machine (again) in the background."""
        state = self.state
        if state is None:
            return
        from advisor.ui import services  # noqa: PLC0415 - its libraries are loaded now

        job = jobs.run_task(
            lambda _job: services.detect(),
            on_result=state.set_detected,
            on_error=lambda error: self.show_problem(str(error)),
            owner=state,
        )
        # Whatever went wrong: an error that nobody expected has its own dialog.
        job.finished.connect(self._detection_ended)

    def _detection_ended(self) -> None:
        if self.state is not None and self.state.detected is None:
            self.status.show_detection(self.tr("This machine could not be read"))
            self.state.set_unread()

    # pages

    def show_page(self, wanted: str) -> None:
        """Bring a page to the front; "machine:compose" also passes "compose" to the page."""
        key, _, request = wanted.partition(":")
        if key not in self._entries:
            return
        self.rail.mark(key)
        previous = self._pages.get(self._current)
        if previous is not None and key != self._current:
            previous.hidden()
        self._current = key
        if self.state is None:
            return
        page = self._pages.get(key) or self._build(key)
        if page is None:
            self.header.show_buttons([])
            self._stack.setCurrentWidget(self._waiting)
            return
        self._add_pages()
        if page is not self._stack.currentWidget():
            self._curtain.hold()
        recolour.finish(page)
        self._stack.setCurrentWidget(page)
        page.setFocus(Qt.FocusReason.OtherFocusReason)
        self.header.show_buttons(page.header_buttons())
        page.shown()
        if request:
            page.asked(request)

    def page(self, key: str) -> "Page | None":
        """The page if it was built."""
        return self._pages.get(key)

    def _build(self, key: str) -> "Page | None":
        entry = self._entries[key]
        state = self.state
        if state is None:
            return None
        try:
            module = importlib.import_module(entry.module)
        except ModuleNotFoundError as error:
            if error.name != entry.module:
                raise
            self._waiting.say(
                self.tr("The page “{title}” is missing").format(title=entry.title),
                self.tr("This installation is not complete: {module} was not found.").format(
                    module=entry.module
                ),
            )
            return None
        page: Page = getattr(module, entry.name)(state)
        page.setAccessibleName(page.title or entry.title)
        # Takes the keyboard when the page opens: the next Tab is its first control.
        page.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self._pages[key] = page
        self._to_add.append(page)
        self._adding.start()
        return page

    def _add_pages(self) -> None:
        """Into the window: in a turn after a page was made, for its style goes to all its parts."""
        while self._to_add:
            self._stack.addWidget(self._to_add.pop())

    def open_path(self, path: Path) -> None:
        """Open any file that the app understands; others give a sentence."""
        self.banner.dismiss()  # what was told of the last one
        if self.state is not None and self._restored:
            self.state.open_file(path)
        else:
            self._open_first = path

    # what the user is told

    def show_problem(self, sentence: str) -> None:
        """A sentence in the banner above the page; the window goes on."""
        log.warning("told: %s", sentence)
        self.banner.say(sentence, "bad")

    def _show_title(self) -> None:
        state = self.state
        if state is None:
            return
        self.menu.show_history(state.history)
        name = state.path.name if state.path is not None else ""
        mark = "*" if state.modified and name else ""
        self.setWindowTitle(f"{name}{mark} – Rig Advisor" if name else "Rig Advisor")

    def _show_detection(self) -> None:
        state = self.state
        if state is not None and state.detected is not None:
            from advisor.ui import services  # noqa: PLC0415 - loaded by now
            from advisor.ui.texts import detection_in_short  # noqa: PLC0415 - loaded by now

            self.status.show_detection(detection_in_short(state.detected))
            self.status.show_dates(
                self.tr("Prices reviewed {date} · offline").format(date=services.prices_date())
            )

    # the window itself

    def _restore_size(self) -> None:
        geometry = self._preferences.value("window/geometry")
        if geometry is None or not self.restoreGeometry(geometry):  # pyright: ignore[reportArgumentType] - QByteArray as saved below
            screen = self.screen().availableSize()
            self.resize(QSize(1280, 800).boundedTo(screen))

    def event(self, event: QEvent) -> bool:
        """Lay out all that has changed before it is painted.

        A layout that grows tells its parent by an event, which comes after the next painting:
        until the last of them is told, cards are squashed into the height that they had.
        """
        if event.type() == QEvent.Type.UpdateRequest:
            for _level in range(NESTED):
                QCoreApplication.sendPostedEvents(None, QEvent.Type.LayoutRequest.value)
        return super().event(event)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 - Qt's name
        """Where room is short the page gets it."""
        super().resizeEvent(event)
        self.rail.set_narrow(narrow=self.width() < NARROW)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:  # noqa: N802 - Qt's name
        """Files are welcome."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:  # noqa: N802 - Qt's name
        """A dropped file or folder is opened, whatever page is on screen."""
        urls = event.mimeData().urls()
        paths = [Path(url.toLocalFile()) for url in urls if url.isLocalFile()]
        if not paths:
            return
        event.setDropAction(Qt.DropAction.CopyAction)
        event.accept()
        # Of a model dropped with its projector or with its other parts, the model.
        first = min(paths, key=lambda path: (path.name.lower().startswith("mmproj"), path.name))
        self.open_path(first)
        if len(paths) > 1:
            words = self.tr("Of {count} files, {name} was opened")
            self.status.notice(words.format(count=len(paths), name=first.name))

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802 - Qt's name
        """Stop what runs, keep the session, then go."""
        self._preferences.setValue("window/geometry", self.saveGeometry())
        if self._ahead is not None:
            self._ahead.stop()
        for page in self._pages.values():
            page.hidden()
            page.closing()
        # Gone at once: work that is still at it is waited for without a window that hangs.
        self.hide()
        if self.state is not None:
            self.state.close()
        jobs.cancel_all()
        super().closeEvent(event)
