"""Every catalogue model that runs on the rig, in one table; Enter opens it on the Fit page."""

from collections.abc import Callable
from typing import Any, Final

from PySide6.QtCore import (
    QAbstractTableModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QSortFilterProxyModel,
    Qt,
)
from PySide6.QtGui import QColor, QFont
from PySide6.QtWidgets import QAbstractItemView, QComboBox, QHeaderView, QLineEdit, QTableView

from advisor import units
from advisor.advice.capability import Capability, Runs
from advisor.ui import design
from advisor.ui.state import AppState
from advisor.ui.texts import VERDICT_TONES, billions, tr, verdict_word
from advisor.ui.widgets.basics import Card, text

Index = QModelIndex | QPersistentModelIndex
SORT: Final = int(Qt.ItemDataRole.UserRole)
ON_RIG: Final = 6
ROW_HEIGHT: Final = 28
SHOWN_ROWS: Final = 8


class _Models(QAbstractTableModel):
    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.rows: tuple[Runs, ...] = ()
        self.heads = (
            tr("Model"),
            tr("Maker"),
            tr("Parameters"),
            tr("Active"),
            tr("Released"),
            tr("File type"),
            tr("On this rig"),
            tr("Left"),
        )

    def show_rows(self, rows: tuple[Runs, ...]) -> None:
        self.beginResetModel()
        self.rows = rows
        self.endResetModel()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008, N802 - Qt's signature
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008, N802
        return 0 if parent.isValid() else len(self.heads)

    def headerData(  # noqa: N802 - Qt's name
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:  # noqa: ANN401
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return self.heads[section]
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _alignment(section)
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:  # noqa: ANN401
        runs, column = self.rows[index.row()], index.column()
        roles: dict[int, Callable[[], Any]] = {
            Qt.ItemDataRole.DisplayRole: lambda: _words(runs)[column],
            SORT: lambda: _order(runs, index.row())[column],
            Qt.ItemDataRole.TextAlignmentRole: lambda: _alignment(column),
            Qt.ItemDataRole.FontRole: lambda: _NAME if column == 0 else None,
            Qt.ItemDataRole.ForegroundRole: lambda: _ink(runs) if column == ON_RIG else None,
            Qt.ItemDataRole.AccessibleTextRole: lambda: (
                f"{self.heads[column]}: {_words(runs)[column]}"
            ),
        }
        found = roles.get(role)
        return None if found is None else found()


_NAME: Final = design.font(design.BODY, QFont.Weight.DemiBold)


def _ink(runs: Runs) -> QColor:
    return design.colours().tone(VERDICT_TONES[runs.verdict])[0]


def _words(runs: Runs) -> tuple[str, ...]:
    entry = runs.entry
    active = "" if runs.dense or not entry.active_params else billions(entry.active_params)
    spilled = runs.headroom is not None and runs.headroom < 0
    return (
        entry.name,
        entry.maker,
        billions(runs.n_params),
        active,
        f"{entry.released:%b %Y}" if entry.released else "",
        runs.file_type,
        verdict_word(runs.verdict),
        "" if runs.headroom is None or spilled else units.size(runs.headroom),
    )


def _order(runs: Runs, place: int) -> tuple[Any, ...]:
    released = runs.entry.released.isoformat() if runs.entry.released else ""
    return (
        place,
        runs.entry.maker.lower(),
        runs.n_params,
        runs.entry.active_params or runs.n_params,
        released,
        runs.file_type,
        verdict_word(runs.verdict),
        runs.headroom if runs.headroom is not None else 0,
    )


def _alignment(column: int) -> Qt.AlignmentFlag:
    right = column in {2, 3, 4, 7}
    side = Qt.AlignmentFlag.AlignRight if right else Qt.AlignmentFlag.AlignLeft
    return side | Qt.AlignmentFlag.AlignVCenter


class _Filter(QSortFilterProxyModel):
    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.setSortRole(SORT)
        self.verdicts: frozenset[str] = frozenset()
        self.words: tuple[str, ...] = ()

    def narrow(self, verdicts: frozenset[str], words: tuple[str, ...]) -> None:
        self.verdicts, self.words = verdicts, words
        self.invalidate()

    def filterAcceptsRow(self, row: int, parent: Index) -> bool:  # noqa: ARG002, N802 - Qt's signature
        source = self.sourceModel()
        if not isinstance(source, _Models):
            return False
        runs = source.rows[row]
        if self.verdicts and runs.verdict not in self.verdicts:
            return False
        entry = runs.entry
        place = " ".join((entry.id, entry.name, entry.maker, *entry.abilities)).lower()
        return all(word in place for word in self.words)


class ModelsCard(Card):
    """The table with its filters."""

    def __init__(self, state: AppState) -> None:
        super().__init__(self.tr("What can I run?"))
        self._state = state
        self._search = QLineEdit()
        self._search.setPlaceholderText(self.tr("Name, maker or ability"))
        self._search.setAccessibleName(self.tr("Filter models"))
        self._search.setClearButtonEnabled(True)
        self._search.setFixedWidth(230)
        self._which = QComboBox()
        self._which.setAccessibleName(self.tr("Which models"))
        for words, verdicts in (
            (self.tr("all that run"), frozenset[str]()),
            (self.tr("fit wholly"), frozenset({"fits", "tight"})),
            (self.tr("with a part in RAM"), frozenset({"offload"})),
        ):
            self._which.addItem(words, verdicts)
        self.head.addWidget(self._search)
        self.head.addWidget(self._which)
        self._models = _Models(self)
        self._filter = _Filter(self)
        self._filter.setSourceModel(self._models)
        self.table = QTableView()
        self.table.setModel(self._filter)
        self.table.setAccessibleName(self.tr("Models that run on this rig"))
        self.table.setSortingEnabled(True)
        self.table.sortByColumn(0, Qt.SortOrder.AscendingOrder)
        self.table.setShowGrid(False)
        self.table.setTabKeyNavigation(False)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(ROW_HEIGHT)
        self.table.horizontalHeader().setHighlightSections(False)
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.table.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.table.setMinimumHeight(ROW_HEIGHT * SHOWN_ROWS)
        self.table.activated.connect(self._open)
        self.table.clicked.connect(self._open)
        self._empty = text("", "muted", wrap=True)
        self.body.addWidget(self.table, 1)
        self.body.addWidget(self._empty)
        self._search.textChanged.connect(self._narrow)
        self._which.currentIndexChanged.connect(self._narrow)

    def show_models(self, found: Capability, *, on_devices: bool) -> None:
        """Another rig, other models. Without devices there is nothing that a part could leave."""
        self._models.show_rows(found.models)
        self._which.setVisible(on_devices)
        self.note.setText(
            self.tr("{count} models at {context}").format(
                count=len(found.models), context=units.tokens(found.ctx)
            )
        )
        self._narrow()

    def _narrow(self) -> None:
        words = tuple(self._search.text().lower().split())
        self._filter.narrow(self._which.currentData(), words)
        empty = self._filter.rowCount() == 0
        self._empty.setVisible(empty)
        self._empty.setText(self.tr("No model matches.") if empty else "")

    def _open(self, index: QModelIndex) -> None:
        runs = self._models.rows[self._filter.mapToSource(index).row()]
        self._state.choose_model(runs.entry.id, runs.file_type)
        self._state.show_page("fit")
