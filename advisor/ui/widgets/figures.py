"""Figures: a name, a value with its unit and basis; pressing it opens how it came about."""

import re
from typing import TYPE_CHECKING, Final

from PySide6.QtCore import QCoreApplication, Qt
from PySide6.QtWidgets import QFrame, QGridLayout, QWidget

from advisor import units
from advisor.ui import design, laid_out
from advisor.ui.widgets.basics import Elided, column, row, text
from advisor.ui.widgets.marks import BasisMark
from advisor.ui.widgets.row_button import RowButton
from advisor.ui.widgets.stacked_bar import Swatch

if TYPE_CHECKING:
    from advisor.basis import Explanation, Range, Term


NAME_WIDTH: Final = 150
"""Px of a name that are kept while the note beside it is shortened."""
_QUANTITY: Final = re.compile(r"^([-+−]?[\d.,–]+)(?: (of .+|\S+))?$")


def split_value(value: str) -> tuple[str, str] | None:
    """``"18.0 GiB"`` or ``"1.1 of 24.0 GiB"`` → the number and the rest; None for other words."""
    found = _QUANTITY.match(value)
    return None if found is None else (found[1], found[2] or "")


def range_text(span: "Range | None") -> str:
    """``"36–41"``; one number where low and high are the same; "unknown" without a basis."""
    return units.UNKNOWN if span is None else units.between(span.low, span.high)


def wait_text(span: "Range") -> str:
    """A range of seconds in what it is best counted in: ``"1.1–2.7 s"``, ``"4.8–12 min"``."""
    each, name = units.waiting(span.high)
    return units.between(span.low / each, span.high / each, name)


class FigureRow(QWidget):
    """One line: swatch, name, value, basis mark. With an explanation it opens below itself."""

    def __init__(
        self,
        name: str,
        value: str = "",
        *,
        basis: str | None = None,
        explanation: "Explanation | None" = None,
        swatch: design.Series | None = None,
        note: str = "",
    ) -> None:
        super().__init__()
        self._name = Elided(name, "name", least=NAME_WIDTH)
        self._number = text("", "strong")
        self._unit = text("", "muted")
        self._note = Elided(note, "muted", Qt.TextElideMode.ElideMiddle)
        self._mark = BasisMark(basis)
        self._explanation = explanation
        self._view: ExplanationView | None = None
        self.button = RowButton()
        self.button.marks = False
        parts: list[QWidget] = [Swatch(swatch)] if swatch is not None else []
        parts.append(self._name)
        values: list[QWidget] = [self._note, self._number, self._unit, self._mark]
        inner = row(*parts, None, *values, spacing=5)
        inner.setContentsMargins(0, 2, 0, 2)
        if swatch is not None:
            inner.insertSpacing(1, 3)
        parts += values
        for part in parts:
            part.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.button.setLayout(inner)
        self.button.setCheckable(True)
        self.button.toggled.connect(self._open)
        self._column = column(self.button, spacing=2)
        self.setLayout(self._column)
        self.show_value(value, basis=basis, explanation=explanation, note=note)

    def show_value(
        self,
        value: str,
        *,
        basis: str | None = None,
        explanation: "Explanation | None" = None,
        note: str = "",
        name: str | None = None,
    ) -> None:
        """Another value, with its basis and explanation; an open explanation follows it."""
        if name is not None:
            self._name.say(name)
        number, unit = split_value(value) or (value, "")
        design.set_role(self._number, "strong" if split_value(value) else "body")
        self._number.setText(number)
        self._unit.setText(unit)
        self._unit.setVisible(bool(unit))
        self._note.say(note)
        self._note.setVisible(bool(note))
        self._mark.set_basis(basis if value != units.UNKNOWN else None)
        self._explanation = explanation
        self.button.setFocusPolicy(
            Qt.FocusPolicy.StrongFocus if explanation is not None else Qt.FocusPolicy.NoFocus
        )
        self.button.setCursor(
            Qt.CursorShape.PointingHandCursor if explanation else Qt.CursorShape.ArrowCursor
        )
        words = [f"{self._name.accessibleName()}: {value}", note, self._mark.word]
        self.button.setAccessibleName(", ".join(word for word in words if word))
        self.button.setAccessibleDescription(_tr("Opens its formula") if explanation else "")
        design.set_role(self._name, "explained" if explanation is not None else "name")
        if explanation is None:
            self.button.setChecked(False)
        self.button.setCheckable(explanation is not None)
        if explanation is not None and self.button.isChecked():
            self._open(opened=True)

    def _open(self, opened: bool) -> None:
        with laid_out.once(self):
            self._put(opened=opened)

    def _put(self, *, opened: bool) -> None:
        if self._view is not None:
            self._view.hide()
            self._view.deleteLater()
            self._view = None
        if opened and self._explanation is not None:
            self._view = ExplanationView(self._explanation)
            self._column.addWidget(self._view)
            self._view.show()


TIMES: Final = ("s", "ms")
"""Units of parts whose source says how each comes about."""


class ExplanationView(QFrame):
    """The formula with the numbers put in, each input with its unit and source, notes."""

    def __init__(self, explanation: "Explanation") -> None:
        super().__init__()
        self.setProperty("role", "well")
        formula = text(explanation.formula, wrap=True)
        formula.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse
            | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        formula.setAccessibleName(_tr("Formula: {formula}").format(formula=explanation.formula))
        layout = column(formula, spacing=6)
        layout.setContentsMargins(10, 8, 10, 9)
        if explanation.terms:
            grid = QGridLayout()
            grid.setHorizontalSpacing(10)
            grid.setVerticalSpacing(2)
            grid.setColumnStretch(0, 1)
            for place, term in enumerate(explanation.terms):
                line = 2 * place
                name = Elided(term.name, "small")
                value = text(term_value(term), "small")
                value.setAlignment(Qt.AlignmentFlag.AlignRight)
                grid.addWidget(name, line, 0)
                grid.addWidget(value, line, 1)
                if term.source:
                    name.setToolTip(term.source)
                    value.setToolTip(term.source)
                if term.source and term.unit in TIMES:
                    how = text(term.source, "small", wrap=True)
                    how.setContentsMargins(14, 0, 0, 3)
                    grid.addWidget(how, line + 1, 0, 1, 2)
            layout.addLayout(grid)
        others = [term.source for term in explanation.terms if term.unit not in TIMES]
        sources = list(dict.fromkeys(filter(None, others)))
        if sources:
            layout.addWidget(
                text(_tr("Sources: {names}").format(names="; ".join(sources)), "small", wrap=True)
            )
        for note in explanation.notes:
            layout.addWidget(text(note, "small", wrap=True))
        self.setLayout(layout)
        self.setAccessibleName(explanation.title)


def term_value(term: "Term") -> str:
    """A term's value as people read it: bytes as GiB, counts with separators."""
    value = term.value
    if value is None:
        return units.UNKNOWN
    if isinstance(value, str):
        return value
    if term.unit in {"B", "bytes"}:
        return units.size(int(value))
    if term.unit == "s":
        return units.duration(value)
    number = f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
    return f"{number} {term.unit}".strip()


def _tr(source: str) -> str:
    return QCoreApplication.translate("Figure", source)
