"""The Machine page's first card: what the rig can run, in a sentence, and where to look."""

from collections.abc import Callable
from typing import Final

from PySide6.QtCore import QMargins
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QPushButton

from advisor.advice.capability import Capability
from advisor.advice.picks import Pick
from advisor.hardware.rig import Rig
from advisor.ui import services
from advisor.ui.pages.measure_ram import MeasureRam
from advisor.ui.state import AppState
from advisor.ui.texts import capability_text, pace, rig_in_short, rig_name
from advisor.ui.widgets.basics import Card, Chip, Elided, button, row, text

SUGGESTED: Final = 5
ONE_LINE: Final = 1250
"""Width in px from which the usual answer stands in one line."""


class AnswerCard(Card):
    """Has room for its answer before that is there: what is below does not move when it comes."""

    def __init__(self, state: AppState, look_at: Callable[[Pick], None]) -> None:
        super().__init__()
        self._state = state
        self._look_at = look_at
        self._answered = False
        self._caption = text("", "muted")
        self._imagined = Chip("", "accent")
        self._name = Elided("", "strong")
        self._back = button(self.tr("Back to this machine"), role="link")
        self._back.clicked.connect(lambda: state.set_rig(None))
        self._reading = self.tr("Reading this machine…")
        self.headline = text(self._reading, "headline", wrap=True)
        self.measure_ram = MeasureRam(
            state, self.tr("Speeds depend on it, and no source here tells it.")
        )
        self._look = text(self.tr("Look at"), "muted")
        self._suggested: list[QPushButton] = []
        """The best first; as many are shown as stand in one line."""
        self._made: list[QPushButton] = []
        """Of this answer and others: a button takes longer to make than to change."""
        self._picks: tuple[Pick, ...] = ()
        # Never seen: has the height of a suggestion before there are any.
        self._sample = button("", role="link")
        self._sample.hide()
        words = button(
            self.tr("What do the words mean?"), state.words_wanted.emit, "link", tip=self.tr("F1")
        )
        first = row(self._caption, self._imagined, self._name, self._back, words)
        first.setStretch(2, 1)
        self._last = row(self._look, self._sample, None, spacing=4)
        self.body.addLayout(first)
        self.body.addWidget(self.headline)
        self.body.addWidget(self.measure_ram)
        self.body.addLayout(self._last)
        self.body.addStretch(1)
        for part in (self._imagined, self._back, self._look):
            part.hide()
        state.machine_unread.connect(self._show_unread)

    def _show_unread(self) -> None:
        if self._state.rig is None:
            self.headline.setText(
                self.tr(
                    "This machine could not be read. Session… → Read this machine again tries once "
                    "more; a rig can be described below."
                )
            )

    def show_rig(self, rig: Rig) -> None:
        """Another rig in question; its answer is still to come."""
        here = self._state.here
        self._imagined.setVisible(not here)
        self._imagined.setText(self.tr("imagined") if rig.imagined else self.tr("recorded"))
        self._back.setVisible(not here)
        self._name.say("" if here else rig_name(self._state) or rig_in_short(rig))
        self._say_calibrated("")
        if self.headline.text() == self._reading:
            self.headline.setText(self.tr("Sizing the catalogue…"))
        self.measure_ram.show_where(unknown=True)
        self._keep_room()

    def show_progress(self, share: float) -> None:
        """How far its answer is; what the last one suggested is of another rig."""
        words = self.tr("Sizing the catalogue: {share}% done")
        self.headline.setText(words.format(share=round(100 * share)))
        self._look.hide()
        self._drop_suggestions()

    def show_answer(self, found: Capability, rig: Rig) -> None:
        """What the rig can run."""
        self._answered = True
        self.headline.setText(capability_text(found, rig))
        self._say_calibrated(services.calibrated_by(rig, self._state.session.probes))
        self.measure_ram.show_where(any(pick.cell.decode is None for pick in found.models))
        self._drop_suggestions()
        self._picks = found.suggestions(SUGGESTED)
        self._suggested = [self._suggestion(place) for place in range(len(self._picks))]
        self._look.setVisible(bool(self._suggested))
        self._fit_suggestions()

    @property
    def offers_measuring(self) -> bool:
        """Whether a button here measures the RAM."""
        return not self.measure_ram.isHidden()

    def _say_calibrated(self, source: str) -> None:
        here = self._state.here
        plain = self.tr("What this machine can run") if here else self.tr("What this rig could run")
        words = self.tr("{what}, speeds calibrated by a probe") if source else "{what}"
        self._caption.setText(words.format(what=plain))
        self._caption.setToolTip(source)

    def _drop_suggestions(self) -> None:
        """Another width would show them again."""
        for old in self._suggested:
            old.hide()
        self._suggested = []

    def _fit_suggestions(self) -> None:
        """Leave out those that the line has no room for."""
        around = self._around()
        room = self.width() - around.left() - around.right() - self._look.sizeHint().width()
        for suggestion in self._suggested:
            room -= self._last.spacing() + suggestion.sizeHint().width()
            suggestion.setVisible(room >= 0)

    def _suggestion(self, place: int) -> QPushButton:
        pick = self._picks[place]
        name, cell = pick.entry.name, pick.cell
        label = self.tr("{name} {file_type}").format(name=name, file_type=cell.file_type)
        if cell.decode is not None:
            label = f"{label}, {pace(pick)}"
        tip = self.tr("Show what fits of {name}").format(name=name)
        if place == len(self._made):
            made = button(label, lambda: self._look_at(self._picks[place]), "link")
            self._made.append(made)
            self._last.insertWidget(1 + place, made)
        shown = self._made[place]
        shown.setText(label)
        shown.setAccessibleName(label)
        shown.setAccessibleDescription(tip)
        shown.setToolTip(tip)
        return shown

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 - Qt's name
        """Words wrap, and suggestions go, where there is less room."""
        super().resizeEvent(event)
        self._fit_suggestions()
        if not self._answered:
            self._keep_room()

    def _around(self) -> QMargins:
        layout = self.layout()
        inner = QMargins() if layout is None else layout.contentsMargins()
        return self.contentsMargins() + inner

    def _keep_room(self) -> None:
        """Be as high as the answer that is shown, or as the usual one before there is any."""
        around = self._around()
        line = self.headline.fontMetrics().lineSpacing()
        usual = line if self.width() >= ONE_LINE else 2 * line
        wide = self.width() - around.left() - around.right()
        parts = [
            self._caption.sizeHint().height(),
            self.headline.heightForWidth(wide) if self._answered else usual,
            self._sample.sizeHint().height(),
        ]
        if not self.measure_ram.isHidden():
            parts.append(self.measure_ram.sizeHint().height())
        between = (len(parts) - 1) * self.body.spacing()
        self.setMinimumHeight(around.top() + around.bottom() + sum(parts) + between)
