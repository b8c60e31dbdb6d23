"""The Report page: the real pages as they will print, what goes into them, and the export."""

from datetime import UTC, datetime
from pathlib import Path

from PySide6.QtCore import QSignalBlocker, Qt, QTimer, QUrl
from PySide6.QtGui import QDesktopServices, QGuiApplication, QImage, QPixmap, QResizeEvent
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from advisor.errors import RigAdvisorError
from advisor.report import gather
from advisor.report.build import Findings, ReportOptions, Section, build
from advisor.report.document import Document
from advisor.report.flow import Layout, Paper, lay_out
from advisor.report.html import to_html
from advisor.report.pdf import render_page, write_pdf
from advisor.session import Session
from advisor.ui.jobs import Job, run_task
from advisor.ui.page import Page
from advisor.ui.state import AppState
from advisor.ui.widgets.basics import Banner, Card, button, column, row, text

REFRESH_MS = 150
SIDE_WIDTH = 300
GAP = 18


class ReportPage(Page):
    """Preview at the left, choices and export at the right."""

    def __init__(self, state: AppState) -> None:
        super().__init__(state)
        self.title = self.tr("Report")
        self._findings: Findings | None = None
        self._document: Document | None = None
        self._layout: Layout | None = None
        self._job: Job | None = None
        self._stale = True
        self._saved: Path | None = None
        self._timer = QTimer(self, singleShot=True, interval=REFRESH_MS)
        self._timer.timeout.connect(self._refresh)
        self.banner = Banner()
        self.preview = Preview()
        self.summary = text(role="muted", wrap=True)
        outer = row(column(self.banner, self.preview), self._side())
        outer.setContentsMargins(GAP, GAP, GAP, GAP)
        outer.setStretch(0, 1)
        self.setLayout(outer)
        for signal in (
            state.rig_changed,
            state.settings_changed,
            state.usage_changed,
            state.results_changed,
            state.plan_changed,
            state.session_replaced,
        ):
            signal.connect(self._outdated)

    def _side(self) -> QWidget:
        side = QWidget()
        side.setFixedWidth(SIDE_WIDTH)
        contents = Card(self.tr("What goes in"))
        self.sections = {
            Section.VERDICT: QCheckBox(self.tr("Verdict and costs")),
            Section.MACHINE: QCheckBox(self.tr("Machine")),
            Section.FIT: QCheckBox(self.tr("What fits")),
            Section.PLAN: QCheckBox(self.tr("Plan, device by device")),
            Section.PROBE: QCheckBox(self.tr("Probe")),
            Section.OPTIONS: QCheckBox(self.tr("Options compared")),
            Section.SOURCES: QCheckBox(self.tr("Assumptions and sources")),
        }
        for box in self.sections.values():
            box.setChecked(True)
            box.setAccessibleName(box.text())
            box.toggled.connect(self._timer.start)
            contents.body.addWidget(box)
        self.title_field = QLineEdit()
        self.title_field.setPlaceholderText(self.tr("The verdict's own words"))
        self.title_field.setAccessibleName(self.tr("Title of the report"))
        self.title_field.textChanged.connect(self._timer.start)
        self.note_field = QPlainTextEdit()
        self.note_field.setPlaceholderText(self.tr("A note for the reader"))
        self.note_field.setAccessibleName(self.tr("Note for the reader"))
        self.note_field.setFixedHeight(64)
        self.note_field.setTabChangesFocus(True)
        self.note_field.textChanged.connect(self._timer.start)
        self.paper = QComboBox()
        self.paper.addItem("A4", Paper.A4)
        self.paper.addItem(self.tr("Letter"), Paper.LETTER)
        self.paper.setAccessibleName(self.tr("Paper"))
        self.paper.currentIndexChanged.connect(self._timer.start)
        self.archival = QCheckBox(self.tr("PDF/A for archives (without the session)"))
        self.archival.setAccessibleName(self.archival.text())
        form = Card(self.tr("How it is made"))
        for widget in (self.title_field, self.note_field, self.paper, self.archival):
            form.body.addWidget(widget)
        self.export = button(self.tr("Export PDF…"), self._ask_pdf, "primary")
        self.open_button = button(self.tr("Open it"), self._open, "link")
        self.open_button.hide()
        others = row(
            button(self.tr("Save as web page…"), self._ask_html, "link"),
            button(self.tr("Copy as text"), self._copy, "link"),
            None,
        )
        hint = self.tr("The PDF carries this session: open it here again and everything is back.")
        end = Card()
        end.body.addWidget(self.export)
        end.body.addLayout(others)
        end.body.addWidget(self.open_button)
        end.body.addWidget(self.summary)
        end.body.addWidget(text(hint, "muted", wrap=True))
        layout = column(contents, form, end, None)
        layout.setContentsMargins(0, 0, 0, 0)
        side.setLayout(layout)
        return side

    # page interface

    def shown(self) -> None:
        """Make the report that belongs to the session as it is now."""
        session = self.state.session
        for field, value in ((self.title_field, session.title),):
            with QSignalBlocker(field):
                field.setText(value)
        with QSignalBlocker(self.note_field):
            self.note_field.setPlainText(session.note)
        if self._stale:
            self._timer.start()

    def closing(self) -> None:
        """Nothing may be computed for a window that is gone."""
        self._timer.stop()
        if self._job is not None:
            self._job.cancel()

    # making the pages

    def options(self) -> ReportOptions:
        """What the choices on this page say."""
        return ReportOptions(
            sections=frozenset(key for key, box in self.sections.items() if box.isChecked()),
            paper=self.paper.currentData(),
            title=self.title_field.text().strip(),
            note=self.note_field.toPlainText().strip(),
            archival=self.archival.isChecked(),
        )

    def _outdated(self) -> None:
        self._findings = None
        self._stale = True
        if self.isVisible():
            self._timer.start()

    def _refresh(self) -> None:
        rig = self.state.rig
        if rig is None:
            self.preview.say(self.tr("Reading this machine…"))
            return
        if self._job is not None:
            self._job.cancel()
        session, options, known = self.state.session, self.options(), self._findings
        if known is None:
            self.preview.say(self.tr("Working out the report…"))

        def work(_job: Job) -> tuple[Findings, Document, Layout]:
            now = datetime.now(UTC)
            findings = known if known is not None else gather.findings(session, rig, now)
            document = build(session, findings, options, now)
            return findings, document, lay_out(document, options.paper)

        self._job = run_task(work, on_result=self._show, on_error=self._complain, owner=self)

    def _show(self, made: tuple[Findings, Document, Layout]) -> None:
        self._findings, self._document, self._layout = made
        self._stale = False
        self.banner.dismiss()
        count = len(self._layout.pages)
        self.summary.setText(self.tr("%n page(s)", "", count))
        self.preview.show_layout(self._layout)

    def _complain(self, error: RigAdvisorError) -> None:
        self.preview.say(self.tr("There is no report yet."))
        self.banner.say(str(error))

    # export

    def _suggested(self, suffix: str) -> str:
        name = self._document.title if self._document else "report"
        safe = "".join(c if c.isalnum() or c in " -_" else " " for c in name)
        return str(Path.home() / f"{' '.join(safe.split())[:80]}{suffix}")

    def _ask_pdf(self) -> None:
        name, _ = QFileDialog.getSaveFileName(
            self, self.tr("Export PDF"), self._suggested(".pdf"), self.tr("PDF (*.pdf)")
        )
        if name:
            self.export_pdf(Path(name))

    def export_pdf(self, path: Path) -> None:
        """Write the report off the GUI thread; the banner says how it went."""
        document, options, session = self._document, self.options(), self.state.session
        if document is None:
            self.banner.say(self.tr("There is no report yet; wait until the pages are shown."))
            return

        def work(_job: Job) -> Path:
            write_pdf(
                document,
                path,
                paper=options.paper,
                session=_carried(session, options),
                archival=options.archival,
            )
            return path

        self.export.setEnabled(False)
        run_task(
            work, on_result=self._exported, on_error=self._export_failed, owner=self
        ).finished.connect(lambda: self.export.setEnabled(True))

    def _exported(self, path: Path) -> None:
        self._saved = path
        self.open_button.show()
        self.banner.say(self.tr("Saved as {name}.").format(name=path), tone="good")

    def _export_failed(self, error: RigAdvisorError) -> None:
        self.banner.say(str(error), tone="bad")

    def _open(self) -> None:
        if self._saved is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._saved)))

    def _ask_html(self) -> None:
        if self._document is None:
            return
        document = self._document
        name, _ = QFileDialog.getSaveFileName(
            self, self.tr("Save as web page"), self._suggested(".html"), self.tr("Page (*.html)")
        )
        if name:

            def work(_job: Job) -> Path:
                gather.save_text(Path(name), to_html(document))
                return Path(name)

            run_task(work, on_result=self._exported, on_error=self._export_failed, owner=self)

    def _copy(self) -> None:
        if self._document is not None:
            QGuiApplication.clipboard().setText("\n".join(self._document.texts()))
            self.state.noticed.emit(self.tr("The report's text is on the clipboard."))


def _carried(session: Session, options: ReportOptions) -> str:
    return session.model_copy(update={"title": options.title, "note": options.note}).to_json()


class Preview(QScrollArea):
    """The real pages, drawn at the width there is, side by side when two fit."""

    def __init__(self) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QScrollArea.Shape.NoFrame)
        self.setAccessibleName(self.tr("Preview of the report's pages"))
        self._content = QWidget()
        self._content.setProperty("role", "page")
        self._column = QVBoxLayout(self._content)
        self._column.setSpacing(GAP)
        self._column.setContentsMargins(0, 0, GAP, GAP)
        self.setWidget(self._content)
        self._labels: list[QLabel] = []
        self._layout: Layout | None = None
        self._job: Job | None = None
        self._drawn_for = 0
        self._resized = QTimer(self, singleShot=True, interval=REFRESH_MS)
        self._resized.timeout.connect(self._draw)

    def say(self, sentence: str) -> None:
        """A sentence instead of pages."""
        self._layout = None
        self._drawn_for = 0
        self._fill([text(sentence, "muted", wrap=True)])

    def show_layout(self, layout: Layout) -> None:
        """Draw the pages of ``layout``."""
        self._layout = layout
        self._drawn_for = 0
        self._draw()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 - Qt's name
        """Draw again for the new width when the resizing has come to rest."""
        super().resizeEvent(event)
        self._resized.start()

    def page_count(self) -> int:
        """Pages on screen."""
        return sum(1 for label in self._labels if not label.pixmap().isNull())

    def _page_width(self) -> int:
        room = self.viewport().width() - GAP
        return min(max((room - GAP) // 2, 380) if room >= 820 else room, 794)

    def _draw(self) -> None:
        layout, width = self._layout, self._page_width()
        if layout is None or width == self._drawn_for or width < 50:
            return
        self._drawn_for = width
        if self._job is not None:
            self._job.cancel()
        ratio = self.devicePixelRatioF()
        scale = width * ratio / layout.paper.size.width()

        def work(job: Job) -> list[QImage]:
            images: list[QImage] = []
            for number in range(len(layout.pages)):
                if job.cancelled:
                    break
                image = render_page(layout, number, scale)
                image.setDevicePixelRatio(ratio)
                images.append(image)
            return images

        self._job = run_task(work, on_result=self._place, owner=self)

    def _place(self, images: list[QImage]) -> None:
        labels: list[QLabel] = []
        for number, image in enumerate(images, start=1):
            label = QLabel()
            label.setPixmap(QPixmap.fromImage(image))
            label.setAccessibleName(self.tr("Page {number}").format(number=number))
            label.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
            labels.append(label)
        self._fill(labels)

    def _fill(self, labels: list[QLabel]) -> None:
        while (item := self._column.takeAt(0)) is not None:
            inner = item.layout()
            if inner is not None:
                while (child := inner.takeAt(0)) is not None:
                    if widget := child.widget():
                        widget.deleteLater()
                inner.deleteLater()
            elif widget := item.widget():
                widget.deleteLater()
        self._labels = labels
        abreast = 2 if labels and self._page_width() * 2 + GAP <= self.viewport().width() else 1
        for start in range(0, len(labels), abreast):
            self._column.addLayout(row(*labels[start : start + abreast], None, spacing=GAP))
        self._column.addStretch(1)
