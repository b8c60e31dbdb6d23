"""Every cell of the matrix checked by llama.cpp in the background: progress, stop, differences."""

import threading

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QWidget

from advisor import units
from advisor.basis import Basis
from advisor.errors import RigAdvisorError
from advisor.hardware.rig import Rig
from advisor.session import ModelChoice
from advisor.sizing.settings import RunSettings
from advisor.ui import checks, matrix_check
from advisor.ui.jobs import Job, run_task
from advisor.ui.matrix_check import CheckedCell, CheckedMatrix, Key
from advisor.ui.widgets.basics import button, column, row, text
from advisor.ui.widgets.marks import BasisMark
from advisor.ui.widgets.progress import Progress

MOST_LISTED = 6


class CheckAllLine(QWidget):
    """One line under the matrix: the button, then how far it is, then what came of it."""

    cell_checked = Signal(object, object)
    """A cell's key (file type, context) and its ``CheckedCell``."""
    forgotten = Signal()
    """Another question: no cell is checked any more."""
    _arrived = Signal(int, int, object, object)

    def __init__(self) -> None:
        super().__init__()
        self._job: Job | None = None
        self._cancel = threading.Event()
        self._question: tuple[ModelChoice, Rig, RunSettings, tuple[int, ...]] | None = None
        self._words = text("", "muted", wrap=True)
        self._mark = BasisMark(None)
        self._bar = Progress(self.tr("Cells checked"))
        self._bar.setFixedWidth(120)
        self._ask = button(
            self.tr("Check all with llama.cpp"),
            self._pressed,
            "link",
            tip=self.tr("A dry run of every cell: no weights are loaded"),
        )
        self._list = text("", "small", wrap=True)
        self._more = button(self.tr("Differences"), role="segment")
        self._more.setCheckable(True)
        self._more.toggled.connect(self._list.setVisible)
        line = row(self._ask, self._bar, self._words, self._mark, self._more)
        line.setStretch(2, 1)
        self.setLayout(column(line, self._list, spacing=2))
        self._arrived.connect(self._cell)
        self._rest()

    @property
    def sentence(self) -> str:
        """What it says."""
        return self._words.text()

    @property
    def differences(self) -> str:
        """The listed differences, one a line."""
        return self._list.text()

    @property
    def offered(self) -> bool:
        """Whether there is something to check, and something here to check it with."""
        return not self._ask.isHidden()

    @property
    def busy(self) -> bool:
        """Whether llama.cpp is at work."""
        return self._job is not None

    def show_matrix(
        self, choice: ModelChoice, rig: Rig, settings: RunSettings, contexts: tuple[int, ...]
    ) -> None:
        """What there is to check. The same question again changes nothing."""
        # Choosing a cell is not another question.
        plain = settings.model_copy(update={"ctx": contexts[0]}) if contexts else settings
        question = (choice.model_copy(update={"file_type": None}), rig, plain, contexts)
        known = self._question
        if known is not None and (known[0].model_copy(update={"file_type": None}), *known[1:]) == (
            question
        ):
            return
        self.stop()
        self._question = (choice, rig, plain, contexts)
        self._rest()
        reason = checks.cannot_check(rig)
        self._ask.setVisible(not reason and bool(contexts))
        self.forgotten.emit()

    def stop(self) -> None:
        """Nobody waits for the rest."""
        self._cancel.set()
        if self._job is not None:
            self._job.cancel()
            self._job = None

    def start(self) -> None:
        """Ask about every cell, on a worker thread."""
        if self._question is None or self.busy:
            return
        choice, rig, settings, contexts = self._question
        cancel = self._cancel = threading.Event()
        self._bar.setRange(0, 0)
        self._bar.show()
        self._more.hide()
        self._list.hide()
        self._mark.set_basis(None)
        self._say(self.tr("Looking for a llama.cpp that can check this…"))

        def work(_job: Job) -> CheckedMatrix:
            return matrix_check.check_matrix(
                choice, rig, settings, contexts, cancel=cancel, on_cell=self._arrived.emit
            )

        self._job = run_task(work, on_result=self._done, on_error=self._failed, owner=self)
        self._name()

    # parts

    def _pressed(self) -> None:
        if self.busy:
            asked = self._bar.value()
            self.stop()
            self._rest()
            self._say(self.tr("Stopped after {n} cells; their marks stay.").format(n=max(0, asked)))
        else:
            self.start()

    def _cell(self, done: int, total: int, key: Key, cell: CheckedCell | None) -> None:
        if self._job is None or self._cancel.is_set():
            return
        self._bar.setRange(0, total)
        self._bar.setValue(done)
        self._say(self.tr("{done} of {total} cells").format(done=done, total=total))
        if cell is not None:
            self.cell_checked.emit(key, cell)

    def _done(self, found: CheckedMatrix) -> None:
        self._job = None
        self._rest()
        count, off = len(found.cells), found.differing
        if not count:
            reason = next(iter(found.failures.values()), self.tr("Nothing was checked."))
            self._say(reason)
            return
        words = self.tr("{engine} agrees on all {count} cells")
        if off:
            words = self.tr("{engine} differs on {off} of {count} cells; its figures are shown")
        if found.failures:
            words += self.tr(", {failed} could not be asked").format(failed=len(found.failures))
        self._say(words.format(engine=found.engine, off=len(off), count=count))
        self._mark.set_basis(Basis.DRY_RUN)
        self._list.setText("\n".join(self._lines(found)))
        self._more.setVisible(bool(self._list.text()))

    def _lines(self, found: CheckedMatrix) -> list[str]:
        lines: list[str] = []
        for (file_type, ctx), cell in found.differing.items():
            parts = [
                self.tr("{part} on {place}: {said}, computed {computed}").format(
                    part=part,
                    place=place,
                    said=units.size(pair.said),
                    computed=units.size(pair.computed),
                )
                for place, part, pair in cell.checked.differing
            ]
            lines.append(f"{file_type}, {units.tokens(ctx)}: " + "; ".join(parts))
        for (file_type, ctx), reason in found.failures.items():
            lines.append(f"{file_type}, {units.tokens(ctx)}: {reason}")
        rest = len(lines) - MOST_LISTED
        if rest > 0:
            lines[MOST_LISTED:] = [self.tr("and {n} more").format(n=rest)]
        return lines

    def _failed(self, error: RigAdvisorError) -> None:
        self._job = None
        self._rest()
        self._say(str(error))

    def _rest(self) -> None:
        self._bar.hide()
        self._more.setChecked(False)
        self._more.hide()
        self._list.hide()
        self._mark.set_basis(None)
        self._say("")
        self._name()

    def _say(self, words: str) -> None:
        self._words.setText(words)

    def _name(self) -> None:
        name = self.tr("Stop") if self.busy else self.tr("Check all with llama.cpp")
        self._ask.setText(name)
        self._ask.setAccessibleName(name)
