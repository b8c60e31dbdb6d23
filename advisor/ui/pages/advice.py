"""Advice: how the model would be used, what follows from it, and what it costs."""

import datetime as dt
import functools
from typing import Final

from PySide6.QtCore import QTimer
from PySide6.QtGui import QPalette, QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QWidget

from advisor import answers
from advisor.advice import scenarios
from advisor.advice.engine import lengths
from advisor.advice.options import Option
from advisor.advice.scenarios import Answer, Depth
from advisor.advice.usage import Usage
from advisor.advice.verdict import Advice
from advisor.errors import RigAdvisorError
from advisor.ui import design
from advisor.ui.focus import ReadingOrder
from advisor.ui.jobs import Job, run_task
from advisor.ui.page import Page, scrolling
from advisor.ui.pages.advice_case import CaseCard
from advisor.ui.pages.advice_form import UsageForm
from advisor.ui.pages.advice_front import FrontCard
from advisor.ui.pages.advice_options import OptionsCard
from advisor.ui.pages.advice_plot import CostPlot, picture
from advisor.ui.pages.advice_verdict import MoversCard, VerdictCard
from advisor.ui.state import AppState
from advisor.ui.widgets.basics import Banner, Card, EmptyState, button, column, row, text
from advisor.ui.widgets.progress import Progress

WAIT_MS: Final = 0
"""Entries that follow each other within one turn of the event loop are one question."""
SLOW_MS: Final = 100
"""What takes longer shows that it is being worked out."""
FORM_WIDTH: Final = 311
BESIDE_BAR: Final = 12
"""Px between the form and its scroll bar."""
MOVERS_WIDTH: Final = 262
NARROW: Final = 1000
"""Below this width what moves the costs stands under their plot."""
PERCENT: Final = 100


class AdvicePage(Page):
    """The usage at the left; verdict, costs, what moves them and all options at the right."""

    def __init__(self, state: AppState) -> None:
        super().__init__(state)
        self.title = self.tr("Advice")
        self.advice: Advice | None = None
        """What is on screen; None before the first answer and without a model."""
        self._job: Job | None = None
        self._trial: Job | None = None
        """The answer to a volume that is being dragged; one at a time."""
        self._tried: int | None = None
        """The volume that comes after it."""
        self._stale = True
        self._depth: Depth | None = None
        """How exact the answer to this usage is that is on screen; None: to an earlier one, or
        none."""
        self._about = "", ""
        """Model and rig of the answer that is on screen."""
        self._case: Answer | None = None
        """The built-in case that is answered, None where none is asked."""
        self._wait = QTimer(self, singleShot=True, interval=WAIT_MS)
        self._wait.timeout.connect(self._compute)
        self._slow = QTimer(self, singleShot=True, interval=SLOW_MS)
        self._slow.timeout.connect(lambda: self._say_working(0.0))
        self._report = button(self.tr("Make report"), lambda: state.show_page("report"), "primary")
        self.banner = Banner()
        self._empty = self._empty_state()
        self._content = QWidget()
        layout = column(self.banner, self._empty, self._content, spacing=design.GAP)
        layout.setStretch(2, 1)
        layout.setContentsMargins(18, 16, 18, 16)
        self.setLayout(layout)
        right = QWidget()
        self._right = scrolling(right)
        inputs = QWidget()
        self._content.setLayout(row(self._left(inputs), self._right, spacing=design.GAP))
        self._fill(right)
        ReadingOrder(inputs, right)
        self.make_in_turns("form", self._make_fields, "case", self.movers.make_some)
        for signal in (
            state.rig_changed,
            state.model_changed,
            state.settings_changed,
            state.usage_changed,
            state.results_changed,
            state.session_replaced,
        ):
            signal.connect(self._outdated)
        self._outdated()

    # layout

    def _empty_state(self) -> QWidget:
        case = scenarios.scenario(scenarios.names()[0])
        choose = EmptyState(
            self.tr("Which model should it be?"),
            self.tr(
                "Choose a model to compare keeping this rig, changing it, building another "
                "one and paying for an API, for the way you use it."
            ),
            self.tr("Choose a model"),
            self.state.model_wanted.emit,
        )
        self._example = button(
            self.tr("Look at the example “{title}”").format(title=case.title),
            lambda: self.state.begin_scenario(case.id, case.usage),
            "link",
            tip=case.question,
        )
        both = QWidget()
        both.setLayout(column(None, choose, row(None, self._example, None), None))
        return both

    def _left(self, inner: QWidget) -> QWidget:
        self._usage = Card(self.tr("How you use it"))
        self._usage.setFixedWidth(FORM_WIDTH)
        self._inputs = column()
        # The scroll bar stands in the card's margin, off the fields.
        self._inputs.setContentsMargins(0, 0, BESIDE_BAR, 0)
        self._usage.body.setContentsMargins(0, 0, -BESIDE_BAR, 0)
        inner.setLayout(self._inputs)
        self._usage.body.addWidget(scrolling(inner, QPalette.ColorRole.Base))
        return self._usage

    def _fill(self, right: QWidget) -> None:
        self._column = column(spacing=design.GAP)
        self._column.setContentsMargins(0, 0, 10, 0)
        right.setLayout(self._column)
        self.verdict = VerdictCard()
        self._progress = Progress(self.tr("Progress of the advice"))
        self._progress.setRange(0, PERCENT)
        self.verdict.body.insertWidget(0, self._progress)
        self.verdict.probe_wanted.connect(self._probe)
        self._answers = QWidget()
        for part in (self.verdict, self._answers):
            self._column.addWidget(part)
        self._column.addStretch(1)
        self.plot = CostPlot()
        self.plot.volume_chosen.connect(self._take_volume)
        self.plot.volume_tried.connect(self._try_volume)
        self._plot_words = text("", "small", wrap=True)
        costs = Card(self.tr("Monthly cost against volume"))
        costs.body.addWidget(self.plot, 1)
        costs.body.addWidget(self._plot_words)
        self.movers = MoversCard()
        self.options = OptionsCard()
        self.options.price_wanted.connect(self._ask_prices)
        self.front = FrontCard()
        middle = self._middle = row(costs, self.movers, spacing=design.GAP)
        middle.setStretch(0, 1)
        self._set_narrow(narrow=False)
        self._answers.setLayout(column(middle, self.options, self.front, spacing=design.GAP))
        # Each is put on screen in a turn of its own, with its first figures.
        self._costs = costs
        for part in (costs, self.movers, self.options, self.front):
            part.hide()

    def _show_verdict(self, advice: Advice) -> None:
        self.verdict.show_advice(advice, here=self.state.here)

    def _probe(self, wanted: Option) -> None:
        """Put what is to be measured before the Probe page."""
        model = self.state.model
        if model is not None and model.id == wanted.model_id:
            self.state.choose_cell(wanted.file_type, wanted.ctx)
        else:
            self.state.choose_model(wanted.model_id, wanted.file_type)
        self.state.change_settings(ctx=wanted.ctx, ctk=wanted.kv_type, ctv=wanted.kv_type)
        self.state.show_page("probe")

    def _ask_prices(self, about: str) -> None:
        self.form.ask_prices(about)

    @functools.cached_property
    def form(self) -> UsageForm:
        """The usage."""
        made = UsageForm(self.state)
        made.refused.connect(lambda sentence: self.banner.say(sentence, "tight"))
        made.accepted.connect(self.banner.dismiss)
        self._inputs.addWidget(made)
        return made

    def _make_fields(self) -> bool:
        return self.form.pieces.some()

    @functools.cached_property
    def case(self) -> CaseCard:
        """The built-in case that is looked at."""
        made = CaseCard()
        made.hide()
        self._column.insertWidget(self._column.indexOf(self._answers), made)
        return made

    def _set_narrow(self, *, narrow: bool) -> None:
        way = QBoxLayout.Direction.TopToBottom if narrow else QBoxLayout.Direction.LeftToRight
        self._middle.setDirection(way)
        self.movers.setMinimumWidth(0 if narrow else MOVERS_WIDTH)
        self.movers.setMaximumWidth(16_777_215 if narrow else MOVERS_WIDTH)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 - Qt's name
        """Below each other where there is no room side by side."""
        super().resizeEvent(event)
        self._set_narrow(narrow=self.width() < NARROW)

    # page interface

    def header_buttons(self) -> list[QWidget]:
        """The advice on paper."""
        return [self._report]

    def shown(self) -> None:
        """Work out what belongs to the session as it is now."""
        if self._stale:
            self._wait.start()

    def closing(self) -> None:
        """Nothing may be computed for a window that is gone."""
        self._wait.stop()
        self._slow.stop()
        for job in (self._job, self._trial):
            if job is not None:
                job.cancel()

    # a volume that is being dragged

    def _try_volume(self, requests: int) -> None:
        """Verdict and costs at a volume, without making it the session's."""
        self._tried = requests
        session, rig = self.state.session, self.state.rig
        if self._trial is not None or self._stale or rig is None:
            return
        self._tried = None
        usage = session.usage.model_copy(update={"requests_per_month": requests})
        asked = session.model_copy(update={"usage": usage})
        self._trial = run_task(
            lambda job: answers.advice_of(
                asked, rig, at=dt.datetime.now(dt.UTC), cancelled=lambda: job.cancelled
            ),
            on_result=self._show_trial,
            on_error=self._complain,
            owner=self,
        )
        self._trial.finished.connect(self._trial_done)

    def _show_trial(self, advice: Advice | None) -> None:
        if advice is not None and not self._stale:
            self._show_verdict(advice)
            self.plot.show_picture(picture(advice))
            self.options.show_advice(advice)

    def _trial_done(self) -> None:
        self._trial = None
        if self._tried is not None:
            self._try_volume(self._tried)

    def _take_volume(self, requests: int) -> None:
        """Where it was let go."""
        self._tried = None
        if self._trial is not None:
            self._trial.cancel()
        if requests != self.state.usage.requests_per_month:
            self.form.set_requests(requests)
        elif self.advice is not None and not self._stale:
            self._show_trial(self.advice)

    # working it out

    def _outdated(self) -> None:
        self._stale = True
        self._depth = None
        if self._job is not None:
            self._job.cancel()
        session = self.state.session
        asked = session.model is not None or session.scenario is not None
        self._empty.setVisible(not asked)
        self._content.setVisible(asked)
        if not asked:
            self.advice = None
        if self.advice is None:
            self._say_working(0.0)
        else:
            self._slow.start()
        if self.isVisible():
            self._wait.start()

    def _say_working(self, share: float, doing: str = "") -> None:
        """The earlier answer stays on screen, marked as earlier."""
        if not self._stale and self._depth != "verdict":
            return
        self._progress.show()
        self._progress.setValue(round(PERCENT * max(0.0, share)))
        name = self.state.model_name if self.state.choice is not None else self.tr("the example")
        if self.advice is None:
            words = self.tr("Working out what to do about {name}…").format(name=name)
            self.verdict.show_none(words)
            self.verdict.note.say(doing)
        elif self._depth == "first":
            words = self.tr("sized roughly so far; exactly now: {what}").format(what=doing)
            self.verdict.note.say(words if doing else self.tr("sized roughly so far"))
        elif self._depth == "verdict":
            self.verdict.note.say(self.tr("the tables of what fits: {what}").format(what=doing))
        else:
            self.verdict.note.say(self.tr("from before your change, being worked out again…"))
        self._answers.setVisible(self.advice is not None)

    def _compute(self, depth: Depth | None = None) -> None:
        """``depth``: None is what comes next."""
        session, rig = self.state.session, self.state.rig
        if self._job is not None:
            self._job.cancel()
        if rig is None or (session.model is None and session.scenario is None):
            return

        asked = depth or self._next_depth(session.usage)

        def work(job: Job) -> tuple[Advice | None, Answer | None]:
            now = dt.datetime.now(dt.UTC)
            if session.model is None:
                case = answers.scenario_of(
                    session,
                    at=now,
                    depth=asked,
                    cancelled=lambda: job.cancelled,
                    progress=job.report,
                )
                return (None if case is None else case.advice), case
            advice = answers.advice_of(
                session,
                rig,
                at=now,
                rough=asked == "first",
                cancelled=lambda: job.cancelled,
                progress=job.report,
            )
            return advice, None

        self._job = run_task(
            work,
            on_result=lambda found: self._show(*found, asked),
            on_error=self._complain,
            on_progress=self._heard,
            owner=self,
        )

    def _next_depth(self, usage: Usage) -> Depth:
        """Roughly, then exactly, then all of a case; what is sized already at once."""
        exactly: Depth = "whole" if self.state.session.model is not None else "verdict"
        if self._depth is not None:
            return exactly if self._depth == "first" else "whole"
        sized = self.advice is not None and lengths(self.advice.usage) == lengths(usage)
        return exactly if sized else "first"

    def _heard(self, share: float, doing: str) -> None:
        """Progress of the work; not worth showing while it may be done at once."""
        if not self._slow.isActive():
            self._say_working(share, doing)

    def _complain(self, error: RigAdvisorError) -> None:
        self._slow.stop()
        self._progress.hide()
        self.advice = None
        self.verdict.show_none(self.tr("There is no advice."))
        self._answers.hide()
        self.case.hide()
        self.banner.say(str(error), "bad")

    def _show(self, advice: Advice | None, case: Answer | None, depth: Depth) -> None:
        if depth == "first" and advice is not None and case is None and advice.best is None:
            # What comes nearest is not looked for roughly.
            self._compute("whole")
            return
        self._depth = depth
        self._stale = depth == "first"
        self._slow.stop()
        self.advice = advice
        done = depth == "whole"
        if done:
            self._progress.hide()
            self.verdict.note.say("")
        if advice is None:
            return
        if not self._stale:
            self.state.advised(advice)
        about = self.state.model_name, self.state.rig.name if self.state.rig else ""
        if self._about != about:
            self._about = about
            self._right.verticalScrollBar().setValue(0)
        self._show_verdict(advice)
        self._case = case
        self._answers.show()
        self.in_turns(
            self._show_costs,
            self._show_movers,
            self._show_cards,
            self._show_options,
            self._reveal_options,
            self._show_front,
            self._show_case,
        )
        if not done:
            self._compute()

    def _show_costs(self) -> None:
        if self.advice is not None:
            self.plot.show_picture(picture(self.advice))
            crossing = self.plot.cross_in_words()
            hint = self.tr("Drag the line “you” or use the arrow keys to try another volume.")
            self._plot_words.setText(f"{crossing} {hint}".strip())
            self._costs.show()

    def _show_movers(self) -> None:
        if self.advice is not None:
            self.movers.show_advice(self.advice)
            self.movers.show()

    def _show_cards(self) -> None:
        if self.advice is not None:
            self.options.cards.show_advice(self.advice)

    def _show_options(self) -> None:
        if self.advice is not None:
            self.options.show_advice(self.advice)

    def _reveal_options(self) -> None:
        """Laying its table and cards out takes as long as filling them."""
        self.options.setVisible(self.advice is not None)

    def _show_front(self) -> None:
        if self.advice is not None:
            self.front.show_advice(self.advice)

    def _show_case(self) -> None:
        self.case.setVisible(self._case is not None)
        if self._case is not None:
            self.case.show_case(self._case)
