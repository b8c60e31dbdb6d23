"""What a built-in case asks, the rules that follow from it, and its verdict at other volumes."""

from PySide6.QtWidgets import QGridLayout, QWidget

from advisor.advice.scenarios import Answer
from advisor.ui import design
from advisor.ui.pages.advice_allocation import AllocationTable
from advisor.ui.pages.advice_verdict import paragraph
from advisor.ui.widgets.basics import Card, button, clear, column, rule, text


class CaseCard(Card):
    """The case in words, and on request what fits; further tables are in the report."""

    def __init__(self) -> None:
        super().__init__(self.tr("The example"), note=" ")
        self._lines = column(spacing=5)
        self.sizes = AllocationTable()
        self._fits = button(self.tr("What fits"), role="segment")
        self._fits.setCheckable(True)
        self._fits.toggled.connect(self.sizes.setVisible)
        self.head.addWidget(self._fits)
        self.sizes.hide()
        self.body.addWidget(self.sizes)
        self.body.addLayout(self._lines)

    def show_case(self, case: Answer) -> None:
        """Another case, or the same one worked out for another usage."""
        self.title.setText(case.scenario.title)
        self.setAccessibleName(case.scenario.title)
        self._fits.setEnabled(bool(case.allocation))
        self.sizes.show_rows(case.allocation)
        clear(self._lines)
        self._lines.addWidget(paragraph(case.scenario.question, "body"))
        for sentence in case.rules:
            self._lines.addWidget(paragraph(sentence))
        self._lines.addWidget(rule())
        volumes = QWidget()
        grid = QGridLayout(volumes)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(2 * design.SPACE)
        grid.setColumnStretch(1, 1)
        for line, (volume, verdict) in enumerate(case.by_volume):
            words = self.tr("{volume} requests a month").format(volume=f"{volume:,}")
            grid.addWidget(text(words, "strong"), line, 0)
            grid.addWidget(paragraph(verdict), line, 1)
        self._lines.addWidget(volumes)
        source = self.tr("{source} The report holds every table.").format(
            source=case.scenario.source.rstrip(".") + "."
        )
        self._lines.addWidget(paragraph(source, "small"))
