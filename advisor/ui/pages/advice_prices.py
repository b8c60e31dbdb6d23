"""Prices of one's own: every piece that advice may buy, what is known of it, what one was asked."""

import datetime as dt
from decimal import Decimal
from typing import Final

from pydantic import ValidationError
from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QHeaderView,
    QLineEdit,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from advisor.advice.hardware_prices import HardwarePrice
from advisor.advice.price_list import PriceLine, price_list
from advisor.ui.pages.advice_numbers import Bounds, parse, shown
from advisor.ui.state import AppState
from advisor.ui.widgets.basics import button, column, row, text

BOUNDS: Final = Bounds("amount", Decimal(0), Decimal(10_000_000), none="reviewed")
FAR: Final = 4
"""So many times above the dearest or below the cheapest reviewed price an entry is questioned."""
NAME, KNOWN, SEEN, OWN = range(4)
OWN_WIDTH: Final = 130
SIZE: Final = (940, 600)
"""Px: room for a dozen lines, and for the longest names."""
_LEFT: Final = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter


class PricesDialog(QDialog):
    """A table with one column to write in. Nothing changes before it is accepted."""

    def __init__(self, state: AppState, parent: QWidget | None = None, *, about: str = "") -> None:
        super().__init__(parent)
        self._state = state
        self._lines = price_list()
        self.setWindowTitle(self.tr("Your own prices"))
        self.search = QLineEdit(about)
        self.search.setPlaceholderText(self.tr("Search a card, machine or part"))
        self.search.setAccessibleName(self.search.placeholderText())
        self.search.setClearButtonEnabled(True)
        self.table = self._table()
        self.problem = text("", "small", wrap=True)
        buttons = row(
            None,
            button(self.tr("Cancel"), self.reject),
            button(self.tr("Use these prices"), self.accept, "primary"),
        )
        hint = self.tr(
            "Reviewed prices are in US dollars without tax. Write yours into the last column, in "
            "{currency}: they count before the others. Memory is priced per GB. A card without a "
            "price joins the search as soon as it has one."
        ).format(currency=state.usage.currency)
        layout = column(
            text(hint, "muted", wrap=True), self.search, self.table, self.problem, buttons
        )
        layout.setContentsMargins(16, 14, 16, 14)
        self.setLayout(layout)
        self.resize(*SIZE)
        self.search.textChanged.connect(self._filter)
        self.table.itemChanged.connect(self._check)
        self._filter(about)

    def _table(self) -> QTableWidget:
        made = QTableWidget(len(self._lines), 4)
        made.setAccessibleName(self.tr("Prices"))
        made.setHorizontalHeaderLabels(
            [
                self.tr("Piece"),
                self.tr("Reviewed, USD"),
                self.tr("Seen"),
                self.tr("Yours, {currency}").format(currency=self._state.usage.currency),
            ]
        )
        made.horizontalHeader().setDefaultAlignment(_LEFT)
        made.verticalHeader().hide()
        made.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        header = made.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(OWN, QHeaderView.ResizeMode.Fixed)
        header.resizeSection(OWN, OWN_WIDTH)
        own = {price.name: price.amount for price in self._state.usage.own_prices}
        for place, line in enumerate(self._lines):
            name = line.name[:1].upper() + line.name[1:]
            cells = (name, self._known(line), self._seen(line))
            for column_number, words in enumerate(cells):
                item = QTableWidgetItem(words)
                item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsEditable)
                item.setToolTip("\n".join(f"{o.condition}: {o.source}" for o in line.offers))
                made.setItem(place, column_number, item)
            amount = own.get(line.name)
            item = QTableWidgetItem("" if amount is None else shown(amount, BOUNDS))
            item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            made.setItem(place, OWN, item)
        return made

    def _known(self, line: PriceLine) -> str:
        if line.offers:
            return "; ".join(f"{_range(offer)} {offer.condition}" for offer in line.offers)
        if line.launch_usd is not None:
            return self.tr("launched at {price}").format(price=f"{line.launch_usd:,.0f}")
        return self.tr("not known")

    def _seen(self, line: PriceLine) -> str:
        if not line.offers:
            return line.launch_date or ""
        newest = max(offer.date for offer in line.offers)
        today = dt.datetime.now(dt.UTC).date()
        return self.tr("{date}, old").format(date=newest) if line.is_old(today) else newest

    def _filter(self, words: str) -> None:
        wanted = words.casefold().split()
        for place, line in enumerate(self._lines):
            found = all(word in line.name.casefold() for word in wanted)
            self.table.setRowHidden(place, not found)

    def _typed(self, place: int) -> str:
        item = self.table.item(place, OWN)
        return "" if item is None else item.text().strip()

    def _check(self, item: QTableWidgetItem) -> None:
        """Say at once what is no price, and what is far from every reviewed one."""
        self.problem.setText("")
        line = self._lines[item.row()]
        try:
            amount = parse(item.text(), BOUNDS)
        except ValueError:
            self.problem.setText(self._wrong(line, item.text()))
            return
        if amount is None or not line.offers:
            return
        rate = self._state.usage.usd_rate
        low = min(offer.low for offer in line.offers) * rate
        high = max(offer.high for offer in line.offers) * rate
        if not low / FAR <= amount <= high * FAR:
            self.problem.setText(
                self.tr(
                    "{name}: {amount} is far from {low} to {high}; it is taken as you wrote it."
                ).format(name=line.name, amount=item.text(), low=f"{low:,.0f}", high=f"{high:,.0f}")
            )

    def _wrong(self, line: PriceLine, typed: str) -> str:
        return self.tr("{name}: enter {range}, not “{typed}”.").format(
            name=line.name, range=BOUNDS.in_words(), typed=typed
        )

    def accept(self) -> None:
        """Take every price that was written; a wrong one is named and nothing is taken."""
        usage = self._state.usage
        for place, line in enumerate(self._lines):
            typed = self._typed(place)
            try:
                amount = parse(typed, BOUNDS)
                usage = usage.with_own_price(line.name, None if amount is None else Decimal(amount))
            except (ValueError, ValidationError):
                self.problem.setText(self._wrong(line, typed))
                self.table.setRowHidden(place, False)
                self.table.setCurrentCell(place, OWN)
                return
        if usage != self._state.usage:
            self._state.set_usage(usage)
        super().accept()


def _range(offer: HardwarePrice) -> str:
    """``"3,149–3,449"``, ``"11.70–15.00"``; one number where both ends are the same."""
    whole = offer.low % 1 == offer.high % 1 == 0
    low, high = (f"{end:,.0f}" if whole else f"{end:,.2f}" for end in (offer.low, offer.high))
    return low if low == high else f"{low}–{high}"
