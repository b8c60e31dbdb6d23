"""Why not? What the chosen cell lacks, and the smallest changes that make it fit."""

from typing import Final

from PySide6.QtWidgets import QWidget

from advisor import units
from advisor.errors import RigAdvisorError
from advisor.sizing.plan import Plan
from advisor.sizing.ways_out import Change
from advisor.sizing.why_not import WhyNot
from advisor.ui import checks
from advisor.ui.jobs import Job, run_task
from advisor.ui.state import AppState
from advisor.ui.widgets.basics import Card, button, clear, column, row, text

_BOUGHT: Final = frozenset({"gpu", "card", "more_ram"})
"""Changes of the rig: they are tried as a what-if."""


class WhyCard(Card):
    """Hidden while the chosen cell fits well."""

    def __init__(self, state: AppState) -> None:
        super().__init__(self.tr("Why not?"))
        self._state = state
        self._job: Job | None = None
        self._missing = text("", wrap=True)
        self._ways = column(spacing=10)
        self.body.addWidget(self._missing)
        self.body.addLayout(self._ways)
        self.hide()

    def show_plan(self, plan: Plan | None) -> None:
        """Another plan: its ways out are worked out on a worker thread."""
        if self._job is not None:
            self._job.cancel()
        state = self._state
        rig, choice, settings, probes = (
            state.rig,
            state.choice,
            state.settings,
            state.session.probes,
        )
        least = state.usage.min_decode_tps
        if plan is None or rig is None or choice is None or not _lacks(plan, least):
            self.hide()
            return
        self.setEnabled(False)
        self._job = run_task(
            lambda job: checks.why_not(
                choice, rig, settings, probes, least, cancelled=lambda: job.cancelled
            ),
            on_result=lambda found: self._show(found, plan),
            on_error=self._complain,
            owner=self,
        )

    def _show(self, found: WhyNot, plan: Plan) -> None:
        clear(self._ways)
        self._missing.setText(self._sentence(found, plan))
        for change in found.changes:
            self._ways.addWidget(self._way(change, plan))
        if not found.changes:
            self._ways.addWidget(
                text(self.tr("No single change is enough; see Advice."), "muted", wrap=True)
            )
        self.setEnabled(True)
        self.show()

    def _complain(self, error: RigAdvisorError) -> None:
        clear(self._ways)
        self._missing.setText(str(error))
        self.setEnabled(True)
        self.show()

    def _sentence(self, found: WhyNot, plan: Plan) -> str:
        if plan.verdict == "tight":
            return self.tr("Only {left} stay free; {margin} are comfortable.").format(
                left=units.size(plan.headroom), margin=units.size(plan.settings.margin)
            )
        return found.missing or self.tr("A part lies in RAM, which makes it slower.")

    def _way(self, change: Change, plan: Plan) -> QWidget:
        title = text(change.title, "strong", wrap=True)
        line = row(title)
        line.setStretch(0, 1)
        if change.kind == "ram" and plan.verdict == "offload":
            line.addWidget(text(self.tr("shown below"), "muted"))
        elif change.kind != "programs":
            imagined = change.kind in _BOUGHT
            apply = button(
                self.tr("What if") if imagined else self.tr("Apply"),
                lambda: self._apply(change),
                "link",
            )
            apply.setAccessibleName(self.tr("Apply: {change}").format(change=change.title))
            line.addWidget(apply)
        way = QWidget()
        way.setLayout(column(line, text(change.cost, "muted", wrap=True), spacing=1))
        return way

    def _apply(self, change: Change) -> None:
        state = self._state
        if change.kind in _BOUGHT:
            state.set_rig(change.rig)
        if change.kind in {"file_type", "both", "smaller_in_ram"}:
            state.choose_cell(change.file_type, state.settings.ctx)
        if change.fields:
            state.change_settings(**change.fields)


def _lacks(plan: Plan, least_tps: float) -> bool:
    """Whether a plan is not green, or slower than the usage wants."""
    known = plan.speed.decode_tps
    if plan.verdict == "fits":
        return known is not None and known.mid < least_tps
    return plan.verdict != "unknown"
