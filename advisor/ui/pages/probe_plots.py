"""One headroom plot per device and for RAM, fed by a probe while it runs or by its result."""

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtWidgets import QWidget

from advisor import units
from advisor.probe.result import Phase, PlaceResult, ProbeResult
from advisor.probe.sampler import HOST
from advisor.probe.trace import Fresh
from advisor.sizing.plan import DevicePlan, HostPlan, Plan
from advisor.ui.widgets.basics import clear, column, text
from advisor.ui.widgets.headroom_plot import Band, HeadroomPlot, Span

SLACK_S = 6.0
"""Seconds beyond the measuring time that the axis begins with: starting and loading."""


@dataclass
class _Place:
    """A plot and what it needs to know of its place."""

    plot: HeadroomPlot
    name: str
    capacity: int | None
    base: int
    """Bytes held by others: below the line where the samples are the child's own."""
    last: float | None = None

    @property
    def headroom(self) -> float | None:
        return None if self.capacity is None or self.last is None else self.capacity - self.last


class Plots(QWidget):
    """As many plots as the run has places with something in them."""

    def __init__(self) -> None:
        super().__init__()
        self._column = column(spacing=4)
        self.setLayout(self._column)
        self._places: list[_Place] = []
        self._compared: ProbeResult | None = None
        self._words: dict[str, str] = {
            "weights": self.tr("Weights"),
            "context": self.tr("Context"),
            "compute": self.tr("Compute"),
            "output": self.tr("Output"),
            "driver": self.tr("Driver"),
            "program": self.tr("llama.cpp"),
            "other": self.tr("Others"),
        }

    @property
    def headroom(self) -> float | None:
        """Bytes free now where it is tightest."""
        known = [p.headroom for p in self._places if p.headroom is not None]
        return min(known, default=None)

    # before and while it runs

    def show_plan(self, plan: Plan, seconds: float, program: int | None) -> None:
        """What is predicted; ``program``: bytes of llama.cpp itself."""
        self._clear()
        many = len(plan.devices) > 0
        for device in plan.devices:
            self._add(device.name, f"{device.title} ({device.name})", many=True)
            self._predict(self._places[-1], self._device_bands(device), device.capacity)
        if not plan.devices or _total(plan.host) > units.GIB:
            self._add(HOST, self.tr("RAM"), many=many)
            place = self._places[-1]
            self._predict(place, self._host_bands(plan.host, program), plan.host.free_before)
        for place in self._places:
            place.plot.set_seconds(seconds + SLACK_S)

    def begin(self) -> None:
        """A run begins."""
        for place in self._places:
            place.plot.clear()
            place.plot.compare((), ())
            place.last = None

    def show_phases(self, phases: Sequence[Phase]) -> None:
        """Phases so far."""

        def seconds(moment: int | None) -> float | None:
            return None if moment is None else moment / 1000

        spans = [Span(self._phase_word(p), p.start_ms / 1000, seconds(p.end_ms)) for p in phases]
        for place in self._places:
            place.plot.set_phases(spans)

    def extend(self, fresh: Fresh) -> None:
        """New samples."""
        for place in self._places:
            values = fresh.values.get((place.name, "used"))
            if values is None:
                continue
            if fresh.start == 0:
                place.plot.extend((), ())
            pairs = [
                (at / 1000, float(value) * 1024 + place.base)
                for at, value in zip(fresh.times_ms, values, strict=True)
                if value is not None
            ]
            if pairs:
                place.plot.extend([t for t, _ in pairs], [v for _, v in pairs])
                place.last = pairs[-1][1]
                place.plot.say(
                    self.tr("{now} in use, {peak} at most").format(
                        now=units.size(int(place.last)), peak=units.size(int(place.plot.peak))
                    )
                )

    # after

    def show_result(self, result: ProbeResult) -> None:
        """A finished probe, from its own record."""
        self._clear()
        last = result.trace.times_ms[-1] / 1000 if result.trace.times_ms else 1.0
        devices = [p for p in result.places if p.name != HOST]
        for found in result.places:
            if found.name == HOST and devices and (found.planned or 0) < units.GIB:
                continue
            self._add(found.name, self._title(found), many=bool(devices))
            place = self._places[-1]
            self._predict(place, self._result_bands(found), found.capacity)
            place.plot.set_seconds(max(1.0, last))
            self._draw(place, result)
        self.show_phases(result.phases)
        if self._compared is not None:
            self.compare(self._compared)

    def compare(self, other: ProbeResult) -> None:
        """Another probe's lines, dotted, in the same plots."""
        self._compared = other
        for place in self._places:
            times, values = _line(other, place)
            place.plot.compare(times, values)

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

    def _clear(self) -> None:
        clear(self._column)
        self._places = []

    def _add(self, name: str, title: str, *, many: bool) -> None:
        plot = HeadroomPlot(self.tr("Memory of {place}").format(place=title))
        if many:
            self._column.addWidget(text(title, "strong"))
        self._column.addWidget(plot, 1)
        self._places.append(_Place(plot, name, None, 0))

    def _predict(self, place: _Place, bands: list[Band], capacity: int | None) -> None:
        place.capacity = capacity
        place.plot.set_prediction(bands, capacity)

    def _draw(self, place: _Place, result: ProbeResult) -> None:
        times, values = _line(result, place)
        place.plot.extend(times, values)
        place.last = values[-1] if values else None
        place.plot.say(self.tr("{peak} at most").format(peak=units.size(int(place.plot.peak))))

    def _band(self, key: str, size: int | None) -> list[Band]:
        if not size:
            return []
        series = {"program": "driver"}.get(key, key)
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
        ]

    def _host_bands(self, plan: HostPlan, program: int | None) -> list[Band]:
        return [
            *self._band("weights", plan.weights),
            *self._band("context", plan.context),
            *self._band("compute", plan.compute),
            *self._band("output", plan.output),
            *self._band("program", program),
        ]

    def _result_bands(self, place: PlaceResult) -> list[Band]:
        """The prediction as it was drawn before the run, in the same order and place."""
        bands = self._band("other", place.before)
        parts = {part.name: part for part in place.components}
        for name in ("driver", "weights", "context", "compute", "output", "program"):
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
            "decode": self.tr("decode at {depth}"),
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
