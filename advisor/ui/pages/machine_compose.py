"""A rig put together in a form: its machines, their GPUs and RAM, and the networks between."""

from collections.abc import Callable
from typing import Final

from PySide6.QtCore import QCoreApplication, Qt
from PySide6.QtWidgets import QComboBox, QDialog, QSpinBox, QWidget

from advisor import units
from advisor.errors import RigAdvisorError
from advisor.hardware.compose import device_words
from advisor.hardware.rig import Device, Host, Rig
from advisor.ui import services
from advisor.ui.page import scrolling
from advisor.ui.widgets.basics import Card, button, column, row, text

RAM_TYPES: Final = (
    *("", "DDR4-2666", "DDR4-3200", "DDR5-4800", "DDR5-5600", "DDR5-6000", "DDR5-6400"),
    *("DDR5-8000", "LPDDR5X-8000"),
)
CHANNELS: Final = (2, 1, 4, 6, 8, 12)
MOST: Final = 128
"""GPUs of one kind in a machine."""
SIZE: Final = (720, 560)


def tr(source: str) -> str:
    """``tr`` for this module's words."""
    return QCoreApplication.translate("Compose", source)


def _choice(names: tuple[str, ...], name: str) -> QComboBox:
    """A list to choose from and to type in."""
    box = QComboBox()
    box.setEditable(True)
    box.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
    box.addItems(names)
    if (completer := box.completer()) is not None:
        completer.setFilterMode(Qt.MatchFlag.MatchContains)
        completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
    box.setAccessibleName(name)
    return box


class GpuLine(QWidget):
    """How many of which GPU."""

    def __init__(self, count: int, name: str, removed: Callable[["GpuLine"], None]) -> None:
        super().__init__()
        self.count = QSpinBox()
        self.count.setRange(1, MOST)
        self.count.setValue(count)
        self.count.setSuffix("x")
        self.count.setAccessibleName(tr("How many"))
        self.count.lineEdit().setTextMargins(6, 0, 0, 0)
        self.name = _choice(services.gpu_names(), tr("GPU"))
        self.name.setCurrentText(name)
        layout = row(self.count, self.name, button(tr("Remove"), lambda: removed(self), "link"))
        layout.setStretch(1, 1)
        self.setLayout(layout)

    @property
    def words(self) -> str:
        """``"2x RTX 4090"``."""
        name = self.name.currentText().strip()
        return f"{self.count.value()}x {name}" if self.count.value() > 1 else name


class MachineForm(Card):
    """One machine: what joins it to the first, its GPUs, its RAM."""

    def __init__(self, changed: Callable[[], None]) -> None:
        super().__init__(" ")
        self._changed = changed
        self.remove = button(tr("Remove this machine"), role="link")
        self.head.addWidget(self.remove)
        self.network = _choice(services.network_names(), tr("Network to machine 1"))
        self.network.setCurrentText("10GbE")
        self._joined = QWidget()
        self._joined.setLayout(row(text(tr("Joined over")), self.network, None))
        self._lines: list[GpuLine] = []
        self._gpus = column(spacing=6)
        self.ram = QSpinBox()
        self.ram.setRange(0, 1 << 16)
        self.ram.setSingleStep(16)
        self.ram.setSuffix(" GB")
        self.ram.setSpecialValueText(tr("not stated"))
        self.ram.setAccessibleName(tr("RAM"))
        self.ram.lineEdit().setTextMargins(6, 0, 0, 0)
        self.kind = _choice(RAM_TYPES, tr("Type of RAM"))
        if (line := self.kind.lineEdit()) is not None:
            line.setPlaceholderText(tr("type not stated"))
        self.channels = QComboBox()
        self.channels.setAccessibleName(tr("Memory channels"))
        for count in CHANNELS:
            label = tr("1 channel") if count == 1 else tr("{n} channels").format(n=count)
            self.channels.addItem(label, count)
        memory = row(text(tr("RAM")), self.ram, self.kind, self.channels, None)
        add = button(tr("Add a GPU"), lambda: self.add_gpu(1, ""), "link")
        self.body.addWidget(self._joined)
        self.body.addLayout(self._gpus)
        self.body.addLayout(row(add, None))
        self.body.addLayout(memory)
        self.ram.valueChanged.connect(changed)
        self.kind.currentTextChanged.connect(changed)
        self.channels.currentIndexChanged.connect(changed)
        self.network.currentTextChanged.connect(changed)

    def show_place(self, index: int) -> None:
        """Its number in the rig."""
        self.title.setText(
            tr("Machine {number}").format(number=index + 1)
            if index
            else tr("Machine 1, runs llama.cpp")
        )
        self.setAccessibleName(self.title.text())
        self._joined.setVisible(index > 0)
        self.remove.setVisible(index > 0)

    def add_gpu(self, count: int, name: str) -> None:
        """One more line."""
        line = GpuLine(count, name, self._remove_gpu)
        line.count.valueChanged.connect(self._changed)
        line.name.currentTextChanged.connect(self._changed)
        self._lines.append(line)
        self._gpus.addWidget(line)
        if not name:
            line.name.setCurrentIndex(-1)
            line.name.setFocus()
        self._changed()

    def _remove_gpu(self, line: GpuLine) -> None:
        self._lines.remove(line)
        self._gpus.removeWidget(line)
        line.hide()
        line.deleteLater()
        self._changed()

    def start_from(self, host: Host, devices: list[Device]) -> None:
        """What a machine of the rig on screen has."""
        counts: dict[str, int] = {}
        shared = False
        for device in devices:
            name, shared = device_words(device, host), shared or device.unified
            if device.backend != "cpu":
                counts[name] = counts.get(name, 0) + 1
        for name, count in counts.items():
            self.add_gpu(count, name)
        if shared or not host.ram_total:
            return
        self.ram.setValue(round(host.ram_total / units.GIB))
        self.kind.setCurrentText(host.ram_type or "")
        speed = (host.ram_type or "").rpartition("-")[2]
        told = host.ram_bandwidth_gbs if host.ram_bandwidth_gbs != host.ram_read_gbs else None
        if told and speed.isdigit():
            lanes = round(told * 1000 / 8 / int(speed))
            self.channels.setCurrentIndex(max(0, self.channels.findData(lanes)))

    @property
    def words(self) -> str:
        """``"2x RTX 4090 + 128 GB DDR5-6000"``."""
        parts = [line.words for line in self._lines if line.name.currentText().strip()]
        if self.ram.value():
            kind = self.kind.currentText().strip()
            lanes = int(self.channels.currentData())
            said = "" if lanes == CHANNELS[0] or not kind else f" {lanes}-channel"
            parts.append(f"{self.ram.value()} GB{said} {kind}".strip())
        return " + ".join(parts)


class ComposeDialog(QDialog):
    """Starts from the rig on screen; what it makes is shown as words, which say the same."""

    def __init__(self, parent: QWidget, rig: Rig, done: Callable[[Rig], None]) -> None:
        super().__init__(parent)
        self.setWindowTitle(tr("Compose a rig"))
        self.resize(*SIZE)
        self._done = done
        self._ready = False
        self.machines: list[MachineForm] = []
        self._forms = column(spacing=10)
        self._words = text("", "strong", wrap=True)
        self._problem = text("", "bad", wrap=True)
        self._problem.hide()
        inside = QWidget()
        content = column(self._forms, None)
        content.setContentsMargins(0, 0, 8, 0)
        inside.setLayout(content)
        buttons = row(
            button(
                tr("Add a machine"),
                self._add_empty,
                tip=tr("Joined by a network, as llama.cpp's RPC backend joins them"),
            ),
            None,
            button(tr("Cancel"), self.reject),
            button(tr("Try this rig"), self._try, "primary"),
        )
        layout = column(scrolling(inside), self._words, self._problem, buttons, spacing=10)
        layout.setStretch(0, 1)
        layout.setContentsMargins(16, 14, 16, 14)
        self.setLayout(layout)
        for index, host in enumerate(rig.hosts):
            form = self.add_machine()
            link = rig.link_to(index)
            if index and link is not None:
                form.network.setCurrentText(link.name)
            form.start_from(host, [d for d in rig.devices if d.host_index == index])
        self._ready = True
        self._say()

    def add_machine(self) -> MachineForm:
        """One more form."""
        form = MachineForm(self._say)
        form.remove.clicked.connect(lambda: self.remove_machine(form))
        self.machines.append(form)
        self._forms.addWidget(form)
        self._number()
        return form

    def _add_empty(self) -> None:
        self.add_machine().add_gpu(1, "")

    def remove_machine(self, form: MachineForm) -> None:
        """One form fewer."""
        self.machines.remove(form)
        self._forms.removeWidget(form)
        form.hide()
        form.deleteLater()
        self._number()

    def _number(self) -> None:
        for index, form in enumerate(self.machines):
            form.show_place(index)
        self._say()

    @property
    def words(self) -> str:
        """The rig as the what-if line would say it."""
        first, *further = self.machines
        joined = (
            f" over {form.network.currentText().strip()} with {form.words}" for form in further
        )
        return first.words + "".join(joined)

    def _say(self) -> None:
        if self._ready:
            self._words.setText(self.words)
            self._problem.hide()

    def _try(self) -> None:
        try:
            rig = services.compose(self.words)
        except RigAdvisorError as error:
            self._problem.setText(str(error))
            self._problem.show()
            return
        self._done(rig)
        self.accept()
