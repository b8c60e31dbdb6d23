"""Tables with a line for each thing: read only, one row chosen at a time, without a grid."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, Final

from PySide6.QtCore import (
    QAbstractTableModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QPoint,
    QPointF,
    QRect,
    QSize,
    Qt,
)
from PySide6.QtGui import (
    QColor,
    QFont,
    QFontMetrics,
    QPainter,
    QStaticText,
    QTextLayout,
    QTransform,
)
from PySide6.QtWidgets import (
    QAbstractItemView,
    QMenu,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
)

from advisor.ui import design
from advisor.ui.widgets.basics import translate

Index = QModelIndex | QPersistentModelIndex


class RowsModel(QAbstractTableModel):
    """Heads, and figures at the right, as all of these tables have them."""

    def __init__(
        self, figures: frozenset[int], heads: tuple[str, ...] = (), parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self.heads = heads
        self.figures = figures
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
        return _AT_RIGHT if column in self.figures else _AT_LEFT


# Made once: an operation on flags takes as long as drawing a word.
_AT_RIGHT: Final = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
_AT_LEFT: Final = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter


class _RowPainter(QStyledItemDelegate):
    """Cells as the style sheet has them, in a third of the time.

    Through the style every cell asks the model seven times, and lays its words out anew.
    """

    def __init__(self, view: QTableView, model: RowsModel) -> None:
        super().__init__(view)
        self._cells = model

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:  # noqa: N802 - Qt's name
        """As wide as its words; how high a row is, is the view's to say."""
        del option
        words = self._cells.data(index, Qt.ItemDataRole.DisplayRole)
        bold = self._cells.data(index, Qt.ItemDataRole.FontRole) is not None
        _shown, wide, high = _laid_out(words, bold) if words else (None, 0.0, 0.0)
        return QSize(math.ceil(wide) + 2 * BESIDE, math.ceil(high))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        rect: QRect = option.rect  # pyright: ignore[reportAttributeAccessIssue] - missing from the stubs
        state: int = option.state.value  # pyright: ignore[reportAttributeAccessIssue] - as above
        cells = self._cells
        chosen = state & _SELECTED
        if chosen:
            painter.fillRect(rect, QColor(design.colours().accent_soft))
        words = cells.data(index, Qt.ItemDataRole.DisplayRole)
        if not words:
            return
        bold = cells.data(index, Qt.ItemDataRole.FontRole) is not None
        lines = [_laid_out(words, bold)]
        room = rect.width() - 2 * BESIDE
        if lines[0][1] > room:
            lines = [_laid_out(line, bold) for line in _wrapped(words, bold, room, rect.height())]
        painter.setFont(_BOLD if bold else _BODY)
        ink = None if chosen else cells.data(index, Qt.ItemDataRole.ForegroundRole)
        painter.setPen(QColor(design.colours().text) if ink is None else ink)
        y = rect.top() + (rect.height() - sum(high for _shown, _wide, high in lines)) / 2
        for shown, wide, high in lines:
            right = index.column() in cells.figures
            x = rect.right() + 1 - BESIDE - wide if right else rect.left() + BESIDE
            painter.drawStaticText(QPointF(x, y), shown)
            y += high


BESIDE: Final = 11
"""Px of a cell beside its words: the style sheet's padding and Qt's own margin."""
_SELECTED: Final[int] = QStyle.StateFlag.State_Selected.value
_BODY: Final = design.font()
_BOLD: Final = design.font(design.BODY, QFont.Weight.DemiBold)
"""Of a cell for which its model has a font; no table has others."""


@functools.lru_cache(maxsize=4000)
def _laid_out(words: str, bold: bool) -> tuple[QStaticText, float, float]:
    """Words whose glyphs are kept, and their width and height in px."""
    made = QStaticText(words)
    made.setTextFormat(Qt.TextFormat.PlainText)
    made.prepare(QTransform(), _BOLD if bold else _BODY)
    size = made.size()
    return made, size.width(), size.height()


@functools.lru_cache(maxsize=4000)
def _wrapped(words: str, bold: bool, room: int, height: int) -> tuple[str, ...]:
    """As many lines of ``room`` px as a row has height for; the last one is elided."""
    font = _BOLD if bold else _BODY
    metrics, found = QFontMetrics(font), list[str]()
    most = max(1, height // metrics.lineSpacing())
    layout = QTextLayout(words, font)
    layout.beginLayout()
    while len(found) < most and (line := layout.createLine()).isValid():
        line.setLineWidth(room)
        rest = words[line.textStart() :]
        if len(found) == most - 1:
            found.append(metrics.elidedText(rest, Qt.TextElideMode.ElideRight, room))
        else:
            found.append(rest[: line.textLength()].rstrip())
    layout.endLayout()
    return tuple(found)


def row_table(model: RowsModel, name: str, row_height: int) -> QTableView:
    """The view of such a table, or a sorted one; ``name`` is for those who do not see it."""
    table = QTableView()
    table.setModel(model)
    table.setItemDelegate(_RowPainter(table, model))
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
