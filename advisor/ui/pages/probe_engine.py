"""Which llama.cpp a probe runs: the best one found and why, others to choose, and a folder."""

from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QComboBox, QFileDialog, QWidget

from advisor.engine import folders
from advisor.engine.builds import Build, Choice
from advisor.errors import EngineError
from advisor.ui.widgets.basics import Elided, button, column, row, text


class EngineLine(QWidget):
    """One line below the plot."""

    chosen = Signal(str)
    """Path of a llama-server; empty for the embedded engine."""
    look_again = Signal()
    failed = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._pick = QComboBox()
        self._pick.setAccessibleName(self.tr("llama.cpp to run"))
        self._pick.activated.connect(self._picked)
        self._pick.hide()  # until it is known what there is
        self._single = Elided("", "small")
        self._reason = text("", "small", wrap=True)
        again = button(
            self.tr("Look again"),
            self.look_again.emit,
            "link",
            tip=self.tr("Look for llama.cpp on PATH and in the usual places of this system"),
        )
        other = button(
            self.tr("Other folder…"),
            self._other,
            "link",
            tip=self.tr("Name a folder that holds llama-server"),
        )
        line = row(self._single, self._pick, again, other)
        line.setStretch(0, 1)
        line.setStretch(1, 1)
        self.setLayout(column(line, self._reason, spacing=2))

    @property
    def sentence(self) -> str:
        """Why this one, and what is missing."""
        return self._reason.text()

    def show_choice(self, choice: Choice, builds: tuple[Build, ...]) -> None:
        """The one in question among all that were found."""
        usable = [build for build in builds if not build.problem] or [choice.build]
        self._pick.clear()
        for build in usable:
            self._pick.addItem(build.title, build.path)
        self._pick.setCurrentIndex(usable.index(choice.build) if choice.build in usable else 0)
        several = len(usable) > 1
        self._pick.setVisible(several)
        self._single.setVisible(not several)
        none = bool(choice.build.problem)
        self._single.say(self.tr("No llama.cpp to run") if none else choice.build.title)
        # Where none works, all this is said above the page.
        broken = [build.problem for build in builds if build.problem and not none]
        self._reason.setText(" ".join([choice.reason, choice.missing, *broken]).strip())

    def _picked(self, index: int) -> None:
        self.chosen.emit(str(self._pick.itemData(index)))

    def _other(self) -> None:
        name = QFileDialog.getExistingDirectory(self, self.tr("Folder with llama-server"))
        if name:
            self.use_folder(Path(name))

    def use_folder(self, folder: Path) -> None:
        """Remember a folder and use what is in it."""
        try:
            program = folders.add(folder)
        except EngineError as error:
            self.failed.emit(str(error))
            return
        self.look_again.emit()
        self.chosen.emit(str(program))
