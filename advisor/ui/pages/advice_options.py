"""Every option that was worked out, in one table; the chosen row says what it needs and costs."""

import shlex
from collections.abc import Callable
from typing import Any, Final

from PySide6.QtCore import (
    QModelIndex,
    QObject,
    QRect,
    Qt,
    QTimer,
    Signal,
)
from PySide6.QtGui import QColor, QFont, QFontMetrics, QResizeEvent
from PySide6.QtWidgets import QHeaderView, QWidget

from advisor.advice.assessment import Assessment
from advisor.advice.commands import commands, way_of
from advisor.advice.money import amounts, money
from advisor.advice.options import old_prices
from advisor.advice.verdict import Advice
from advisor.advice.wording import a_day
from advisor.basis import Range
from advisor.ui import design
from advisor.ui.pages.advice_cards import OptionCards
from advisor.ui.pages.advice_verdict import paragraph
from advisor.ui.widgets.basics import Card, button, clear, column, row
from advisor.ui.widgets.row_table import Index, RowsModel, offer_sorting, row_table
from advisor.units import between, rates, size, tokens, waits

ROW_HEIGHT: Final = 29
FEW: Final = 7
"""Rows on screen before all are asked for."""
EACH: Final = 5
MEETS: Final = 6
WIDE: Final = 860
"""Narrower cards leave out what a thousand requests cost: names come first, the details tell it."""
MEETS_WIDTH: Final = 136
BEFORE: Final = 400
"""Px of the card that the columns before it need."""
LINES: Final = 3
"""Of a row at the most; the tooltip and the details have the rest."""
PADDING: Final = 23
"""Px beside a cell's words."""
_NAME: Final = design.font(design.BODY, QFont.Weight.DemiBold)
_WRAPPED: Final = (0, 1, MEETS)
"""Columns of words that may take several lines."""


class _Options(RowsModel):
    def __init__(self, parent: QObject) -> None:
        super().__init__(frozenset(range(2, MEETS)), parent=parent)
        self.advice: Advice | None = None
        self.rows: tuple[tuple[Assessment, tuple[str, ...]], ...] = ()
        self._best_first = self.rows
        self._by = (-1, False)
        self.all = False
        """Whether more than the first few are shown."""

    def show_rows(self, advice: Advice, heads: tuple[str, ...], words: Callable[..., Any]) -> None:
        self.beginResetModel()
        self.advice, self.heads = advice, heads
        self._best_first = tuple((a, words(a, advice)) for a in advice.assessments)
        self._order()
        self.endResetModel()

    def sort_by(self, column: int, *, falling: bool) -> None:
        """By a column's figures or words, unknown ones last; best first again where it is -1."""
        self.beginResetModel()
        self._by = (column, falling)
        self._order()
        self.endResetModel()

    def _order(self) -> None:
        column, falling = self._by
        known = [row for row in self._best_first if _rank(*row, column) is not None]
        known.sort(key=lambda row: _rank(*row, column), reverse=falling)
        unknown = [row for row in self._best_first if _rank(*row, column) is None]
        self.rows = (*known, *unknown)

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008, N802 - Qt's signature
        count = len(self.rows) if self.all else min(len(self.rows), FEW)
        return 0 if parent.isValid() else count

    def headerData(  # noqa: N802 - Qt's name
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:  # noqa: ANN401
        """With an arrow where it is sorted by: Qt's own would widen every head."""
        found = super().headerData(section, orientation, role)
        column, falling = self._by
        if role == Qt.ItemDataRole.DisplayRole and section == column:
            return f"{found} {'↓' if falling else '↑'}"
        return found

    def show_all(self, on: bool) -> None:
        self.beginResetModel()
        self.all = on
        self.endResetModel()

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:  # noqa: ANN401
        assessment, words = self.rows[index.row()]
        column = index.column()
        roles: dict[int, Callable[[], Any]] = {
            Qt.ItemDataRole.DisplayRole: lambda: words[column],
            Qt.ItemDataRole.ToolTipRole: lambda: _tip(assessment, words, column),
            Qt.ItemDataRole.AccessibleTextRole: lambda: f"{self.heads[column]}: {words[column]}",
            Qt.ItemDataRole.TextAlignmentRole: lambda: self.alignment(column),
            Qt.ItemDataRole.FontRole: lambda: (
                _NAME if column == 0 and self.is_best(assessment) else None
            ),
            Qt.ItemDataRole.ForegroundRole: lambda: _ink(assessment) if column == MEETS else None,
        }
        found = roles.get(role)
        return None if found is None else found()

    def is_best(self, assessment: Assessment) -> bool:
        """Whether it is the verdict."""
        best = self.advice.best if self.advice is not None else None
        return best is not None and best.option.id == assessment.option.id


def _rank(a: Assessment, words: tuple[str, ...], column: int) -> Any:  # noqa: ANN401 - one type a column
    """What a column is sorted by; None where it is not known."""
    match column:
        case -1:
            return 0
        case 2:
            return a.decode_tps.mid if a.decode_tps else None
        case 3:
            return a.hardware.mid
        case 4 | 5:
            return a.monthly.mid if a.monthly else None
        case 6:
            return not a.meets, bool(a.doubts)
        case _:
            return words[column].casefold()


def _tip(a: Assessment, words: tuple[str, ...], column: int) -> str:
    """Everything that speaks against an option; else the cell, which may be cut off."""
    told = (*a.failures, *a.doubts)
    return "\n".join(told) if column == MEETS and told else words[column]


def _ink(a: Assessment) -> QColor:
    tone: design.Tone = "bad"
    if a.meets:
        tone = "tight" if a.doubts else "good"
    return QColor(design.colours().tone(tone)[0])


class OptionsCard(Card):
    """Cards, the table, best first until a head is clicked, and the chosen option's details."""

    price_wanted = Signal(str)
    """Somebody wants to enter a price of their own for the piece of this name."""

    def __init__(self) -> None:
        super().__init__(self.tr("Options"), note=" ")
        self._options = _Options(self)
        self.table = row_table(self._options, self.tr("Options, best first"), ROW_HEIGHT)
        self.table.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.table.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        header = self.table.horizontalHeader()
        header.setSectionsClickable(True)
        header.setSortIndicatorClearable(True)
        header.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        header.sortIndicatorChanged.connect(self._sort)
        header.sectionResized.connect(self._section_resized)
        self._fitting = QTimer(self, singleShot=True, interval=0)
        self._fitting.timeout.connect(self._fit_height)
        offer_sorting(self.table)
        self._all = button(self.tr("Show all"), role="segment")
        self._all.setCheckable(True)
        self._all.toggled.connect(self._show_all)
        self.head.addWidget(self._all)
        self._relations: dict[str | None, str] = {
            None: self.tr("API"),
            "same weights": self.tr("the same model"),
            "successor": self.tr("its successor"),
            "like class": self.tr("a similar model"),
        }
        self._details = QWidget()
        self._lines = column(spacing=3)
        self._details.setLayout(self._lines)
        self.cards = OptionCards()
        self.body.addWidget(self.cards)
        self.body.addWidget(self.table)
        self.body.addWidget(self._details)
        self.table.selectionModel().currentRowChanged.connect(
            lambda now, _before: self.show_details(now.row())
        )

    def show_advice(self, advice: Advice) -> None:
        """Other options in the table. The chosen row stays chosen where it is still there."""
        chosen = self._chosen_id()
        heads = (
            self.tr("Option"),
            self.tr("Runs"),
            self.tr("tok/s"),
            self.tr("To buy"),
            self.tr("A month"),
            self.tr("Per 1,000"),
            self.tr("Meets the need"),
        )
        self._options.show_rows(advice, heads, self._words)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        if not self._one_model(advice):
            header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        count = len(self._options.rows)
        self.note.say(
            self.tr("{count} shown of {searched} looked at, in {currency}").format(
                count=count, searched=f"{advice.searched:,}", currency=advice.usage.currency
            )
        )
        self._all.setVisible(count > FEW)
        self._choose(chosen)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 - Qt's name
        """Room for names."""
        super().resizeEvent(event)
        self.table.setColumnHidden(EACH, self.width() < WIDE)
        self._widen()

    def _widen(self) -> None:
        width = max(MEETS_WIDTH, (self.width() - BEFORE) // 3)
        self.table.horizontalHeader().resizeSection(MEETS, width)

    def _sort(self, column: int, order: Qt.SortOrder) -> None:
        chosen = self._chosen_id()
        self._options.sort_by(column, falling=order == Qt.SortOrder.DescendingOrder)
        self._choose(chosen)

    def _show_all(self, on: bool) -> None:
        chosen = self._chosen_id()
        self._options.show_all(on)
        self._choose(chosen)

    def _choose(self, option_id: str) -> None:
        """Make that row the chosen one again; none where it is not shown."""
        self._fit_columns()
        self._fit_height()
        shown = self._options.rows[: self._options.rowCount()]
        ids = [a.option.id for a, _words in shown]
        if option_id in ids:
            self.table.selectRow(ids.index(option_id))
        else:
            self.show_details(-1)

    def _chosen_id(self) -> str:
        place = self.table.currentIndex().row()
        return self._options.rows[place][0].option.id if place >= 0 else ""

    def _section_resized(self, column: int, _before: int, _now: int) -> None:
        """Widths change one after the other, and asking for one changes the next."""
        if column in _WRAPPED:
            self._fitting.start()

    def _fit_columns(self) -> None:
        """Figures as wide as they are now: left to the header, it would ask for all of them again
        at every other width of the card."""
        self.table.resizeColumnsToContents()
        self._widen()

    def _fit_height(self) -> None:
        """Rows as high as their words ask for: what speaks against an option is read here."""
        shown = self._options.rows[: self._options.rowCount()]
        heights = [self._row_height(a, words) for a, words in shown]
        for place, height in enumerate(heights):
            if self.table.rowHeight(place) != height:
                self.table.setRowHeight(place, height)
        head = self.table.horizontalHeader().sizeHint().height()
        self.table.setFixedHeight(head + 2 + sum(heights))

    def _row_height(self, a: Assessment, words: tuple[str, ...]) -> int:
        best = self._options.is_best(a)
        metrics, lines = QFontMetrics(_NAME if best else design.font(design.BODY)), 1
        for place in _WRAPPED:
            room = QRect(0, 0, max(40, self.table.columnWidth(place) - PADDING), 1000)
            if metrics.horizontalAdvance(words[place]) > room.width():
                box = metrics.boundingRect(room, Qt.TextFlag.TextWordWrap, words[place])
                lines = max(lines, round(box.height() / metrics.lineSpacing()))
        return ROW_HEIGHT + (min(lines, LINES) - 1) * metrics.lineSpacing()

    def _words(self, a: Assessment, advice: Advice) -> tuple[str, ...]:
        option, usage = a.option, advice.usage
        each = a.per_thousand(usage)
        if option.rig is None:
            runs = self._relations[option.relation]
        else:
            runs = option.runs
            if self._one_model(advice):
                runs = runs.removeprefix(option.model_name).strip()
        title = option.title
        if option.kind == "tune":
            title = self.tr("Keep, other file")
        speed = a.decode_tps
        return (
            title,
            runs,
            "–" if speed is None else between(speed.low, speed.high),
            f"{a.hardware.mid:,.0f}",
            "" if a.monthly is None else f"{a.monthly.mid:,.2f}",
            "" if each is None else f"{each.mid:,.2f}",
            self._judgement(a),
        )

    def _one_model(self, advice: Advice) -> bool:
        """Whether all rigs run the same model, whose name need not stand in every row."""
        return len({a.option.model_name for a in advice.assessments if a.option.rig}) == 1

    def _judgement(self, a: Assessment) -> str:
        if not a.meets:
            return self.tr("no: {why}").format(why=a.failures[0])
        if a.option.api is not None:
            return self.tr("yes, data leaves")
        return self.tr("yes; {doubt}").format(doubt=a.doubts[0]) if a.doubts else self.tr("yes")

    def show_details(self, place: int) -> None:
        """What the option in that row needs, and where its prices come from."""
        clear(self._lines)
        advice = self._options.advice
        if advice is None or not 0 <= place < len(self._options.rows):
            hint = self.tr("Choose a row to see what it takes and where its prices come from.")
            self._lines.addWidget(paragraph(hint, "small"))
            return
        a = self._options.rows[place][0]
        self._lines.addWidget(paragraph(a.option.title, "strong"))
        for line in self._facts(a, advice):
            self._lines.addWidget(paragraph(line))
        pieces = dict.fromkeys(p.price.name for p in a.option.purchases)
        if pieces:
            ask = self.tr("Your own price of {piece}…")
            self._lines.addLayout(
                row(
                    *(
                        button(
                            ask.format(piece=piece),
                            lambda piece=piece: self.price_wanted.emit(piece),
                            "link",
                        )
                        for piece in pieces
                    ),
                    None,
                )
            )

    def _pace(self, a: Assessment, speed: Range) -> str:
        words = rates(speed.low, speed.high)
        if a.ttft_s is not None:
            words += self.tr(", first token after {wait}").format(
                wait=waits(a.ttft_s.low, a.ttft_s.high)
            )
        if a.busy_hours_per_day is not None:
            words += self.tr(", busy {time}").format(time=a_day(a.busy_hours_per_day))
        way = way_of(a)
        if way is not None and way.servers:
            words += self.tr(", a server on each of {count} cards").format(count=len(way.servers))
        if way is not None and way.at_once > 1:
            words += self.tr(", {count} answers at once").format(count=way.at_once)
        return words

    def _facts(self, a: Assessment, advice: Advice) -> list[str]:
        option, usage = a.option, advice.usage
        tr = self.tr
        found: list[str] = []
        if option.rig is not None:
            found.append(f"{option.rig.name}: {option.runs}, {tokens(option.ctx)}, {option.loss}")
        if option.headroom is not None:
            found.append(tr("Memory left on the cards: {size}").format(size=size(option.headroom)))
        if a.decode_tps is not None:
            found.append(self._pace(a, a.decode_tps))
        if a.monthly is not None:
            found.append(tr("A month: {cost}").format(cost=amounts(a.monthly, usage.currency)))
        each = a.per_thousand(usage)
        if each is not None:
            found.append(
                tr("A thousand requests: {cost}").format(cost=money(each.mid, usage.currency))
            )
        if option.id in advice.front:
            found.append(tr("No other option beats it in cost, speed and quality at once."))
        found += [tr("Fails: {why}").format(why=why) for why in a.failures]
        found += [tr("Not certain: {why}").format(why=why) for why in a.doubts]
        old = set(old_prices(option, advice.made.date()))
        for purchase in option.purchases:
            price = purchase.price
            dated = price.date or tr("today")
            if purchase.name in old:
                dated += tr(", more than half a year old")
            found.append(
                f"{purchase.count.normalize():f}x {purchase.name}: {price.low:,.0f}–"
                f"{price.high:,.0f} USD ({price.condition}, {dated}), {price.source}"
            )
        if option.api is not None:
            found.append(tr("API price from {source}").format(source=option.api.source))
        found += option.notes
        found += [shlex.join(words) for words in commands(a, usage)]
        return list(dict.fromkeys(found))
