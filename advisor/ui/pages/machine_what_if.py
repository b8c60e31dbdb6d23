"""The what-if line: a rig in words or in a form, added to, saved and opened."""

import re
from collections.abc import Callable
from pathlib import Path

from PySide6.QtWidgets import QFileDialog, QLineEdit

from advisor.errors import RigAdvisorError
from advisor.ui import services
from advisor.ui.jobs import run_task
from advisor.ui.pages.machine_compose import ComposeDialog
from advisor.ui.state import AppState
from advisor.ui.widgets.basics import Card, button, row, text


class WhatIfCard(Card):
    """One line of words, and what can be done with them or with the rig on screen."""

    def __init__(
        self,
        state: AppState,
        change: Callable[[services.RigMaker], None],
        complain: Callable[[RigAdvisorError], None],
    ) -> None:
        super().__init__()
        self.state = state
        self._change = change
        self._complain = complain
        self.words = QLineEdit()
        self.words.setPlaceholderText(self.tr("2x RTX 4090 + 128 GB DDR5-6000"))
        self.words.setAccessibleName(self.tr("What if: a rig in words"))
        self.words.setClearButtonEnabled(True)
        self.words.returnPressed.connect(self._try)
        label = text(self.tr("What if?"), "title")
        label.setBuddy(self.words)
        line = row(
            label,
            self.words,
            button(self.tr("Try this rig"), self._try),
            button(
                self.tr("Add to the rig"),
                self._add,
                tip=self.tr(
                    "The rig on screen with these cards, with this RAM, or with a machine joined "
                    "to it: over 10GbE with RTX 3090 + 64 GB"
                ),
            ),
            button(self.tr("Form…"), self.compose, tip=self.tr("Put a rig together in a form")),
            button(self.tr("Save rig…"), self.save),
            button(self.tr("Open rig…"), self.open),
            spacing=10,
        )
        line.setStretch(1, 1)
        self.body.addLayout(line)

    def _try(self) -> None:
        words = self.words.text().strip()
        if words:
            self._change(lambda: services.compose(words))

    def _add(self) -> None:
        words, rig = self.words.text().strip(), self.state.rig
        if words and rig is not None:
            self._change(lambda: services.with_added(rig, words))

    def save(self) -> None:
        """Ask for a file to keep the rig on screen in."""
        rig = self.state.rig
        if rig is None:
            return
        dialog = QFileDialog(self, self.tr("Save the rig"))
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setNameFilter(self.tr("Rigs (*.json)"))
        dialog.selectFile(re.sub(r"[^\w .+-]", " ", rig.name) + ".json")
        dialog.setDefaultSuffix("json")
        dialog.fileSelected.connect(
            lambda name: run_task(
                lambda _job: services.save_rig(rig, Path(name)),
                on_result=lambda path: self.state.noticed.emit(
                    self.tr("Saved {name}").format(name=path.name)
                ),
                on_error=self._complain,
                owner=self,
            )
        )
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    def open(self) -> None:
        """Ask for a file that holds a rig."""
        dialog = QFileDialog(self, self.tr("Open a rig"))
        dialog.setNameFilter(self.tr("Rigs, or the output of “rig-advisor detect --json” (*.json)"))
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.fileSelected.connect(
            lambda name: run_task(
                lambda _job: services.open_rig(Path(name)),
                on_result=self.state.set_rig,
                on_error=self._complain,
                owner=self,
            )
        )
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    def compose(self) -> None:
        """Put the rig on screen together anew, in a form."""
        rig = self.state.rig
        if rig is None:
            return
        dialog = ComposeDialog(self, rig, self.state.set_rig)
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()
