"""Past probes on the Probe page: opened, laid over the one that is shown, exported, deleted."""

from pathlib import Path

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFileDialog, QWidget

from advisor.errors import ProbeError
from advisor.probe import store
from advisor.probe.result import ProbeResult
from advisor.ui.pages.probe_past import CompareCard, PastCard


class ProbeHistory(QObject):
    """Two cards and what they do; the page draws what is asked for."""

    wanted = Signal(object)
    """A ``ProbeResult`` to put on screen."""
    laid_over = Signal(object)
    """A ``ProbeResult`` to draw over the one on screen; None: no longer."""
    noticed = Signal(str)
    failed = Signal(str)

    def __init__(self, page: QWidget) -> None:
        super().__init__(page)
        self._page = page
        self._shown: ProbeResult | None = None
        self.compared = CompareCard(self.stop_comparing)
        self.card = PastCard(
            on_open=self.open,
            on_compare=self.compare,
            on_export=self.export,
            on_delete=self.delete,
        )

    def refresh(self) -> None:
        """List what is there."""
        self.card.show_entries(store.entries())

    def set_shown(self, result: ProbeResult | None) -> None:
        """The result on screen, None while it shows a question."""
        self._shown = result
        self.stop_comparing()

    def open(self, identity: str) -> None:
        """Put a past probe on screen."""
        result = self._loaded(identity)
        if result is not None:
            self.wanted.emit(result)

    def compare(self, identity: str) -> None:
        """Lay a past probe over the one on screen; the first one chosen is put there."""
        other = self._loaded(identity)
        if other is None:
            return
        if self._shown is None:
            self.wanted.emit(other)
            self.noticed.emit(self.tr("Choose a second probe to compare it with."))
        elif other.id != self._shown.id:
            self.laid_over.emit(other)
            self.compared.show_pair(self._shown, other)

    def stop_comparing(self) -> None:
        """Only the one on screen."""
        self.laid_over.emit(None)
        self.compared.hide()

    def export(self, identity: str, kind: str) -> None:
        """As a table on the clipboard, or into a file: "table", "csv" or "json"."""
        result = self._loaded(identity)
        if result is None:
            return
        if kind == "table":
            QGuiApplication.clipboard().setText(store.to_markdown([result]))
            self.noticed.emit(self.tr("The table is on the clipboard."))
            return
        suggestion = f"{result.title.replace(' ', '-')}-{result.id}.{kind}"
        name, _filter = QFileDialog.getSaveFileName(self._page, self.tr("Save"), suggestion)
        if not name:
            return
        content = store.to_csv(result) if kind == "csv" else store.to_json(result)
        try:
            Path(name).write_text(content, encoding="utf-8")
        except OSError as error:
            words = self.tr("{name} could not be written: {why}.")
            self.failed.emit(words.format(name=name, why=error.strerror or error))

    def delete(self, identity: str) -> None:
        """Forget a probe."""
        store.delete(identity)
        self.refresh()

    def _loaded(self, identity: str) -> ProbeResult | None:
        try:
            return store.load(identity)
        except ProbeError as error:
            self.failed.emit(str(error))
            return None
