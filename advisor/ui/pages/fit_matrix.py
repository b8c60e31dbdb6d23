"""One model's matrix: what each cell says, and which one is in question."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QHideEvent, QShowEvent
from PySide6.QtWidgets import QApplication, QWidget

from advisor import units
from advisor.ui import fit_cells
from advisor.ui.cell_plans import CellPlans
from advisor.ui.fit_cells import FitMatrix
from advisor.ui.matrix_check import CheckedCell, Key
from advisor.ui.pages.fit_check_all import CheckAllLine
from advisor.ui.state import AppState
from advisor.ui.texts import VERDICT_TONES, verdict_word
from advisor.ui.widgets.basics import column, text
from advisor.ui.widgets.heat_map import HeatCell, HeatMap, HeatRow

REDRAW_MS: Final = 200
"""Cells that are planned one after the other are shown together."""


class MatrixView(QWidget):
    """File types by contexts, with llama.cpp's own figures where it was asked."""

    def __init__(self, state: AppState) -> None:
        super().__init__()
        self._state = state
        self.found: FitMatrix | None = None
        """Of the present question, or of the one before it while that is sized."""
        self._checked: dict[Key, CheckedCell] = {}
        """Cells with llama.cpp's own figures."""
        self._stand_in: QWidget | None = None
        """What has the keyboard in the place of cells that are gone for a while."""
        self.plans = CellPlans(self)
        self._redraw = QTimer(self, singleShot=True, interval=REDRAW_MS)
        self._redraw.timeout.connect(self._draw_again)
        self.plans.told.connect(self._redraw_soon)
        self.map = HeatMap(self.tr("File types by contexts"), corner=self.tr("quality loss"))
        self.map.chosen.connect(self.choose)
        self._filler = text("", "muted", wrap=True)
        self._filler.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.check_all = CheckAllLine()
        self.check_all.cell_checked.connect(self._cell_checked)
        self.check_all.forgotten.connect(self._checked.clear)
        self.unit = text("", "small")
        """What the cells' figures are; the page has a place for it."""
        layout = column(self.map, self._filler, self.check_all)
        layout.setStretch(0, 1)
        layout.setStretch(1, 1)
        layout.addStretch(0)  # under few rows
        self.setLayout(layout)

    def say_working(self) -> None:
        """The cells before stay until there are others."""
        self.map.setVisible(bool(self.map.cells.rows))
        self._filler.setVisible(not self.map.cells.rows)
        self._filler.setText(self.tr("Sizing every file type at every context…"))

    def forget(self) -> None:
        """Show no cells until there are others; the keyboard comes back with them."""
        held = self.map.hasFocus()
        self.say_nothing()
        self._stand_in = QApplication.focusWidget() if held else None

    def say_nothing(self) -> None:
        """What cannot be worked out leaves no cells of another question."""
        self.found = None
        self.plans.stop()
        self.map.show_cells((), (), ())
        self.map.hide()
        self._filler.setText("")
        self._filler.show()
        self.unit.setText("")
        self.check_all.hide()

    def take(self, matrix: FitMatrix) -> None:
        """What was found, for ``draw`` to show in a turn of its own.

        From now on plans are of its question: one may be made before it is drawn.
        """
        self.found = matrix
        self.plans.ask(matrix.question)

    def draw(self) -> None:
        """Show what was found."""
        if self.found is None:
            return
        choice, rig = self._state.choice, self._state.rig_to_probe
        if choice is not None and rig is not None:
            self.check_all.show_matrix(choice, rig, self._state.settings, self.found.contexts)
            self.check_all.setVisible(self.check_all.offered)
        self._take_plan()
        self._draw_cells(self.found)
        self.mark()
        if self._stand_in is not None and self._stand_in is QApplication.focusWidget():
            self.map.setFocus()
        self._stand_in = None
        self._plan_cells()

    def plan_made(self) -> None:
        """The chosen cell says what its plan does, from now on."""
        if self.found is not None and self._take_plan():
            self._draw_cells(self.found)

    def _take_plan(self) -> bool:
        """Keep what the plan says of its cell; whether that is new.

        Plans of another rig, model or settings than the matrix's say nothing here.
        """
        state, plan, found = self._state, self._state.present_plan, self.found
        if plan is None or found is None or state.choice is None or state.rig is None:
            return False
        if plan.verdict not in {"offload", "no"}:
            return False  # what lies on devices is no guess
        probes = state.session.probes
        asked = fit_cells.question_of(state.choice, state.rig, state.settings, probes)
        key = plan.file_type, state.settings.ctx
        return asked == found.question and self.plans.take(key, plan)

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802 - Qt's name
        """What is looked at is planned."""
        super().showEvent(event)
        self._plan_cells()

    def hideEvent(self, event: QHideEvent) -> None:  # noqa: N802 - Qt's name
        """Nobody waits for more plans."""
        super().hideEvent(event)
        if not event.spontaneous():
            self.plans.stop()

    def _plan_cells(self) -> None:
        if self.found is not None and self.isVisible():
            self.plans.go(self._guessed)

    def _guessed(self) -> Iterator[fit_cells.GuessedCell]:
        """Cells that show a guess: in sight before others, then the nearest to the chosen one."""
        matrix = self.found
        if matrix is None:
            return
        chosen, ctx = self.map.currentIndex(), self._state.settings.ctx
        places = [
            (line, place)
            for line, each in enumerate(matrix.rows)
            for place, cell in enumerate(each.cells)
            if cell.verdict == "offload" and cell.decode_tps is not None
        ]
        seen = self.map.viewport().rect()

        def order(at: tuple[int, int]) -> tuple[bool, int, int]:
            line, place = at
            hidden = not seen.intersects(self.map.visualRect(self.map.model().index(line, place)))
            row = max(chosen.row(), 0)
            return hidden, abs(line - row), abs(matrix.contexts[place] - ctx)

        for line, place in sorted(places, key=order):
            yield fit_cells.GuessedCell(matrix.rows[line].model, matrix.contexts[place])

    def _redraw_soon(self) -> None:
        if not self._redraw.isActive():
            self._redraw.start()

    def _draw_again(self) -> None:
        if self.found is not None and self.isVisible():
            self._draw_cells(self.found)

    def _cell_checked(self, key: Key, cell: CheckedCell) -> None:
        self._checked[key] = cell
        if self.found is not None:
            self._draw_cells(self.found)

    def _draw_cells(self, matrix: FitMatrix) -> None:
        rows = tuple(
            HeatRow(title=r.file_type, sub=units.size(r.nbytes), note=r.loss, story=r.story)
            for r in matrix.rows
        )
        columns = tuple(units.tokens(ctx) for ctx in matrix.contexts)
        cells = tuple(
            tuple(
                self._cell(r.file_type, ctx, cell)
                for ctx, cell in zip(matrix.contexts, r.cells, strict=True)
            )
            for r in matrix.rows
        )
        self.map.show_cells(rows, columns, cells)
        self.map.show()
        self._filler.hide()
        fast = any(cell.sub.endswith("t/s") for line in cells for cell in line)
        unit = (
            self.tr("GiB left or in RAM · tok/s when empty")
            if fast and not self._state.settings.depth
            else self.tr("GiB left or in RAM · tok/s")
            if fast
            else self.tr("GiB left or in RAM")
        )
        calibrated = self.tr(", calibrated") if fast and matrix.calibrated_by else ""
        self.unit.setText(unit + calibrated)

    def _cell(self, file_type: str, ctx: int, cell: fit_cells.FitCell) -> HeatCell:
        checked = self._checked.get((file_type, ctx))
        differs = checked is not None and bool(checked.checked.differing)
        if checked is not None and differs and checked.headroom is not None:
            short_of = -checked.headroom
            lacking = max(cell.lacking, short_of) if short_of > 0 else 0
            cell = replace(
                cell, headroom=checked.headroom, lacking=lacking, verdict=checked.verdict
            )
        guessed = cell.verdict == "offload"
        planned = self.plans.said((file_type, ctx)) if guessed else None
        if planned is not None:
            cell, guessed = (
                replace(cell, verdict=planned.verdict, decode_tps=planned.decode_tps),
                False,
            )
            if planned.verdict in {"fits", "tight"}:
                cell = replace(cell, headroom=planned.headroom, lacking=0)
        left = cell.headroom
        speed = "" if cell.decode_tps is None else units.rate(cell.decode_tps, "t/s")
        speed = f"~{speed}" if guessed and speed else speed
        short = ""
        if cell.verdict == "offload":
            short = _gib(max(cell.lacking, units.LEAST_MOVED))
            main = self.tr("RAM {size}").format(size=short)
        elif left is None:
            main = "?"
        elif cell.verdict == "no":
            main, speed = "✕", f"−{_gib(cell.lacking)}" if cell.lacking else ""
        else:
            short = _gib(left)
            main = f"+{short}"
        tone, mark = (
            VERDICT_TONES[cell.verdict],
            "" if checked is None else "d≠" if differs else "d",
        )
        by = self.found.calibrated_by if self.found is not None else ""

        def story() -> str:
            words = [
                f"{file_type}, {units.tokens(ctx)}: {verdict_word(cell.verdict)}",
                self._memory_words(cell),
                self._speed_words(cell, by, guessed=guessed),
                "" if checked is None else self._said_words(checked, differs=differs),
            ]
            return ", ".join(word for word in words if word)

        return HeatCell(main, speed, tone, story, short, mark)

    def _speed_words(self, cell: fit_cells.FitCell, by: str, *, guessed: bool) -> str:
        if cell.decode_tps is None:
            return ""
        words = self.tr("{speed}, calibrated") if by else "{speed}"
        if guessed:
            words = self.tr("about {speed} until it is planned").format(speed=words)
        return words.format(speed=units.rate(cell.decode_tps))

    def _said_words(self, checked: CheckedCell, *, differs: bool) -> str:
        engine = checked.checked.engine
        words = self.tr("{engine}'s own figure") if differs else self.tr("{engine} agrees")
        return words.format(engine=engine)

    def _memory_words(self, cell: fit_cells.FitCell) -> str:
        if cell.headroom is None:
            return ""
        if cell.verdict == "offload":
            return self.tr("about {size} in RAM").format(size=units.size(cell.lacking))
        if cell.lacking:
            return self.tr("{size} too little").format(size=units.size(cell.lacking))
        return self.tr("{size} left").format(size=units.size(cell.headroom))

    def mark(self) -> None:
        """Frame the cell in question."""
        matrix, state = self.found, self._state
        if matrix is None or state.choice is None:
            return
        types = [r.file_type for r in matrix.rows]
        model = state.model
        file_type = model.file_type if model is not None else state.choice.file_type
        ctx = state.settings.ctx
        if file_type in types and ctx in matrix.contexts:
            self.map.mark(types.index(file_type), matrix.contexts.index(ctx))
        else:
            self.map.mark(None, None)

    def choose(self, line: int, place: int) -> None:
        """Ask about the cell at that line and place."""
        if self.found is not None:
            self._state.choose_cell(self.found.rows[line].file_type, self.found.contexts[place])

    def next_too_big(self) -> tuple[int, int] | None:
        """Line and place of the nearest cell that does not fit: a larger file, a longer context."""
        plan, matrix = self._state.plan, self.found
        if plan is None or matrix is None or plan.verdict not in {"fits", "tight"}:
            return None
        types = [r.file_type for r in matrix.rows]
        if plan.file_type not in types or plan.settings.ctx not in matrix.contexts:
            return None
        line, place = types.index(plan.file_type), matrix.contexts.index(plan.settings.ctx)
        larger = [(above, place) for above in range(line - 1, -1, -1)]
        longer = [(line, after) for after in range(place + 1, len(matrix.contexts))]
        for there in (*larger, *longer):
            if matrix.rows[there[0]].cells[there[1]].verdict in {"offload", "no"}:
                return there
        return None


def _gib(size: int) -> str:
    """Narrow enough for a cell."""
    value = size / units.GIB
    return f"{value:,.1f}" if value < 99.95 else f"{value:,.0f}"
