"""What the words mean: a list for those to whom this is new, with a field to find one."""

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QLineEdit, QWidget

from advisor.report.terms import MEANINGS
from advisor.ui.page import scrolling
from advisor.ui.widgets.basics import button, column, row, text

SIZE = (680, 620)
"""Px."""


class WordsDialog(QDialog):
    """Opened from the session menu, by F1 and from the Machine page."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("What the words mean"))
        self.resize(*SIZE)
        self.search = QLineEdit()
        self.search.setPlaceholderText(self.tr("Find a word"))
        self.search.setAccessibleName(self.tr("Find a word"))
        self.search.setClearButtonEnabled(True)
        self.search.textChanged.connect(self._show)
        self._none = text(self.tr("No word here has that in it."), "muted")
        inner = column(self._none, spacing=10)
        self._entries: dict[str, QWidget] = {}
        for word, meaning in MEANINGS.items():
            entry = QWidget()
            entry.setLayout(
                column(text(word, "strong", wrap=True), text(meaning, wrap=True), spacing=2)
            )
            self._entries[word] = entry
            inner.addWidget(entry)
        inner.addStretch(1)
        content = QWidget()
        content.setLayout(inner)
        listed = scrolling(content)
        listed.setFocusPolicy(Qt.FocusPolicy.StrongFocus)  # nothing in it takes the keys
        listed.setAccessibleName(self.windowTitle())
        close = button(self.tr("Close"), self.accept, "primary")
        layout = column(self.search, listed, row(None, close), spacing=12)
        layout.setContentsMargins(18, 16, 18, 16)
        self.setLayout(layout)
        self._show("")
        self.search.setFocus()

    def shown(self) -> list[str]:
        """The words that are in sight."""
        return [word for word, entry in self._entries.items() if not entry.isHidden()]

    def _show(self, wanted: str) -> None:
        """Those that hold what is typed, in the word or in its meaning."""
        parts = wanted.casefold().split()
        for word, entry in self._entries.items():
            said = f"{word} {MEANINGS[word]}".casefold()
            entry.setVisible(all(part in said for part in parts))
        self._none.setVisible(not self.shown())
