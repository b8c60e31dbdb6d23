"""Preview of a report: its real pages, drawn off the GUI thread at the width there is."""

from collections.abc import Callable

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QImage, QPixmap, QResizeEvent
from PySide6.QtWidgets import QLabel, QScrollArea, QWidget

from advisor.report.document import Document
from advisor.report.flow import Paper, lay_out
from advisor.report.pdf import render_page
from advisor.ui.jobs import Job, run_task
from advisor.ui.widgets.basics import button, clear, column, row, text

REDRAW_MS = 150
GAP = 18
PAGE_WIDTH = 794
"""A page of A4 at its own size, in px."""
SMALLEST_PAGE = 360
"""Two pages stand side by side from twice this on."""


class Preview(QScrollArea):
    """Two pages side by side where they have room, or one as wide as there is."""

    drawn = Signal(int)
    """All pages are on screen; so many."""

    def __init__(self) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setProperty("role", "preview")
        self.setFrameShape(QScrollArea.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setAccessibleName(self.tr("Preview of the report's pages"))
        self._sentence = text("", "muted", wrap=True)
        self._action = button("", self._act)
        self._action.hide()
        self._on_action: Callable[[], None] | None = None
        self._message = QWidget()
        self._message.setLayout(column(self._sentence, row(self._action, None)))
        self._pages = column(spacing=GAP)
        content = QWidget()
        outer = column(self._message, self._pages, None)
        outer.setContentsMargins(0, 0, GAP, GAP)
        content.setLayout(outer)
        self.setWidget(content)
        self._labels: list[QLabel] = []
        self._shown: tuple[Document, Paper] | None = None
        self._larger = False
        self._drawn_for = (0, 0)
        self._job: Job | None = None
        self._resized = QTimer(self, singleShot=True, interval=REDRAW_MS)
        self._resized.timeout.connect(self._draw)

    def say(
        self, sentence: str, action: str = "", on_action: Callable[[], None] | None = None
    ) -> None:
        """A sentence instead of pages, and what can be done about it."""
        self._shown = None
        if self._job is not None:
            self._job.cancel()
        self._place([])
        self._sentence.setText(sentence)
        self._on_action = on_action
        self._action.setText(action)
        self._action.setAccessibleName(action)
        self._action.setVisible(bool(action))
        self._message.show()

    @property
    def sentence(self) -> str:
        """What it says instead of pages; empty while pages are shown."""
        return "" if self._message.isHidden() else self._sentence.text()

    def show_document(self, document: Document, paper: Paper) -> None:
        """Draw the pages of ``document``; the old ones stay until the new ones are ready."""
        self._shown = (document, paper)
        self._drawn_for = (0, 0)
        self._draw()

    def toggle(self) -> bool:
        """One page as wide as there is room, or two side by side; True for the former."""
        self._larger = not self._larger
        self._draw()
        return self._larger

    def page_count(self) -> int:
        """Pages on screen."""
        return len(self._labels)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 - Qt's name
        """Draw again for the new width when the resizing has come to rest."""
        super().resizeEvent(event)
        self._resized.start()

    def _act(self) -> None:
        if self._on_action is not None:
            self._on_action()

    def _fitting(self) -> tuple[int, int]:
        """How many pages stand side by side, and how wide one is."""
        room = self.viewport().width() - GAP
        count = 2 if not self._larger and room >= 2 * SMALLEST_PAGE + GAP else 1
        widest = 2 * PAGE_WIDTH if self._larger else PAGE_WIDTH
        return count, min((room - GAP * (count - 1)) // count, widest)

    def _draw(self) -> None:
        shown, fitting = self._shown, self._fitting()
        if shown is None or fitting == self._drawn_for or fitting[1] < 50:
            return
        self._drawn_for = fitting
        if self._job is not None:
            self._job.cancel()
        ratio = self.devicePixelRatioF()
        document, paper = shown
        scale = fitting[1] * ratio / paper.size.width()

        def work(job: Job) -> list[QImage]:
            # Qt keeps fonts per thread: text must be painted, and dropped, where it was laid out.
            layout = lay_out(document, paper)
            images: list[QImage] = []
            for number in range(len(layout.pages)):
                if job.cancelled:
                    break
                image = render_page(layout, number, scale)
                image.setDevicePixelRatio(ratio)
                images.append(image)
            return images

        self._job = run_task(work, on_result=self._drawn, owner=self)

    def _drawn(self, images: list[QImage]) -> None:
        self._place(images)
        self.drawn.emit(len(images))

    def _place(self, images: list[QImage]) -> None:
        place = self.verticalScrollBar().value()
        clear(self._pages)
        self._message.hide()
        self._labels = []
        for number, image in enumerate(images, start=1):
            label = QLabel()
            label.setPixmap(QPixmap.fromImage(image))
            label.setAccessibleName(self.tr("Page {number}").format(number=number))
            label.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
            self._labels.append(label)
        count = self._fitting()[0]
        for start in range(0, len(self._labels), count):
            line = row(*self._labels[start : start + count], None, spacing=GAP)
            self._pages.addLayout(line)
        # A changed word must not throw the reader back to the first page.
        QTimer.singleShot(0, self, lambda: self.verticalScrollBar().setValue(place))
