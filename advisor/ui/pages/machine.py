"""Machine: what can it run, what is in it, what is wrong with it, and what if it were another."""

from pathlib import Path

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFileDialog, QGridLayout, QInputDialog, QLineEdit, QWidget

from advisor.advice.capability import Capability, Runs
from advisor.errors import RigAdvisorError
from advisor.hardware.bandwidth import RamBandwidth
from advisor.hardware.rig import Rig
from advisor.ui import design, pauses, services
from advisor.ui.jobs import Job, run_task
from advisor.ui.page import Page, scrolling
from advisor.ui.pages.machine_cards import MANY, DeviceCard, HostCard
from advisor.ui.pages.machine_doctor import DoctorCard
from advisor.ui.pages.machine_live import LiveReadings
from advisor.ui.pages.machine_models import ModelsCard
from advisor.ui.state import AppState
from advisor.ui.texts import capability_text, rig_in_short
from advisor.ui.widgets.basics import Banner, Card, Chip, Flow, button, clear, column, row, text

SUGGESTED = 5
WIDE = 1400
"""Page width in px from which three cards stand side by side."""


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
        self.host = HostCard()
        self.host.connect_measure(self._measure)
        self.doctor = DoctorCard(state)
        content = QWidget()
        self.models = ModelsCard(state)
        inner = column(
            self._answer, self._grid, self._what_if_card(), self.models, spacing=design.GAP
        )
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
        state.rig_changed.connect(self._show_rig)
        state.settings_changed.connect(self._soon.start)
        self._show_rig()

    def shown(self) -> None:
        """Sensors are read, and the catalogue is sized, while somebody looks."""
        self._live.watch(self.state.rig)
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
            self._words.setFocus()
            self._words.selectAll()
        elif request == "open":
            self._open()

    # answer

    def _answer_card(self) -> Card:
        card = Card()
        self._caption = text(self.tr("What this machine can run"), "muted")
        self._imagined = Chip("", "accent")
        self._back = button(self.tr("Back to this machine"), role="link")
        self._back.clicked.connect(lambda: self.state.set_rig(None))
        self._headline = text("", "headline", wrap=True)
        self._suggested = Flow(spacing=4)
        card.body.addLayout(row(self._caption, self._imagined, None, self._back))
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
        self._capability_job = run_task(
            lambda job: services.what_runs(rig, settings, lambda: job.cancelled),
            on_result=self._show_capability,
            on_error=self._complain,
            owner=self,
        )

    def _show_capability(self, found: Capability) -> None:
        rig = self.state.rig
        if rig is None:
            return
        self._stale = False
        pauses.keep_caches()
        self._headline.setText(capability_text(found, on_devices=bool(rig.devices)))
        clear(self._suggested)
        for runs in found.suggestions(SUGGESTED):
            self._suggested.addWidget(self._suggestion(runs))
        self._look.setVisible(self._suggested.count() > 0)
        self.models.show_models(found, on_devices=bool(rig.devices))

    def _suggestion(self, runs: Runs) -> QWidget:
        name, file_type = runs.entry.name, runs.file_type
        label = self.tr("{name} {file_type}").format(name=name, file_type=file_type)

        def show() -> None:
            self.state.choose_model(runs.entry.id, file_type)
            self.state.show_page("fit")

        return button(
            label, show, "link", tip=self.tr("Show what fits of {name}").format(name=name)
        )

    # parts

    def _show_rig(self) -> None:
        rig = self.state.rig
        if rig is None:
            return
        self._imagined.setVisible(rig.imagined)
        self._back.setVisible(rig.imagined)
        self._imagined.show_tone(
            self.tr("imagined: {name}").format(name=rig.name or rig_in_short(rig)), "accent"
        )
        self._caption.setText(
            self.tr("What this rig could run")
            if rig.imagined
            else self.tr("What this machine can run")
        )
        if not self._headline.text():
            self._headline.setText(self.tr("Sizing the catalogue…"))
        self._lay_out(rig)
        live = not rig.imagined
        self._lost.clear()
        for index, card in enumerate(self._devices[: len(rig.devices)]):
            card.show_device(
                rig.devices[index],
                imagined=rig.imagined,
                live=live,
                among=(index + 1, len(rig.devices)),
            )
        self.host.show_host(rig.host, imagined=rig.imagined, live=live)
        self.doctor.examine(rig)
        self._soon.start()
        if self.isVisible():
            self._live.watch(rig)

    def _lay_out(self, rig: Rig) -> None:
        count = len(rig.devices)
        while len(self._devices) < count:
            card = DeviceCard()
            index = len(self._devices)
            card.connect_edits(
                lambda index=index: self._swap(index), lambda index=index: self._without(index)
            )
            self._devices.append(card)
        while self._grid.count():
            self._grid.takeAt(0)
        cards = [*self._devices[:count], self.host]
        columns = self._wanted_columns(count)
        for index, card in enumerate(cards):
            self._grid.addWidget(card, index // columns, index % columns)
        # The doctor takes what is left of the last line, or a line of its own.
        line, place = divmod(len(cards), columns)
        self._grid.addWidget(self.doctor, line, place, 1, columns - place)
        for col in range(4):
            self._grid.setColumnStretch(col, int(col < columns))
        self._columns = columns
        for card in self._devices[count:]:
            card.hide()
        for card in self._devices[:count]:
            card.show()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 - Qt's name
        """Three cards side by side where there is room."""
        super().resizeEvent(event)
        rig = self.state.rig
        if rig is not None and self._wanted_columns(len(rig.devices)) != self._columns:
            self._lay_out(rig)

    def _wanted_columns(self, devices: int) -> int:
        wide = self.width() >= WIDE
        if devices > MANY:
            return 4 if wide else 3
        return 3 if wide and devices >= 2 else 2

    def _show_live(self, live: LiveReadings) -> None:
        rig = self.state.rig
        if rig is None or rig.imagined:
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

    def _what_if_card(self) -> Card:
        card = Card()
        self._words = QLineEdit()
        self._words.setPlaceholderText(self.tr("2x RTX 4090 + 128 GB DDR5-6000"))
        self._words.setAccessibleName(self.tr("What if: a rig in words"))
        self._words.setClearButtonEnabled(True)
        self._words.returnPressed.connect(self._try)
        label = text(self.tr("What if?"), "title")
        label.setBuddy(self._words)
        line = row(
            label,
            self._words,
            button(self.tr("Try this rig"), self._try),
            button(
                self.tr("Add to the rig"),
                self._add,
                tip=self.tr("The rig on screen with these cards added"),
            ),
            button(self.tr("Save rig…"), self._save),
            button(self.tr("Open rig…"), self._open),
            spacing=10,
        )
        line.setStretch(1, 1)
        card.body.addLayout(line)
        return card

    def _try(self) -> None:
        words = self._words.text().strip()
        if words:
            self._change(lambda: services.compose(words))

    def _add(self) -> None:
        words, rig = self._words.text().strip(), self.state.rig
        if words and rig is not None:
            self._change(lambda: services.with_added(rig, words))

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

    def _save(self) -> None:
        rig = self.state.rig
        if rig is None:
            return
        dialog = QFileDialog(self, self.tr("Save the rig"))
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setNameFilter(self.tr("Rigs (*.json)"))
        dialog.setDefaultSuffix("json")
        dialog.fileSelected.connect(
            lambda name: run_task(
                lambda _job: services.save_rig(rig, Path(name)),
                on_result=lambda path: self.state.noticed.emit(
                    self.tr("Saved {name}").format(name=path.name)
                ),
                on_error=self._complain,
                owner=self,
            )
        )
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    def _open(self) -> None:
        dialog = QFileDialog(self, self.tr("Open a rig"))
        dialog.setNameFilter(self.tr("Rigs, or the output of “rig-advisor detect --json” (*.json)"))
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.fileSelected.connect(
            lambda name: run_task(
                lambda _job: services.open_rig(Path(name)),
                on_result=self.state.set_rig,
                on_error=self._complain,
                owner=self,
            )
        )
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    def _complain(self, error: RigAdvisorError) -> None:
        self.host.set_measuring(busy=False)
        self.banner.say(str(error), "bad")
