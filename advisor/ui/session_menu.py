"""The menu of the session: begin, open, save, undo, and what is about the whole program."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from PySide6.QtCore import QSettings
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QApplication, QFileDialog, QMenu

from advisor.ui import design, recolour

if TYPE_CHECKING:  # these load pydantic and numpy: only after the first paint
    from advisor.ui.history import History
    from advisor.ui.state import AppState
    from advisor.ui.window import MainWindow

FILTER: Final = "*.rig.json *.json *.pdf *.gguf"


class SessionMenu(QMenu):
    """Its keys work all over the window."""

    def __init__(self, window: "MainWindow", preferences: QSettings) -> None:
        super().__init__(window)
        self._window = window
        self._preferences = preferences
        keys = QKeySequence.StandardKey
        self._add(self.tr("New session"), self.begin, keys.New)
        self._add(self.tr("Open…"), self._open, keys.Open)
        self._add(self.tr("Save"), self._save, keys.Save)
        self._add(self.tr("Save as…"), self._save_as, keys.SaveAs)
        self.addSeparator()
        self.undo = self._add(self.tr("Undo the last change"), self._undo, keys.Undo)
        self.redo = self._add(self.tr("Redo"), self._redo, keys.Redo)
        for action in (self.undo, self.redo):
            action.setEnabled(False)
        self.addSeparator()
        self._recent = self.addMenu(self.tr("Open recent"))
        self._recent.aboutToShow.connect(self._fill_recent)
        self.addSeparator()
        self._add(self.tr("Read this machine again"), window.detect, keys.Refresh)
        self._add(self.tr("Choose a model…"), self._choose_model, "Ctrl+M")
        theme = self.addMenu(self.tr("Colours"))
        schemes: tuple[tuple[design.Scheme, str], ...] = (
            ("system", self.tr("As the desktop")),
            ("light", self.tr("Light")),
            ("dark", self.tr("Dark")),
        )
        for scheme, label in schemes:
            theme.addAction(label, functools.partial(self.choose_theme, scheme))
        self._add(self.tr("What the words mean…"), self.explain_words, keys.HelpContents)
        self.addAction(self.tr("About Rig Advisor…"), self._about)
        self.addSeparator()
        self._add(self.tr("Quit"), window.close, keys.Quit)

    def _add(
        self, label: str, do: Callable[[], object], key: QKeySequence.StandardKey | str
    ) -> QAction:
        action = self.addAction(label, do)
        action.setShortcut(QKeySequence(key))
        self._window.addAction(action)
        return action

    @property
    def _state(self) -> "AppState | None":
        return self._window.state

    def show_history(self, history: "History") -> None:
        """Offer what can be taken back and made again."""
        self.undo.setEnabled(history.can_undo)
        self.redo.setEnabled(history.can_redo)

    def begin(self) -> None:
        """Another session, in which nothing was chosen."""
        if self._state is not None:
            self._state.begin_session()

    def _undo(self) -> None:
        if self._state is not None:
            self._state.undo()

    def _redo(self) -> None:
        if self._state is not None:
            self._state.redo()

    def _choose_model(self) -> None:
        self._window.header.open_model_picker()

    def _open(self) -> None:
        dialog = QFileDialog(self._window, self.tr("Open a session, a report, a rig or a model"))
        dialog.setNameFilters(
            [
                self.tr("Sessions, reports, rigs, models ({pattern})").format(pattern=FILTER),
                self.tr("All files (*)"),
            ]
        )
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.fileSelected.connect(lambda name: self._window.open_path(Path(name)))
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    def _save(self) -> None:
        if self._state is None:
            return
        if self._state.path is None:
            self._save_as()
        else:
            self._state.save(self._state.path)

    def _save_as(self) -> None:
        state = self._state
        if state is None:
            return
        dialog = QFileDialog(self._window, self.tr("Save the session"))
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setNameFilter(self.tr("Rig Advisor sessions (*.rig.json)"))
        dialog.selectFile("session.rig.json")
        dialog.setDefaultSuffix("rig.json")
        dialog.fileSelected.connect(lambda name: state.save(Path(name), replace=True))
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    def _fill_recent(self) -> None:
        from advisor import session  # noqa: PLC0415 - loaded by now

        self._recent.clear()
        files = session.recent_files()
        for path in files:
            self._recent.addAction(path.name).triggered.connect(
                lambda _checked=False, path=path: self._window.open_path(path)
            )
        if not files:
            self._recent.addAction(self.tr("No files yet")).setEnabled(False)

    def explain_words(self) -> None:
        """The list of words, over the window."""
        from advisor.ui.words import WordsDialog  # noqa: PLC0415 - few ever ask

        dialog = WordsDialog(self._window)
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    def _about(self) -> None:
        if self._state is None:
            return
        from advisor.ui.about import AboutDialog  # noqa: PLC0415 - its libraries are loaded now

        dialog = AboutDialog(self._window)
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    def choose_theme(self, scheme: design.Scheme) -> None:
        """Another colour scheme, now and from now on."""
        self._preferences.setValue("window/theme", scheme)
        app = QApplication.instance()
        if isinstance(app, QApplication):
            recolour.change(app, scheme)
