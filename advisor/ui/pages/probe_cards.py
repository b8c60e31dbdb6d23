"""The cards beside the plot: speed, and what to watch."""

from PySide6.QtCore import Qt

from advisor import units
from advisor.basis import Basis, Range
from advisor.probe.calibrate import disturbed, measures_speed, teaches
from advisor.probe.consequences import GHOSTS_PROMPTS
from advisor.probe.result import ProbeResult, SpeedPoint
from advisor.probe.slow_zeros import HELD, held_zeros
from advisor.sizing.plan import Plan
from advisor.sizing.sampling import served_tps
from advisor.sizing.speed_prefill import COPIED
from advisor.ui.widgets.basics import Card, clear, column, row, text
from advisor.ui.widgets.figures import FigureRow, range_text

FEW = 2
"""The power of so many devices is shown one by one."""


LAST_LINES = 6
"""Lines of the log that are shown when a probe failed."""


class SpeedsCard(Card):
    """Speeds as they become known, and the electricity they took."""

    def __init__(self) -> None:
        super().__init__("")
        self._grey = text(self.tr("grey ranges: predicted"), "small")
        self.body.addLayout(row(text(self.tr("Speed"), "title"), self._grey, None))
        self._rows = column(spacing=2)
        self.body.addLayout(self._rows)
        self.begin()

    def show_plan(self, plan: Plan, *, served: bool, ghost: bool) -> None:
        """Predicted speeds, ``served`` by llama-server or as llama-bench measures them."""
        clear(self._rows)
        self._grey.hide()
        speed = plan.speed
        decode = served_tps(speed) if served else speed.decode_tps
        # Fit says what llama-bench would.
        other = decode and speed.decode_tps and range_text(decode) != range_text(speed.decode_tps)
        copied = ghost and any(term.name == COPIED for term in speed.prefill_terms)
        spans = (
            (
                self.tr("Decode"),
                decode,
                "speed.decode",
                self.tr("in llama-server") if other else "",
            ),
            (
                self.tr("Prefill"),
                speed.prefill_tps,
                "speed.prefill",
                self.tr("of a ghost") if copied else "",
            ),
        )
        for name, span, key, note in spans:
            words = units.UNKNOWN if span is None else f"{range_text(span)} tok/s"
            basis = Basis.COMPUTED if span is not None else None
            found = plan.explanations.get(key)
            if copied and key == "speed.prefill" and found is not None:
                found = found.model_copy(update={"notes": (*found.notes, GHOSTS_PROMPTS)})
            self._rows.addWidget(FigureRow(name, words, basis=basis, explanation=found, note=note))

    def begin(self) -> None:
        """A run begins: nothing is measured yet."""
        clear(self._rows)
        self._grey.hide()
        self._waiting = text(self.tr("Not measured yet."), "muted")
        self._rows.addWidget(self._waiting)

    def add(self, point: SpeedPoint) -> None:
        """One more measurement."""
        self._waiting.hide()
        depth = units.tokens(point.depth)
        prompt = units.tokens(point.n_prompt)
        figures: list[tuple[str, float | None, str, float | None, Range | None]] = [
            (
                self.tr("Decode at {depth}").format(depth=depth)
                if point.depth
                else self.tr("Decode, empty context"),
                point.decode_tps,
                units.rate(point.decode_tps),
                point.decode_spread,
                point.decode_predicted,
            ),
            (
                self.tr("Prefill of {prompt}").format(prompt=prompt),
                point.prefill_tps,
                units.rate(point.prefill_tps),
                point.prefill_spread,
                point.prefill_predicted,
            ),
            (
                self.tr("First token after {prompt}").format(prompt=prompt),
                point.ttft_s,
                f"{point.ttft_s or 0.0:.2f} s",
                None,
                None,
            ),
        ]
        for name, value, words, spread, predicted in figures:
            if value is not None:
                note = "" if spread is None else f"± {units.speed(spread)}"
                if not note and predicted is not None:
                    note = range_text(predicted)
                    self._grey.show()
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
        self.begin(running=False)

    def begin(self, *, running: bool = True) -> None:
        """Nothing happened yet; before a run nobody looks."""
        clear(self._rows)
        words = self.tr("No swapping, throttling, spilling or other programs noticed.")
        if not running:
            words = self.tr(
                "While it runs: swapping, throttling, memory spilled into RAM, other programs."
            )
        self._quiet = text(words, "muted", wrap=True)
        self._rows.addWidget(self._quiet)

    def add(self, sentence: str) -> None:
        """One more thing that happened."""
        self._quiet.hide()
        self._rows.addWidget(text(sentence, wrap=True))

    def show_result(self, result: ProbeResult) -> None:
        """What happened during a run."""
        self.begin()
        if not result.trace.times_ms:
            self._quiet.setText(self.tr("It ended before there was anything to watch."))
        for observation in result.observations:
            self.add(observation.sentence)
        if result.ending.state == "done":
            self._say_what_it_teaches(result)
        self._show_log(result)

    def _say_what_it_teaches(self, result: ProbeResult) -> None:
        if held_zeros(result):
            self.add(HELD)
        if not measures_speed(result):
            self.add(self.tr("This probe does not calibrate other figures."))
        elif not teaches(result):
            words = self.tr("Too few tokens were generated for it to calibrate other figures.")
            self.add(words)
        elif disturbed(result):
            words = self.tr(
                "It was disturbed: it calibrates other figures only until there is an "
                "undisturbed probe, and their ranges stay wide."
            )
            self.add(words)

    def _show_log(self, result: ProbeResult) -> None:
        last = result.ending.detail.strip().splitlines()[-LAST_LINES:]
        if last:
            self.add(self.tr("The end of llama.cpp's log:"))
            log = text("\n".join(last), "small", wrap=True)
            log.setTextInteractionFlags(
                Qt.TextInteractionFlag.TextSelectableByMouse
                | Qt.TextInteractionFlag.TextSelectableByKeyboard
            )
            log.setAccessibleName(self.tr("The end of llama.cpp's log"))
            self._rows.addWidget(log)
