"""Every catalogue model that runs on the rig, best first; Enter opens it on the Fit page."""

from dataclasses import dataclass
from typing import Any, Final

from PySide6.QtCore import QEvent, QModelIndex, QObject, Qt
from PySide6.QtGui import QColor, QFont, QFontMetrics
from PySide6.QtWidgets import QComboBox, QHeaderView, QLineEdit

from advisor import units
from advisor.advice.capability import Capability
from advisor.advice.picks import Pick
from advisor.ui import design
from advisor.ui.state import AppState
from advisor.ui.texts import VERDICT_TONES, billions, pace, tr, verdict_word
from advisor.ui.widgets.basics import Card, text
from advisor.ui.widgets.row_table import Index, RowsModel, offer_sorting, row_table

MAKER: Final = 1
ON_RIG: Final = 6
ROW_HEIGHT: Final = 28
SHOWN_ROWS: Final = 8
MOST_MAKER: Final = 130
LEAST_NAME: Final = 212
GIVING_WAY: Final = (4, MAKER, 3)
"""Release, maker and active parameters go, in this order, where names would have no room."""
PADDING: Final = 26
"""Pixels beside a cell's words."""
SHARED: Final = 0.7
"""Of the room that is left, what the other columns get: a name is far from its figures else."""


@dataclass(frozen=True, slots=True)
class _Line:
    """A model's row, worked out once: a view asks for every cell several times."""

    pick: Pick
    words: tuple[str, ...]
    order: tuple[Any, ...]
    sought: str
    """What the filter looks in."""


@dataclass(frozen=True, slots=True)
class Listed:
    """What runs, and the lines that say it."""

    found: Capability
    lines: list[_Line]
    widest: tuple[int, ...]
    """Px of the widest words of each column."""


def listed(found: Capability) -> Listed:
    """Worked out on a thread: a list of the whole catalogue takes longer than a frame."""
    lines = [
        _Line(pick, _words(pick), _order(pick, place), _sought(pick))
        for place, pick in enumerate(found.models)
    ]
    metrics = QFontMetrics(design.font())
    columns = zip(*(line.words for line in lines), strict=True)
    widest = tuple(max(map(metrics.horizontalAdvance, set(words))) for words in columns)
    return Listed(found, lines, widest)


class _Models(RowsModel):
    """Sorted and filtered here: a proxy asks for each cell through Qt, tenfold the time."""

    def __init__(self, parent: QObject) -> None:
        heads = (
            tr("Model"),
            tr("Maker"),
            tr("Parameters"),
            tr("Active"),
            tr("Released"),
            tr("File type"),
            tr("On this rig"),
            tr("Decode"),
            tr("Left"),
        )
        super().__init__(_FIGURES, heads, parent)
        self.all: list[_Line] = []
        self.shown: list[_Line] = []
        self._sorted = (0, Qt.SortOrder.AscendingOrder)
        self._verdicts: frozenset[str] = frozenset()
        self._sought: tuple[str, ...] = ()

    def show_lines(self, lines: list[_Line]) -> None:
        self.all = lines
        self._choose()

    def narrow(self, verdicts: frozenset[str], sought: tuple[str, ...]) -> None:
        self._verdicts, self._sought = verdicts, sought
        self._choose()

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        self._sorted = (column, order)
        self._choose()

    def _choose(self) -> None:
        column, order = self._sorted
        kept = (line for line in self.all if self._keeps(line))
        down = order == Qt.SortOrder.DescendingOrder
        found = sorted(kept, key=lambda line: line.order[column], reverse=down)

        def put() -> None:
            self.shown = found

        before, after = ([line.pick.entry.id for line in each] for each in (self.shown, found))
        self.put_rows(before, after, put)

    def _keeps(self, line: _Line) -> bool:
        if self._verdicts and line.pick.cell.verdict not in self._verdicts:
            return False
        return all(word in line.sought for word in self._sought)

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008, N802 - Qt's signature
        return 0 if parent.isValid() else len(self.shown)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:  # noqa: ANN401
        line, column = self.shown[index.row()], index.column()
        found: Any = None
        if role == Qt.ItemDataRole.DisplayRole:
            found = line.words[column]
        elif role == Qt.ItemDataRole.TextAlignmentRole:
            found = self.alignment(column)
        elif role == Qt.ItemDataRole.FontRole and column == 0:
            found = _NAME
        elif role == Qt.ItemDataRole.ForegroundRole and column == ON_RIG:
            found = _ink(line.pick)
        elif role == Qt.ItemDataRole.AccessibleTextRole:
            found = f"{self.heads[column]}: {line.words[column]}"
        return found


_NAME: Final = design.font(design.BODY, QFont.Weight.DemiBold)


def _ink(pick: Pick) -> QColor:
    return design.colours().tone(VERDICT_TONES[pick.cell.verdict])[0]


def _words(pick: Pick) -> tuple[str, ...]:
    entry, cell = pick.entry, pick.cell
    active = "" if pick.dense else billions(entry.active)
    spilled = cell.headroom is not None and cell.headroom < 0
    return (
        entry.name,
        entry.maker,
        billions(pick.model.n_params),
        active,
        f"{entry.released:%b %Y}" if entry.released else "",
        cell.file_type,
        verdict_word(cell.verdict),
        pace(pick),
        "" if cell.headroom is None or spilled else units.size(cell.headroom),
    )


def _order(pick: Pick, place: int) -> tuple[Any, ...]:
    entry, cell = pick.entry, pick.cell
    total = pick.model.n_params
    return (
        place,
        entry.maker.lower(),
        total,
        entry.active,
        entry.released.isoformat() if entry.released else "",
        cell.file_type,
        verdict_word(cell.verdict),
        0.0 if cell.decode is None else cell.decode.mid,
        cell.headroom if cell.headroom is not None else 0,
    )


_FIGURES: Final = frozenset({2, 3, 4, 7, 8})


def _sought(pick: Pick) -> str:
    entry = pick.entry
    return " ".join((entry.id, entry.name, entry.maker, *entry.abilities)).lower()


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
        self._which.hide()
        for words, verdicts in (
            (self.tr("all that run"), frozenset[str]()),
            (self.tr("fit wholly"), frozenset({"fits", "tight"})),
            (self.tr("with a part in RAM"), frozenset({"offload"})),
        ):
            self._which.addItem(words, verdicts)
        self.head.addWidget(self._search)
        self.head.addWidget(self._which)
        self._models = _Models(self)
        self.table = row_table(self._models, self.tr("Models that run on this rig"), ROW_HEIGHT)
        self.table.setSortingEnabled(True)
        offer_sorting(self.table)
        self.table.sortByColumn(0, Qt.SortOrder.AscendingOrder)
        self.table.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.table.setMinimumHeight(ROW_HEIGHT * SHOWN_ROWS)
        self.table.viewport().installEventFilter(self)
        self._widths: dict[int, int] = {}
        self.table.activated.connect(self._open)
        self.table.clicked.connect(self._open)
        self._empty = text(self.tr("Sizing the catalogue…"), "muted", wrap=True)
        self._empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._empty.setMinimumHeight(self.table.minimumHeight())
        self.table.hide()
        self.body.addWidget(self.table, 1)
        self.body.addWidget(self._empty, 1)
        self._fit_columns()
        self._search.textChanged.connect(self._narrow)
        self._which.currentIndexChanged.connect(self._narrow)

    def show_models(self, listed: Listed, *, on_devices: bool) -> None:
        """Another rig, other models. Without devices there is nothing that a part could leave."""
        self._models.show_lines(listed.lines)
        self._which.setVisible(on_devices)
        count = len(listed.lines)
        words = (
            self.tr("1 model at {context}")
            if count == 1
            else self.tr("{count} models at {context}")
        )
        self.note.say(words.format(count=count, context=units.tokens(listed.found.ctx)))
        self._fit_columns(listed.widest)
        self._tell_empty()

    def _fit_columns(self, widest: tuple[int, ...] = ()) -> None:
        """As wide as the widest words; Qt's own way asks for each cell several times."""
        # A hidden column's head tells the header's size hint nothing.
        heads = QFontMetrics(design.font(design.SMALL, QFont.Weight.Medium))
        for column in range(1, len(self._models.heads)):
            head = heads.horizontalAdvance(self._models.heads[column])
            width = max(widest[column] if widest else 0, head) + PADDING
            # One long maker must not take the room of every model's name.
            self._widths[column] = min(width, MOST_MAKER) if column == MAKER else width
        self._make_room()

    def in_sight(self) -> list[Pick]:
        """What the table shows now."""
        top, bottom = self.table.rowAt(0), self.table.rowAt(self.table.viewport().height() - 1)
        shown = self._models.shown
        return [line.pick for line in shown[max(top, 0) : len(shown) if bottom < 0 else bottom + 1]]

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802 - Qt's name
        """Columns come and go with the width of the table."""
        if event.type() == QEvent.Type.Resize:
            self._make_room()
        return super().eventFilter(watched, event)

    def _make_room(self) -> None:
        """Hide what matters least until a model's name can be read."""
        header = self.table.horizontalHeader()
        missing = LEAST_NAME + sum(self._widths.values()) - self.table.viewport().width()
        for column in GIVING_WAY:
            hide = missing > 0
            missing -= self._widths.get(column, 0) if hide else 0
            if header.isSectionHidden(column) != hide:
                header.setSectionHidden(column, hide)
        shown = [column for column in self._widths if not header.isSectionHidden(column)]
        more = int(max(0, -missing) * SHARED / max(len(shown), 1))
        for column in shown:
            header.resizeSection(column, self._widths[column] + more)

    def _narrow(self) -> None:
        words = tuple(self._search.text().lower().split())
        self._models.narrow(self._which.currentData(), words)
        self._tell_empty()

    def _tell_empty(self) -> None:
        empty = self._models.rowCount() == 0
        self._empty.setVisible(empty)
        self.table.setVisible(not empty)
        self._empty.setText(self.tr("No model matches.") if empty else "")

    def _open(self, index: QModelIndex) -> None:
        pick = self._models.shown[index.row()].pick
        self._state.take(pick)
        self._state.show_page("fit")
