"""The cards beside the plot: memory against plan, speed, what to watch, past probes."""

from advisor import units
from advisor.basis import Basis
from advisor.probe.result import PlaceResult, ProbeResult, SpeedPoint
from advisor.sizing.plan import Plan
from advisor.ui.design import Series
from advisor.ui.widgets.basics import Card, clear, column, text
from advisor.ui.widgets.figures import FigureRow

FEW = 2
"""So many devices are shown in all their parts."""


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
        """What was measured, against what was predicted; of many devices the tightest in parts."""
        clear(self._rows)
        self._title.setText(self.tr("Measured against predicted"))
        places = [place for place in result.places if place.planned or place.peak]
        devices = [place for place in places if place.name != "host"]
        if len(devices) > FEW:
            tightest = min(devices, key=_left)
            self._place(tightest)
            self._head(self.tr("Peak of the others"))
            for place in devices:
                if place is not tightest:
                    self._peak(place, place.name)
            places = [place for place in places if place.name == "host"]
        for place in places:
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
        self._peak(place, self.tr("Peak"))

    def _peak(self, place: PlaceResult, name: str) -> None:
        total = FigureRow(
            name,
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


def _left(place: PlaceResult) -> int:
    return 1 << 62 if place.lowest_free is None else place.lowest_free


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
        figures: list[tuple[str, float | None, str, float | None]] = [
            (
                self.tr("Decode at {depth}").format(depth=depth),
                point.decode_tps,
                units.rate(point.decode_tps),
                point.decode_spread,
            ),
            (
                self.tr("Prefill of {prompt}").format(prompt=prompt),
                point.prefill_tps,
                units.rate(point.prefill_tps),
                point.prefill_spread,
            ),
            (
                self.tr("First token after {prompt}").format(prompt=prompt),
                point.ttft_s,
                f"{point.ttft_s or 0.0:.2f} s",
                None,
            ),
        ]
        for name, value, words, spread in figures:
            if value is not None:
                note = "" if spread is None else f"± {units.rate(spread, '').strip()}"
                self._rows.addWidget(FigureRow(name, words, basis=Basis.MEASURED, note=note))

    def show_result(self, result: ProbeResult) -> None:
        """Everything that was measured."""
        self.begin()
        self._waiting.setVisible(not result.speeds)
        self._waiting.setText(self.tr("Nothing was measured."))
        for point in result.speeds:
            self.add(point)
        if len(result.power) > FEW:
            watts = sum(power.mean_w for power in result.power)
            joules = [power.joules_per_token for power in result.power]
            each = None if None in joules else sum(j for j in joules if j is not None)
            self._power(self.tr("{n} devices").format(n=len(result.power)), watts, each)
            return
        for power in result.power:
            self._power(power.place, power.mean_w, power.joules_per_token)

    def _power(self, place: str, watts: float, joules: float | None) -> None:
        note = "" if joules is None else self.tr("{joules:.1f} J/token").format(joules=joules)
        name = self.tr("Power of {place}").format(place=place)
        self._rows.addWidget(FigureRow(name, f"{watts:,.0f} W", basis=Basis.MEASURED, note=note))


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
