"""The Machine page's card of a host: its RAM, and how its GPUs and other machines hang together."""

from collections.abc import Callable

from advisor import units
from advisor.basis import Basis
from advisor.hardware.rig import Host, NetworkLink, Rig
from advisor.ui.pages.machine_cards import short_source
from advisor.ui.widgets.basics import Card, Chip, button, row, text
from advisor.ui.widgets.reading_row import ReadingRow
from advisor.ui.widgets.sparkline import Sparkline
from advisor.ui.widgets.stacked_bar import Part, StackedBar


class HostCard(Card):
    """RAM, its bandwidth, processor, disk, swap, power."""

    def __init__(self) -> None:
        super().__init__(self.tr("Host"))
        self._chip = Chip()
        self.head.addWidget(self._chip)
        self._bar = StackedBar()
        self._network = ReadingRow(self.tr("Network"))
        self._latency = ReadingRow(self.tr("Latency, one way"))
        self._between = ReadingRow(self.tr("Between the GPUs"))
        self._used = ReadingRow(self.tr("RAM used by other programs"))
        self._bandwidth = ReadingRow(self.tr("RAM bandwidth"))
        self._measure = button(self.tr("Measure RAM bandwidth (1 s)"), role="link")
        self._measure.hide()
        self._measurable = False
        """Whether it is this machine's, and its bandwidth was read or is not known."""
        self._cpu = ReadingRow(self.tr("Processor"))
        self._disk = ReadingRow(self.tr("Free disk for models"))
        self._swap = ReadingRow(self.tr("Swap in use"))
        self._battery = ReadingRow(self.tr("Power source"))
        self._line = Sparkline(self.tr("RAM used, last minute"), height=34)
        self._caption = text(self.tr("RAM used, last minute"), "small")
        for part in (self._bar, self._used, self._bandwidth):
            self.body.addWidget(part)
        for part in (self._network, self._latency, self._between):
            self.body.addWidget(part)
        for part in (self._cpu, self._disk, self._swap, self._battery, self._line, self._caption):
            self.body.addWidget(part)
        self.body.addStretch(1)
        self._facts = button(self.tr("Facts…"), role="link")
        self._remove = button(self.tr("Without this machine"), role="link")
        self.body.addLayout(row(self._facts, None, self._measure, self._remove))

    def connect_edits(
        self, facts: Callable[[], None], measure: Callable[[], None], remove: Callable[[], None]
    ) -> None:
        """Everything known of it, measuring its RAM, and what if it were not there."""
        self._facts.clicked.connect(facts)
        self._measure.clicked.connect(measure)
        self._remove.clicked.connect(remove)

    def offer_measuring(self, *, offered: bool) -> None:
        """Where no other part of the page does, and nothing was measured yet."""
        self._measure.setVisible(offered and self._measurable)

    def set_measuring(self, *, busy: bool) -> None:
        """While the measurement runs."""
        self._measure.setEnabled(not busy)
        self._measure.setText(
            self.tr("Measuring…") if busy else self.tr("Measure RAM bandwidth (1 s)")
        )

    def show_place(self, index: int, link: NetworkLink | None, *, several: bool) -> None:
        """Which machine of the rig it is, and what joins it to the first."""
        title = self.tr("Host")
        if several:
            title = (
                self.tr("Machine {number}").format(number=index + 1)
                if index
                else self.tr("Machine 1, runs llama.cpp")
            )
        self.title.setText(title)
        self.setAccessibleName(title)
        self._facts.setAccessibleName(self.tr("Facts of {name}").format(name=title))
        for part in (self._network, self._latency):
            part.setVisible(several and index > 0)
        self._remove.setVisible(several and index > 0)
        if index:
            self._show_network(link)

    def _show_network(self, link: NetworkLink | None) -> None:
        self._latency.setVisible(link is not None)
        if link is None:
            note = self.tr("what joins it is not stated")
            self._network.show_value(units.UNKNOWN, note=note, name=self.tr("Network"))
            return
        speed = self.tr("{bandwidth} GB/s").format(bandwidth=f"{link.bandwidth_gbs:,.3g}")
        self._network.show_value(speed, name=link.name or self.tr("Network"))
        latency = self.tr("{latency} µs")
        low = high = ""
        if link.latency_range_us is not None:
            latency = self.tr("about {latency} µs ({low} to {high})")
            low, high = (f"{end:,.0f}" for end in link.latency_range_us)
        self._latency.show_value(
            latency.format(latency=f"{link.latency_us:,.0f}", low=low, high=high), tip=link.source
        )

    def show_between(self, words: str) -> None:
        """What lies between its GPUs; nothing where there is one or nobody knows."""
        self._between.setVisible(bool(words))
        self._between.show_value(words)

    def show_host(self, host: Host, *, imagined: bool, live: bool) -> None:
        """The host as it was read, or as it is imagined."""
        kind = {True: self.tr("laptop"), False: self.tr("desktop"), None: ""}[host.laptop]
        words = " · ".join(word for word in (host.os.partition(",")[0], kind) if word)
        self._chip.show_tone(words or (self.tr("imagined") if imagined else ""), "plain")
        self._chip.setVisible(bool(words) or imagined)
        basis = None if imagined else Basis.MEASURED
        total, available = host.ram_total, host.ram_available
        whose = (self.tr("System"), self.tr("RAM left to the system")) if imagined else None
        if total is None:
            self._used.show_value(units.UNKNOWN, note=host.unknown.get("ram_total", ""))
            self._bar.show_parts((), None, self.tr("RAM"))
        else:
            self.show_used(
                None if available is None else total - available, total, basis=basis, whose=whose
            )
            if imagined and available in {None, total}:
                self._used.show_value(units.gib(total), name=self.tr("RAM"))
        value, note = host.ram_shown
        measured = host.ram_read_gbs is not None
        self._bandwidth.show_value(
            units.UNKNOWN if value is None else f"{value:,.0f} GB/s",
            basis=Basis.MEASURED if measured else None,
            note=short_source(note) if value is not None else "",
            tip=note or host.unknown.get("ram_bandwidth_gbs", ""),
        )
        self._measurable = live and not measured
        cores = "" if host.cores is None else units.cores(host.cores)
        self._cpu.setVisible(bool(host.cpu) or not imagined)
        self._cpu.show_value(
            " · ".join(part for part in (_processor(host.cpu), cores) if part) or units.UNKNOWN
        )
        self._disk.setVisible(not imagined)
        self._disk.show_value(
            units.gib(host.disk_free, 0),
            note=host.disk_path or "",
            basis=None if host.disk_free is None else basis,
        )
        self._swap.setVisible(not imagined)
        self._swap.show_value(
            "0" if host.swap_used == 0 else units.size(host.swap_used),
            basis=None if host.swap_used is None else basis,
        )
        self._battery.setVisible(host.on_battery is not None)
        self._battery.show_value(self.tr("battery") if host.on_battery else self.tr("mains"))
        self._line.setVisible(live)
        self._caption.setVisible(live)

    def show_used(
        self,
        used: int | None,
        total: int,
        *,
        basis: Basis | None,
        whose: tuple[str, str] | None = None,
    ) -> None:
        """RAM in use now; ``whose``: a word for the bar and one for the row."""
        used = used or 0
        short, long = whose or (self.tr("Other programs"), self.tr("RAM used by other programs"))
        self._bar.show_parts((Part(short, "other", used),), total, self.tr("RAM"))
        self._used.show_value(
            self.tr("{used} of {total}").format(
                used=f"{used / units.GIB:,.1f}", total=units.gib(total)
            ),
            basis=basis,
            name=long,
        )

    def show_history(self, history: list[float], total: int) -> None:
        """RAM in use over the last minute, bytes."""
        self._line.show_values(history, top=float(total))


def between_text(rig: Rig, host: int) -> str:
    """What lies between the GPUs of one machine: ``"NVLink"``, ``"one PCIe switch"`` …"""
    inside = {i for i, device in enumerate(rig.devices) if device.host_index == host}
    peers = [peer for peer in rig.peers if {peer.first, peer.second} <= inside]
    return " · ".join(dict.fromkeys(peer.path for peer in peers))


def _processor(name: str) -> str:
    for word in ("(R)", "(TM)", " CPU", " Processor"):
        name = name.replace(word, "")
    return " ".join(name.partition("@")[0].split())
