"""Machine: what can it run, what is in it, what is wrong with it, and what if it were another."""

from PySide6.QtCore import QElapsedTimer, Qt, QTimer
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QGridLayout, QInputDialog, QWidget

from advisor import units
from advisor.advice.capability import Capability
from advisor.advice.picks import Pick
from advisor.errors import RigAdvisorError
from advisor.hardware.bandwidth import RamBandwidth
from advisor.hardware.rig import Rig
from advisor.ui import design, pauses, services
from advisor.ui.jobs import Job, run_task
from advisor.ui.page import Page, scrolling
from advisor.ui.pages.machine_cards import MANY, DeviceCard
from advisor.ui.pages.machine_doctor import DoctorCard
from advisor.ui.pages.machine_facts import FactsDialog
from advisor.ui.pages.machine_host import HostCard, between_text
from advisor.ui.pages.machine_live import LiveReadings
from advisor.ui.pages.machine_models import ModelsCard
from advisor.ui.pages.machine_what_if import WhatIfCard
from advisor.ui.state import AppState
from advisor.ui.texts import capability_text, rig_in_short, rig_name
from advisor.ui.widgets.basics import (
    Banner,
    Card,
    Chip,
    Elided,
    Flow,
    button,
    clear,
    column,
    row,
    text,
)

SUGGESTED = 5
SOON_MS = 300
"""What takes longer is shown as it comes."""
WIDE = 1400
"""Page width in px from which three cards stand side by side."""
MOST_COLUMNS = 4
"""Of the small cards of many devices."""


class MachinePage(Page):
    """The answer first, then the parts, the doctor, and the what-if line."""

    def __init__(self, state: AppState) -> None:
        super().__init__(state)
        self.title = self.tr("Machine")
        self._capability_job: Job | None = None
        self._devices: list[DeviceCard] = []
        self._columns = 0
        self._lost: set[int] = set()
        """Devices that stopped answering while somebody looked."""
        self._stale = True
        """The answer does not belong to the rig and context in question yet."""
        self.banner = Banner()
        self._answer = self._answer_card()
        self._grid = QGridLayout()
        self._grid.setSpacing(design.GAP)
        self._hosts: list[HostCard] = []
        self.host = self._host_card(0)
        """The machine that runs llama.cpp."""
        self.doctor = DoctorCard(state, self._read_again)
        content = QWidget()
        self.models = ModelsCard(state)
        self.what_if = WhatIfCard(state, self._change, self._complain)
        inner = column(self._answer, self._grid, self.what_if, self.models, spacing=design.GAP)
        inner.setStretch(3, 1)
        inner.setContentsMargins(18, 16, 12, 16)
        content.setLayout(inner)
        above = column(self.banner)
        above.setContentsMargins(18, 0, 12, 0)
        layout = column(above, scrolling(content), spacing=0)
        layout.setStretch(1, 1)
        self.setLayout(layout)
        self._live = LiveReadings(self._show_live, self)
        self._soon = QTimer(self, singleShot=True, interval=30)
        self._soon.timeout.connect(self._find_capability)
        self._grow = QTimer(self, singleShot=True, interval=0)
        """Cards of many devices come one by one: making one takes half a frame."""
        self._grow.timeout.connect(self._next_card)
        state.rig_changed.connect(self._show_rig)
        for changed in (state.settings_changed, state.usage_changed, state.results_changed):
            changed.connect(self._soon.start)
        self._show_rig()

    def shown(self) -> None:
        """Sensors are read, and the catalogue is sized, while somebody looks."""
        self._live.watch(self.state.rig if self.state.here else None)
        if self._stale:
            self._soon.start()

    def hidden(self) -> None:
        """Nobody looks: leave the processor to the page that is on screen."""
        self._live.stop()
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

    def _answer_card(self) -> Card:
        card = Card()
        self._caption = text(self.tr("What this machine can run"), "muted")
        self._imagined = Chip(self.tr("imagined"), "accent")
        self._name = Elided("", "strong")
        self._back = button(self.tr("Back to this machine"), role="link")
        self._back.clicked.connect(lambda: self.state.set_rig(None))
        self._headline = text("", "headline", wrap=True)
        self._suggested = Flow(spacing=4)
        line = row(self._caption, self._imagined, self._name, self._back)
        line.setStretch(2, 1)
        card.body.addLayout(line)
        card.body.addWidget(self._headline)
        look = self._look = text(self.tr("Look at"), "muted")
        look.hide()
        look.setContentsMargins(0, 2, 0, 0)
        line = row(look, self._suggested, spacing=4)
        line.setAlignment(look, Qt.AlignmentFlag.AlignTop)
        line.setStretch(1, 1)
        card.body.addLayout(line)
        return card

    def _find_capability(self) -> None:
        self._stale = True
        rig, settings = self.state.rig, self.state.settings
        if rig is None or not self.isVisible():
            return
        if self._capability_job is not None:
            self._capability_job.cancel()
        probes, least_tps = self.state.session.probes, self.state.usage.min_decode_tps
        so_far: list[Capability] = []
        clock = QElapsedTimer()
        clock.start()

        def work(job: Job) -> Capability:
            def arrived(share: float, found: Capability) -> None:
                so_far.append(found)
                job.report(share)

            return services.what_runs(
                rig,
                settings,
                probes,
                least_tps,
                cancelled=lambda: job.cancelled,
                arrived=arrived,
            )

        def progressed(share: float, _text: str) -> None:
            # What comes at once needs no list that grows.
            if not job.cancelled and clock.elapsed() > SOON_MS:
                self._show_so_far(share, so_far[-1])

        job = self._capability_job = run_task(
            work,
            on_result=self._show_capability,
            on_progress=progressed,
            on_error=self._complain,
            owner=self,
        )

    def _show_so_far(self, share: float, found: Capability) -> None:
        rig = self.state.rig
        if rig is not None:
            words = self.tr("Sizing the catalogue: {share} % done")
            self._headline.setText(words.format(share=round(100 * share)))
            self.models.show_models(found, on_devices=bool(rig.devices))

    def _show_capability(self, found: Capability) -> None:
        rig = self.state.rig
        if rig is None:
            return
        self._stale = False
        pauses.keep_caches()
        self._headline.setText(capability_text(found, on_devices=bool(rig.devices)))
        clear(self._suggested)
        for pick in found.suggestions(SUGGESTED):
            self._suggested.addWidget(self._suggestion(pick))
        self._look.setVisible(self._suggested.count() > 0)
        self.models.show_models(found, on_devices=bool(rig.devices))

    def _suggestion(self, pick: Pick) -> QWidget:
        name, cell = pick.entry.name, pick.cell
        label = self.tr("{name} {file_type}").format(name=name, file_type=cell.file_type)
        if cell.decode is not None:
            label = f"{label}, {units.rate(cell.decode.mid)}"

        def show() -> None:
            self.state.choose_model(pick.entry.id, cell.file_type)
            self.state.show_page("fit")

        return button(
            label, show, "link", tip=self.tr("Show what fits of {name}").format(name=name)
        )

    # parts

    def _show_rig(self) -> None:
        rig = self.state.rig
        if rig is None:
            return
        here = self.state.here
        self._imagined.setVisible(not here)
        self._imagined.setText(self.tr("imagined") if rig.imagined else self.tr("recorded"))
        self._back.setVisible(not here)
        self._name.say("" if here else rig_name(self.state) or rig_in_short(rig))
        self._caption.setText(
            self.tr("What this machine can run") if here else self.tr("What this rig could run")
        )
        if not self._headline.text():
            self._headline.setText(self.tr("Sizing the catalogue…"))
        self._lay_out(rig)
        self._lost.clear()
        for index in range(min(len(self._devices), len(rig.devices))):
            self._fill_card(index, rig)
        for index, host in enumerate(rig.hosts):
            card = self._hosts[index]
            card.show_place(index, rig.link_to(index), several=len(rig.hosts) > 1)
            card.show_between(between_text(rig, index))
            card.show_host(host, imagined=rig.imagined, live=here)
        self.doctor.examine(rig)
        self._soon.start()
        if self.isVisible():
            self._live.watch(rig if here else None)

    def _host_card(self, index: int) -> HostCard:
        card = HostCard()
        card.connect_edits(
            lambda: self._host_facts(index), self._measure, lambda: self._without_machine(index)
        )
        self._hosts.append(card)
        return card

    def _fill_card(self, index: int, rig: Rig) -> None:
        self._devices[index].show_device(
            rig.devices[index],
            imagined=rig.imagined,
            live=self.state.here,
            among=(index + 1, len(rig.devices)),
        )

    def _device_card(self) -> None:
        card = DeviceCard()
        index = len(self._devices)
        card.connect_edits(
            lambda: self._device_facts(index),
            lambda: self._swap(index),
            lambda: self._without(index),
        )
        self._devices.append(card)

    def _next_card(self) -> None:
        rig = self.state.rig
        if rig is None or len(self._devices) >= len(rig.devices):
            return
        self._device_card()
        self._fill_card(len(self._devices) - 1, rig)
        self._place_again(rig)
        self._devices[-1].show()
        if len(self._devices) < len(rig.devices):
            self._grow.start()

    def _place_again(self, rig: Rig) -> None:
        while self._grid.count():
            self._grid.takeAt(0)
        self._place_cards(rig, self._columns)

    def _lay_out(self, rig: Rig) -> None:
        count = len(rig.devices)
        if count and not self._devices:
            self._device_card()
        if len(self._devices) < count:
            self._grow.start()
        while len(self._hosts) < len(rig.hosts):
            self._host_card(len(self._hosts))
        self._columns = self._wanted_columns(rig)
        self._place_again(rig)
        for col in range(MOST_COLUMNS):
            self._grid.setColumnStretch(col, int(col < self._columns))
        for host, shown in enumerate(self._hosts):
            shown.setVisible(host < len(rig.hosts))
        for card in self._devices[count:]:
            card.hide()
        for card in self._devices[:count]:
            card.show()

    def _place_cards(self, rig: Rig, columns: int) -> None:
        """Machine by machine, each from a new line, its last card and the doctor to the edge."""
        line = at = 0
        several = len(rig.hosts) > 1
        wide = 2 if columns == MOST_COLUMNS and not several else 1
        for host, card in enumerate(self._hosts[: len(rig.hosts)]):
            # llama.cpp lists far devices first; people do not.
            cards: list[tuple[QWidget, int]] = [
                (self._devices[index], 1)
                for index, device in enumerate(rig.devices[: len(self._devices)])
                if device.host_index == host
            ]
            cards.insert(0 if several else len(cards), (card, wide))
            for place, (shown, width) in enumerate(cards):
                if at + width > columns:
                    line, at = line + 1, 0
                last = several and place == len(cards) - 1
                span = columns - at if last else width
                self._grid.addWidget(shown, line, at, 1, span)
                at += span
            if several:
                line, at = line + 1, 0
        if at >= columns:
            line, at = line + 1, 0
        self._grid.addWidget(self.doctor, line, at, 1, columns - at)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 - Qt's name
        """Three cards side by side where there is room."""
        super().resizeEvent(event)
        rig = self.state.rig
        if rig is not None and self._wanted_columns(rig) != self._columns:
            self._lay_out(rig)

    def _wanted_columns(self, rig: Rig) -> int:
        wide, devices = self.width() >= WIDE, len(rig.devices)
        if len(rig.hosts) > 1:
            return MOST_COLUMNS if wide else 3
        if devices > MANY:
            return MOST_COLUMNS
        return 3 if wide and devices >= 2 else 2

    def _show_live(self, live: LiveReadings) -> None:
        rig = self.state.rig
        if rig is None or not self.state.here:
            return
        for index, (card, device) in enumerate(zip(self._devices, rig.devices, strict=False)):
            sample = live.device(index)
            if sample is not None:
                self._tell_lost(index, device.name, lost=sample.lost)
                card.show_live(sample, device)
                card.show_history(live.device_history(index), device)
        host, total = live.host, rig.host.ram_total
        if host is not None and host.used is not None and total is not None:
            self.host.show_used(host.used, total, basis=services.MEASURED)
            self.host.show_history(live.host_history(), total)

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

    def _read_again(self) -> None:
        """Drivers and cables change while the window is open."""
        run_task(
            lambda _job: services.detect(),
            on_result=self._read,
            on_error=self._complain,
            owner=self,
        )

    def _read(self, rig: Rig) -> None:
        self.banner.dismiss()
        self.state.set_detected(rig)
        self.state.noticed.emit(self.tr("The machine was read again"))

    def _host_facts(self, index: int) -> None:
        rig = self.state.rig
        if rig is not None and index < len(rig.hosts):
            title = self._hosts[index].title.text()
            self._open_facts(FactsDialog(self, rig.hosts[index], title))

    def _device_facts(self, index: int) -> None:
        rig = self.state.rig
        if rig is None or index >= len(rig.devices):
            return
        device = rig.devices[index]

        def correct(memory: int | None, bandwidth: float | None) -> None:
            try:
                own = rig if self.state.here else rig.model_copy(update={"imagined": True})
                changed = services.corrected(own, index, memory, bandwidth)
            except RigAdvisorError as error:
                self._complain(error)
                return
            if self.state.here:
                self.state.set_detected(changed)
            else:
                self.state.set_rig(changed)

        def forget() -> None:
            run_task(
                lambda _job: services.forget_correction(device),
                on_result=self._read,
                on_error=self._complain,
                owner=self,
            )

        undo = forget if self.state.here else None
        self._open_facts(FactsDialog(self, device, device.name, correct=correct, forget=undo))

    def _open_facts(self, dialog: FactsDialog) -> None:
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    def _measure(self) -> None:
        rig = self.state.rig
        if rig is None:
            return
        self.host.set_measuring(busy=True)

        def done(result: RamBandwidth) -> None:
            self.host.set_measuring(busy=False)
            detected = self.state.detected
            if detected is not None:
                self.state.set_detected(services.with_bandwidth(detected, result))

        run_task(
            lambda _job: services.measure_ram(rig),
            on_result=done,
            on_error=self._complain,
            owner=self,
        )

    # what if

    def _without_machine(self, index: int) -> None:
        rig = self.state.rig
        if rig is not None:
            self._change(lambda: services.without_machine(rig, index))

    def _without(self, index: int) -> None:
        rig = self.state.rig
        if rig is not None:
            self._change(lambda: services.without(rig, index))

    def _swap(self, index: int) -> None:
        rig = self.state.rig
        if rig is None:
            return
        dialog = QInputDialog(self)
        dialog.setWindowTitle(self.tr("What if it were another?"))
        dialog.setLabelText(
            self.tr("Instead of {name}, for example RTX 5090").format(name=rig.devices[index].name)
        )
        dialog.textValueSelected.connect(
            lambda words: self._change(lambda: services.with_swapped(rig, index, words))
        )
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    def _change(self, make: "services.RigMaker") -> None:
        try:
            rig = make()
        except RigAdvisorError as error:
            self._complain(error)
            return
        self.banner.dismiss()
        self.state.set_rig(rig)

    def _complain(self, error: RigAdvisorError) -> None:
        self.host.set_measuring(busy=False)
        self.banner.say(str(error), "bad")
