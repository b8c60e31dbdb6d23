"""The verdict in words, and what moves it most."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QLabel, QSizePolicy, QVBoxLayout, QWidget

from advisor.advice.influences import Influence
from advisor.advice.money import money
from advisor.advice.options import Option
from advisor.advice.verdict import Advice
from advisor.advice.whatif import name
from advisor.advice.wording import sentence
from advisor.ui import design
from advisor.ui.widgets.basics import Card, Elided, TextRole, button, clear, column, row, text

SHOWN: Final = 6
"""Influences on screen; the rest move less than the last of these."""


def paragraph(words: str, role: TextRole = "muted") -> QLabel:
    """Wrapped text that does not reserve the height which a narrower page would need."""
    label = text(words, role, wrap=True)
    policy = label.sizePolicy()
    policy.setVerticalPolicy(QSizePolicy.Policy.Preferred)
    label.setSizePolicy(policy)
    return label


def tell(layout: QVBoxLayout, lines: Sequence[tuple[str, TextRole]]) -> None:
    """Make a layout of paragraphs say these lines, each in its role.

    Labels that are there are kept: new ones have to be styled and laid out, which takes too long
    for an answer that follows a drag.
    """
    for place, (words, role) in enumerate(lines):
        item = layout.itemAt(place)
        label = item.widget() if item is not None else None
        if isinstance(label, QLabel) and label.property("role") == role:
            if label.text() != words:
                label.setText(words)
            continue
        clear(layout, place)
        layout.addWidget(paragraph(words, role))
    clear(layout, len(lines))


def _in_role(lines: Iterable[str], role: TextRole) -> list[tuple[str, TextRole]]:
    return [(line, role) for line in lines]


class VerdictCard(Card):
    """One sentence, its reasons, what would change it, and on request what it rests on."""

    probe_wanted = Signal(object)
    """The option that is to be measured."""

    def __init__(self) -> None:
        super().__init__(self.tr("Verdict"), note=" ")
        self.headline = paragraph("", "headline")
        self._to_probe: Option | None = None
        self.probe = button(
            self.tr("Probe it"), lambda: self.probe_wanted.emit(self._to_probe), role="segment"
        )
        self.probe.hide()
        self.head.addWidget(self.probe)
        self._rests = button(self.tr("What it rests on"), role="segment")
        self._rests.setCheckable(True)
        self._rests.hide()
        self.head.addWidget(self._rests)
        self._reasons = QVBoxLayout()
        self._reasons.setSpacing(2)
        self._ground = QWidget()
        self._sources = column(spacing=3)
        self._ground.setLayout(self._sources)
        self._ground.hide()
        self._rests.toggled.connect(self._ground.setVisible)
        self.body.addWidget(self.headline)
        self.body.addLayout(self._reasons)
        self.body.addWidget(self._ground)

    def show_none(self, words: str) -> None:
        """No verdict, and why."""
        self.headline.setText(words)
        self._to_probe = None
        self.probe.hide()
        self._rests.setChecked(False)
        self._rests.hide()
        clear(self._reasons)

    def show_advice(self, advice: Advice, *, here: bool = False) -> None:
        """Another verdict. ``here``: its rig is this machine, so that a probe can be run."""
        self.headline.setText(advice.headline)
        self._rests.show()
        self._to_probe = advice.to_probe if here else None
        self.probe.setVisible(self._to_probe is not None)
        if self._to_probe is not None:
            words = self.tr("Measure {runs} on this machine").format(runs=self._to_probe.runs)
            self.probe.setToolTip(words)
            self.probe.setAccessibleName(words)
        reasons = list(advice.reasons)
        if advice.best is None:
            reasons += [
                f"{change.when[:1].upper()}{change.when[1:]}: {change.then}."
                for change in advice.changes
            ]
        elif advice.changes:
            outcomes: dict[str, list[str]] = {}
            for change in advice.changes:
                outcomes.setdefault(change.then, []).append(change.when)
            either = self.tr(", or ")
            words = "; ".join(f"{either.join(when)} → {then}" for then, when in outcomes.items())
            reasons.append(self.tr("Changes: {words}.").format(words=words))
        if advice.runner_up is not None and not any("Runner-up" in r for r in advice.reasons):
            reasons.append(self.tr("Runner-up: {name}.").format(name=name(advice.runner_up)))
        tell(self._reasons, _in_role(reasons, "muted"))
        sources: list[tuple[str, TextRole]] = []
        for title, sentences in (
            (self.tr("Not known, or worth knowing"), advice.unknowns),
            (self.tr("Assumed, with sources"), advice.assumptions),
        ):
            if sentences:
                sources.append((title, "strong"))
            sources += _in_role(map(sentence, sentences), "body")
        counted = self.tr("{count} options were looked at.").format(count=f"{advice.searched:,}")
        tell(self._sources, [*sources, (counted, "small")])


class MoversCard(Card):
    """A tornado: how far each input moves the difference between the compared two."""

    def __init__(self) -> None:
        super().__init__(self.tr("What moves it most"))
        self._caption = text("", "small", wrap=True)
        self._rows = column(spacing=7)
        self._movers: list[_Mover] = []
        self.body.addWidget(self._caption)
        self.body.addLayout(self._rows)
        self.body.addStretch(1)

    def show_advice(self, advice: Advice) -> None:
        """Other bars; those that are there are used again."""
        for mover in self._movers:
            mover.hide()
        found = advice.influences[:SHOWN]
        base = self._base(advice)
        if not found or base is None:
            self._caption.setText(
                self.tr(
                    "Nothing to compare: that needs a rig that holds every request, with a "
                    "known speed and price."
                )
            )
            return
        words = (
            self.tr(
                "What the verdict costs, {currency} a month, with one input at a time low and high"
            )
            if advice.compared is None
            else self.tr(
                "How much more the rig costs, {currency} a month, with one input at a time "
                "low and high"
            )
        )
        self._caption.setText(words.format(currency=advice.usage.currency))
        ends = [float(end) for i in found for end in (i.at_low, i.at_high)]
        scale = (min(*ends, base), max(*ends, base))
        while len(self._movers) < len(found):
            self._add()
        for mover, influence in zip(self._movers, found, strict=False):
            mover.show_influence(influence, base, scale, advice.usage.currency)
            mover.show()

    def make_some(self) -> bool:
        """A few bars ahead of the first answer; whether more may be needed."""
        for _bar in range(2):
            self._add().hide()
        return len(self._movers) < SHOWN

    def _add(self) -> "_Mover":
        made = _Mover()
        self._movers.append(made)
        self._rows.addWidget(made)
        return made

    def _base(self, advice: Advice) -> float | None:
        """What is moved: the difference between the compared two, or the verdict's own cost."""
        if advice.compared is None:
            monthly = advice.best.monthly if advice.best is not None else None
            return None if monthly is None else float(monthly.mid)
        rig, api = advice.compared
        if rig.monthly is None or api.monthly is None:
            return None
        return float(rig.monthly.mid - api.monthly.mid)


class _Mover(QWidget):
    """One input: its name, how far it moves the result, and a bar of where to."""

    def __init__(self) -> None:
        super().__init__()
        self._title = Elided()
        self._numbers = text("", "small")
        self._bar = _Bar()
        head = row(self._title, self._numbers, spacing=4)
        head.setStretch(0, 1)
        self.setLayout(column(head, self._bar, spacing=2))

    def show_influence(
        self, influence: Influence, base: float, scale: tuple[float, float], currency: str
    ) -> None:
        """Another input."""
        low, high = float(influence.at_low), float(influence.at_high)
        self._title.say(influence.name)
        self._numbers.setText(f"{_signed(min(low, high))} … {_signed(max(low, high))}")
        self._bar.show_ends(low, high, base, scale)
        words = self.tr("{name} {inputs}: {at_low} to {at_high} a month").format(
            name=influence.name,
            inputs=influence.inputs,
            at_low=money(influence.at_low, currency),
            at_high=money(influence.at_high, currency),
        )
        self.setAccessibleName(words)
        self.setToolTip(words)


class _Bar(QWidget):
    """From one end of the result to the other; a line where it is now, another where it is 0."""

    def __init__(self) -> None:
        super().__init__()
        self._ends = self._scale = (0.0, 0.0)
        self._base = 0.0
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_ends(self, low: float, high: float, base: float, scale: tuple[float, float]) -> None:
        """Another bar."""
        self._ends = (min(low, high), max(low, high))
        self._base, self._scale = base, scale
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """A thin strip."""
        return QSize(120, 13)

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802 - Qt's name
        """Another colour scheme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange:
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """The strip, the bar on it, and the two lines."""
        del event
        c = design.colours()
        low, high = self._scale
        width = self.width() - 2.0

        def x(value: float) -> float:
            return 1 + (value - low) / ((high - low) or 1) * width

        with QPainter(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(c.sunken))
            painter.drawRoundedRect(QRectF(0, 2, self.width(), 9), 4, 4)
            painter.setBrush(QColor(c.accent))
            left, right = x(self._ends[0]), x(self._ends[1])
            painter.drawRoundedRect(QRectF(left, 2, max(3.0, right - left), 9), 3, 3)
            painter.setPen(QPen(QColor(c.text), 1.5))
            painter.drawLine(QPointF(x(self._base), 0), QPointF(x(self._base), self.height()))
            if low < 0 < high:
                painter.setPen(QPen(QColor(c.bad), 1.5, Qt.PenStyle.DotLine))
                painter.drawLine(QPointF(x(0), 0), QPointF(x(0), self.height()))


def _signed(value: float) -> str:
    digits = 0 if abs(value) >= 100 else 2
    return f"{Decimal(repr(value)):+,.{digits}f}".replace("-", "−")
