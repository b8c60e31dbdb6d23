"""A dry run of the chosen cell: llama.cpp's own figures beside ours."""

import threading

from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QWidget

from advisor import units
from advisor.basis import Basis
from advisor.errors import RigAdvisorError
from advisor.hardware.rig import Rig
from advisor.llm.model import Model
from advisor.sizing.plan import Plan
from advisor.ui import checks
from advisor.ui.checks import Checked, Pair
from advisor.ui.jobs import Job, run_task
from advisor.ui.widgets.basics import button, column, row, text
from advisor.ui.widgets.marks import BasisMark

AUTO_MS = 700
"""A cell that stays chosen this long is checked by itself where that is possible."""


class CheckLine(QWidget):
    """One line under the figures: what llama.cpp says, and the button that asks it."""

    checked = Signal(object)
    """A ``Checked`` of the plan on screen."""

    def __init__(self) -> None:
        super().__init__()
        self._job: Job | None = None
        self._cancel = threading.Event()
        self._model: Model | None = None
        self._plan: Plan | None = None
        self._rig: Rig | None = None
        self._words = text("", "muted", wrap=True)
        self._mark = BasisMark(None)
        self._mark.hide()
        self._ask = button(self.tr("Check with llama.cpp"), self._pressed, "link")
        head = row(self._words, self._mark, spacing=5)
        head.setStretch(0, 1)
        self.setLayout(column(head, row(self._ask, None), spacing=0))
        self._soon = QTimer(self, singleShot=True, interval=AUTO_MS)
        self._soon.timeout.connect(self._start_if_seen)

    @property
    def sentence(self) -> str:
        """What it says."""
        return self._words.text()

    @property
    def busy(self) -> bool:
        """Whether llama.cpp is being asked."""
        return self._job is not None

    def show_plan(self, plan: Plan, model: Model, rig: Rig) -> None:
        """Another plan; what was said about the last one is gone."""
        if plan is self._plan and rig is self._rig:
            return
        self.stop()
        self._plan, self._model, self._rig = plan, model, rig
        reason = checks.cannot_check(rig)
        self._say(reason)
        self._ask.setVisible(not reason)
        if not rig.devices:
            self._soon.start()

    def stop(self) -> None:
        """Nobody waits for an answer any more."""
        self._soon.stop()
        self._cancel.set()
        if self._job is not None:
            self._job.cancel()
            self._job = None
        self._name_button()

    def _start_if_seen(self) -> None:
        if self.isVisible():
            self.start()

    def _pressed(self) -> None:
        if self.busy:
            self.stop()
            self._say(self.tr("Stopped."))
        else:
            self.start()

    def start(self) -> None:
        """Ask llama.cpp on a worker thread."""
        model, plan, rig = self._model, self._plan, self._rig
        if model is None or plan is None or rig is None or self.busy:
            return
        self._soon.stop()
        cancel = self._cancel = threading.Event()
        self._say(self.tr("Asking llama.cpp…"))
        self._job = run_task(
            lambda _job: checks.check(model, plan, rig, cancel),
            on_result=self._done,
            on_error=self._failed,
            owner=self,
        )
        self._name_button()

    def _done(self, found: Checked) -> None:
        self._job = None
        self._name_button()
        parts = [
            self.tr("{engine} says {said}").format(
                engine=found.engine, said=units.size(found.said)
            ),
            self.tr("computed {size}").format(size=units.size(found.computed)),
        ]
        parts += [self._difference(place, part, pair) for place, part, pair in found.differing]
        if found.untold:
            names = {"draft": self.tr("drafting"), "projector": self.tr("the projector")}
            words = self.tr("not told without loading: {parts}")
            parts.append(words.format(parts=", ".join(names[part] for part in found.untold)))
        self._say(" · ".join(parts), basis=Basis.DRY_RUN)
        self.checked.emit(found)

    def _difference(self, place: str, part: str, pair: Pair) -> str:
        where = f"{part} ({place})"
        if pair.computed is None:
            return self.tr("{where}: not computed").format(where=where)
        more = pair.said > pair.computed
        size = units.size(abs(pair.said - pair.computed))
        words = self.tr("{where}: {size} more") if more else self.tr("{where}: {size} less")
        return words.format(where=where, size=size)

    def _failed(self, error: RigAdvisorError) -> None:
        self._job = None
        self._name_button()
        self._say(str(error))

    def _say(self, words: str, *, basis: Basis | None = None) -> None:
        self._words.setText(words)
        self._words.setVisible(bool(words))
        self._mark.set_basis(basis)
        self._mark.setVisible(basis is not None)

    def _name_button(self) -> None:
        name = self.tr("Stop") if self.busy else self.tr("Check with llama.cpp")
        self._ask.setText(name)
        self._ask.setAccessibleName(name)
