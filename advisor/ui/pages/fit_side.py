"""The cards beside Fit's matrix: below each other, and in two columns where there is room."""

from PySide6.QtWidgets import QWidget

from advisor.ui import design
from advisor.ui.focus import ReadingOrder
from advisor.ui.widgets.basics import column, row


class SideCards(QWidget):
    """Cards in the order in which they are read; each belongs to one of two columns."""

    def __init__(self) -> None:
        super().__init__()
        self._cards: list[tuple[QWidget, int]] = []
        self._two = False
        self._columns = (QWidget(), QWidget())
        self._stacks = (column(None, spacing=design.GAP), column(None, spacing=design.GAP))
        for part, stack in zip(self._columns, self._stacks, strict=True):
            part.setLayout(stack)
            ReadingOrder(part)
        self._columns[1].hide()
        layout = row(*self._columns, spacing=design.GAP)
        layout.setContentsMargins(0, 0, 10, 0)
        for place in range(len(self._columns)):
            layout.setStretch(place, 1)
        self.setLayout(layout)

    def add(self, card: QWidget, *, column: int, before: QWidget | None = None) -> None:
        """One more card; ``column`` counts where there are two. Last where ``before`` is None."""
        order = [held for held, _column in self._cards]
        place = len(order) if before is None else order.index(before)
        self._cards.insert(place, (card, column))
        self._arrange()

    def show_columns(self, *, two: bool) -> None:
        """Two columns, or all cards in one."""
        if two != self._two:
            self._two = two
            self._columns[1].setVisible(two)
            self._arrange()

    def _arrange(self) -> None:
        filled = [0, 0]
        for card, wanted in self._cards:
            column = wanted if self._two else 0
            stack = self._stacks[column]
            if stack.indexOf(card) != filled[column]:
                hidden = card.isHidden()
                stack.insertWidget(filled[column], card)
                card.setHidden(hidden)
            filled[column] += 1
