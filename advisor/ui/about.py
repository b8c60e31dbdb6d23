"""About: versions and dates, where things are kept, keys, and the software of others."""

import platform
from pathlib import Path

from PySide6.QtCore import QUrl, qVersion
from PySide6.QtGui import QDesktopServices, QGuiApplication
from PySide6.QtWidgets import QDialog, QListWidget, QPlainTextEdit, QWidget

from advisor import __version__, paths, third_party
from advisor.session import DataVersions
from advisor.sizing.build_dates import dated_builds
from advisor.sizing.plan import LLAMA_CPP
from advisor.ui import design
from advisor.ui.jobs import run_task
from advisor.ui.widgets.basics import button, column, row, text

SIZE = (900, 640)
"""Px: a licence's lines of 80 letters are not broken."""


def versions() -> list[tuple[str, str]]:
    """What a bug report needs, and what figures rest on."""
    data = DataVersions.current()
    newest = f"b{dated_builds().changes[-1].build}"
    return [
        ("Rig Advisor", __version__),
        ("System", platform.platform()),
        ("Python, Qt", f"{platform.python_version()}, {qVersion()}"),
        ("llama.cpp", f"rules of {LLAMA_CPP} up to {newest}; embedded: xllamacpp {data.engine}"),
        ("GPU table", data.gpus),
        ("Hardware prices", f"reviewed {data.hardware_prices}"),
        ("API prices", f"genai-prices {data.api_prices}"),
    ]


class AboutDialog(QDialog):
    """Opened from the session menu."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("About Rig Advisor"))
        self.resize(*SIZE)
        self._parts: tuple[third_party.Component, ...] = ()
        self.words = "\n".join(f"{name}: {value}" for name, value in versions())
        keys = self.tr(
            "Keys: F1 what the words mean, Ctrl+1 to Ctrl+5 pages, Ctrl+M a model, Ctrl+O open, "
            "Ctrl+S save, Tab and arrows everywhere, Enter opens."
        )
        promise = self.tr(
            "The app opens no network connection; what you save stays on this machine. Figures "
            "are marked computed, dry-run or measured."
        )
        self.list = QListWidget()
        self.list.setAccessibleName(self.tr("Software of others"))
        self.list.setFixedWidth(210)
        self.list.setSpacing(1)
        self.licence = QPlainTextEdit()
        self.licence.setReadOnly(True)
        self.licence.setTabChangesFocus(True)
        self.licence.setFont(design.mono(design.SMALL))
        self.licence.setAccessibleName(self.tr("Licence"))
        self.list.currentRowChanged.connect(self._show)
        close = button(self.tr("Close"), self.accept, "primary")
        layout = column(
            text(self.tr("Rig Advisor {version}").format(version=__version__), "headline"),
            text(self.words.partition("\n")[2], wrap=True),
            text(promise, "muted", wrap=True),
            text(keys, "muted", wrap=True),
            row(
                button(self.tr("Open the folder of sessions"), lambda: _open(paths.data()), "link"),
                button(self.tr("Open the folder of logs"), lambda: _open(paths.logs()), "link"),
                None,
            ),
            text(self.tr("Software of others, with its licences"), "title"),
            row(self.list, self.licence),
            row(button(self.tr("Copy versions"), self._copy), None, close),
            spacing=9,
        )
        layout.setStretch(6, 1)
        layout.setContentsMargins(18, 16, 18, 16)
        self.setLayout(layout)
        close.setFocus()
        run_task(lambda _job: third_party.components(), on_result=self._fill, owner=self)

    def _fill(self, parts: tuple[third_party.Component, ...]) -> None:
        self._parts = parts
        for part in parts:
            self.list.addItem(f"{part.name} {part.version}")
        self.list.setCurrentRow(0)

    def _show(self, line: int) -> None:
        if 0 <= line < len(self._parts):
            part = self._parts[line]
            self.licence.setPlainText(f"{part.name}: {part.licence}\n\n{part.text()}")

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self.words)


def _open(folder: Path) -> None:
    QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder)))
