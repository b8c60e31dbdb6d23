"""The best option of every kind side by side: what it costs, how fast it is, what speaks for it."""

import math
from typing import Final

from PySide6.QtCore import QCoreApplication
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QGridLayout, QWidget

from advisor.advice.assessment import Assessment
from advisor.advice.money import money, price
from advisor.advice.options import Kind
from advisor.advice.usage import Usage
from advisor.advice.verdict import Advice
from advisor.advice.whatif import name
from advisor.advice.wording import standing
from advisor.ui.pages.advice_verdict import tell
from advisor.ui.widgets.basics import TextRole, column
from advisor.units import between

ACROSS: Final = 3
"""Cards on a line, and more where each keeps `NARROWEST`."""
NARROWEST: Final = 235
"""Px of a card."""
_FASTER: Final = 1.25
_AS_FAST: Final = 0.9
_HERE: Final = ("Keep", "Tune")
GROUPS: Final[dict[Kind, str]] = {
    "keep": "Keep",
    "close programs": "Keep",
    "take out cards": "Keep",
    "tune": "Tune",
    "add RAM": "Upgrade",
    "add GPU": "Upgrade",
    "replace GPUs": "Upgrade",
    "new build": "Build",
    "unified machine": "Build",
    "API": "API",
    "hybrid": "Mix",
}


def best_of_each(advice: Advice) -> dict[str, Assessment]:
    """The first of every group in the advice's own order, best first.

    Where this rig does it as it is, an upgrade is only worth showing if it is better at something.
    """
    found: dict[str, Assessment] = {}
    for a in advice.assessments:
        found.setdefault(GROUPS[a.option.kind], a)
    here = next((a for a in advice.assessments if GROUPS[a.option.kind] in _HERE and a.meets), None)
    if here is not None and "Upgrade" in found:
        upgrades = (a for a in advice.assessments if GROUPS[a.option.kind] == "Upgrade")
        better = next((a for a in upgrades if a.meets and _better(a, here)), found["Upgrade"])
        found["Upgrade"] = better
    return found


def _better(a: Assessment, here: Assessment) -> bool:
    """Clearly faster, or of better quality and about as fast."""
    if a.decode_tps is None or here.decode_tps is None:
        return False
    faster = a.decode_tps.mid / here.decode_tps.mid
    return faster >= _FASTER or (faster >= _AS_FAST and a.option.quality > here.option.quality)


class OptionCards(QWidget):
    """At most six small cards."""

    def __init__(self) -> None:
        super().__init__()
        self._grid = QGridLayout()
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._cards: list[_OptionCard] = []
        self._across = 0
        self.setLayout(self._grid)

    def show_advice(self, advice: Advice) -> None:
        """Other cards."""
        found = best_of_each(advice)
        while len(self._cards) > len(found):
            card = self._cards.pop()
            self._grid.removeWidget(card)
            card.hide()
            card.deleteLater()
        while len(self._cards) < len(found):
            self._cards.append(_OptionCard())
        for card, (group, a) in zip(self._cards, found.items(), strict=True):
            card.show_option(group, a, advice)
        self._across = 0
        self._lay_out()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 - Qt's name
        """More on a line where it is longer."""
        super().resizeEvent(event)
        self._lay_out()

    def _lay_out(self) -> None:
        """Lines as long as each other, as far as that goes: four cards are not three and one."""
        if not self._cards:
            return
        most = max(ACROSS, self.width() // NARROWEST)
        lines = math.ceil(len(self._cards) / most)
        across = math.ceil(len(self._cards) / lines)
        if across == self._across:
            return
        self._across = across
        for card in self._cards:
            self._grid.removeWidget(card)
        for place, card in enumerate(self._cards):
            self._grid.addWidget(card, place // across, place % across)
        for place in range(max(across, self._grid.columnCount())):
            self._grid.setColumnStretch(place, 1 if place < across else 0)
            self._grid.setColumnMinimumWidth(place, 1 if place < across else 0)


def _tr(words: str) -> str:
    return QCoreApplication.translate("OptionCards", words)


class _OptionCard(QFrame):
    def __init__(self) -> None:
        super().__init__()
        self.setProperty("role", "well")
        self._lines = column(spacing=3)
        layout = column(self._lines, None)
        layout.setContentsMargins(11, 9, 11, 10)
        self.setLayout(layout)

    def show_option(self, group: str, a: Assessment, advice: Advice) -> None:
        """Another option, or other figures."""
        chosen = a is advice.best
        title = f"{_tr(group)} · {_tr('the verdict')}" if chosen else _tr(group)
        figures, why = _figures(a, advice.usage), standing(a, advice.best, advice.usage)
        roles: list[tuple[str, TextRole]] = [(title, "small"), (name(a), "strong")]
        tell(self._lines, [*roles, *((line, "body") for line in figures), (why, "small")])
        self.setAccessibleName(". ".join((title, name(a), *figures, why)))


def _figures(a: Assessment, usage: Usage) -> list[str]:
    cost = _tr("cost not known")
    if a.monthly is not None:
        cost = _tr("{cost} a month").format(cost=money(a.monthly.mid, usage.currency))
    if a.hardware.mid:
        cost += _tr(", {price} to buy").format(price=price(a.hardware.mid, usage.currency))
    speed = _tr("speed not known")
    if a.decode_tps is not None:
        speed = between(a.decode_tps.low, a.decode_tps.high, "tok/s")
    loss = _tr("loss: {loss}").format(loss=a.option.loss or _tr("not known"))
    return [cost, f"{speed} · {loss}"]
