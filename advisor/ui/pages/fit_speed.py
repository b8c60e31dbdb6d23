"""The chosen cell's speed: decode, prefill, first token, and decode by depth."""

import math

from PySide6.QtCore import QCoreApplication
from PySide6.QtWidgets import QWidget

from advisor import units
from advisor.basis import Basis, Range
from advisor.hardware.rig import Rig
from advisor.llm.model import Model
from advisor.probe.calibrate import learn, usable
from advisor.sizing import sampling
from advisor.sizing.plan import Plan
from advisor.sizing.waits import Wait, waits
from advisor.ui import services
from advisor.ui.jobs import Job, run_task
from advisor.ui.pages.measure_ram import MeasureRam
from advisor.ui.state import AppState
from advisor.ui.widgets.basics import Card, button, row, text
from advisor.ui.widgets.figures import FigureRow, range_text, wait_text
from advisor.ui.widgets.range_curve import RangeCurve


class SpeedCard(Card):
    """Figures first, then the curve; unknown says what would make it known."""

    def __init__(self, state: AppState) -> None:
        super().__init__(self.tr("Speed"), note=" ")
        self._state = state
        self.measure_ram = MeasureRam(state)
        self._source = text("", "small", wrap=True)
        self._without = button(self.tr("Do without"), self._do_without, "link")
        self._calibration = QWidget()
        line = row(self._source, self._without)
        line.setStretch(0, 1)
        self._calibration.setLayout(line)
        self._decode = FigureRow(self.tr("Decode"))
        self._served = text("", "small", wrap=True)
        self._prefill = FigureRow(self.tr("Prefill"))
        self._first = FigureRow(self.tr("First token"))
        self._longer = [FigureRow(""), FigureRow("")]
        self._plot = RangeCurve(self.tr("Decode speed by depth"), height=120)
        self._under = text("", "small")
        self._unknown = text("", "muted", wrap=True)
        self._job: Job | None = None
        for part in (
            self._decode,
            self._served,
            self._prefill,
            self._first,
            *self._longer,
            self._plot,
            self._under,
            self._calibration,
            self._unknown,
            self.measure_ram,
        ):
            self.body.addWidget(part)

    def show_plan(self, plan: Plan, model: Model, rig: Rig, probes: services.Probes) -> None:
        """Another plan; the curve follows from the thread pool."""
        if self._job is not None:
            # Its figures would come on to a card that has no speed.
            self._job.cancel()
        speed = plan.speed
        known = speed.decode_tps is not None
        for figure in (self._decode, self._prefill, self._first):
            figure.setVisible(known)
        self._plot.setVisible(known)
        self._under.setVisible(known)
        for figure in self._longer:
            figure.setVisible(False)
        served = sampling.sentence(speed)
        self._served.setText(served)
        self._served.setVisible(bool(served))
        self._unknown.setVisible(not known)
        self.measure_ram.show_where(not known)
        self._show_calibration(speed.calibrated_by)
        if not known:
            reasons = " ".join(speed.notes) or self.tr(
                "There is no basis for a speed here. A probe measures it."
            )
            self._unknown.setText(reasons)
            return
        found = plan.explanations
        self._decode.show_value(
            _rate(speed.decode_tps),
            basis=speed.basis,
            explanation=found.get("speed.decode"),
            name=self.tr("Decode, {depth} tokens deep").format(depth=f"{plan.settings.depth:,}")
            if plan.settings.depth
            else self.tr("Decode, empty context"),
        )
        self._prefill.show_value(
            _rate(speed.prefill_tps),
            basis=speed.basis if speed.prefill_tps else None,
            explanation=found.get("speed.prefill"),
            note="" if speed.prefill_tps else self.tr("a probe measures it"),
        )
        seconds = speed.ttft_s
        self._first.show_value(
            units.UNKNOWN if seconds is None else wait_text(seconds),
            basis=speed.basis if seconds else None,
            explanation=found.get("speed.ttft"),
            name=self.tr("First token after a prompt of {count}").format(
                count=f"{plan.settings.n_prompt:,}"
            ),
        )
        settings = plan.settings
        self._job = run_task(
            lambda _job: (
                services.speed_by_depth(model, rig, settings, probes),
                waits(model, rig, settings, learn(rig, probes)),
            ),
            on_result=self._show_long,
            owner=self,
        )

    def _show_long(self, found: tuple[list[tuple[int, Range]], tuple[Wait, ...]]) -> None:
        """What long prompts and a full context do."""
        points, found_waits = found
        for figure, wait in zip(self._longer, found_waits, strict=False):
            fills = wait is found_waits[-1]
            figure.show_value(
                wait_text(wait.seconds),
                basis=Basis.COMPUTED,
                explanation=wait.how,
                name=self.tr("… after one that fills the context")
                if fills
                else self.tr("… after one of {count}").format(count=f"{wait.tokens:,}"),
            )
            figure.setVisible(True)
        self._show_curve(points)

    def _show_calibration(self, source: str) -> None:
        """Which probe the figures were fitted to, if any, and the way back."""
        self.note.say(self.tr("calibrated") if source else "")
        self._source.setText(self.tr("Calibrated by the {source}.").format(source=source))
        self._calibration.setVisible(bool(source))

    def _do_without(self) -> None:
        """Figures as for a machine that nobody has measured."""
        state = self._state
        if state.rig is None:
            return
        state.forget_results(*(probe.id for probe in usable(state.rig, state.session.probes)))
        words = self.tr(
            "No probe calibrates the speeds any more; Past probes on the Probe "
            "page can bring it back"
        )
        state.noticed.emit(words)

    def _show_curve(self, points: list[tuple[int, Range]]) -> None:
        if len(points) < 2:
            self._plot.setVisible(False)
            self._under.setVisible(False)
            return
        first, last = points[0][1], points[-1][1]
        words = self.tr("from {first} tok/s when empty to {last} at {depth}").format(
            first=range_text(first), last=range_text(last), depth=_tokens(points[-1][0])
        )
        self._under.setText(words)
        furthest, highest = float(points[-1][0]), max(speed.high for _depth, speed in points)
        top = f"{highest:,.0f}" if highest >= 10 else f"{highest:.1f}"
        self._plot.show_points(
            tuple((float(depth), speed) for depth, speed in points),
            across=tuple((d, _tokens(d)) for d in (0.0, _middle(furthest), furthest)),
            up=((0.0, "0"), (highest, top)),
            words=words,
        )


def _tokens(depth: float) -> str:
    """A depth as a round number: the fullest context holds one token less than its length."""
    return units.tokens(int(depth) + 1) if depth else "0"


def _middle(furthest: float) -> float:
    """The half of it, or what people call a length near that."""
    half = round(furthest + 1) // 2
    return float(half if half % 1024 == 0 else 1 << round(math.log2(half))) - 1


def _rate(span: Range | None) -> str:
    if span is None:
        return units.UNKNOWN
    return QCoreApplication.translate("SpeedCard", "{span} tok/s").format(span=range_text(span))
