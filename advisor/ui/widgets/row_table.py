"""Tables with a line for each thing: read only, one row chosen at a time, without a grid."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from PySide6.QtCore import (
    QAbstractItemModel,
    QAbstractTableModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QPoint,
    Qt,
)
from PySide6.QtWidgets import QAbstractItemView, QMenu, QTableView

from advisor.ui.widgets.basics import translate

Index = QModelIndex | QPersistentModelIndex


class RowsModel(QAbstractTableModel):
    """Heads, and figures at the right, as all of these tables have them."""

    def __init__(
        self, figures: frozenset[int], heads: tuple[str, ...] = (), parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self.heads = heads
        self._figures = figures
        """Columns of figures."""

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008, N802 - Qt's signature
        """One for every head."""
        return 0 if parent.isValid() else len(self.heads)

    def headerData(  # noqa: N802 - Qt's name
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:  # noqa: ANN401
        """A column's head, aligned as its cells."""
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return self.heads[section]
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return self.alignment(section)
        return None

    def put_rows(
        self, before: Sequence[str], after: Sequence[str], put: Callable[[], None]
    ) -> None:
        """Other rows; where they are of the same things, lines stay chosen and in sight.

        ``before`` and ``after``: what every line is about, each a line of its own.
        """
        if set(before) != set(after):
            self.beginResetModel()
            put()
            self.endResetModel()
            return
        self.layoutAboutToBeChanged.emit()
        held = self.persistentIndexList()
        place = {what: line for line, what in enumerate(after)}
        put()
        moved = [self.index(place[before[old.row()]], old.column()) for old in held]
        self.changePersistentIndexList(held, moved)
        self.layoutChanged.emit()

    def alignment(self, column: int) -> Qt.AlignmentFlag:
        """Of a column's cells."""
        figure = column in self._figures
        side = Qt.AlignmentFlag.AlignRight if figure else Qt.AlignmentFlag.AlignLeft
        return side | Qt.AlignmentFlag.AlignVCenter


def row_table(model: QAbstractItemModel, name: str, row_height: int) -> QTableView:
    """The view of such a table, or a sorted one; ``name`` is for those who do not see it."""
    table = QTableView()
    table.setModel(model)
    table.setAccessibleName(name)
    table.setShowGrid(False)
    table.setTabKeyNavigation(False)
    table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    table.verticalHeader().hide()
    table.verticalHeader().setDefaultSectionSize(row_height)
    table.horizontalHeader().setHighlightSections(False)
    return table


def offer_sorting(table: QTableView) -> None:
    """A menu that sorts, for the menu key and the right button: heads take the mouse alone."""

    def offer(place: QPoint) -> None:
        menu = sorting_menu(table)
        menu.aboutToHide.connect(menu.deleteLater)
        menu.popup(table.viewport().mapToGlobal(place))

    table.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
    table.customContextMenuRequested.connect(offer)


def sorting_menu(table: QTableView) -> QMenu:
    """Sort by any column that is shown; by the same one again, the other way round."""
    header, model, menu = table.horizontalHeader(), table.model(), QMenu(table)

    def sort(column: int) -> None:
        again = header.sortIndicatorSection() == column
        rising = header.sortIndicatorOrder() == Qt.SortOrder.AscendingOrder
        falls = again and rising
        order = Qt.SortOrder.DescendingOrder if falls else Qt.SortOrder.AscendingOrder
        header.setSortIndicator(column, order)

    for column in range(model.columnCount()):
        if not header.isSectionHidden(column):
            head = str(model.headerData(column, Qt.Orientation.Horizontal)).rstrip(" ↑↓")
            words = translate("RowTable", "Sort by {head}").format(head=head)
            menu.addAction(words, functools.partial(sort, column))
    return menu
