"""A heat map of told cells: rows × columns, each cell with words, a tone and the tone's pattern.

A QTableView underneath, so arrow keys, selection and screen readers work as in any table.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from PySide6.QtCore import (
    QAbstractTableModel,
    QItemSelectionModel,
    QModelIndex,
    QPersistentModelIndex,
    QPoint,
    QRect,
    QRectF,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import (
    QColor,
    QFocusEvent,
    QFont,
    QFontMetrics,
    QPainter,
    QPen,
    QPixmap,
    QResizeEvent,
)
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QHeaderView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QWidget,
)

from advisor.ui import design
from advisor.ui.widgets import patterns
from advisor.ui.widgets.basics import row, text
from advisor.ui.widgets.paint_turns import turns

Index = QModelIndex | QPersistentModelIndex
_KEPT: Final = 400
"""Pictures of cells that are kept: 14 KB each."""
_TALLEST: Final = 60
"""Px of a row."""
TWO_LINES: Final = 30
"""Rows at least this high show both lines of a cell."""


@dataclass(frozen=True, slots=True)
class HeatCell:
    """One cell: two short lines, a tone, and the whole story for tooltip and screen reader.

    Where the second line is too wide it is drawn without its unit.
    """

    main: str
    sub: str
    tone: design.Tone
    story: str | Callable[[], str] = field(compare=False)
    """What is called when it is wanted: nobody points at most of them."""
    short: str = ""
    """What to draw where ``main`` is too wide, here or in a cell of the same tone; the pattern
    still says what it is."""
    mark: str = ""
    """One character in the corner: where the figure comes from, when it is not computed alone."""


@dataclass(frozen=True, slots=True)
class HeatRow:
    """A row's head: a title, a line below it, and a note in a column of its own."""

    title: str
    sub: str = ""
    note: str = ""
    story: str = ""


class HeatModel(QAbstractTableModel):
    """The cells."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: tuple[HeatRow, ...] = ()
        self.columns: tuple[str, ...] = ()
        self.cells: tuple[tuple[HeatCell, ...], ...] = ()
        self._widest: dict[str, int] | None = None

    def says_less(self, cell: HeatCell, width: int) -> bool:
        """Whether a cell's words are too wide, or those of another one of its tone.

        Alike cells say alike: "21.0" beside "RAM 8.2" would read as something else.
        """
        if self._widest is None:
            metrics = QFontMetrics(_main_font())
            self._widest = {}
            for other in (other for line in self.cells for other in line if other.short):
                wide = metrics.horizontalAdvance(other.main)
                self._widest[other.tone] = max(wide, self._widest.get(other.tone, 0))
        return bool(cell.short) and self._widest[cell.tone] > width

    def replace(
        self,
        rows: tuple[HeatRow, ...],
        columns: tuple[str, ...],
        cells: tuple[tuple[HeatCell, ...], ...],
    ) -> None:
        """Other cells. Views keep scroll and selection when the shape is the same."""
        self._widest = None
        if len(rows) == len(self.rows) and len(columns) == len(self.columns) and rows:
            self.rows, self.columns, self.cells = rows, columns, cells
            self.dataChanged.emit(self.index(0, 0), self.index(len(rows) - 1, len(columns) - 1))
            self.headerDataChanged.emit(Qt.Orientation.Vertical, 0, len(rows) - 1)
            self.headerDataChanged.emit(Qt.Orientation.Horizontal, 0, len(columns) - 1)
            return
        self.beginResetModel()
        self.rows, self.columns, self.cells = rows, columns, cells
        self.endResetModel()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008, D102, N802 - Qt's signature
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008, D102, N802
        return 0 if parent.isValid() else len(self.columns)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:  # noqa: ANN401, D102
        cell = self.cells[index.row()][index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return f"{cell.main} {cell.sub}".strip()
        if role in {Qt.ItemDataRole.AccessibleTextRole, Qt.ItemDataRole.ToolTipRole}:
            return cell.story if isinstance(cell.story, str) else cell.story()
        return None

    def headerData(  # noqa: D102, N802 - Qt's name
        self,
        section: int,
        orientation: Qt.Orientation,
        role: int = Qt.ItemDataRole.DisplayRole,
    ) -> Any:  # noqa: ANN401
        if orientation == Qt.Orientation.Horizontal:
            return self.columns[section] if role == Qt.ItemDataRole.DisplayRole else None
        head = self.rows[section]
        if role == Qt.ItemDataRole.DisplayRole:
            return head.title
        if role in {Qt.ItemDataRole.AccessibleTextRole, Qt.ItemDataRole.ToolTipRole}:
            return head.story or f"{head.title} {head.sub} {head.note}"
        return None


class _CellPainter(QStyledItemDelegate):
    """Cells as pictures of their own, which are kept: a whole map is 70 of them or more.

    What a turn of the event loop has no time for is the tone alone, and gets its words in the next.
    """

    def __init__(self, view: QTableView, cells: HeatModel) -> None:
        super().__init__(view)
        self._view = view
        self._cells = cells
        self._drawn: dict[tuple[object, ...], QPixmap] = {}
        self._placed: dict[tuple[int, int], tuple[HeatCell, tuple[object, ...], QPixmap]] = {}
        """The last picture of a place, with its cell, size, ratio and scheme."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        place = index.row(), index.column()
        cell = self._cells.cells[place[0]][place[1]]
        rect: QRect = option.rect  # pyright: ignore[reportAttributeAccessIssue] - missing from the stubs
        how = rect.width(), rect.height(), self._view.devicePixelRatioF(), design.colours().dark
        kept = self._placed.get(place)
        if kept is not None and kept[0] is cell and kept[1] == how:
            picture = kept[2]
        else:
            picture = self._picture(cell, rect.size(), how)
            if picture is None:
                picture = patterns.cell_ground(cell.tone, rect.size(), how[2])
            else:
                self._placed[place] = cell, how, picture
        painter.drawPixmap(rect.x(), rect.y(), picture)
        # As a number: an operation on flags takes as long as drawing a picture.
        state: int = option.state.value  # pyright: ignore[reportAttributeAccessIssue] - as above
        if state & _SELECTED:
            self._outline(painter, rect, QPen(QColor(design.colours().accent), 2))
        elif state & _HOVER:
            self._outline(painter, rect, QPen(QColor(design.colours().line_strong), 1))

    def _outline(self, painter: QPainter, rect: QRect, pen: QPen) -> None:
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(pen)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRoundedRect(_inset(rect), 5, 5)
        painter.restore()

    def _picture(self, cell: HeatCell, size: QSize, how: tuple[object, ...]) -> QPixmap | None:
        """None where this turn has no time for it."""
        brief = self._cells.says_less(cell, _words(size).width())
        key = (cell, brief, how)
        found = self._drawn.get(key)
        if found is None and turns.allows(self._view.viewport()):
            if len(self._drawn) >= _KEPT:
                self._drawn.clear()
            with turns.painting():
                ratio = self._view.devicePixelRatioF()
                found = self._drawn[key] = QPixmap(patterns.cell_ground(cell.tone, size, ratio))
                with QPainter(found) as inside:
                    _write(inside, cell, size, brief=brief)
        return found


_SELECTED: Final[int] = QStyle.StateFlag.State_Selected.value
_HOVER: Final[int] = QStyle.StateFlag.State_MouseOver.value
_RIGHT: Final = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
_CORNER: Final = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop


def _main_font() -> QFont:
    return design.font(12, QFont.Weight.DemiBold)


def _inset(rect: QRect) -> QRectF:
    inset = patterns.INSET
    return QRectF(rect).adjusted(inset, inset, -inset, -inset)


def _words(size: QSize) -> QRect:
    """Where a cell's words may be."""
    return _inset(QRect(QPoint(0, 0), size)).adjusted(2, 0, -6, 0).toRect()


def _write(painter: QPainter, cell: HeatCell, size: QSize, *, brief: bool) -> None:
    """A cell's words on its ground."""
    area = _inset(QRect(QPoint(0, 0), size))
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(design.colours().tone(cell.tone)[0])
    words = _words(size)
    two = words.height() >= TWO_LINES and bool(cell.sub)
    upper = QRect(words.left(), words.center().y() - 14, words.width(), 15) if two else words
    painter.setFont(_main_font())
    painter.drawText(upper, _RIGHT, cell.short if brief else cell.main)
    if two:
        painter.setFont(design.font(design.SMALL))
        wide = painter.fontMetrics().horizontalAdvance(cell.sub) > upper.width()
        sub = cell.sub.partition(" ")[0] if wide else cell.sub
        painter.drawText(upper.translated(0, 15), _RIGHT, sub)
    if cell.mark:
        painter.setFont(design.font(9, QFont.Weight.DemiBold))
        painter.drawText(area.adjusted(4, 1, 0, 0).toRect(), _CORNER, cell.mark)


class _RowHead(QHeaderView):
    """Title, the line below it and the note, from the model's ``HeatRow``."""

    def __init__(self, model: HeatModel, parent: QWidget) -> None:
        super().__init__(Qt.Orientation.Vertical, parent)
        self._model = model
        self.notes = True
        """Whether there is room for the rows' notes."""
        self._measured: tuple[tuple[HeatRow, ...], int, int] = (), 40, 0
        """Rows, and how wide their words and notes are."""
        self._drawn: dict[tuple[object, ...], QPixmap] = {}
        self.setSectionsClickable(False)
        self.setHighlightSections(True)

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Wide enough for the widest title and note."""
        if self._measured[0] is not self._model.rows:
            rows = self._model.rows
            title, small = _main_font(), design.font(design.SMALL)
            words = [_width(title, r.title) for r in rows] + [_width(small, r.sub) for r in rows]
            note = max((_width(small, r.note) for r in rows), default=0)
            self._measured = rows, max(words, default=40), note
        _rows, words, note = self._measured
        return QSize(words + (note + 14 if note and self.notes else 0) + 20, 0)

    def paintSection(self, painter: QPainter, rect: QRect, logical_index: int) -> None:  # noqa: N802 - Qt's name
        """Words only, in a picture that is kept; the card is the ground."""
        head, ratio = self._model.rows[logical_index], self.devicePixelRatioF()
        key = (head, rect.width(), rect.height(), self.notes, ratio, design.colours().dark)
        found = self._drawn.get(key)
        if found is None:
            if len(self._drawn) >= _KEPT:
                self._drawn.clear()
            found = self._drawn[key] = QPixmap(rect.size() * ratio)
            found.setDevicePixelRatio(ratio)
            found.fill(QColor(design.colours().surface))
            with QPainter(found) as inside:
                self._write(inside, head, QRect(QPoint(0, 0), rect.size()))
        painter.drawPixmap(rect.x(), rect.y(), found)

    def _write(self, painter: QPainter, head: HeatRow, rect: QRect) -> None:
        c = design.colours()
        area = rect.adjusted(8, 0, -9, 0)
        two = area.height() >= TWO_LINES and bool(head.sub)
        upper = QRect(area.left(), area.center().y() - 16, area.width(), 17) if two else area
        left = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        painter.setPen(QColor(c.text))
        painter.setFont(_main_font())
        painter.drawText(upper, left, head.title)
        painter.setPen(QColor(c.muted))
        painter.setFont(design.font(design.SMALL))
        if two:
            painter.drawText(upper.translated(0, 16), left, head.sub)
        if self.notes:
            painter.drawText(area, _RIGHT, head.note)


def _width(font: QFont, words: str) -> int:
    return QFontMetrics(font).horizontalAdvance(words)


class HeatMap(QTableView):
    """The view. ``chosen(row, column)`` follows every change of the current cell by the user."""

    chosen = Signal(int, int)
    opened = Signal(int, int)
    """Enter or a double click on a cell."""

    def __init__(self, name: str, *, corner: str = "") -> None:
        super().__init__()
        self.cells = HeatModel()
        self.setModel(self.cells)
        self.setAccessibleName(name)
        self.setItemDelegate(_CellPainter(self, self.cells))
        self._heads = _RowHead(self.cells, self)
        self.setVerticalHeader(self._heads)
        self.setShowGrid(False)
        self.setMouseTracking(True)
        self.setCornerButtonEnabled(False)
        self.setTabKeyNavigation(False)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        across = self.horizontalHeader()
        across.setSectionsClickable(False)
        across.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        across.setDefaultAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        across.setMinimumSectionSize(40)
        across.setProperty("role", "heat")
        across.setFixedHeight(24)
        self.verticalHeader().setMinimumSectionSize(24)
        self._corner = text(corner, "small")
        self._corner.setContentsMargins(0, 0, 9, 0)
        if corner and (place := self.findChild(QAbstractButton)) is not None:
            place.setLayout(row(None, self._corner))
        self._telling = True
        self.selectionModel().currentChanged.connect(self._current_changed)
        self.activated.connect(lambda index: self.opened.emit(index.row(), index.column()))

    def show_cells(
        self,
        rows: tuple[HeatRow, ...],
        columns: tuple[str, ...],
        cells: tuple[tuple[HeatCell, ...], ...],
    ) -> None:
        """Other cells; nothing is emitted."""
        self._telling = False
        self.cells.replace(rows, columns, cells)
        self._telling = True
        self._share_height()
        self.verticalHeader().updateGeometry()
        self.updateGeometries()

    def show_notes(self, *, shown: bool) -> None:
        """The rows' notes, or more room for the cells: their tooltips tell them too."""
        if shown != self._heads.notes:
            self._heads.notes = shown
            self._corner.setVisible(shown)
            self._heads.updateGeometry()
            self.updateGeometries()

    def mark(self, row: int | None, column: int | None) -> None:
        """Show which cell is in question; nothing is emitted."""
        self._telling = False
        if row is None or column is None:
            self.clearSelection()
            self.setCurrentIndex(QModelIndex())
        else:
            index = self.cells.index(row, column)
            self.selectionModel().setCurrentIndex(
                index, QItemSelectionModel.SelectionFlag.ClearAndSelect
            )
        self._telling = True

    def focusInEvent(self, event: QFocusEvent) -> None:  # noqa: N802 - Qt's name
        """Where no cell is in question Qt makes the first one current: nobody chose that."""
        asked = self.currentIndex().isValid()
        self._telling = False
        super().focusInEvent(event)
        if not asked:
            self.setCurrentIndex(QModelIndex())
        self._telling = True

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 - Qt's name
        """Rows share the height there is, within reason."""
        super().resizeEvent(event)
        self._share_height()

    def _share_height(self) -> None:
        count = len(self.cells.rows)
        if count:
            both = any(cell.sub for line in self.cells.cells for cell in line)
            least = TWO_LINES + 4 if both else 26
            height = min(_TALLEST, max(least, self.viewport().height() // count))
            self.verticalHeader().setDefaultSectionSize(height)
            around = self.horizontalHeader().height() + 2 * self.frameWidth()
            self.setMaximumHeight(count * _TALLEST + around)  # its ring goes round cells alone

    def _current_changed(self, current: QModelIndex, _previous: QModelIndex) -> None:
        if self._telling and current.isValid():
            self.chosen.emit(current.row(), current.column())
