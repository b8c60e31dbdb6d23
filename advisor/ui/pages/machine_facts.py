"""Everything known of a device or host: each fact, where it is from, and what others say of it."""

from collections.abc import Callable
from typing import Final

from PySide6.QtCore import QCoreApplication, Qt
from PySide6.QtGui import QColor, QResizeEvent, QTextLayout
from PySide6.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QDoubleSpinBox,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from advisor import units
from advisor.hardware.corrections import STATED
from advisor.hardware.report import Fact, facts
from advisor.hardware.rig import Device, Host
from advisor.ui import design
from advisor.ui.pages.machine_cards import BACKENDS, architecture
from advisor.ui.widgets.basics import button, column, row, text

Correct = Callable[[int | None, float | None], None]
"""Memory in bytes and bandwidth in GB/s as stated; None leaves what is there."""
SIZE: Final = (900, 600)
BESIDE: Final = 160
"""Px of a window's height for what is above and below its table."""
TWO_LINES: Final = 44
"""Px of a fact whose source takes two lines."""
SHARES: Final = (0.21, 0.24, 0.29, 0.26)
"""Of the table's width: fact, value, source, other sources."""
ALONE: Final = (0.21, 0.27, 0.52, 0.0)
"""Where no fact has a second source."""
ROW_HEIGHT: Final = 27
PADDING: Final = 24
"""Px beside a cell's words."""


def tr(source: str) -> str:
    """``tr`` for this module's words."""
    return QCoreApplication.translate("Facts", source)


def fact_name(name: str) -> str:
    """A field's name in words."""
    known = {
        "name": tr("Name"),
        "table_id": tr("Entry of the GPU table"),
        "uuid": tr("UUID"),
        "pci_id": tr("PCI id"),
        "pci_address": tr("PCI address"),
        "memory_total": tr("Memory"),
        "memory_used": tr("Memory in use"),
        "memory_reserved": tr("Reserved by the driver"),
        "bandwidth_gbs": tr("Memory bandwidth"),
        "fp16_tflops": tr("FP16 matrix rate"),
        "driver_model": tr("Driver model"),
        "cuda": tr("Newest CUDA it runs"),
        "ecc": tr("ECC"),
        "power_w": tr("Power now"),
        "temperature_c": tr("Temperature"),
        "memory_utilisation": tr("Memory utilisation"),
        "clock_mhz": tr("Clock"),
        "clock_max_mhz": tr("Highest clock"),
        "memory_clock_mhz": tr("Memory clock"),
        "throttle": tr("Held back by"),
        "power_limit_w": tr("Power limit"),
        "power_default_w": tr("Default power limit"),
        "power_idle_w": tr("Power when idle"),
        "pcie": tr("PCIe link"),
        "nvlink_gbs": tr("NVLink, both directions"),
        "nvlink_links": tr("NVLinks that are up"),
        "display": tr("Draws a desktop"),
        "display_attached": tr("Screen attached"),
        "processes": tr("Programs on it"),
        "host_index": tr("Machine of the rig"),
        "os": tr("Operating system"),
        "cpu": tr("Processor"),
        "limited_to": tr("Cores that may be used"),
        "ram_total": tr("RAM"),
        "ram_available": tr("RAM available"),
        "ram_type": tr("Type of RAM"),
        "ram_bandwidth_gbs": tr("RAM bandwidth"),
        "ram_read_gbs": tr("RAM bandwidth read"),
        "on_battery": tr("On battery"),
        "disk_free": tr("Free disk"),
        "disk_path": tr("Folder of models"),
    }
    return known.get(name, name.replace("_", " ").capitalize())


def _value(fact: Fact) -> str:
    """A fact's value as cards write it."""
    if fact.known and fact.name == "architecture":
        return architecture(fact.value)
    return BACKENDS.get(fact.value, fact.value) if fact.name == "backend" else fact.value


class FactsDialog(QDialog):
    """A table of facts; of a device, the two that sizes and speeds rest on can be corrected."""

    def __init__(
        self,
        parent: QWidget,
        item: Device | Host,
        title: str,
        *,
        correct: Correct | None = None,
        forget: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(tr("Facts of {name}").format(name=title))
        rows = facts(item)
        self.resize(SIZE[0], min(SIZE[1], BESIDE + len(rows) * TWO_LINES))
        self.table = FactsTable(rows)
        about = text(
            tr(
                "Where a fact has several sources, the first one is used. What no source "
                "tells is shown as unknown."
            ),
            "muted",
            wrap=True,
        )
        layout = column(about, self.table, spacing=10)
        layout.setStretch(1, 1)
        layout.setContentsMargins(16, 14, 16, 14)
        last = row(spacing=8)
        if isinstance(item, Device) and correct is not None:
            self._fields(item)
            for part in (
                text(tr("Correct it: memory")),
                self.memory,
                text(tr("bandwidth")),
                self.bandwidth,
            ):
                last.addWidget(part)
            last.addWidget(button(tr("Use these"), lambda: self._use(item, correct)))
            if forget is not None and STATED in item.sources.values():
                last.addWidget(button(tr("Forget mine"), lambda: self._leave(forget)))
        last.addStretch(1)
        last.addWidget(button(tr("Close"), self.accept, "primary"))
        layout.addLayout(last)
        self.setLayout(layout)

    def _fields(self, device: Device) -> None:
        self.memory, self.bandwidth = QDoubleSpinBox(), QDoubleSpinBox()
        for field, value, top, suffix, name in (
            (self.memory, (device.memory_total or 0) / units.GIB, 4096.0, " GiB", tr("Memory")),
            (self.bandwidth, device.bandwidth_gbs or 0, 99999.0, " GB/s", tr("Bandwidth")),
        ):
            field.setRange(0, top)
            field.setDecimals(1)
            field.setSuffix(suffix)
            field.setSpecialValueText(tr("unknown"))
            field.setAccessibleName(name)
            field.setMinimumWidth(130)
            field.setValue(value)
            field.lineEdit().setTextMargins(6, 0, 0, 0)

    def _use(self, device: Device, correct: Correct) -> None:
        memory, bandwidth = self.memory.value(), self.bandwidth.value()
        # What was not touched stays as exact as it was read.
        same_memory = abs(memory - (device.memory_total or 0) / units.GIB) < 0.05
        same_speed = abs(bandwidth - (device.bandwidth_gbs or 0)) < 0.05
        stated = (
            None if same_memory or not memory else int(memory * units.GIB),
            None if same_speed or not bandwidth else bandwidth,
        )
        if stated != (None, None):
            correct(*stated)
        self.accept()

    def _leave(self, then: Callable[[], None]) -> None:
        then()
        self.accept()


class FactsTable(QTableWidget):
    """Rows as high as their words, at whatever width the window has."""

    def __init__(self, rows: tuple[Fact, ...]) -> None:
        heads = (tr("Fact"), tr("Value"), tr("From"), tr("Other sources say"))
        super().__init__(len(rows), len(heads))
        self.setHorizontalHeaderLabels(heads)
        self.setAccessibleName(tr("Facts and their sources"))
        self.setShowGrid(False)
        self.setWordWrap(True)
        self.setTabKeyNavigation(False)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        left = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
        several = any(fact.others for fact in rows)
        self._shares = SHARES if several else ALONE
        self.setColumnHidden(len(heads) - 1, not several)
        for line, fact in enumerate(rows):
            words = (fact_name(fact.name), _value(fact), fact.source, "\n".join(fact.others))
            for place, content in enumerate(words):
                cell = QTableWidgetItem(content)
                cell.setToolTip(content)
                cell.setTextAlignment(left)
                if not fact.known and place:
                    cell.setForeground(QColor(design.colours().muted))
                self.setItem(line, place, cell)
        self.verticalHeader().hide()
        self.verticalHeader().setMinimumSectionSize(ROW_HEIGHT)
        header = self.horizontalHeader()
        header.setDefaultAlignment(left)
        header.setHighlightSections(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 - Qt's name
        """Columns share the width; rows follow."""
        super().resizeEvent(event)
        width = self.viewport().width()
        for place, share in enumerate(self._shares):
            self.setColumnWidth(place, int(width * share))
        for line in range(self.rowCount()):
            self.setRowHeight(line, max(self._height(line, place) for place in range(4)))

    def _height(self, line: int, place: int) -> int:
        cell = self.item(line, place)
        if cell is None:
            return ROW_HEIGHT
        # As the view lays it out, which breaks addresses at their slashes.
        words = QTextLayout(cell.text().replace("\n", "\u2028"), self.font())
        words.beginLayout()
        lines = 0
        while (piece := words.createLine()).isValid():
            piece.setLineWidth(max(40, self.columnWidth(place) - PADDING))
            lines += 1
        words.endLayout()
        return max(ROW_HEIGHT, lines * self.fontMetrics().lineSpacing() + 11)
