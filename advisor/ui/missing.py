"""A model's file that is not where it was: said, with a way to find it again."""

from pathlib import Path
from typing import Final

from PySide6.QtCore import QCoreApplication
from PySide6.QtWidgets import QFileDialog, QWidget

from advisor.ui.state import AppState
from advisor.ui.widgets.basics import Banner

_CONTEXT: Final = "missing"


def tell_problem(banner: Banner, state: AppState, page: QWidget) -> None:
    """Say why the session's model cannot be planned; of a missing file, ask where it is."""
    missing, tr = state.missing, QCoreApplication.translate
    if missing is None:
        banner.say(state.problem)
        return

    def find() -> None:
        dialog = QFileDialog(page, tr(_CONTEXT, "Where is {name}?").format(name=missing.name))
        dialog.setNameFilters([tr(_CONTEXT, "GGUF files (*.gguf)"), tr(_CONTEXT, "All files (*)")])
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.fileSelected.connect(lambda name: found(Path(name)))
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    def found(path: Path) -> None:
        banner.dismiss()
        state.choose_model(str(path), moved=True)

    banner.say(state.problem, action=tr(_CONTEXT, "Find it…"), on_action=find)
