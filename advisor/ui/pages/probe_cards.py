"""The cards beside the plot: memory against plan, speed, what to watch, past probes."""

from collections.abc import Callable

from PySide6.QtCore import QDateTime, QLocale
from PySide6.QtWidgets import QMenu, QWidget

from advisor import units
from advisor.basis import Basis
from advisor.probe.result import PlaceResult, ProbeResult, SpeedPoint
from advisor.probe.store import Entry
from advisor.sizing.plan import Plan
from advisor.ui.design import Series
from advisor.ui.widgets.basics import Card, RowButton, button, clear, column, row, text
from advisor.ui.widgets.figures import FigureRow

PAST_SHOWN = 8


class MemoryCard(Card):
    """Per part: what llama.cpp allocated, what was planned, and the difference."""

    def __init__(self) -> None:
        super().__init__("")
        self._title = text(self.tr("Measured against predicted"), "title")
        self.body.addWidget(self._title)
        self._rows = column(spacing=2)
        self.body.addLayout(self._rows)
        self._words: dict[str, tuple[str, Series]] = {
            "weights": (self.tr("Weights"), "weights"),
            "context": (self.tr("Context"), "context"),
            "compute": (self.tr("Compute"), "compute"),
            "output": (self.tr("Output"), "output"),
            "driver": (self.tr("Driver"), "driver"),
            "program": (self.tr("llama.cpp itself"), "driver"),
        }

    def show_plan(self, plan: Plan, program: int | None) -> None:
        """What is predicted, before anything ran; ``program``: bytes of llama.cpp itself."""
        clear(self._rows)
        self._title.setText(self.tr("Predicted"))
        for device in plan.devices:
            self._head(f"{device.title} ({device.name})")
            self._planned("weights", device.weights)
            self._planned("context", device.context)
            self._planned("compute", device.compute)
            self._planned("driver", device.driver)
        self._head(self.tr("RAM"))
        self._planned("weights", plan.host.weights)
        self._planned("context", plan.host.context)
        self._planned("compute", plan.host.compute)
        self._planned("output", plan.host.output)
        if program is not None:
            self._planned("program", program)

    def show_result(self, result: ProbeResult) -> None:
        """What was measured, against what was predicted."""
        clear(self._rows)
        self._title.setText(self.tr("Measured against predicted"))
        for place in result.places:
            if place.planned or place.peak:
                self._place(place)

    def _place(self, place: PlaceResult) -> None:
        self._head(place.title if place.name == "host" else f"{place.title} ({place.name})")
        for part in place.components:
            if not part.planned and not part.engine:
                continue
            name, series = self._words[part.name]
            known = part.engine is not None
            value = units.size(part.engine if known else part.planned)
            note = "" if part.planned is None else self._difference(part.engine, part.planned)
            # The log of a run is still llama.cpp's accounting; only the program is a reading.
            logged = Basis.MEASURED if part.name == "program" else Basis.DRY_RUN
            basis = logged if known else Basis.COMPUTED
            self._rows.addWidget(FigureRow(name, value, basis=basis, swatch=series, note=note))
        total = FigureRow(
            self.tr("Peak"),
            units.size(place.peak),
            basis=Basis.MEASURED if place.peak is not None else None,
            note="" if place.planned is None else self._difference(place.peak, place.planned),
        )
        self._rows.addWidget(total)

    def _difference(self, measured: int | None, planned: int) -> str:
        if measured is None:
            return ""
        return self._against(measured - planned, planned)

    def _against(self, difference: int | None, planned: int | None) -> str:
        if difference is None or not planned:
            return ""
        if abs(difference) < units.MIB // 2:
            return self.tr("as predicted")
        sign = "+" if difference > 0 else "−"
        share = f" ({sign}{abs(difference) / planned:.1%})" if abs(difference) < planned else ""
        return f"{sign}{units.size(abs(difference))}{share}"

    def _head(self, words: str) -> None:
        self._rows.addWidget(text(words, "small"))

    def _planned(self, key: str, size: int | None) -> None:
        if size == 0:
            return
        name, series = self._words[key]
        basis = None if size is None else Basis.COMPUTED
        self._rows.addWidget(FigureRow(name, units.size(size), basis=basis, swatch=series))


class SpeedsCard(Card):
    """Speeds as they become known, and the electricity they took."""

    def __init__(self) -> None:
        super().__init__("")
        self.body.addWidget(text(self.tr("Speed"), "title"))
        self._rows = column(spacing=2)
        self.body.addLayout(self._rows)
        self.begin()

    def show_plan(self, plan: Plan) -> None:
        """Predicted speeds."""
        clear(self._rows)
        speed = plan.speed
        spans = (
            (self.tr("Decode"), speed.decode_tps),
            (self.tr("Prefill"), speed.prefill_tps),
        )
        for name, span in spans:
            words = units.UNKNOWN
            if span is not None:
                words = f"{units.rate(span.low, '').strip()}–{units.rate(span.high)}"
            basis = Basis.COMPUTED if span is not None else None
            self._rows.addWidget(FigureRow(name, words, basis=basis))

    def begin(self) -> None:
        """A run begins: nothing is measured yet."""
        clear(self._rows)
        self._waiting = text(self.tr("Not measured yet."), "muted")
        self._rows.addWidget(self._waiting)

    def add(self, point: SpeedPoint) -> None:
        """One more measurement."""
        self._waiting.hide()
        depth = units.tokens(point.depth)
        prompt = units.tokens(point.n_prompt)
        figures = (
            (self.tr("Decode at {depth}").format(depth=depth), units.rate(point.decode_tps)),
            (self.tr("Prefill of {prompt}").format(prompt=prompt), units.rate(point.prefill_tps)),
            (
                self.tr("First token after {prompt}").format(prompt=prompt),
                units.UNKNOWN if point.ttft_s is None else f"{point.ttft_s:.2f} s",
            ),
        )
        for name, value in figures:
            basis = None if value == units.UNKNOWN else Basis.MEASURED
            self._rows.addWidget(FigureRow(name, value, basis=basis))

    def show_result(self, result: ProbeResult) -> None:
        """Everything that was measured."""
        self.begin()
        self._waiting.setVisible(not result.speeds)
        self._waiting.setText(self.tr("Nothing was measured."))
        for point in result.speeds:
            self.add(point)
        for power in result.power:
            energy = power.joules_per_token
            words = f"{power.mean_w:.0f} W"
            note = "" if energy is None else self.tr("{joules:.1f} J/token").format(joules=energy)
            self._rows.addWidget(
                FigureRow(
                    self.tr("Power of {place}").format(place=power.place),
                    words,
                    basis=Basis.MEASURED,
                    note=note,
                )
            )


class WatchCard(Card):
    """What happened beside memory and speed."""

    def __init__(self) -> None:
        super().__init__("")
        self.body.addWidget(text(self.tr("Watch"), "title"))
        self._rows = column(spacing=4)
        self.body.addLayout(self._rows)
        self.begin()

    def begin(self) -> None:
        """Nothing happened yet."""
        clear(self._rows)
        self._quiet = text(
            self.tr("No swapping, throttling, spilling or other programs noticed."),
            "muted",
            wrap=True,
        )
        self._rows.addWidget(self._quiet)

    def add(self, sentence: str) -> None:
        """One more thing that happened."""
        self._quiet.hide()
        self._rows.addWidget(text(sentence, wrap=True))

    def show_result(self, result: ProbeResult) -> None:
        """What happened during a run."""
        self.begin()
        for observation in result.observations:
            self.add(observation.sentence)


class PastCard(Card):
    """Past probes: look at one, compare with one, export, delete."""

    def __init__(
        self,
        *,
        on_open: Callable[[str], None],
        on_compare: Callable[[str], None],
        on_export: Callable[[str, str], None],
        on_delete: Callable[[str], None],
    ) -> None:
        super().__init__("")
        self._on_open = on_open
        self._on_compare = on_compare
        self._on_export = on_export
        self._on_delete = on_delete
        self.body.addWidget(text(self.tr("Past probes"), "title"))
        self._rows = column(spacing=2)
        self.body.addLayout(self._rows)
        self.show_entries(())

    def show_entries(self, entries: tuple[Entry, ...]) -> None:
        """The newest of them."""
        clear(self._rows)
        if not entries:
            self._rows.addWidget(text(self.tr("None yet."), "muted"))
        for entry in entries[:PAST_SHOWN]:
            self._rows.addWidget(self._row(entry))

    def _row(self, entry: Entry) -> QWidget:
        moment = QDateTime.fromSecsSinceEpoch(int(entry.created.timestamp()))
        when = QLocale().toString(moment, QLocale.FormatType.ShortFormat)
        speed = units.rate(entry.decode_tps) if entry.decode_tps else entry.state
        press = RowButton()
        press.setCheckable(True)
        press.marks = False
        name = text(f"{entry.title} · {units.tokens(entry.ctx)}")
        inner = row(column(name, text(when, "small"), spacing=0), None, text(speed, "strong"))
        inner.setContentsMargins(4, 3, 4, 3)
        press.setLayout(inner)
        press.setAccessibleName(f"{name.text()}, {speed}, {when}")
        press.setToolTip(entry.sentence)
        press.clicked.connect(lambda _checked=False: self._on_open(entry.id))
        more = button("…", role="segment", tip=self.tr("Compare, export or delete"))
        more.setAccessibleName(self.tr("More about {name}").format(name=name.text()))
        menu = QMenu(more)
        menu.addAction(self.tr("Compare with it"), lambda: self._on_compare(entry.id))
        menu.addSeparator()
        menu.addAction(self.tr("Copy as table"), lambda: self._on_export(entry.id, "table"))
        menu.addAction(self.tr("Save trace as CSV…"), lambda: self._on_export(entry.id, "csv"))
        menu.addAction(
            self.tr("Save everything as JSON…"), lambda: self._on_export(entry.id, "json")
        )
        menu.addSeparator()
        menu.addAction(self.tr("Delete"), lambda: self._on_delete(entry.id))
        more.clicked.connect(
            lambda _checked=False: menu.popup(more.mapToGlobal(more.rect().bottomLeft()))
        )
        line = QWidget()
        both = row(press, more, spacing=2)
        both.setStretch(0, 1)
        line.setLayout(both)
        return line
