"""Probe: run llama.cpp for real and watch its memory against the prediction."""

import functools
import time

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QVBoxLayout, QWidget

from advisor import units
from advisor.probe import program
from advisor.probe.preflight import Objection
from advisor.probe.prepare import Prepared
from advisor.probe.question import Measured, Noticed, PhaseStarted, ProbeEvent
from advisor.probe.result import ProbeResult
from advisor.sizing.plan import Plan
from advisor.ui import design
from advisor.ui.missing import tell_problem
from advisor.ui.page import Page, scrolling
from advisor.ui.pages.probe_cards import SpeedsCard, WatchCard
from advisor.ui.pages.probe_engine import EngineLine
from advisor.ui.pages.probe_head import ProbeHead
from advisor.ui.pages.probe_history import ProbeHistory
from advisor.ui.pages.probe_memory import MemoryCard
from advisor.ui.pages.probe_plots import Plots
from advisor.ui.probe_controller import ProbeController
from advisor.ui.state import AppState
from advisor.ui.widgets.basics import (
    Banner,
    BigNumber,
    Card,
    EmptyState,
    column,
    row,
    text,
)

SIDE_WIDTH = 360
FRAME_MS = 50
HOST_FRAME_MS = 200
"""Where the CPU computes, every frame takes from what is being measured."""
WORDS_S = 0.5
"""Numbers change no faster than they can be read."""


class ProbePage(Page):
    """The plot at the left, what it says in numbers at the right."""

    def __init__(self, state: AppState) -> None:
        super().__init__(state)
        self.title = self.tr("Probe")
        self.controller = ProbeController(self)
        self._seen = 0
        self._lowest: float | None = None
        self._told = 0.0
        """When the numbers were last written, on time.monotonic()."""
        self._asked: object = None
        """What the page shows an answer to: the same question again changes nothing."""
        self._ready: Prepared | None = None
        self._objected = ""
        """What the banner last said against a run."""
        self._wanted_at_once = False
        self.banner = Banner()
        self.head = ProbeHead()
        self._empty = EmptyState(
            self.tr("Try it before you download it"),
            self.tr(
                "A probe runs llama.cpp on this machine with the model's true shapes and empty "
                "weights, and draws its memory over what was predicted."
            ),
            self.tr("Choose a model"),
            state.model_wanted.emit,
        )
        self._content = QWidget()
        self._content.setLayout(self._layout_content())
        layout = column(self.banner, self._empty, self._content, spacing=design.GAP)
        layout.setStretch(2, 1)
        layout.setContentsMargins(18, 16, 18, 16)
        self.setLayout(layout)
        self._frames = QTimer(self, interval=FRAME_MS)
        self._frames.timeout.connect(self._frame)
        self._soon = QTimer(self, singleShot=True, interval=60)
        self._soon.timeout.connect(self._prepare)
        self._connect()
        self.history.refresh()
        self._soon.start()

    def _connect(self) -> None:
        controller, state = self.controller, self.state
        state.plan_changed.connect(self._soon.start)
        state.rig_changed.connect(self._soon.start)
        state.model_changed.connect(self._soon.start)
        controller.prepared.connect(self._have_prepared)
        controller.refused.connect(self._refused)
        controller.started.connect(self._started)
        controller.happened.connect(self._happened)
        controller.finished.connect(self._finished)
        controller.failed.connect(self._failed)
        self.engine.chosen.connect(self._use_engine)
        self.engine.look_again.connect(self._look_again)
        self.engine.failed.connect(self._failed)
        self.head.start_wanted.connect(self.start)
        self.head.stop_wanted.connect(controller.stop)
        self.head.method_chosen.connect(self._ask_again)
        self.history.wanted.connect(self._show_past)
        self.history.laid_over.connect(self.plots.compare)
        self.history.noticed.connect(state.noticed)
        self.history.failed.connect(self.banner.say)
        self.history.deleted.connect(self._deleted)
        self.history.use_wanted.connect(state.add_result)
        self.history.leave_wanted.connect(state.forget_results)
        state.results_changed.connect(self._used_changed)
        state.session_replaced.connect(self._used_changed)
        self._used_changed()
        controller.kept.connect(self.history.refresh)
        controller.not_kept.connect(self._not_kept)

    # layout

    def _layout_content(self) -> QVBoxLayout:
        self.plots = Plots()
        self._legend = text(
            self.tr(
                "Bands: predicted before the run. Line: measured. While loading, RAM also counts "
                "pages of the model's file that are given back afterwards."
            ),
            "small",
            wrap=True,
        )
        self.engine = EngineLine()
        card = Card()
        card.body.addWidget(self.head)
        card.body.addWidget(self.plots, 1)
        card.body.addWidget(self._legend)
        card.body.addWidget(self.engine)
        run = QWidget()
        run.setLayout(column(card))
        self.headroom = BigNumber(self.tr("Headroom"))
        number = Card()
        number.body.addWidget(self.headroom)
        self.memory = MemoryCard()
        self.speeds = SpeedsCard()
        self.watch = WatchCard()
        self.history = ProbeHistory(self, lambda: self.state.session.probes)
        side = QWidget()
        stacked = column(
            number,
            self.history.compared,
            self.speeds,
            self.memory,
            self.watch,
            self.history.card,
            None,
            spacing=design.GAP,
        )
        stacked.setContentsMargins(0, 0, 10, 0)
        side.setLayout(stacked)
        area = scrolling(side)
        area.setFixedWidth(SIDE_WIDTH)
        # Many devices, or a banner of many words, leave a small window too little for all of it.
        columns = row(scrolling(run), area, spacing=design.GAP)
        columns.setStretch(0, 1)
        return column(columns)

    # life

    def shown(self) -> None:
        """Frames are drawn while someone looks."""
        if self.controller.running:
            self._frames.start()

    def hidden(self) -> None:
        """The probe goes on; nothing is drawn."""
        self._frames.stop()

    def closing(self) -> None:
        """No child may be left."""
        self._frames.stop()
        self.controller.close()

    # before

    def _prepare(self) -> None:
        state = self.state
        ready = state.model is not None and state.rig is not None
        self._empty.setVisible(state.choice is None)
        # What was predicted for the model before says nothing about one that cannot be read.
        unread = bool(state.problem) and state.model is None and not self.controller.running
        self._content.setVisible(state.choice is not None and not unread)
        self.head.run_button.setEnabled(ready)
        if state.problem:
            tell_problem(self.banner, state, self)
        rig = state.rig_to_probe
        if not ready or self.controller.running or state.model is None or rig is None:
            return
        if self._wanted_at_once:
            self._wanted_at_once = False
            self.start()
            return
        if self._question() == self._asked:
            return
        self.controller.prepare(
            state.model,
            rig,
            state.session.settings,
            seconds=self.head.seconds,
            method=self.head.method,
            probes=state.session.probes,
        )

    def _ask_again(self) -> None:
        """Another llama.cpp, or another way to measure: another question."""
        self._asked = None
        self._soon.start()

    def _use_engine(self, path: str) -> None:
        self.controller.wanted = path
        self._ask_again()

    def _look_again(self) -> None:
        self.controller.forget_builds()
        self.banner.dismiss()
        self._ask_again()

    def _question(self) -> object:
        state = self.state
        return (state.choice, state.settings, state.rig, state.model is not None)

    def _have_prepared(self, ready: Prepared) -> None:
        build = ready.choice.build
        if not ready.question.rig.imagined and not build.problem:
            self.state.set_engine(build.version)
        if not self.controller.running:
            self._ready, self._asked = ready, self._question()
            self.when_seen(self._show_prepared)

    def _show_prepared(self) -> None:
        ready = self._ready
        if ready is None:
            return
        question, plan = ready.question, ready.question.plan
        self.head.show_question(question)
        self.history.set_shown(None)
        self.engine.show_choice(ready.choice, ready.builds)
        self.head.offer_bench(offered=ready.choice.build.has_bench)
        self.speeds.begin()
        self.watch.begin(running=False)
        if plan is not None:
            self.in_turns(self._show_bands, self._show_memory, self._show_speeds)
        # What was objected to another rig or model says nothing about this one.
        if self.banner.sentence == self._objected:
            self.banner.dismiss()
        if ready.objections and not self.banner.sentence:
            self._object(ready.objections)

    def _object(self, objections: tuple[Objection, ...]) -> None:
        """Say them all, with what can be done about the first that cannot be overridden."""
        sentence = self._objected = " ".join(o.sentence for o in objections)
        remedy = next((o.remedy for o in objections if not o.overridable), "anyway")
        action, do = {
            "this-machine": (self.tr("This machine"), self._use_this_machine),
            "look-again": (self.tr("Look again"), self._look_again),
            "": (self.tr("Back to Fit"), functools.partial(self.state.show_page, "fit")),
        }.get(remedy, (self.tr("Run anyway"), self._run_anyway))
        self.banner.say(sentence, "tight", action=action, on_action=do)

    def _use_this_machine(self) -> None:
        self.state.set_rig(None)

    def _predicted(self) -> tuple[Plan, int | None] | None:
        """The plan of what is in question, and what its program holds itself (bytes)."""
        question = None if self._ready is None else self._ready.question
        if question is None or question.plan is None:
            return None
        return question.plan, program.expected(question.build, question.model)

    def _show_bands(self) -> None:
        if (known := self._predicted()) is not None:
            plan, own = known
            self.plots.show_plan(plan, self.head.seconds, own)

    def _show_memory(self) -> None:
        if (known := self._predicted()) is not None:
            plan, own = known
            self.memory.show_plan(plan, own)

    def _show_speeds(self) -> None:
        known, ready = self._predicted(), self._ready
        if known is None or ready is None:
            return
        plan, _own = known
        ghost = ready.question.ghost
        self.speeds.show_plan(plan, served=self.head.method == "server", ghost=ghost)
        left = plan.tightest
        # The machine was read when the window opened; a probe asks again what is free.
        here = self.state.here
        words = self.tr("predicted, of what is free now") if here else self.tr("predicted")
        self.headroom.show_value(units.size(left), words, _tone(left))

    # run

    def start(self, *, anyway: bool = False) -> None:
        """Run what is in question now."""
        state, rig = self.state, self.state.rig_to_probe
        if state.model is None or rig is None:
            self._wanted_at_once = state.choice is not None
            return
        self.banner.dismiss()
        self.head.run_button.setEnabled(False)
        self.controller.prepare(
            state.model,
            rig,
            state.session.settings,
            seconds=self.head.seconds,
            method=self.head.method,
            run=True,
            anyway=anyway,
            probes=state.session.probes,
        )

    def _run_anyway(self) -> None:
        self.start(anyway=True)

    def _refused(self, objections: tuple[Objection, ...]) -> None:
        self.head.run_button.setEnabled(True)
        self._object(objections)

    def _failed(self, sentence: str) -> None:
        self.head.run_button.setEnabled(self.state.model is not None)
        self.banner.say(sentence)

    def _started(self) -> None:
        self.catch_up()
        self._seen, self._lowest, self._told = 0, None, 0.0
        self.history.set_shown(None)
        self.engine.setEnabled(False)
        self.head.begin()
        self.plots.begin()
        self.speeds.begin()
        self.watch.begin()
        last = self.controller.last
        on_cpu = last is not None and not last.question.rig.devices
        self._frames.start(HOST_FRAME_MS if on_cpu else FRAME_MS)

    def _happened(self, event: ProbeEvent) -> None:
        if isinstance(event, PhaseStarted):
            self.head.show_phase(event.phase)
            if event.phase.name == "prefill":
                # Until here pages of the file were counted that the system may take back.
                self._lowest = None
            if self.controller.probe is not None:
                self.plots.show_phases(self.controller.probe.phases)
        elif isinstance(event, Measured):
            self.speeds.add(event.point)
        elif isinstance(event, Noticed):
            self.watch.add(event.observation.sentence)
            if self.controller.probe is not None:
                self.plots.show_events(self.controller.probe.observations)

    def _frame(self) -> None:
        fresh = self.controller.since(self._seen)
        if fresh is None or not fresh.times_ms:
            return
        self._seen = fresh.start + len(fresh.times_ms)
        now = time.monotonic()
        words = now - self._told >= WORDS_S
        self.plots.extend(fresh, words=words)
        left = self.plots.headroom
        if left is None:
            return
        self._lowest = left if self._lowest is None else min(self._lowest, left)
        if not words:
            return
        self._told = now
        predicted = self.controller.last.question.plan if self.controller.last else None
        expected = predicted.headroom if predicted is not None else None
        below = self.tr("lowest {low} · predicted {expected}").format(
            low=units.size(int(self._lowest)), expected=units.size(expected)
        )
        self.headroom.show_value(units.size(int(left)), below, _tone(left))

    # after

    def _finished(self, result: ProbeResult) -> None:
        self._frame()
        self._frames.stop()
        self.engine.setEnabled(True)
        self.head.end()
        self.show_result(result)
        if result.ending.state == "failed":
            self.banner.say(result.ending.sentence)
        elif result.ending.state == "done":
            self.state.add_result(result)

    def show_result(self, result: ProbeResult) -> None:
        """Put one probe on screen, the present or a past one."""
        self.history.set_shown(result)
        self.plots.show_result(result)
        self.memory.show_result(result)
        self.speeds.show_result(result)
        self.watch.show_result(result)
        self.head.show_result(result)
        left = self.plots.headroom_of(result)
        words, tone = self.tr("lowest while it worked"), _tone(left)
        if result.ending.state != "done":
            words, tone = self.tr("lowest until it ended"), "plain"
        unknown = self.tr("nothing was measured")
        self.headroom.show_value(units.size(left), unknown if left is None else words, tone)

    def _show_past(self, result: ProbeResult) -> None:
        if not self.controller.running:
            self.show_result(result)

    def _deleted(self, result: ProbeResult) -> None:
        used = any(probe.id == result.id for probe in self.state.session.probes)
        self.state.forget_results(result.id)
        words = self.tr("Deleted the probe of {title}. Nothing is calibrated by it any more.")
        if not used:
            words = self.tr("Deleted the probe of {title}.")

        def undo() -> None:
            self.banner.dismiss()
            self.history.bring_back(result)
            if used:
                self.state.add_result(result)

        sentence = words.format(title=result.title)
        self.banner.say(sentence, "plain", action=self.tr("Undo"), on_action=undo)

    def _used_changed(self) -> None:
        """Other probes calibrate now; what is shown as predicted follows, a result stays."""
        self.history.card.mark_used({probe.id for probe in self.state.session.probes})
        self.history.refresh()
        if not (self.history.shows_result or self.controller.running):
            self._ask_again()

    def _not_kept(self, sentence: str) -> None:
        until = self.tr("It is shown until the window is closed; export it to keep it.")
        self.banner.say(" ".join(s for s in (self.banner.sentence, sentence, until) if s), "bad")


def _tone(headroom: float | None) -> design.Tone:
    return "plain" if headroom is None else "good" if headroom >= 0 else "bad"
