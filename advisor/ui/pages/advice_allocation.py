"""A built-in case's allocation: file type × context of one model on one rig at a time."""

from typing import Final

from PySide6.QtWidgets import QComboBox, QWidget

from advisor import units
from advisor.advice.scenarios import Row
from advisor.ui.texts import VERDICT_TONES, verdict_word
from advisor.ui.widgets.basics import Elided, column, row
from advisor.ui.widgets.heat_map import HeatCell, HeatMap, HeatRow

LINE_HEIGHT: Final = 27
LEAST_BOX: Final = 110
"""Px of a box whose longest name has no room."""


class AllocationTable(QWidget):
    """Two boxes to choose from, and the cells below them."""

    def __init__(self) -> None:
        super().__init__()
        self._rows: tuple[Row, ...] = ()
        self.rigs, self.models = QComboBox(), QComboBox()
        self.rigs.setAccessibleName(self.tr("Rig of the table"))
        self.models.setAccessibleName(self.tr("Model of the table"))
        for box in (self.rigs, self.models):
            box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
            box.setMinimumWidth(LEAST_BOX)
            box.activated.connect(self._draw)
        self.map = HeatMap(self.tr("What fits, file type by context"))
        legend = Elided(self.tr("GiB left on the tightest card, or in RAM"), "small")
        self.setLayout(column(row(self.rigs, self.models, legend, None), self.map))

    def show_rows(self, rows: tuple[Row, ...]) -> None:
        """Other cells; what was chosen stays chosen where it is still there."""
        if not rows or rows == self._rows:
            return
        self._rows = rows
        for box, names in (
            (self.rigs, [r.rig for r in rows]),
            (self.models, [r.model for r in rows]),
        ):
            before = box.currentText()
            box.clear()
            box.addItems(list(dict.fromkeys(names)))
            box.setCurrentIndex(max(0, box.findText(before)))
        self._draw()

    def _draw(self) -> None:
        pair = (self.rigs.currentText(), self.models.currentText())
        mine = [r for r in self._rows if (r.rig, r.model) == pair]
        contexts = sorted({r.ctx for r in mine})
        files = {r.file_type: r.file_bytes for r in mine}
        cells = {(r.file_type, r.ctx): self._cell(r) for r in mine}
        self.map.show_cells(
            tuple(HeatRow(title=name, note=units.gib(nbytes)) for name, nbytes in files.items()),
            tuple(units.tokens(ctx) for ctx in contexts),
            tuple(tuple(cells[name, ctx] for ctx in contexts) for name in files),
        )
        self.map.setFixedHeight(30 + LINE_HEIGHT * len(files))

    def _cell(self, r: Row) -> HeatCell:
        left = r.headroom
        if r.verdict == "no":
            main = "✕"
        elif left is None:
            main = "?"
        elif r.verdict == "offload":
            main = self.tr("RAM {size}").format(
                size=f"{max(r.moved, units.LEAST_MOVED) / units.GIB:,.1f}"
            )
        else:
            main = f"+{left / units.GIB:,.1f}"
        story = f"{r.file_type}, {units.tokens(r.ctx)}: {verdict_word(r.verdict)}"
        return HeatCell(main, "", VERDICT_TONES[r.verdict], story)
