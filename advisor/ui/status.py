"""The status line: the machine, passing notices, the basis marks' legend, dates of the data."""

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QWidget

from advisor.ui.widgets.basics import Elided, row, text
from advisor.ui.widgets.marks import BasisMark

NOTICE_MS = 8000


class StatusLine(QWidget):
    """Left: the machine and passing notices. Right: the marks' meaning and the data's dates."""

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("role", "status")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setFixedHeight(26)
        self._detection = self.tr("Starting…")
        self._left = Elided(self._detection, "small")
        self._dates = text("", "small")
        self._notice = QTimer(self, singleShot=True, interval=NOTICE_MS)
        self._notice.timeout.connect(lambda: self._left.say(self._detection))
        legend: list[QWidget | int] = []
        for basis in ("computed", "dry-run", "measured"):
            mark = BasisMark(basis)
            legend += [mark, text(mark.word, "small"), 8]
        layout = row(self._left, *legend, self._dates, spacing=6)
        layout.setStretch(0, 1)
        layout.setContentsMargins(18, 0, 18, 0)
        self.setLayout(layout)

    def show_detection(self, sentence: str) -> None:
        """What this machine is and where that was read."""
        self._detection = sentence
        if not self._notice.isActive():
            self._left.say(sentence)

    def show_dates(self, sentence: str) -> None:
        """How old the shipped data is."""
        self._dates.setText(sentence)

    def notice(self, sentence: str) -> None:
        """A sentence that passes by itself."""
        self._left.say(sentence)
        self._notice.start()
