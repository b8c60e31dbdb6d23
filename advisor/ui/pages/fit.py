"""Fit: which file type and context of a model this rig can hold, and the chosen cell's plan."""

import functools

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QPalette, QResizeEvent
from PySide6.QtWidgets import (
    QBoxLayout,
    QButtonGroup,
    QHBoxLayout,
    QScrollArea,
    QSizePolicy,
    QWidget,
)

from advisor.errors import RigAdvisorError
from advisor.ui import design
from advisor.ui.fit_cells import FitMatrix, fit_matrix
from advisor.ui.jobs import Job, run_task
from advisor.ui.missing import tell_problem
from advisor.ui.page import Page, scrolling
from advisor.ui.pages.fit_best import BestList
from advisor.ui.pages.fit_matrix import MatrixView
from advisor.ui.pages.fit_places import PlacesCard
from advisor.ui.pages.fit_plan import PlanCard
from advisor.ui.pages.fit_run import NotesCard, RunCard
from advisor.ui.pages.fit_settings import SettingsForm, settings_in_short
from advisor.ui.pages.fit_side import SideCards
from advisor.ui.pages.fit_speed import SpeedCard
from advisor.ui.pages.fit_why import WhyCard
from advisor.ui.state import AppState
from advisor.ui.texts import VERDICT_TONES, answer, verdict_word, way_out
from advisor.ui.widgets.basics import (
    Banner,
    Card,
    Elided,
    EmptyState,
    button,
    column,
    row,
    rule,
    text,
)
from advisor.ui.widgets.stacked_bar import ToneSwatch

SIDE_WIDTH, NARROW_SIDE_WIDTH = 398, 356
NARROW = 1000
"""Below this width the matrix does without the column of quality, and its legend moves down."""
TIGHT = 875
"""Below this width settings have no room side by side."""
WIDE = 1600
"""From this width on the chosen cell's cards stand in two columns: 1920 × 1080 shows all."""
SETTINGS_SHARE = 0.45
"""Most of the page's height that the settings take; they scroll."""


class FitPage(Page):
    """The matrix at the left, the plan of its chosen cell at the right."""

    def __init__(self, state: AppState) -> None:
        super().__init__(state)
        self.title = self.tr("Fit")
        self._job: Job | None = None
        self._chosen = True
        """Whether there is a model, as far as the page shows it."""
        self._about = "", ""
        """Model and rig of the plan that is shown."""
        self._answered = "", ""
        """Model and rig that the headline is about: another's must not stand under their names."""
        self._asked = "", ""
        """Model and rig that were asked about last."""
        self._wait = QTimer(self, singleShot=True, interval=20)
        self._wait.timeout.connect(self._compute)
        self._probe = button(self.tr("Probe this"), self._go_probe, "primary")
        self._probe.setEnabled(False)
        self._bigger = button(
            self.tr("Why not bigger?"),
            self._ask_for_more,
            tip=self.tr("The next larger file type or longer context that does not fit"),
        )
        self._bigger.setEnabled(False)
        self.banner = Banner()
        self._empty = EmptyState(
            self.tr("Which model?"),
            self.tr(
                "Choose one from the catalogue or a GGUF file. Nothing is downloaded: sizes follow "
                "from the model's own list of tensors."
            ),
            self.tr("Choose a model"),
            self._choose,
        )
        self._content = QWidget()
        layout = column(self.banner, self._content, spacing=design.GAP)
        layout.setStretch(1, 1)
        layout.setContentsMargins(18, 16, 18, 16)
        self.setLayout(layout)
        self._lay_out_content()
        self.make_in_turns("speed", "best", "_form", self._make_fields, "_plan_widgets")
        for signal in (
            state.rig_changed,
            state.model_changed,
            state.settings_changed,
            state.results_changed,
        ):
            signal.connect(self._wait.start)
        state.model_named.connect(self._say_sizing)
        state.plan_changed.connect(lambda: self.when_seen(self._show_plan))
        self._wait.start()
        self.when_seen(self._show_plan)

    def header_buttons(self) -> list[QWidget]:
        """What keeps the next larger one from fitting; try the chosen cell for real."""
        return [self._bigger, self._probe]

    def shown(self) -> None:
        """The matrix takes the keyboard."""
        if self.matrix.found is not None:
            self.matrix.map.setFocus()

    def hidden(self) -> None:
        """Nobody waits for llama.cpp's figures."""
        self.plan.check.stop()

    def closing(self) -> None:
        """No engine runs on."""
        self.plan.check.stop()
        self.matrix.check_all.stop()

    # layout

    def _lay_out_content(self) -> None:
        """The matrix' card, and beside it the chosen cell's."""
        self._card = self._switched_card()
        self._cards = SideCards()
        self._side = scrolling(self._cards)
        self._side.setFixedWidth(SIDE_WIDTH)
        layout = row(self._card, self._side, spacing=design.GAP)
        layout.setStretch(0, 1)
        self._content.setLayout(layout)
        self._matrix_view = QWidget()
        self._card.body.addWidget(self._empty, 1)
        self._empty.hide()
        self._card.body.addWidget(self._matrix_view, 1)
        self._body = column()
        self._matrix_view.setLayout(self._body)
        self._fill_matrix_view()
        self.why = WhyCard(self.state)
        self.plan = PlanCard()
        self.places = PlacesCard()
        self.run = RunCard(self.state)
        self.notes = NotesCard()
        for card in (self.why, self.plan, self.places, self.run, self.notes):
            # Until it has something to say: each is filled in a turn of its own.
            card.hide()
            self._cards.add(card, column=0 if card is self.plan else 1)

    def _fill_matrix_view(self) -> None:
        self._answer = text("", "headline", wrap=True)
        self._reason = text("", "muted", wrap=True)
        self.matrix = MatrixView(self.state)
        self.matrix.map.opened.connect(lambda _row, _column: self._go_probe())
        self._below = row(self._reason, self.matrix.unit)
        self._below.setStretch(0, 1)
        self._body.addWidget(self._answer)
        self._body.addLayout(self._below)
        self._body.addWidget(self.matrix, 1)
        self._body.addWidget(rule())
        self._body.addLayout(self._foot())

    @functools.cached_property
    def speed(self) -> SpeedCard:
        """Speeds of the chosen cell, and their plot."""
        made = SpeedCard(self.state)
        made.hide()
        self._cards.add(made, column=0, before=self.places)
        return made

    @functools.cached_property
    def _plan_widgets(self) -> PlanCard:
        """The plan's, ahead of the first look."""
        self.plan.make_ahead()
        return self.plan

    @functools.cached_property
    def best(self) -> BestList:
        """Everything that runs, in the place of the matrix."""
        made = BestList(self.state)
        made.hide()
        self._card.body.addWidget(made, 1)
        made.taken.connect(lambda: self._this.setChecked(True))
        return made

    @functools.cached_property
    def _settings(self) -> SettingsForm:
        """Its fields are made in turns, below what holds them."""
        return SettingsForm(self.state)

    @functools.cached_property
    def _form(self) -> QScrollArea:
        """Settings under the matrix."""
        content = QWidget()
        content.setLayout(column(self._settings))
        made = scrolling(content, QPalette.ColorRole.Base)
        made.hide()
        self._fit_form(made)
        self._body.addWidget(made)
        return made

    def _make_fields(self) -> bool:
        return self._settings.pieces.some()

    def _fit_form(self, form: QScrollArea) -> None:
        form.setMaximumHeight(int(self.height() * SETTINGS_SHARE))
        wide = self.width()
        self._settings.lay_out(1 if wide < TIGHT else 2 if wide < NARROW else 3)

    def _foot(self) -> QHBoxLayout:
        """Settings in short, the form that changes them, and other file types of a file."""
        self._short = Elided("", "muted")
        self._every = button(
            self.tr("Size it in every file type"), self.state.size_in_every_file_type, "link"
        )
        self._every.hide()
        self._change = button(self.tr("Settings"), role="segment")
        self._change.setCheckable(True)
        self._change.toggled.connect(self._show_form)
        return row(self._short, None, self._every, self._change)

    def _show_form(self, shown: bool) -> None:
        self._settings.pieces.all()
        self._form.setVisible(shown)

    def _switched_card(self) -> Card:
        """The matrix's card: one model, or everything that runs."""
        card = Card(self.tr("What fits"))
        card.title.hide()
        self._this = button(self.tr("This model"), role="segment")
        self._all = button(self.tr("What can I run?"), role="segment")
        group = QButtonGroup(self)
        for number, segment in enumerate((self._this, self._all)):
            segment.setCheckable(True)
            segment.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
            group.addButton(segment)
            card.head.insertWidget(number, segment)
        self._this.setChecked(True)
        self._all.toggled.connect(self._show_view)
        legend = row(spacing=4)
        for verdict in ("fits", "tight", "offload", "no"):
            for part in (ToneSwatch(VERDICT_TONES[verdict]), text(verdict_word(verdict), "small")):
                legend.addWidget(part)
        self._legend = QWidget()
        self._legend.setLayout(legend)
        card.head.addWidget(self._legend)
        return card

    def _show_view(self) -> None:
        """One model's matrix, or the whole catalogue in its place."""
        listed = self._all.isChecked()
        self._empty.setVisible(not listed and not self._chosen)
        self._matrix_view.setVisible(not listed and self._chosen)
        self._legend.setVisible(not listed and self._chosen)
        self._side.setVisible(self._chosen)
        if listed or self.has("best"):
            self.best.setVisible(listed)

    def _follow_choice(self) -> None:
        """A model that is chosen is what the page is about; until then, what would run is."""
        (self._this if self._chosen else self._all).setChecked(True)
        self._show_view()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 - Qt's name
        """Where room is short, the cells get it."""
        super().resizeEvent(event)
        if self.has("_form"):
            self._fit_form(self._form)
        narrow, wide = self.width() < NARROW, self.width() >= WIDE
        width = NARROW_SIDE_WIDTH if narrow else 2 * SIDE_WIDTH if wide else SIDE_WIDTH
        if width == self._side.width():
            return
        self._side.setFixedWidth(width)
        self._cards.show_columns(two=wide)
        way = QBoxLayout.Direction.TopToBottom if narrow else QBoxLayout.Direction.LeftToRight
        self._below.setDirection(way)
        self._below.setSpacing(0 if narrow else design.SPACE)
        self.matrix.map.show_notes(shown=not narrow)
        if narrow:
            self._body.insertWidget(self._body.indexOf(self.matrix), self._legend, 0, _LEFT)
        else:
            self._card.head.addWidget(self._legend)

    # matrix

    def _compute(self) -> None:
        state = self.state
        rig, choice = state.rig, state.choice
        chosen = choice is not None
        if chosen != self._chosen:
            self._chosen = chosen
            self.when_seen(self._follow_choice)
        self._probe.setEnabled(chosen and rig is not None and not state.problem)
        self._short.say(settings_in_short(state.session.settings, self.tr))
        if rig is None or choice is None:
            return
        if self._job is not None:
            self._job.cancel()
        self._say_working(choice.model, rig.name)
        settings, probes = state.settings, state.session.probes
        self._job = run_task(
            lambda _job: fit_matrix(choice, rig, settings, probes),
            on_result=self._have_matrix,
            on_error=self._complain,
            owner=self,
        )

    def _say_working(self, model: str, rig: str) -> None:
        """Until there is an answer, say what is being worked out.

        What stands there of another model or rig goes: it would pass for this one's.
        """
        before, self._asked = self._asked, (model, rig)
        if before != self._asked:
            self.matrix.forget()
            if self.state.present_plan is None:
                self._hide_plan()
                self.why.show_plan(None)
        self._say_sizing()
        self.matrix.say_working()

    def _say_sizing(self) -> None:
        state = self.state
        if state.choice is None or state.problem:
            return
        rig = state.rig.name if state.rig is not None else ""
        if state.plan is None or (state.choice.model, rig) != self._answered:
            self._answer.setText(self.tr("Sizing {name}…").format(name=state.model_name))
            self._reason.setText("")

    def _complain(self, error: RigAdvisorError) -> None:
        self.matrix.say_nothing()
        self.banner.say(str(error))

    def _have_matrix(self, matrix: FitMatrix) -> None:
        self.matrix.take(matrix)
        self.when_seen(self._show_matrix)

    def _show_matrix(self) -> None:
        self.banner.dismiss()
        self.matrix.draw()
        if self.hasFocus():
            self.matrix.map.setFocus()
        self._show_way_out()
        self._bigger.setEnabled(self.matrix.next_too_big() is not None)

    # plan

    def _show_plan(self) -> None:
        plan, rig, model = self.state.plan, self.state.rig, self.state.model
        if self.state.problem:
            tell_problem(self.banner, self.state, self)
            words = self.tr("{name} cannot be sized.").format(name=self.state.model_name)
            self._answer.setText(words)
            self._reason.setText("")
            self._every.hide()
            self._probe.setEnabled(False)
        known = plan is not None and rig is not None and model is not None
        if not known:
            self._hide_plan()
        self.why.show_plan(plan)
        self._bigger.setEnabled(self.matrix.next_too_big() is not None)
        if plan is None or rig is None or model is None:
            return
        self.banner.dismiss()
        self._probe.setEnabled(True)
        if self._about != (model.id, rig.name):
            self._about = model.id, rig.name
            self._side.verticalScrollBar().setValue(0)
        headline, reason = answer(plan, self.state.model_name, rig)
        self._answer.setText(headline)
        if self.state.choice is not None:
            self._answered = self.state.choice.model, rig.name
        self._reason.setText(reason)
        self._show_way_out()
        self._every.setVisible(model.source == "gguf" and model.hp is not None)
        self.matrix.mark()
        self.matrix.plan_made()
        # Each card is half a frame.
        self.in_turns(
            self._show_memory, self._show_speed, self._show_places, self._show_run, self._show_notes
        )

    def _hide_plan(self) -> None:
        for part in (self.plan, self.places, self.run, self.notes):
            part.hide()
        if self.has("speed"):
            self.speed.hide()

    # By the time of a part's turn another rig may be asked about, whose plan comes later.

    def _show_memory(self) -> None:
        plan, model, rig = self.state.present_plan, self.state.model, self.state.rig_to_probe
        rig = rig or self.state.rig
        if plan is not None and model is not None and rig is not None:
            self.plan.show_plan(plan, model, rig)
            self.plan.show()

    def _show_speed(self) -> None:
        plan, model, rig = self.state.present_plan, self.state.model, self.state.rig
        if plan is not None and model is not None and rig is not None:
            self.speed.show_plan(plan, model, rig, self.state.session.probes)
            self.speed.show()

    def _show_places(self) -> None:
        plan, model, rig = self.state.present_plan, self.state.model, self.state.rig
        if plan is not None and model is not None and rig is not None:
            self.places.show_plan(plan, model, rig, self.state.session.probes)

    def _show_run(self) -> None:
        if (plan := self.state.present_plan) is not None:
            self.run.show_plan(plan)
            self.run.show()

    def _show_notes(self) -> None:
        plan, model = self.state.present_plan, self.state.model
        if plan is not None and model is not None:
            self.notes.show_plan(plan, model)

    def _show_way_out(self) -> None:
        """For a cell that does not fit: the nearest that does."""
        plan, matrix, rig = self.state.present_plan, self.matrix.found, self.state.rig
        if plan is None or matrix is None or rig is None or plan.verdict not in {"no", "offload"}:
            return
        self._reason.setText(way_out(matrix, plan, rig))

    def _ask_for_more(self) -> None:
        there = self.matrix.next_too_big()
        if there is not None:
            self.matrix.choose(*there)
            self._side.verticalScrollBar().setValue(0)

    def _go_probe(self) -> None:
        self.state.show_page("probe")

    def _choose(self) -> None:
        self.state.model_wanted.emit()


_LEFT = Qt.AlignmentFlag.AlignLeft
