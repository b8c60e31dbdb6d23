"""How to run the chosen cell: the exact command, the like for Ollama and LM Studio; the notes."""

from typing import Final

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication, QResizeEvent, QTextOption
from PySide6.QtWidgets import QButtonGroup, QPlainTextEdit, QPushButton

from advisor.llm.model import Model
from advisor.sizing.plan import Plan
from advisor.ui import design, services
from advisor.ui.state import AppState
from advisor.ui.widgets.basics import Card, button, clear, column, row, text

SERVER: Final = "llama-server"
OTHERS: Final = ("Ollama", "LM Studio")
"""Programs that run what llama-server runs."""
MOST_LINES: Final = 14


class RunCard(Card):
    """One text per program, with a button that copies it."""

    def __init__(self, state: AppState) -> None:
        super().__init__(self.tr("Run it"))
        self._state = state
        self._plan: Plan | None = None
        self._program = SERVER
        group = QButtonGroup(self)
        group.setExclusive(True)
        segments: list[QPushButton] = []
        for name in (SERVER, *OTHERS):
            segment = button(name, role="segment")
            segment.setCheckable(True)
            segment.setChecked(name == self._program)
            segment.clicked.connect(lambda _checked=False, name=name: self._choose(name))
            group.addButton(segment)
            segments.append(segment)
        self._own, *self._others = segments
        self.body.addLayout(row(*segments, None, spacing=2))
        self.head.addWidget(button(self.tr("Copy"), self._copy, "link"))
        self._text = CommandText()
        self._text.setAccessibleName(self.tr("Command"))
        self._warning = text(
            self.tr("It does not fit: llama.cpp would stop for want of memory."), "tight", wrap=True
        )
        self._warning.hide()
        self.body.addWidget(self._text)
        self.body.addWidget(self._warning)

    @property
    def content(self) -> str:
        """What would be copied."""
        return self._text.toPlainText()

    def show_plan(self, plan: Plan) -> None:
        """Another plan."""
        self._plan = plan
        self._warning.setVisible(plan.verdict == "no")
        self._own.setText(plan.command[0])
        for segment in self._others:
            segment.setVisible(plan.command[0] == SERVER)
        if plan.command[0] != SERVER:
            self._program = SERVER
            self._own.setChecked(True)
        self._refresh()

    def _choose(self, program: str) -> None:
        self._program = program
        self._refresh()

    def _refresh(self) -> None:
        if self._plan is None:
            return
        self._text.setPlainText(services.run_text(self._plan, self._program).rstrip())
        self._text.fit()

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self.content)
        name = self._program if self._program in OTHERS else self._own.text()
        self._state.noticed.emit(self.tr("Copied the text for {name}").format(name=name))


class CommandText(QPlainTextEdit):
    """A text to copy, in the fixed-width font, as high as its lines up to a limit."""

    def __init__(self) -> None:
        super().__init__()
        self.setReadOnly(True)
        self.setFont(design.mono())
        self.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.setTabChangesFocus(True)

    def fit(self) -> None:
        """Take the height that the text needs at this width."""
        # A plain text document counts its height in lines.
        lines = int(self.document().documentLayout().documentSize().height())
        shown = min(max(lines, 1), MOST_LINES)
        always_off = Qt.ScrollBarPolicy.ScrollBarAlwaysOff
        as_needed = Qt.ScrollBarPolicy.ScrollBarAsNeeded
        self.setVerticalScrollBarPolicy(as_needed if lines > MOST_LINES else always_off)
        self.setFixedHeight(self.fontMetrics().lineSpacing() * shown + 22)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 - Qt's name
        """Another width wraps elsewhere."""
        super().resizeEvent(event)
        self.fit()


class NotesCard(Card):
    """What the file type costs in quality, and what else one should know."""

    def __init__(self) -> None:
        super().__init__(self.tr("Worth knowing"))
        self._lines = column(spacing=7)
        self.body.addLayout(self._lines)

    def show_plan(self, plan: Plan, model: Model) -> None:
        """Another plan."""
        clear(self._lines)
        sentences = [*services.quality_sentences(model, plan.settings), *plan.notes]
        self.setVisible(bool(sentences))
        for sentence in sentences:
            self._lines.addWidget(text(sentence, "muted", wrap=True))
