"""Tables of lines: what they draw themselves looks as the style sheet would have it."""

import pytest
from PySide6.QtCore import QModelIndex, Qt
from PySide6.QtGui import QColor, QFont, QFontMetrics
from PySide6.QtWidgets import QApplication, QStyledItemDelegate, QWidget

from advisor.ui import design
from advisor.ui.widgets.row_table import Index, RowsModel, row_table

LINES = (
    ("Qwen3 8B", "4.7 GiB", "fits", "35–41"),
    ("A name that is longer than its column has room for", "", "part in RAM", "unknown"),
    ("Gemma 3 27B", "15.4 GiB", "tight", "1,024"),
)


class Lines(RowsModel):
    """Figures at the right, a bold name, a verdict in its tone."""

    def __init__(self) -> None:
        super().__init__(frozenset({1, 3}), ("Name", "Size", "On this rig", "tok/s"))

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008, N802 - Qt's signature
        return 0 if parent.isValid() else len(LINES)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        column = index.column()
        return {
            Qt.ItemDataRole.DisplayRole: LINES[index.row()][column],
            Qt.ItemDataRole.TextAlignmentRole: self.alignment(column),
            Qt.ItemDataRole.FontRole: design.font(design.BODY, QFont.Weight.DemiBold)
            if column == 0
            else None,
            Qt.ItemDataRole.ForegroundRole: QColor("red") if column == 2 else None,
        }.get(role)


@pytest.mark.parametrize("higher", [0, 1, 2])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_cells_look_as_the_style_sheet_has_them(
    qtbot, qapp: QApplication, scheme: str, higher: int
) -> None:
    """Long words are wrapped where a row has the height; in Advice's options they were cut off."""
    design.apply(qapp, scheme)
    window = QWidget()
    qtbot.addWidget(window)
    design.dress(window)
    lines = Lines()
    table = row_table(lines, "Lines", 28)
    table.setParent(window)
    table.resize(460, 160)
    window.resize(480, 180)
    window.show()
    table.selectRow(1)
    line = QFontMetrics(design.font(design.BODY)).lineSpacing()
    table.setRowHeight(1, 28 + higher * line)
    table.setColumnWidth(0, 230 if higher else 100)
    ours = table.viewport().grab().toImage()
    table.setItemDelegate(QStyledItemDelegate(table))
    assert table.viewport().grab().toImage() == ours
    design.apply(qapp, "light")
