"""Past probes on the Probe page: opened, laid over the one that is shown, exported, deleted."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFileDialog, QWidget

from advisor.errors import ProbeError, RigAdvisorError
from advisor.probe import store
from advisor.probe.result import ProbeResult
from advisor.probe.store import Entry
from advisor.ui.jobs import Job, run_task
from advisor.ui.pages.probe_past import CompareCard, PastCard

Kind = Literal["table", "csv", "json"]


class ProbeHistory(QObject):
    """Two cards and what they do; the page draws what is asked for."""

    wanted = Signal(object)
    """A ``ProbeResult`` to put on screen."""
    laid_over = Signal(object)
    """A ``ProbeResult`` to draw over the one on screen; None: no longer."""
    deleted = Signal(object)
    """The ``ProbeResult`` that is no longer kept."""
    use_wanted = Signal(object)
    """A ``ProbeResult`` that this session should count with."""
    leave_wanted = Signal(str)
    """Name of one that it should not."""
    noticed = Signal(str)
    failed = Signal(str)

    def __init__(self, page: QWidget, carried: Callable[[], tuple[ProbeResult, ...]]) -> None:
        """``carried``: the session's own, which may have been measured on another machine."""
        super().__init__(page)
        self._page = page
        self._carried = carried
        self._shown: ProbeResult | None = None
        self._listing: Job | None = None
        self.compared = CompareCard(self.stop_comparing)
        self.card = PastCard(
            on_open=self.open,
            on_compare=self.compare,
            on_export=self.export,
            on_use=lambda identity: self._load(identity, self.use_wanted.emit),
            on_leave=self.leave_wanted.emit,
            on_delete=self.delete,
        )

    def refresh(self) -> None:
        """List what is there; reading it takes a while where there are many."""
        if self._listing is not None:
            self._listing.cancel()
        own = self._carried()

        def listed(_job: Job) -> tuple[Entry, ...]:
            kept = store.entries()
            there = {entry.id for entry in kept}
            beside = [store.entry(result) for result in own if result.id not in there]
            return tuple(sorted((*kept, *beside), key=lambda entry: entry.created, reverse=True))

        self._listing = run_task(listed, on_result=self.card.show_entries, owner=self)

    @property
    def shows_result(self) -> bool:
        """Whether a result is on screen, not a question."""
        return self._shown is not None

    def set_shown(self, result: ProbeResult | None) -> None:
        """The result on screen, None while it shows a question."""
        self._shown = result
        self.stop_comparing()

    def open(self, identity: str) -> None:
        """Put a past probe on screen."""
        self._load(identity, self.wanted.emit)

    def compare(self, identity: str) -> None:
        """Lay a past probe over the one on screen; the first one chosen is put there."""
        self._load(identity, self._lay_over)

    def _lay_over(self, other: ProbeResult) -> None:
        if self._shown is None:
            self.wanted.emit(other)
            self.noticed.emit(self.tr("Choose a second probe to compare it with."))
        elif other.id != self._shown.id:
            self.laid_over.emit(other)
            self.compared.show_pair(self._shown, other)
        else:
            self.noticed.emit(self.tr("That is the one on screen; choose another."))

    def stop_comparing(self) -> None:
        """Only the one on screen."""
        self.laid_over.emit(None)
        self.compared.hide()

    def export(self, identity: str, kind: Kind) -> None:
        """As a table on the clipboard, or into a file."""
        if kind == "table":
            self._load(identity, self._copy)
        else:
            self._load(identity, lambda result: self._ask(result, kind))

    def _copy(self, result: ProbeResult) -> None:
        QGuiApplication.clipboard().setText(store.to_markdown([result]))
        self.noticed.emit(self.tr("The table is on the clipboard."))

    def _ask(self, result: ProbeResult, kind: Kind) -> None:
        dialog = QFileDialog(self._page, self.tr("Save the probe"))
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix(kind)
        dialog.selectFile(f"{result.title.replace(' ', '-')}-{result.id}.{kind}")
        dialog.fileSelected.connect(lambda name: self.write(result, kind, Path(name)))
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    def write(self, result: ProbeResult, kind: Kind, path: Path) -> None:
        """Its trace as CSV, or everything as JSON."""

        def work(_job: Job) -> Path:
            content = store.to_csv(result) if kind == "csv" else store.to_json(result)
            try:
                path.write_text(content, encoding="utf-8")
            except OSError as error:
                message = f"{path} could not be written: {error.strerror or error}."
                raise ProbeError(message) from error
            return path

        words = self.tr("Saved {name}")
        run_task(
            work,
            on_result=lambda path: self.noticed.emit(words.format(name=path.name)),
            on_error=self._complain,
            owner=self,
        )

    def delete(self, identity: str) -> None:
        """Forget a probe; until something else is asked, it can be brought back."""

        if identity not in store.identities():
            # It lies in the session alone.
            self.leave_wanted.emit(identity)
            return

        def work(_job: Job) -> ProbeResult | None:
            try:
                result = store.load(identity)
            except ProbeError:  # gone, or damaged while the list was on screen
                result = None
            store.delete(identity)
            return result

        def done(result: ProbeResult | None) -> None:
            self.refresh()
            if result is not None:
                self.deleted.emit(result)

        run_task(work, on_result=done, on_error=self._complain, owner=self)

    def bring_back(self, result: ProbeResult) -> None:
        """Keep again what was deleted."""
        run_task(
            lambda _job: store.save(result),
            on_result=lambda _path: self.refresh(),
            on_error=self._complain,
            owner=self,
        )

    def _load(self, identity: str, then: Callable[[ProbeResult], None]) -> None:
        own = next((result for result in self._carried() if result.id == identity), None)
        if own is not None:
            then(own)
            return
        run_task(
            lambda _job: store.load(identity), on_result=then, on_error=self._complain, owner=self
        )

    def _complain(self, error: RigAdvisorError) -> None:
        self.failed.emit(str(error))
