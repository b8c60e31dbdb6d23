"""The Report page: the real pages as they will print, what goes into them, and the export."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from PySide6.QtCore import QLocale, QSignalBlocker, QTimer, QUrl
from PySide6.QtGui import QDesktopServices, QGuiApplication
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QLineEdit,
    QPlainTextEdit,
    QWidget,
)

from advisor.errors import RigAdvisorError
from advisor.report import gather
from advisor.report.build import Findings, ReportOptions, Section, build
from advisor.report.convention import REGIONS, Convention
from advisor.report.document import Document
from advisor.report.html import to_html
from advisor.report.pdf import write_pdf
from advisor.report.plain import to_text
from advisor.report.provenance import stamped
from advisor.session import ReportChoices, Session, for_others
from advisor.ui import design
from advisor.ui.jobs import Job, run_task
from advisor.ui.page import Page, scrolling
from advisor.ui.pages.report_preview import Preview
from advisor.ui.state import AppState
from advisor.ui.widgets.basics import Banner, Card, button, column, row, text

REFRESH_MS = 150
SIDE_WIDTH = 264
GAP = 18


class ReportPage(Page):
    """Preview at the left, choices and export at the right."""

    def __init__(self, state: AppState) -> None:
        super().__init__(state)
        self.title = self.tr("Report")
        self._findings: Findings | None = None
        self._document: Document | None = None
        self._job: Job | None = None
        self._stale = True
        self._timer = QTimer(self, singleShot=True, interval=REFRESH_MS)
        self._timer.timeout.connect(self._refresh)
        self.banner = Banner()
        self.preview = Preview()
        self.preview.drawn.connect(self._count)
        self.summary = text(role="muted", wrap=True)
        self._zoom = button(self.tr("Larger pages"), self._toggle_zoom)
        outer = row(column(self.banner, self.preview), self._side(), spacing=GAP)
        outer.setContentsMargins(GAP, GAP, GAP, GAP)
        outer.setStretch(0, 1)
        self.setLayout(outer)
        for signal in (
            state.rig_changed,
            state.machine_unread,
            state.settings_changed,
            state.usage_changed,
            state.results_changed,
            state.plan_changed,
        ):
            signal.connect(self._outdated)
        state.session_replaced.connect(self._take_over)
        self._take_over()

    def _side(self) -> QWidget:
        layout = column(self._contents_card(), self._making_card(), self._export_card(), None)
        layout.setSpacing(design.GAP)
        layout.setContentsMargins(0, 0, 0, 0)
        side = QWidget()
        side.setLayout(layout)
        area = scrolling(side)
        area.setFixedWidth(SIDE_WIDTH)
        return area

    def _contents_card(self) -> Card:
        card = Card(self.tr("What goes in"))
        self.sections = {
            Section.VERDICT: QCheckBox(self.tr("Verdict and costs")),
            Section.SCENARIO: QCheckBox(self.tr("The built-in case")),
            Section.MACHINE: QCheckBox(self.tr("Machine")),
            Section.FIT: QCheckBox(self.tr("What fits")),
            Section.PLAN: QCheckBox(self.tr("Plan, device by device")),
            Section.PROBE: QCheckBox(self.tr("Probe")),
            Section.OPTIONS: QCheckBox(self.tr("Options compared")),
            Section.SOURCES: QCheckBox(self.tr("Assumptions and sources")),
        }
        for box in self.sections.values():
            box.setAccessibleName(box.text())
            box.toggled.connect(self._chosen)
            card.body.addWidget(box)
        return card

    def _making_card(self) -> Card:
        self.title_field = QLineEdit()
        self.title_field.setPlaceholderText(self.tr("Title: the verdict's own words"))
        self.title_field.setAccessibleName(self.tr("Title of the report"))
        self.title_field.textChanged.connect(self._chosen)
        self.note_field = QPlainTextEdit()
        self.note_field.setPlaceholderText(self.tr("A note for the reader"))
        self.note_field.setAccessibleName(self.tr("Note for the reader"))
        self.note_field.setFixedHeight(48)
        self.note_field.setTabChangesFocus(True)
        self.note_field.textChanged.connect(self._chosen)
        self.paper = QComboBox()
        self.paper.addItem(self.tr("A4 paper"), "A4")
        self.paper.addItem(self.tr("Letter paper"), "Letter")
        self.paper.setAccessibleName(self.tr("Paper"))
        self.paper.currentIndexChanged.connect(self._chosen)
        self.region = QComboBox()
        self.region.setAccessibleName(self.tr("Numbers, dates and currency"))
        self.region.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        for name in (None, "", *REGIONS):
            self.region.addItem(self._region_title(name), name)
        self.region.currentIndexChanged.connect(self._chosen)
        self.memory_unit = QComboBox()
        self.memory_unit.addItem(self.tr("Memory in GiB (2³⁰ bytes)"), False)
        self.memory_unit.addItem(self.tr("Memory in GB (10⁹ bytes)"), True)
        self.memory_unit.setAccessibleName(self.tr("Unit of memory"))
        self.memory_unit.currentIndexChanged.connect(self._chosen)
        self.archival = QCheckBox(self.tr("PDF/A, without the session"))
        self.archival.setToolTip(self.tr("PDF/A-1b, for archives; it cannot carry the session."))
        self.archival.setAccessibleName(self.archival.text())
        self.archival.toggled.connect(self._chosen)
        card = Card(self.tr("How it is made"))
        for widget in (
            self.title_field,
            self.note_field,
            self.paper,
            self.region,
            self.memory_unit,
            self.archival,
        ):
            card.body.addWidget(widget)
        return card

    def _region_title(self, region: str | None) -> str:
        """A region by name and example: ``"Germany · 1.234,5"``."""
        example = Convention(usual_region() if region is None else region).text("1,234.5 tok/s")
        figure = example.removesuffix(" tok/s")
        if region is None:
            return self.tr("As the desktop · {example}").format(example=figure)
        if not region:
            return self.tr("International · {example}").format(example=figure)
        return f"{QLocale.territoryToString(QLocale(region).territory())} · {figure}"

    def _export_card(self) -> Card:
        self.export = button(self.tr("Export PDF…"), self._ask_pdf, "primary")
        self.save_page = button(self.tr("Save as web page…"), self._ask_html, "link")
        self.copy = button(self.tr("Copy as text"), self._copy, "link")
        self.hint = text(role="muted", wrap=True)
        card = Card()
        card.body.addWidget(self.export)
        card.body.addLayout(row(self.save_page, None))
        card.body.addLayout(row(self.copy, None))
        card.body.addWidget(self.summary)
        card.body.addWidget(self.hint)
        return card

    # page interface

    def shown(self) -> None:
        """Make the report that belongs to the session as it is now."""
        if self._stale:
            self._timer.start()

    def header_buttons(self) -> list[QWidget]:
        """Pages side by side, or as wide as there is room."""
        return [self._zoom]

    def closing(self) -> None:
        """Nothing may be computed for a window that is gone."""
        self._timer.stop()
        if self._job is not None:
            self._job.cancel()

    # what was chosen

    def _take_over(self) -> None:
        """Another session: its title, note and choices."""
        session = self.state.session
        choices = session.report
        fields = (
            self.title_field,
            self.note_field,
            self.paper,
            self.region,
            self.memory_unit,
            self.archival,
        )
        blockers = [QSignalBlocker(w) for w in (*fields, *self.sections.values())]
        self.title_field.setText(session.title)
        self.note_field.setPlainText(session.note)
        self.paper.setCurrentIndex(self.paper.findData(choices.paper or usual_paper()))
        if self.region.findData(choices.region) < 0:
            self.region.addItem(self._region_title(choices.region), choices.region)
        self.region.setCurrentIndex(self.region.findData(choices.region))
        self.memory_unit.setCurrentIndex(self.memory_unit.findData(choices.decimal_bytes))
        self.archival.setChecked(choices.archival)
        for section, box in self.sections.items():
            box.setChecked(section.value not in choices.left_out)
        self.sections[Section.SCENARIO].setVisible(session.scenario is not None)
        for blocker in blockers:
            blocker.unblock()
        self._say_hint()
        self._outdated()

    def _chosen(self) -> None:
        """Something on this page was changed: it is part of the session."""
        self.state.set_report(
            title=self.title_field.text(),
            note=self.note_field.toPlainText(),
            choices=ReportChoices(
                left_out=frozenset(
                    s.value for s, box in self.sections.items() if not box.isChecked()
                ),
                paper=self.paper.currentData(),
                archival=self.archival.isChecked(),
                region=self.region.currentData(),
                decimal_bytes=self.memory_unit.currentData(),
            ),
        )
        self._say_hint()
        self._timer.start()

    def _say_hint(self) -> None:
        self.hint.setText(
            self.tr("PDF/A cannot carry the session: it is for archives, not for opening again.")
            if self.archival.isChecked()
            else self.tr("The PDF carries the session, without serial numbers.")
        )

    def options(self) -> ReportOptions:
        """How the report is made: as the session says, on the paper that is shown."""
        return ReportOptions.of(self._carried())

    def _carried(self) -> Session:
        """The session as the PDF carries it, with the paper and region that it was made for."""
        session = self.state.session
        region = session.report.region
        choices = session.report.model_copy(
            update={
                "paper": self.paper.currentData(),
                "region": usual_region() if region is None else region,
            }
        )
        session = session.model_copy(update={"report": choices})
        found = self._findings
        if found is None:
            return session
        return stamped(session, found.rig, found.plan, found.advice)

    # making the pages

    def _outdated(self) -> None:
        self._findings = None
        self._stale = True
        if self._job is not None:
            self._job.cancel()
        if self.isVisible():
            self._timer.start()

    def _refresh(self) -> None:
        rig = self.state.rig
        if rig is None:
            self.preview.say(
                self.tr("This machine could not be read.")
                if self.state.unread
                else self.tr("Reading this machine…")
            )
            return
        if self._job is not None:
            self._job.cancel()
        session, options, known = self.state.session, self.options(), self._findings
        if known is None:
            self._document = None
            self.summary.setText("")
            self._job = None
            self._progressed(0.0, "")

        def work(job: Job) -> tuple[Findings, Document]:
            now = datetime.now(UTC).astimezone()  # the reader's own day stands on the pages
            findings = (
                known
                if known is not None
                else gather.findings(
                    session, rig, now, cancelled=lambda: job.cancelled, progress=job.report
                )
            )
            document = build(session, findings, options, now)
            return findings, document

        self._job = run_task(
            work,
            on_result=self._show,
            on_error=self._complain,
            on_progress=self._progressed if known is None else None,
            owner=self,
        )

    def _progressed(self, share: float, _text: str) -> None:
        words = self.tr("Working out the report: sizes, speeds, costs of every option.")
        if share > 0:
            words += " " + self.tr("{percent}% done.").format(percent=round(100 * share))
        self.preview.say(words, self.tr("Cancel"), self._cancel)

    def _cancel(self) -> None:
        self._timer.stop()  # a change just before would begin again
        if self._job is not None:
            self._job.cancel()
        self._stale = True
        self.preview.say(self.tr("There is no report yet."), self.tr("Make it"), self._timer.start)

    def _toggle_zoom(self) -> None:
        larger = self.preview.toggle()
        self._zoom.setText(self.tr("Whole pages") if larger else self.tr("Larger pages"))
        self._zoom.setAccessibleName(self._zoom.text())

    def _show(self, made: tuple[Findings, Document]) -> None:
        self._findings, self._document = made
        self._stale = False
        self.state.advised(self._findings.advice)
        self.preview.show_document(self._document, self.options().paper)

    def _count(self, count: int) -> None:
        pages = self.tr("1 page") if count == 1 else self.tr("{count} pages").format(count=count)
        self.summary.setText(pages)

    def _complain(self, error: RigAdvisorError) -> None:
        self._document = None
        self.summary.setText("")
        self.preview.say(
            self.tr("There is no report yet."), self.tr("Try again"), self._timer.start
        )
        self.banner.say(str(error), "bad")

    # export

    def _suggested(self, suffix: str) -> str:
        name = self._document.file_stem if self._document else "report"
        return str(Path.home() / f"{name}{suffix}")

    def _ask(self, title: str, filter_: str, suffix: str, then: Callable[[Path], None]) -> None:
        if self._document is None:
            self.banner.say(
                self.tr("There is no report yet; wait until its pages are shown."), "tight"
            )
            return
        dialog = QFileDialog(self, title)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setNameFilter(filter_)
        dialog.selectFile(self._suggested(suffix))
        dialog.setDefaultSuffix(suffix.removeprefix("."))
        dialog.fileSelected.connect(lambda name: then(Path(name)))
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    def _ask_pdf(self) -> None:
        self._ask(self.tr("Export PDF"), self.tr("PDF (*.pdf)"), ".pdf", self.export_pdf)

    def export_pdf(self, path: Path) -> None:
        """Write the report off the GUI thread; the banner says how it went."""
        document, options, session = self._document, self.options(), self._carried()
        if document is None:
            return

        def work(_job: Job) -> Path:
            write_pdf(
                document,
                path,
                paper=options.paper,
                session=for_others(session).to_json(),
                archival=options.archival,
            )
            return path

        self._export(work)

    def _ask_html(self) -> None:
        self._ask(
            self.tr("Save as web page"), self.tr("Web page (*.html)"), ".html", self.export_page
        )

    def export_page(self, path: Path) -> None:
        """Write the report as a web page, likewise."""
        document = self._document
        if document is None:
            return

        def work(_job: Job) -> Path:
            gather.save_text(path, to_html(document))
            return path

        self._export(work)

    def _export(self, work: Callable[[Job], Path]) -> None:
        self.export.setEnabled(False)
        job = run_task(
            work,
            on_result=self._exported,
            on_error=lambda error: self.banner.say(str(error), "bad"),
            owner=self,
        )
        job.finished.connect(lambda: self.export.setEnabled(True))

    def _exported(self, path: Path) -> None:
        self.banner.say(
            self.tr("Saved as {name}.").format(name=path),
            "good",
            action=self.tr("Open it"),
            on_action=lambda: self._open(path),
        )

    def _open(self, path: Path) -> None:
        if not QDesktopServices.openUrl(QUrl.fromLocalFile(str(path))):
            self.banner.say(
                self.tr("No program is set up to open {name}.").format(name=path), "bad"
            )

    def _copy(self) -> None:
        if self._document is not None:
            QGuiApplication.clipboard().setText(to_text(self._document))
            self.state.noticed.emit(self.tr("The report's text is on the clipboard."))


def usual_region() -> str:
    """The desktop's locale; empty, international, where it has none."""
    name = QLocale.system().name()
    return "" if name == "C" else name


def usual_paper() -> str:
    """Letter where the desktop's language measures in inches, else A4."""
    metric = QLocale.system().measurementSystem() is QLocale.MeasurementSystem.MetricSystem
    return "A4" if metric else "Letter"
