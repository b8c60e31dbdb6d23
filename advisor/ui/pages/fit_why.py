"""Why not? What the chosen cell lacks, and the smallest changes that make it fit."""

import datetime as dt

from PySide6.QtWidgets import QWidget

from advisor import units
from advisor.errors import RigAdvisorError
from advisor.sizing.plan import Plan
from advisor.sizing.sampling import pace, reaches
from advisor.sizing.ways_out import BOUGHT, OTHER_MODEL, Change
from advisor.sizing.why_not import WhyNot
from advisor.ui import checks, laid_out
from advisor.ui.jobs import Job, run_task
from advisor.ui.state import AppState
from advisor.ui.widgets.basics import Card, button, clear, column, row, text


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
        usage = state.usage
        if plan is None or rig is None or choice is None or not _lacks(plan, usage.min_decode_tps):
            self.hide()
            return
        self.setEnabled(False)
        known: list[WhyNot] = []

        def work(job: Job) -> WhyNot:
            def so_far(found: WhyNot) -> None:
                known.append(found)
                job.report(-1.0)

            return checks.why_not(
                choice,
                rig,
                settings,
                probes,
                usage,
                plan=plan,
                at=dt.datetime.now(dt.UTC),
                cancelled=lambda: job.cancelled,
                so_far=so_far,
            )

        def show_known(_share: float, _text: str) -> None:
            if job is self._job and not job.cancelled:
                self._show(known[-1], plan, looking=True)

        job = self._job = run_task(
            work,
            on_result=lambda found: self._show(found, plan),
            on_error=self._complain,
            on_progress=show_known,
            owner=self,
        )

    def _show(self, found: WhyNot, plan: Plan, *, looking: bool = False) -> None:
        """``looking``: more may follow, and what is there may give way to what is smaller."""
        with laid_out.once(self):
            self._fill(found, plan, looking=looking)

    def _fill(self, found: WhyNot, plan: Plan, *, looking: bool) -> None:
        clear(self._ways)
        self._missing.setText(self._sentence(found, plan))
        for change in found.changes:
            self._add(self._way(change, plan))
        if looking:
            self._add(text(self.tr("Looking for more…"), "muted", wrap=True))
        elif not found.changes:
            self._add(text(self.tr("No single change is enough; see Advice."), "muted", wrap=True))
        elif plan.speed.calibrated_by:
            words = self.tr(
                "Speeds on this machine are calibrated by a probe; bought ones are not."
            )
            self._add(text(words, "muted", wrap=True))
        if found.nearest and not looking:
            self._add(text(found.nearest, "muted", wrap=True))
        if found.prompts:
            self._add(text(self.tr("Prompts wait for weights copied from RAM:"), wrap=True))
        for change in found.prompts:
            self._add(self._way(change, plan))
        self.setEnabled(not looking)
        self.show()

    def _add(self, way: QWidget) -> None:
        self._ways.addWidget(way)
        # Qt would show it in a later turn where the card is shown already.
        way.show()

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
        known, wanted = plan.speed.decode_tps, self._state.usage.min_decode_tps
        slow_too = not reaches(known, plan.speed.sampling_s, wanted)
        missing = found.missing or self.tr("A part lies in RAM, which makes it slower.")
        if plan.verdict == "no" and known is not None and slow_too:
            slow = self.tr("It would also {pace}; you want {least}.")
            rates = slow.format(pace=pace(plan.speed, limit=wanted), least=units.rate(wanted))
            return f"{missing} {rates}"
        return missing

    def _way(self, change: Change, plan: Plan) -> QWidget:
        title = text(change.title, "strong", wrap=True)
        line = row(title)
        line.setStretch(0, 1)
        if change.kind == "ram" and plan.verdict == "offload":
            line.addWidget(text(self.tr("shown below"), "muted"))
        elif change.kind != "programs" or change.fields or change.file_type != plan.file_type:
            imagined = change.kind in BOUGHT
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
        if change.kind in BOUGHT:
            state.set_rig(change.rig)
        if change.kind in OTHER_MODEL:
            state.choose_model(change.plan.model_id, change.file_type)
        elif change.kind in {"file_type", "both", "smaller_in_ram", "programs"}:
            state.choose_cell(change.file_type, state.settings.ctx)
        if change.fields:
            state.change_settings(**change.fields)


def _lacks(plan: Plan, least_tps: float) -> bool:
    """Whether a plan is not green, or slower than the usage wants."""
    known = plan.speed.decode_tps
    if plan.verdict == "fits":
        return known is not None and not reaches(known, plan.speed.sampling_s, least_tps)
    return plan.verdict != "unknown"
