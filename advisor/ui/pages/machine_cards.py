"""The Machine page's cards of devices."""

import re
from collections.abc import Callable
from typing import Final

from PySide6.QtCore import QCoreApplication
from PySide6.QtGui import QResizeEvent

from advisor import units
from advisor.basis import Basis
from advisor.hardware.monitor import DeviceSample
from advisor.hardware.rig import Device, PcieLink, Process
from advisor.ui import design
from advisor.ui.widgets.basics import Card, Chip, Elided, button, row, text
from advisor.ui.widgets.reading_row import ReadingRow
from advisor.ui.widgets.sparkline import Sparkline
from advisor.ui.widgets.stacked_bar import Part, StackedBar

SHOWN_PROCESSES = 4
MANY = 4
"""More devices than this get smaller cards."""
PADDING = 16
"""Px between a card's edge and its words."""
CHIP_ENDS = 30
"""Px of a chip beside its words."""
BACKENDS = {
    "cuda": "CUDA",
    "rocm": "ROCm",
    "vulkan": "Vulkan",
    "metal": "Metal",
    "sycl": "SYCL",
    "cpu": "CPU",
}


class DeviceCard(Card):
    """Name, memory in use and by whom, bandwidth, link, power and temperature, live."""

    def __init__(self) -> None:
        super().__init__(" ")
        self.title.hide()
        self._name = Elided("", "title")
        self.head.insertWidget(0, self._name)
        self._device: Device | None = None
        self._class = ""
        self._wide = 0
        """Px inside its frame; 0 before it has its place."""
        self._tone: design.Tone = "plain"
        self._live = False
        self._small = False
        self._chip = Chip(gives_way=True)
        self.head.addWidget(self._chip)
        self._bar = StackedBar()
        self._used = ReadingRow(self.tr("Used by other programs"))
        self._programs = text("", "small", wrap=True)
        self._bandwidth = ReadingRow(self.tr("Memory bandwidth"))
        self._link = ReadingRow(self.tr("PCIe link"))
        self._traffic = ReadingRow(self.tr("PCIe traffic"))
        self._power = ReadingRow(self.tr("Power"))
        self._heat = ReadingRow(self.tr("Temperature, clock"))
        self._throttle = text("", "tight", wrap=True)
        self._throttle.hide()
        self._line = Sparkline(self.tr("Memory used, last minute"), height=34)
        self._caption = text(self.tr("Memory used, last minute"), "small")
        for part in (
            self._bar,
            self._used,
            self._programs,
            self._bandwidth,
            self._link,
            self._traffic,
            self._power,
            self._heat,
            self._throttle,
            self._line,
            self._caption,
        ):
            self.body.addWidget(part)
        self.body.addStretch(1)
        self._facts = button(self.tr("Facts…"), role="link")
        self._remove = button(self.tr("Without it"), role="link")
        self._swap = button(self.tr("Swap…"), role="link")
        self.body.addLayout(row(self._facts, None, self._swap, self._remove, spacing=4))

    def connect_edits(
        self, facts: Callable[[], None], swap: Callable[[], None], remove: Callable[[], None]
    ) -> None:
        """Everything known of it; and what if it were replaced by another, or taken out."""
        self._facts.clicked.connect(facts)
        self._swap.clicked.connect(swap)
        self._remove.clicked.connect(remove)

    def show_device(
        self, device: Device, *, imagined: bool, live: bool, among: tuple[int, int] = (1, 1)
    ) -> None:
        """A device as it was read, or as it is imagined. ``among``: its number, and of how many.

        Where there are many the card is smaller.
        """
        small = self._small = among[1] > MANY
        self._live = live and not small
        self._device = device
        self._name.say(device.name)
        # Cards of one name are told apart by their numbers where nobody sees them.
        name = device.name
        if among[1] > 1:
            name = self.tr("{name}, device {number} of {count}").format(
                name=name, number=among[0], count=among[1]
            )
        self.setAccessibleName(name)
        self._class = ""
        if small:
            self._class = self.tr("{number} of {count}").format(number=among[0], count=among[1])
        self._chip.setToolTip(_class(device))
        self._tone = "plain" if imagined else "good"
        self._show_class()
        self._facts.setAccessibleName(self.tr("Facts of {name}").format(name=name))
        self._remove.setAccessibleName(self.tr("What if {name} were not there").format(name=name))
        self._swap.setAccessibleName(self.tr("What if {name} were another").format(name=name))
        self._show_memory(device, imagined=imagined)
        self._show_bandwidth(device)
        self._bandwidth.setVisible(not small)
        self._link.setVisible(not device.integrated and device.backend != "cpu" and not small)
        self._traffic.hide()
        self._show_link(device, imagined=imagined)
        self._power.setVisible(not imagined)
        self._heat.setVisible(not imagined)
        heat = self.tr("Heat, clock") if small else self.tr("Temperature, clock")
        self._heat.show_value("", name=heat)
        self._line.setVisible(self._live)
        self._caption.setVisible(self._live)
        if not imagined:
            self._show_sensors(device.power_w, device.temperature_c, device.clock_mhz, device)
            self._show_throttle(device.throttle)

    def show_live(self, sample: DeviceSample, device: Device) -> None:
        """Sensors as they are now."""
        if sample.lost:
            self._show_lost(device)
            return
        self._tone = "good"
        self._show_class()
        self._show_link(device, imagined=False)
        self._show_traffic(sample)
        self._show_sensors(sample.power_w, sample.temperature_c, sample.clock_mhz, device)
        self._show_throttle(sample.throttle)
        if sample.used is not None and device.memory_total:
            self._show_used(sample.used, device.memory_total, measured=True)
        self._show_programs(sample.processes)

    def _show_class(self) -> None:
        """What kind of device it is, in as many words as stand beside its name."""
        if self._device is None:
            return
        known = self._class or _class(self._device)
        if self._tone == "bad":
            known = self.tr("lost: it no longer answers")
        elif not self._class:
            room = self._wide - 2 * PADDING - self.head.spacing() - CHIP_ENDS
            wide = self._name.sizeHint().width() + self._chip.fontMetrics().horizontalAdvance(known)
            if self._wide and wide > room:
                known = BACKENDS[self._device.backend]
        self._chip.show_tone(known, self._tone)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 - Qt's name
        """There may be room for more words."""
        super().resizeEvent(event)
        self._wide = self.contentsRect().width()
        self._show_class()

    def _show_lost(self, device: Device) -> None:
        """Nothing that was read before is true now."""
        self._line.hide()
        self._caption.hide()
        self._tone = "bad"
        self._show_class()
        self._bar.show_parts((), device.memory_total, device.name)
        self._used.show_value(units.UNKNOWN)
        self._link.show_value(units.UNKNOWN)
        self._traffic.hide()
        self._power.show_value(units.UNKNOWN)
        self._heat.show_value(units.UNKNOWN)
        self._show_programs(())
        self._show_throttle(())

    def show_history(self, used: list[float], device: Device) -> None:
        """Memory in use over the last minute (bytes)."""
        for part in (self._line, self._caption):
            part.setVisible(self._live and bool(used))
        if device.memory_total:
            self._line.show_values(used, top=float(device.memory_total))

    def _show_link(self, device: Device, *, imagined: bool) -> None:
        pcie = pcie_text(device.pcie)
        known = pcie != units.UNKNOWN
        self._link.show_value(
            pcie,
            note="" if known else device.unknown.get("pcie", ""),
            basis=Basis.MEASURED if known and not imagined else None,
            tip=device.unknown.get("pcie", ""),
        )

    def _show_traffic(self, sample: DeviceSample) -> None:
        into, out = sample.pcie_rx, sample.pcie_tx
        known = into is not None and out is not None and not self._small
        self._traffic.setVisible(known)
        if known:
            self._traffic.show_value(
                self.tr("{into} in · {out} out").format(into=_rate(into), out=_rate(out)),
                basis=Basis.MEASURED,
            )

    def _show_throttle(self, reasons: tuple[str, ...]) -> None:
        self._throttle.setVisible(bool(reasons))
        self._throttle.setText(
            self.tr("held back: {reasons}").format(reasons=", ".join(reasons)) if reasons else ""
        )

    def _show_sensors(
        self,
        power: float | None,
        temperature: float | None,
        clock: float | None,
        device: Device,
    ) -> None:
        limit = device.power_limit_w
        of = "" if limit is None else self.tr(" of {limit}").format(limit=f"{limit:,.0f}")
        self._power.show_value(
            units.UNKNOWN if power is None else f"{power:,.0f}{of} W",
            basis=None if power is None else Basis.MEASURED,
            note="" if power is not None else device.unknown.get("power_w", ""),
        )
        known = [
            "" if temperature is None else f"{temperature:,.0f} °C",
            "" if clock is None else f"{clock:,.0f} MHz",
        ]
        words = " · ".join(word for word in known if word)
        self._heat.show_value(
            words or units.UNKNOWN,
            basis=Basis.MEASURED if words else None,
            note="" if words else device.unknown.get("temperature_c", ""),
        )

    def _show_memory(self, device: Device, *, imagined: bool) -> None:
        total = device.memory_total
        used = self.tr("In use") if self._small else self.tr("Used by other programs")
        self._used.show_value("", name=used)
        if imagined and not device.memory_used:
            self._used.show_value(
                units.gib(total),
                note=self.tr("the share its driver allows") if device.unified else "",
                tip=device.sources.get("memory_total", ""),
                name=self.tr("Memory"),
            )
            self._bar.show_parts((), total, device.name)
        elif total is None:
            why = device.unknown.get("memory_total", "")
            self._used.show_value(units.UNKNOWN, note=why)
            self._bar.show_parts((), None, device.name)
        elif device.memory_used is None and not imagined:
            self._used.show_value(
                self.tr("unknown of {total}").format(total=units.gib(total)),
                note=device.unknown.get("memory_used", ""),
            )
            self._bar.show_parts((), total, device.name)
        else:
            self._show_used(device.memory_used or 0, total, measured=not imagined)
        self._show_programs(device.processes)

    def _show_programs(self, processes: tuple[Process, ...]) -> None:
        known = [p for p in processes if p.memory]
        known.sort(key=lambda p: -(p.memory or 0))
        words = [f"{p.name} {units.size(p.memory)}" for p in known[:SHOWN_PROCESSES]]
        more = len(known) - SHOWN_PROCESSES
        if more > 0:
            words.append(self.tr("{count} more").format(count=more))
        self._programs.setText(" · ".join(words))
        self._programs.setVisible(bool(words) and not self._small)

    def _show_used(self, used: int, total: int, *, measured: bool) -> None:
        self._bar.show_parts(
            (Part(self.tr("Other programs"), "other", used),), total, self.accessibleName()
        )
        self._used.show_value(
            self.tr("{used} of {total}").format(
                used=f"{used / units.GIB:,.1f}", total=units.gib(total)
            ),
            basis=Basis.MEASURED if measured else None,
        )

    def _show_bandwidth(self, device: Device) -> None:
        value = device.bandwidth_gbs
        source = device.sources.get("bandwidth_gbs", "")
        self._bandwidth.show_value(
            units.UNKNOWN if value is None else f"{value:,.0f} GB/s",
            note=device.unknown.get("bandwidth_gbs", "") if value is None else short_source(source),
            tip=source,
        )


def pcie_text(link: PcieLink) -> str:
    """``"4.0 x16"``, and what it could do where that is more: idle cards slow their link down."""
    now = _link(link.generation, link.width)
    best = _link(link.max_generation, link.max_width)
    if now is None or best is None or best == now:
        return now or best or units.UNKNOWN
    return _tr("{now} now, {best} at best").format(now=now, best=best)


def _link(generation: int | None, width: int | None) -> str | None:
    return None if generation is None or width is None else f"{generation}.0 x{width}"


def _rate(value: float | None) -> str:
    """Bytes per second in words."""
    megabytes = (value or 0) / 1e6
    return f"{megabytes / 1000:,.1f} GB/s" if megabytes >= 1000 else f"{megabytes:,.0f} MB/s"


def _class(device: Device) -> str:
    words = [BACKENDS[device.backend]]
    if device.compute_capability is not None:
        words.append("compute capability {}.{}".format(*device.compute_capability))
    if device.driver:
        words.append(f"driver {device.driver}")
    elif device.architecture:
        words.append(architecture(device.architecture))
    if device.mig:
        words.append("MIG")
    if device.unified:
        words.append("unified memory")
    if device.laptop:
        words.append("laptop")
    return " · ".join(words)


def architecture(key: str) -> str:
    """``"RDNA 3"``, ``"Ada"``: the table's key as its maker writes it."""
    if key in _WHOLE:
        return _WHOLE[key]
    words = re.sub(r"(?<=rdna)(?=\d)", " ", key.replace("-", " "))
    return " ".join(w.upper() if w[:4] in _INITIALS else w.capitalize() for w in words.split())


_INITIALS: Final = frozenset({"rdna", "cdna", "gb10", "gp10"})
_WHOLE: Final = {
    "xe-lpg": "Xe-LPG",
    "xe-lpg-plus": "Xe-LPG+",
    "xe2-lpg": "Xe2-LPG",
    "xe3-lpg": "Xe3-LPG",
}


def _tr(source: str) -> str:
    return QCoreApplication.translate("DeviceCard", source)


def short_source(source: str) -> str:
    """The first words of a source; the whole is the tooltip."""
    words = source.partition(":")[0].partition("(")[0].strip()
    return words if len(words) <= 34 else words[:33].rstrip() + "…"
