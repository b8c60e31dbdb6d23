"""Many figures below each other, made and changed a few at a time so that no frame waits."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtWidgets import QLabel, QWidget

from advisor.basis import Basis, Explanation
from advisor.ui import laid_out
from advisor.ui.design import Series
from advisor.ui.turns import Turn
from advisor.ui.widgets.basics import column, text
from advisor.ui.widgets.figures import FigureRow
from advisor.ui.widgets.paint_turns import BUDGET_S


@dataclass(frozen=True, slots=True)
class Line:
    """One figure; a heading where ``value`` is None."""

    name: str
    value: str | None = None
    basis: Basis | None = None
    swatch: Series | None = None
    note: str = ""
    explanation: Explanation | None = None

    @property
    def kind(self) -> object:
        """Lines of one kind can stand in the same widget."""
        return (self.value is None, self.swatch)


class FigureList(QWidget):
    """Shows lines; widgets that are there are used again."""

    def __init__(self, *, spacing: int = 2) -> None:
        super().__init__()
        self._column = column(spacing=spacing)
        self.setLayout(self._column)
        self._shown: list[tuple[object, QWidget]] = []
        self._lines: tuple[Line, ...] = ()
        self._next = 0
        self._rest = Turn(self)
        self._rest.due.connect(self._fill_more)

    def show_lines(self, lines: Sequence[Line]) -> None:
        """Other lines: the first of them now, the rest in the next turns of the event loop."""
        self._lines, self._next = tuple(lines), 0
        self._fill()

    @property
    def rows(self) -> tuple[QWidget, ...]:
        """The lines on screen: figures and headings."""
        return tuple(widget for _kind, widget in self._shown)

    @property
    def complete(self) -> bool:
        """Whether all of them are on screen."""
        return self._next >= len(self._lines)

    def _fill_more(self) -> None:
        with laid_out.once(self):
            self._fill()

    def _fill(self) -> None:
        until = time.perf_counter() + BUDGET_S
        while not self.complete:
            self._put(self._next, self._lines[self._next])
            self._next += 1
            if time.perf_counter() > until:
                break
        else:
            while len(self._shown) > len(self._lines):
                self._remove(self._shown.pop()[1])
        if not self.complete:
            self._rest.start()

    def _put(self, index: int, line: Line) -> None:
        old = self._shown[index] if index < len(self._shown) else None
        if old is not None and old[0] == line.kind:
            self._change(old[1], line)
            return
        widget: QWidget
        if line.value is None:
            widget = text(line.name, "small")
        else:
            widget = FigureRow(
                line.name,
                line.value,
                basis=line.basis,
                explanation=line.explanation,
                swatch=line.swatch,
                note=line.note,
            )
        if old is not None:
            opened = isinstance(old[1], FigureRow) and old[1].button.isChecked()
            if opened and isinstance(widget, FigureRow):
                widget.button.setChecked(True)
            self._remove(old[1])
            self._shown[index] = (line.kind, widget)
        else:
            self._shown.append((line.kind, widget))
        self._column.insertWidget(index, widget)
        # The layout would show it later, by itself, and all around it would be laid out for that.
        widget.show()

    @staticmethod
    def _change(widget: QWidget, line: Line) -> None:
        if isinstance(widget, FigureRow) and line.value is not None:
            widget.show_value(
                line.value,
                basis=line.basis,
                explanation=line.explanation,
                note=line.note,
                name=line.name,
            )
        elif isinstance(widget, QLabel):
            widget.setText(line.name)

    def _remove(self, widget: QWidget) -> None:
        self._column.removeWidget(widget)
        widget.hide()
        widget.deleteLater()
