"""One headroom plot per device and for RAM, fed by a probe while it runs or by its result."""

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QEvent
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QApplication, QGridLayout, QScrollArea, QWidget

from advisor import units
from advisor.probe.result import Observation, Phase, PlaceResult, ProbeResult
from advisor.probe.sampler import HOST
from advisor.probe.trace import Fresh
from advisor.sizing.plan import DevicePlan, HostPlan, Plan
from advisor.ui.design import Series
from advisor.ui.turns import Turn
from advisor.ui.widgets.basics import clear, column, row, text
from advisor.ui.widgets.flow import Flow
from advisor.ui.widgets.headroom_ground import Band
from advisor.ui.widgets.headroom_marks import Event, Span
from advisor.ui.widgets.headroom_plot import COMPACT, HeadroomPlot
from advisor.ui.widgets.stacked_bar import Swatch

FEW = 2
"""So many plots stand full width above each other; more of them are small, in columns."""
WIDE = 1000
"""Px of width from which small plots stand in three columns."""
MANY = 6
"""More plots than this stand in three columns at any width: else they would be flat."""
_STACKED = (
    "driver", "weights", "context", "compute", "output", "draft", "projector", "program"
)  # fmt: skip
"""Parts of a place from the bottom up."""
SLACK_S = 6.0
"""Seconds beyond the measuring time that the axis begins with: starting and loading."""


@dataclass
class _Place:
    """A plot and what it needs to know of its place."""

    plot: HeadroomPlot
    name: str
    title: str
    capacity: int | None
    base: int
    """Bytes held by others: below the line where the samples are the child's own."""
    last: float | None = None
    heading: QWidget | None = None

    @property
    def headroom(self) -> float | None:
        return None if self.capacity is None or self.last is None else self.capacity - self.last


class Plots(QWidget):
    """As many plots as the run has places with something in them."""

    def __init__(self) -> None:
        super().__init__()
        self._grid = QGridLayout()
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(4)
        self._legend = QWidget()
        self._legend_row = Flow()
        self._legend.setLayout(self._legend_row)
        self._legend.hide()
        whole = column(spacing=4)
        whole.addLayout(self._grid, 1)
        whole.addWidget(self._legend)
        self.setLayout(whole)
        self._places: list[_Place] = []
        self._words: dict[str, str] = {
            "weights": self.tr("Weights"),
            "context": self.tr("Context"),
            "compute": self.tr("Compute"),
            "output": self.tr("Output"),
            "draft": self.tr("Drafting"),
            "projector": self.tr("Projector"),
            "driver": self.tr("Driver"),
            "program": self.tr("llama.cpp"),
            "other": self.tr("Others"),
        }
        self._event_words: dict[str, str] = {
            "spill": self.tr("spills to RAM"),
            "swap": self.tr("swapped"),
            "throttled": self.tr("throttled"),
            "power-limited": self.tr("at its power limit"),
            "lost": self.tr("lost"),
            "asleep": self.tr("slept"),
            "other-program": self.tr("other program"),
        }
        self._small = False
        self._columns = 0
        self._other_height = Turn(self)
        self._other_height.due.connect(self._tell_around)
        self._named: tuple[tuple[Series, str], ...] = ()
        """Series in the legend, with their names."""

    @property
    def headroom(self) -> float | None:
        """Bytes free now where it is tightest."""
        known = [p.headroom for p in self._places if p.headroom is not None]
        return min(known, default=None)

    # before and while it runs

    def show_plan(self, plan: Plan, seconds: float, program: int | None) -> None:
        """What is predicted; ``program``: bytes of llama.cpp itself."""
        with_host = not plan.devices or _total(plan.host) > units.GIB
        wanted = [(d.name, f"{d.title} ({d.name})") for d in plan.devices]
        self._begin([*wanted, (HOST, self.tr("RAM"))] if with_host else wanted)
        for device, place in zip(plan.devices, self._places, strict=False):
            self._predict(place, self._device_bands(device), device.capacity)
        if with_host:
            bands = self._host_bands(plan.host, program)
            self._predict(self._places[-1], bands, plan.host.free_before)
        self._show_legend()
        self._share_scales()
        for place in self._places:
            place.plot.set_seconds(seconds + SLACK_S)

    def begin(self) -> None:
        """A run begins."""
        for place in self._places:
            place.plot.clear()
            place.last = None
        self._share_scales()

    def _share_scales(self) -> None:
        """Small plots of devices stand side by side to be compared."""
        devices = [place.plot for place in self._places if self._small and place.name != HOST]
        most = max((plot.needed for plot in devices), default=0.0)
        for plot in devices:
            plot.reach(most)

    def show_phases(self, phases: Sequence[Phase]) -> None:
        """Phases so far."""

        def seconds(moment: int | None) -> float | None:
            return None if moment is None else moment / 1000

        spans = [Span(self._phase_word(p), p.start_ms / 1000, seconds(p.end_ms)) for p in phases]
        for place in self._places:
            place.plot.set_phases(spans)

    def show_events(self, observations: Sequence[Observation]) -> None:
        """What happened, marked on the plots of the places that it is about."""
        for place in self._places:
            place.plot.set_events(
                [
                    Event(o.at_ms / 1000, self._event_word(o), o.sentence)
                    for o in observations
                    if o.kind in self._event_words and self._is_about(o, place)
                ]
            )

    def _is_about(self, observation: Observation, place: _Place) -> bool:
        names = [p.name for p in self._places if p.name != HOST]
        if observation.place in names or observation.place == HOST:
            shown_there = place.name == observation.place
            return shown_there or (observation.place == HOST and place is self._places[-1])
        return True

    def _event_word(self, observation: Observation) -> str:
        return self._event_words[observation.kind]

    def extend(self, fresh: Fresh, *, words: bool = True) -> None:
        """New samples; ``words``: also say what they come to."""
        for place in self._places:
            values = fresh.values.get((place.name, "used"))
            if values is None:
                continue
            if fresh.start == 0:  # thinned, or another part of the run: drawn anew
                place.plot.restart()
            pairs = [
                (at / 1000, float(value) * 1024 + place.base)
                for at, value in zip(fresh.times_ms, values, strict=True)
                if value is not None
            ]
            if not pairs:
                continue
            place.plot.extend([t for t, _ in pairs], [v for _, v in pairs])
            place.last = pairs[-1][1]
            if words:
                now, peak = units.size(int(place.last)), units.size(int(place.plot.peak))
                sentence = self.tr("{now} in use, {peak} at most")
                if self._small:
                    sentence = self.tr("{now} of {capacity}")
                place.plot.say(
                    sentence.format(now=now, peak=peak, capacity=units.size(place.capacity))
                )
        self._share_scales()

    # after

    def show_result(self, result: ProbeResult) -> None:
        """A finished probe, from its own record."""
        last = result.trace.times_ms[-1] / 1000 if result.trace.times_ms else 1.0
        devices = [p for p in result.places if p.name != HOST]
        shown = [
            found
            for found in result.places
            if found.name != HOST or not devices or (found.planned or 0) >= units.GIB
        ]
        self._begin([(found.name, self._title(found)) for found in shown])
        for found, place in zip(shown, self._places, strict=True):
            self._predict(place, self._result_bands(found), found.capacity)
            place.plot.set_seconds(max(1.0, last))
            self._draw(place, result)
        self._show_legend()
        self._share_scales()
        self.show_events(result.observations)
        self.show_phases(result.phases)

    def compare(self, other: ProbeResult | None) -> None:
        """Another probe's lines, dotted, in the same plots; None takes them away."""
        for place in self._places:
            place.plot.compare(*(_line(other, place) if other is not None else ((), ())))

    def headroom_of(self, result: ProbeResult) -> int | None:
        """Bytes that stayed free where it was tightest, by what llama.cpp held itself."""
        left: list[int] = []
        for place in self._places:
            found = result.place(place.name)
            if found is None or place.capacity is None or not place.plot.peak:
                continue
            if found.name != HOST:
                # Samples of a device count every program on it.
                left.append(int(place.capacity - place.plot.peak))
            elif found.peak is not None:
                # Pages that were only touched while loading can be taken back at any time.
                left.append(place.capacity - found.peak)
        return min(left, default=None)

    # parts

    @staticmethod
    def _title(place: PlaceResult) -> str:
        return place.title if place.name == HOST else f"{place.title} ({place.name})"

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 - Qt's name
        """Small plots take as many columns as there is room for."""
        super().resizeEvent(event)
        before = self._columns
        self._arrange()
        if self._columns != before:
            # What is around it is being laid out now and hears of no other height.
            self._other_height.start()

    def _tell_around(self) -> None:
        """What scrolls it has its new height; Qt's own requests stop below that at times."""
        part: QWidget | None = self
        while part is not None and not isinstance(part, QScrollArea):
            layout = part.layout()
            if layout is not None:
                layout.invalidate()
                layout.activate()
            part = part.parentWidget()
        if part is not None:
            QApplication.sendEvent(part, QEvent(QEvent.Type.LayoutRequest))

    def _arrange(self) -> None:
        columns = 1 if not self._small else 2
        if self._small and (self.width() >= WIDE or len(self._places) > MANY):
            columns = 3
        # As many as have room: the rest is scrolled to.
        columns = max(1, min(columns, self.width() // COMPACT.width()))
        if columns == self._columns:
            return
        self._columns = columns
        for number, place in enumerate(self._places):
            if self._small:
                self._grid.addWidget(place.plot, number // columns, number % columns)
                continue
            if len(self._places) > 1:
                place.heading = place.heading or text(place.plot.title, "strong")
                self._grid.addWidget(place.heading, 2 * number, 0)
            self._grid.addWidget(place.plot, 2 * number + 1, 0)
            self._grid.setRowStretch(2 * number + 1, 1)
        for column_number in range(3):
            self._grid.setColumnStretch(column_number, 1 if column_number < columns else 0)

    def _show_legend(self) -> None:
        """Small plots have no room for names: each series once, below them all."""
        bands = [band for place in self._places for band in place.plot.bands if self._small]
        pairs: list[tuple[Series, str]] = [(band.series, band.name) for band in bands]
        series = tuple(dict.fromkeys(pairs))
        if series == self._named:
            return
        self._named = series
        clear(self._legend_row)
        self._legend.setVisible(self._small)
        for one, name in series:
            pair = QWidget()
            swatch = Swatch(one)
            pair.setLayout(row(swatch, text(name, "small"), spacing=5))
            self._legend_row.addWidget(pair)

    def _begin(self, wanted: list[tuple[str, str]]) -> None:
        """Empty plots of these names and titles. Those that stay are kept: making one is slow."""
        if wanted == [(place.name, place.title) for place in self._places]:
            for place in self._places:
                place.plot.clear()
                place.last = None
            return
        self._clear()
        self._small = len(wanted) > FEW
        for name, title in wanted:
            self._add(name, title)
        self._arrange()

    def _clear(self) -> None:
        for place in self._places:
            for part in (place.plot, place.heading):
                if part is not None:
                    self._grid.removeWidget(part)
                    part.hide()
                    part.deleteLater()
        for line in range(self._grid.rowCount()):
            self._grid.setRowStretch(line, 0)
        self._places = []
        self._columns = 0

    def _add(self, name: str, title: str) -> None:
        short = title.rsplit("(", 1)[-1].rstrip(")") if self._small and name != HOST else title
        plot = HeadroomPlot(short, compact=self._small, shared=name == HOST)
        plot.setAccessibleName(self.tr("Memory of {place}").format(place=title))
        plot.setToolTip(title if self._small else "")
        self._places.append(_Place(plot, name, title, None, 0))

    def _predict(self, place: _Place, bands: list[Band], capacity: int | None) -> None:
        place.capacity = capacity
        place.plot.set_prediction(bands, capacity)

    def _draw(self, place: _Place, result: ProbeResult) -> None:
        times, values = _line(result, place)
        place.plot.extend(times, values)
        place.last = values[-1] if values else None
        words = self.tr("{peak} of {capacity}") if self._small else self.tr("{peak} at most")
        peak = units.size(int(place.plot.peak))
        place.plot.say(words.format(peak=peak, capacity=units.size(place.capacity)))

    def _band(self, key: str, size: int | None) -> list[Band]:
        if not size:
            return []
        alike = {"program": "driver", "draft": "output", "projector": "weights"}
        series = alike.get(key, key)
        return [Band(series, self._words[key], size)]  # pyright: ignore[reportArgumentType] - a design.Series

    def _device_bands(self, plan: DevicePlan) -> list[Band]:
        other = None
        if plan.capacity is not None and plan.free_before is not None:
            other = plan.capacity - plan.free_before
        return [
            *self._band("other", other),
            *self._band("driver", plan.driver),
            *self._band("weights", plan.weights),
            *self._band("context", plan.context),
            *self._band("compute", plan.compute),
            *self._band("draft", plan.draft),
            *self._band("projector", plan.projector),
        ]

    def _host_bands(self, plan: HostPlan, program: int | None) -> list[Band]:
        return [
            *self._band("weights", plan.weights),
            *self._band("context", plan.context),
            *self._band("compute", plan.compute),
            *self._band("output", plan.output),
            *self._band("draft", plan.draft),
            *self._band("projector", plan.projector),
            *self._band("program", program),
        ]

    def _result_bands(self, place: PlaceResult) -> list[Band]:
        """The prediction as it was drawn before the run, in the same order and place."""
        bands = self._band("other", place.before)
        parts = {part.name: part for part in place.components}
        for name in _STACKED:
            part = parts.get(name)
            if part is not None:
                bands += self._band(name, part.planned)
        return bands

    def _phase_word(self, phase: Phase) -> str:
        words = {
            "starting": self.tr("start"),
            "loading": self.tr("load"),
            "warm-up": self.tr("warm-up"),
            "prefill": self.tr("prefill"),
            "decode": self.tr("decode at {depth}")
            if phase.depth
            else self.tr("decode, empty context"),
            "stopping": self.tr("stop"),
        }
        return words[phase.name].format(depth=units.tokens(phase.depth))


def _total(plan: HostPlan) -> int:
    return plan.total or plan.weights


def _line(result: ProbeResult, place: _Place) -> tuple[list[float], list[float]]:
    series = result.trace.get(place.name, "used")
    if series is None:
        return [], []
    pairs = [
        (at / 1000, float(value) * 1024 + place.base)
        for at, value in zip(result.trace.times_ms, series.values, strict=True)
        if value is not None
    ]
    return [t for t, _ in pairs], [v for _, v in pairs]
