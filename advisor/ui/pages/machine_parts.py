"""The Machine page's grid: a card per device and host, and the doctor; made one card at a time."""

import contextlib
from typing import Final

from PySide6.QtWidgets import QGridLayout

from advisor.hardware.rig import Rig
from advisor.ui import design, laid_out, services
from advisor.ui.pages.machine_cards import MANY, DeviceCard
from advisor.ui.pages.machine_doctor import DoctorCard
from advisor.ui.pages.machine_edits import MachineEdits
from advisor.ui.pages.machine_host import HostCard, between_text
from advisor.ui.pages.machine_live import LiveReadings
from advisor.ui.state import AppState
from advisor.ui.turns import Turn

WIDE: Final = 1400
"""Page width in px from which three cards stand side by side."""
NARROW: Final = 1020
"""Page width in px below which words and buttons of cards have no room in so many columns."""
MOST_COLUMNS: Final = 4
"""Of the small cards of many devices."""

Place = tuple[int, int, int]
"""Line, column, and width in columns."""


class Parts(QGridLayout):
    """Fills itself from a rig. Cards of devices are made one in each turn of the event loop."""

    def __init__(self, state: AppState, edits: MachineEdits) -> None:
        super().__init__()
        self.setSpacing(design.GAP)
        self._state = state
        self._edits = edits
        self._rig: Rig | None = None
        self._columns = 0
        self._room = 0
        self._places: list[Place] = []
        """Of each device's card, made or not."""
        self._others: list[Place] = []
        """Of each host's, and of the doctor's."""
        self.devices: list[DeviceCard] = []
        self.hosts: list[HostCard] = []
        self.doctor = DoctorCard(state, edits.read_again)
        self._host_card()
        self._made: tuple[DeviceCard | HostCard, Place] | None = None
        """A card that is not in its place yet."""
        self._grow = Turn(self)
        """Making a card takes half a frame, and laying it out the other."""
        self._grow.due.connect(self._next_card)

    @property
    def host(self) -> HostCard:
        """The machine that runs llama.cpp."""
        return self.hosts[0]

    @property
    def complete(self) -> bool:
        """Whether every host and device has its card, in its place."""
        rig = self._rig
        if rig is None:
            return True
        enough = len(self.devices) >= len(rig.devices) and len(self.hosts) >= len(rig.hosts)
        return enough and self._made is None

    def show_rig(self, rig: Rig) -> None:
        """Another rig, or the same one read anew."""
        self._rig = rig
        for index in range(min(len(self.devices), len(rig.devices))):
            self._fill_device(index, rig)
        for index in range(min(len(self.hosts), len(rig.hosts))):
            self._fill_host(index, rig)
        self._lay_out(rig)
        self.doctor.examine(rig)
        if not self.complete:
            self._grow.start()

    def set_room(self, width: int) -> None:
        """The page has another width in px."""
        self._room = width
        rig = self._rig
        if rig is not None and self._wanted_columns(rig) != self._columns:
            self._lay_out(rig)

    def show_live(self, live: LiveReadings) -> None:
        """Sensors as they are now."""
        rig = self._rig
        if rig is None:
            return
        for index, (card, device) in enumerate(zip(self.devices, rig.devices, strict=False)):
            sample = live.device(index)
            if sample is not None:
                card.show_live(sample, device)
                card.show_history([] if sample.lost else live.device_history(index), device)
        host, total = live.host, rig.host.ram_total
        if host is not None and host.used is not None and total is not None:
            self.host.show_used(host.used, total, basis=services.MEASURED)
            self.host.show_history(live.host_history(), total)

    def _host_card(self) -> HostCard:
        card, index = HostCard(), len(self.hosts)
        card.connect_edits(
            lambda: self._edits.host_facts(index, card.title.text()),
            self._edits.measure,
            lambda: self._edits.without_machine(index),
        )
        card.hide()
        self.hosts.append(card)
        return card

    def _device_card(self) -> DeviceCard:
        card, index = DeviceCard(), len(self.devices)
        card.connect_edits(
            lambda: self._edits.device_facts(index),
            lambda: self._edits.swap(index),
            lambda: self._edits.without(index),
        )
        self.devices.append(card)
        return card

    def _fill_host(self, index: int, rig: Rig) -> None:
        card, here = self.hosts[index], self._state.here
        card.show_place(index, rig.link_to(index), several=len(rig.hosts) > 1)
        card.show_between(between_text(rig, index))
        card.show_host(rig.hosts[index], imagined=rig.imagined, live=here)

    def _fill_device(self, index: int, rig: Rig) -> None:
        self.devices[index].show_device(
            rig.devices[index],
            imagined=rig.imagined,
            live=self._state.here,
            among=(index + 1, len(rig.devices)),
        )

    def _next_card(self) -> None:
        rig = self._rig
        if rig is None:
            return
        made, self._made = self._made, None
        if made is not None:
            self._place(*made)
        elif len(self.hosts) < len(rig.hosts):
            index = len(self.hosts)
            self._made = self._host_card(), self._others[index]
            self._fill_host(index, rig)
        elif len(self.devices) < len(rig.devices):
            index = len(self.devices)
            self._made = self._device_card(), self._places[index]
            self._fill_device(index, rig)
        if not self.complete:
            self._grow.start()

    def _place(self, card: DeviceCard | HostCard, place: Place) -> None:
        line, at, width = place
        page = self.parentWidget()
        with contextlib.nullcontext() if page is None else laid_out.once(page):
            self.addWidget(card, line, at, 1, width)
            self._keep_room()
            card.show()

    def _lay_out(self, rig: Rig) -> None:
        # Not takeAt: its items would live on and keep Qt from seeing that a card has grown.
        for card in (*self.devices, *self.hosts, self.doctor):
            self.removeWidget(card)
        self._made = None
        self._columns = self._wanted_columns(rig)
        self._places, self._others = arrangement(rig, self._columns)
        for card, (line, at, width) in zip(self.devices, self._places, strict=False):
            self.addWidget(card, line, at, 1, width)
        for card, (line, at, width) in zip(self.hosts, self._others[:-1], strict=False):
            self.addWidget(card, line, at, 1, width)
        line, at, width = self._others[-1]
        self.addWidget(self.doctor, line, at, 1, width)
        self._keep_room()
        for column in range(MOST_COLUMNS):
            self.setColumnStretch(column, int(column < self._columns))
        for index, card in enumerate(self.hosts):
            card.setVisible(index < len(rig.hosts))
        for index, card in enumerate(self.devices):
            card.setVisible(index < len(rig.devices))

    def _keep_room(self) -> None:
        """Cards that are still to come have their room: the others do not move when they do."""
        lines = {line for line, _, _ in self._places}
        high = self.devices[0].sizeHint().height() if self.devices and not self.complete else 0
        for line in range(max(self.rowCount(), max(lines, default=0) + 1)):
            self.setRowMinimumHeight(line, high if line in lines else 0)

    def _wanted_columns(self, rig: Rig) -> int:
        wide, narrow, devices = self._room >= WIDE, self._room < NARROW, len(rig.devices)
        if len(rig.hosts) > 1:
            return MOST_COLUMNS if wide else 2 if narrow else 3
        if devices > MANY:
            return 3 if narrow else MOST_COLUMNS
        return 3 if wide and devices >= 2 else 2


def arrangement(rig: Rig, columns: int) -> tuple[list[Place], list[Place]]:
    """Where each device's card stands, and where each host's and the doctor's.

    Machine by machine, each from a new line; the doctor to the edge.
    """
    devices: list[Place] = [(0, 0, 1)] * len(rig.devices)
    others: list[Place] = []
    line = at = 0
    several = len(rig.hosts) > 1
    for host in range(len(rig.hosts)):
        inside = [i for i, device in enumerate(rig.devices) if device.host_index == host]
        # llama.cpp lists far devices first; people do not.
        cards: list[int | None] = [None, *inside] if several else [*inside, None]
        for index in cards:
            width = 2 if index is None and columns == MOST_COLUMNS and not several else 1
            if at + width > columns:
                line, at = line + 1, 0
            if index is None:
                others.append((line, at, width))
            else:
                devices[index] = (line, at, width)
            at += width
        if several:
            line, at = line + 1, 0
    if at >= columns:
        line, at = line + 1, 0
    others.append((line, at, columns - at))
    return devices, others
