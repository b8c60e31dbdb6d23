"""The doctor's findings: what is wrong or not understood, and what to do about it."""

import time
from collections.abc import Callable
from typing import Final

from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QWidget

from advisor.hardware.finding import Finding, Severity
from advisor.hardware.rig import Rig
from advisor.ui import design, services
from advisor.ui.jobs import Job, run_task
from advisor.ui.state import AppState
from advisor.ui.texts import tr
from advisor.ui.turns import Turn
from advisor.ui.widgets.basics import Card, Chip, button, clear, column, row, text
from advisor.ui.widgets.paint_turns import BUDGET_S

TONES: Final[dict[Severity, design.Tone]] = {"problem": "bad", "warning": "tight", "info": "plain"}


class DoctorCard(Card):
    """One line per finding; "what to do" opens below it."""

    def __init__(self, state: AppState, read_again: Callable[[], None]) -> None:
        super().__init__(self.tr("Doctor"))
        self._state = state
        self._job: Job | None = None
        self._rig: Rig | None = None
        self._findings: tuple[Finding, ...] | None = None
        """What is shown; None before the first."""
        self._left: list[Finding] = []
        self._several = False
        """Findings are of several parts of the rig: each says of which."""
        self._rest = Turn(self)
        self._rest.due.connect(self._add_lines)
        self._again = button(
            self.tr("Read again"),
            read_again,
            "link",
            tip=self.tr("Look for GPUs, drivers and memory once more"),
        )
        self.head.addWidget(self._again)
        self.head.addWidget(
            button(
                self.tr("Copy a report"),
                self._copy,
                "link",
                tip=self.tr(
                    "What was detected and from where, for a bug tracker; nothing personal"
                ),
            )
        )
        self._lines = column(spacing=7)
        self.body.addLayout(self._lines)
        self.body.addStretch(1)

    def examine(self, rig: Rig) -> None:
        """Look at another rig."""
        self._rig = rig
        self._again.setVisible(not rig.imagined)
        if self._job is not None:
            self._job.cancel()
        self._job = run_task(lambda _job: services.examine(rig), on_result=self._show, owner=self)

    def _show(self, findings: tuple[Finding, ...]) -> None:
        if findings == self._findings:
            return
        self._findings = findings
        clear(self._lines)
        self._left = told(findings, self._rig)
        self._several = len({finding.subject for finding in self._left}) > 1
        if not findings:
            self._lines.addWidget(text(self.tr("Nothing stands out."), "muted"))
        self._add_lines()

    def _add_lines(self) -> None:
        """Some now, the rest in the next turns of the event loop."""
        until = time.perf_counter() + BUDGET_S
        while self._left and time.perf_counter() < until:
            self._lines.addWidget(FindingLine(self._left.pop(0), name_subject=self._several))
        if self._left:
            self._rest.start()

    def _copy(self) -> None:
        if self._rig is not None:
            QGuiApplication.clipboard().setText(services.doctor_report(self._rig))
            self._state.noticed.emit(self.tr("Copied the report"))


def told(findings: tuple[Finding, ...], rig: Rig | None) -> list[Finding]:
    """The findings with those that several cards share said once, and saying which card is meant.

    A name alone does not say that where the rig has several of it.
    """
    names = [] if rig is None else [device.name for device in rig.devices]
    alike: dict[Finding, list[int | None]] = {}
    for finding in findings:
        key = finding.model_copy(update={"device_index": None})
        alike.setdefault(key, []).append(finding.device_index)
    said: list[Finding] = []
    for finding, places in alike.items():
        subject, count = finding.subject, names.count(finding.subject)
        if count > 1 and len(places) == count:
            subject = tr("{count}x {name}").format(count=count, name=subject)
        elif count > 1:
            numbers = ", ".join(str(place + 1) for place in places if place is not None)
            words = tr("{name} ({numbers} of {count})")
            subject = words.format(name=subject, numbers=numbers, count=len(names))
        said.append(finding.model_copy(update={"subject": subject}))
    return said


class FindingLine(QWidget):
    """A chip, the finding in a few words and in a sentence, and what to do about it."""

    def __init__(self, finding: Finding, *, name_subject: bool) -> None:
        super().__init__()
        words: dict[Severity, str] = {
            "problem": self.tr("fix"),
            "warning": self.tr("look"),
            "info": self.tr("note"),
        }
        chip = Chip(words[finding.severity], TONES[finding.severity])
        chip.setFixedWidth(50)
        named = not name_subject or finding.subject in finding.title
        title = finding.title if named else f"{finding.subject}: {finding.title}"
        line = row(chip, text(title, "strong", wrap=True), spacing=10)
        line.setStretch(1, 1)
        self._action = text(finding.advice, wrap=True)
        self._action.hide()
        if finding.advice:
            toggle = button(self.tr("what to do"), role="link")
            toggle.setAccessibleName(self.tr("What to do: {title}").format(title=finding.title))
            toggle.clicked.connect(lambda: self._action.setVisible(self._action.isHidden()))
            line.addWidget(toggle)
        sentence = text(finding.text, "muted", wrap=True)
        below = column(sentence, self._action, spacing=4)
        below.setContentsMargins(60, 0, 0, 0)
        self.setLayout(column(line, below, spacing=2))
        self.setAccessibleName(f"{title}. {finding.text}")
