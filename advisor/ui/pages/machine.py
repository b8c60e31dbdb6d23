"""Machine: what can it run, what is in it, what is wrong with it, and what if it were another."""

import functools
from dataclasses import dataclass, field

from PySide6.QtCore import QElapsedTimer, QTimer
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QWidget

from advisor.advice.capability import Capability
from advisor.advice.picks import Pick
from advisor.hardware.rig import Rig
from advisor.sizing.settings import RunSettings
from advisor.ui import curtain, design, paced, pauses, services
from advisor.ui.focus import ReadingOrder
from advisor.ui.jobs import Job, run_task
from advisor.ui.page import Page, scrolling
from advisor.ui.pages.machine_answer import AnswerCard
from advisor.ui.pages.machine_closing import Closing
from advisor.ui.pages.machine_edits import MachineEdits
from advisor.ui.pages.machine_live import LiveReadings
from advisor.ui.pages.machine_models import Listed, ModelsCard, listed
from advisor.ui.pages.machine_parts import Parts
from advisor.ui.pages.machine_what_if import WhatIfCard
from advisor.ui.state import AppState
from advisor.ui.widgets.basics import Banner, column

ALL = 1000
"""Stretch of the list of models: all the room that is left, once it is made."""
SOON_MS = 300
"""What takes longer is shown as it comes."""
_LOOKED = "looked"
"""That a first look at everything is done; file types are chosen after it."""


@dataclass(eq=False)
class _Look:
    """What the rig runs, on a thread: what is found so far, and more for whoever waits."""

    rig: Rig
    settings: RunSettings
    probes: services.Probes
    least_tps: float
    so_far: list[Listed] = field(default_factory=list[Listed])

    def work(self, job: Job) -> Listed:
        told = False

        def cancelled() -> bool:
            if told:
                # What is there to read can wait for a probe; the rest takes seconds of a core.
                paced.rest(lambda: job.cancelled)
            return job.cancelled

        def arrived(share: float, found: Capability) -> None:
            self.so_far.append(listed(found))
            job.report(share)

        def looked(found: Capability) -> None:
            nonlocal told
            told = True
            self.so_far.append(listed(found))
            job.report(1.0, _LOOKED)

        found = services.what_runs(
            self.rig,
            self.settings,
            self.probes,
            self.least_tps,
            cancelled=cancelled,
            arrived=arrived,
            looked=looked,
        )
        return listed(found)


class MachinePage(Page):
    """The answer first, then the parts, the doctor, and the what-if line.

    What is below the answer is made in turns of the event loop after it, or when it is asked for.
    """

    def __init__(self, state: AppState) -> None:
        super().__init__(state)
        self.title = self.tr("Machine")
        self._capability_job: Job | None = None
        self._lost: set[int] = set()
        """Devices that stopped answering while somebody looked."""
        self._stale = True
        """The answer does not belong to the rig and context in question yet."""
        self._answer: Listed | None = None
        """What is to be shown."""
        self._last = False
        """Whether a better answer will not come."""
        self.banner = Banner(above=design.GAP)
        self.edits = MachineEdits(self, state, self.banner)
        content = QWidget()
        ReadingOrder(content)
        above = column(self.banner)
        above.setContentsMargins(18, 0, 22, 0)  # as wide as the cards
        layout = column(above, scrolling(content), spacing=0)
        layout.setStretch(1, 1)
        self.setLayout(layout)
        self._below = [column(), column(), column()]
        inner = column(spacing=design.GAP)
        inner.setContentsMargins(18, 16, 12, 16)
        content.setLayout(inner)
        self.answer = AnswerCard(state, self._look_at)
        inner.addWidget(self.answer)
        for place in self._below:
            inner.addLayout(place)
        inner.setStretch(3, ALL)
        inner.addStretch(1)
        self._live = LiveReadings(self._show_live, self)
        self._closing = Closing(self, self._in_sight)
        self._closing.planned.connect(lambda found: self._have(found, last=True))
        self._soon = QTimer(self, singleShot=True, interval=30)
        self._soon.timeout.connect(self._find_capability)
        self.make_in_turns("parts", "what_if", "models")
        state.rig_changed.connect(lambda: self.when_seen(self._show_rig))
        for changed in (state.settings_changed, state.usage_changed, state.results_changed):
            changed.connect(self._soon.start)
        self._show_rig()

    @functools.cached_property
    def parts(self) -> Parts:
        """Devices, hosts and the doctor."""
        made = Parts(self.state, self.edits)
        self._below[0].addLayout(made)
        self.edits.measuring.connect(lambda busy: made.host.set_measuring(busy=busy))
        made.set_room(self.width())
        return made

    @functools.cached_property
    def what_if(self) -> WhatIfCard:
        """A rig in words."""
        made = WhatIfCard(self.state, self.edits.change, self.edits.complain)
        self._below[1].addWidget(made)
        return made

    @functools.cached_property
    def models(self) -> ModelsCard:
        """All that it can run."""
        made = ModelsCard(self.state)
        self._below[2].addWidget(made)
        return made

    def shown(self) -> None:
        """Sensors are read, and the catalogue is sized, while somebody looks."""
        self._live.watch(self.state.rig if self.state.here else None)
        if self._stale:
            self._soon.start()
        else:
            self._closing.go_on()

    def hidden(self) -> None:
        """Nobody looks: leave the processor to the page that is on screen."""
        self._live.stop()
        self._closing.stop()
        if self._capability_job is not None:
            self._capability_job.cancel()

    def closing(self) -> None:
        """End the monitor."""
        self._live.stop()

    def asked(self, request: str) -> None:
        """The header's rig menu."""
        if request == "compose":
            self.what_if.compose()
        elif request == "open":
            self.what_if.open()

    # answer

    def _find_capability(self) -> None:
        self._stale, self._last = True, False
        rig, settings = self.state.rig, self.state.settings
        if rig is None or not self.isVisible():
            return
        if self._capability_job is not None:
            self._capability_job.cancel()
        self._closing.stop()
        probes, least_tps = self.state.session.probes, self.state.usage.min_decode_tps
        look = _Look(rig, settings, probes, least_tps)
        clock = QElapsedTimer()
        clock.start()

        def progressed(share: float, said: str) -> None:
            if job.cancelled:
                return
            if said == _LOOKED:
                self._have(look.so_far[-1], last=False)
            elif clock.elapsed() > SOON_MS:
                # What comes at once needs no list that grows.
                self._show_so_far(share, look.so_far[-1])

        def settled(found: Listed) -> None:
            self._have(found, last=True)
            self._closing.begin(found.found, services.closer(rig, settings, probes, least_tps))

        job = self._capability_job = run_task(
            look.work,
            on_result=settled,
            on_progress=progressed,
            on_error=self.edits.complain,
            owner=self,
        )

    def _show_so_far(self, share: float, found: Listed) -> None:
        rig = self.state.rig
        if rig is not None:
            curtain.hold_over(self)
            self.answer.show_progress(share)
            self.models.show_models(found, on_devices=bool(rig.devices))

    def _have(self, answer: Listed, *, last: bool) -> None:
        """Each half of it is half a frame."""
        pauses.keep_caches()
        self._answer, self._last = answer, last
        self.in_turns(self._show_answer, self._show_list)

    def _show_answer(self) -> None:
        rig, answer = self.state.rig, self._answer
        if rig is not None and answer is not None:
            self.answer.show_answer(answer.found, rig)
            self.parts.host.offer_measuring(offered=not self.answer.offers_measuring)

    def _show_list(self) -> None:
        rig, answer = self.state.rig, self._answer
        if rig is not None and answer is not None:
            self._stale = not self._last
            self.models.show_models(answer, on_devices=bool(rig.devices))

    def _in_sight(self) -> list[Pick]:
        return self.models.in_sight() if self.has("models") else []

    def _look_at(self, pick: Pick) -> None:
        self.state.take(pick)
        self.state.show_page("fit")

    # parts

    def _show_rig(self) -> None:
        rig = self.state.rig
        if rig is None:
            return
        self._closing.stop()
        self.answer.show_rig(rig)
        if self._capability_job is None:
            self.answer.headline.setText(self.tr("Sizing the catalogue…"))
        self._lost.clear()
        self.parts.show_rig(rig)
        self.parts.host.offer_measuring(offered=not self.answer.offers_measuring)
        self._soon.start()
        if self.isVisible():
            self._live.watch(rig if self.state.here else None)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 - Qt's name
        """More cards side by side where there is room."""
        super().resizeEvent(event)
        if self.has("parts"):
            self.parts.set_room(self.width())

    def _show_live(self, live: LiveReadings) -> None:
        rig = self.state.rig
        if rig is None or not self.state.here:
            return
        for index, device in enumerate(rig.devices):
            sample = live.device(index)
            if sample is not None:
                self._tell_lost(index, device.name, lost=sample.lost)
        self.parts.show_live(live)

    def _tell_lost(self, index: int, name: str, *, lost: bool) -> None:
        """Once when a device falls silent; the sentence goes when it answers again."""
        if lost == (index in self._lost):
            return
        if lost:
            self._lost.add(index)
            self.banner.say(
                self.tr(
                    "{name} no longer answers. Restart the computer; if it happens again, look at "
                    "the card's power cable, its slot and its temperature."
                ).format(name=name)
            )
        else:
            self._lost.discard(index)
            if not self._lost:
                self.banner.dismiss()
