"""The header: the rig, the model and the context in question, changeable from every page."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QAction, QPainter, QPaintEvent, QPixmap, QResizeEvent
from PySide6.QtWidgets import (
    QHBoxLayout,
    QInputDialog,
    QMenu,
    QSizePolicy,
    QSpinBox,
    QToolButton,
    QWidget,
)

from advisor import units
from advisor.ui import design
from advisor.ui.widgets.basics import Chip, Elided, row, text

if TYPE_CHECKING:  # loads pydantic and numpy: only after the first paint
    from advisor.ui.state import AppState
    from advisor.ui.widgets.model_picker import ModelPicker

CONTEXTS: Final = tuple(1024 << n for n in range(2, 11))
"""4k to 1M."""
NARROW: Final = 900
"""Below this width the pickers do without their captions."""

LEAST: Final = 110
MOST: Final = 420
"""Px of a picker; a wide window gives it more."""


class Picker(QToolButton):
    """A caption, the choice in bold, a few muted words; opens a menu or a popup."""

    def __init__(self, caption: str, choice: str, room: Callable[[], int] = lambda: 0) -> None:
        """``room``: px that it takes before others do, as far as its words need them."""
        super().__init__()
        self._room = room
        self.most = MOST
        self.setProperty("role", "picker")
        self.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self._caption = caption
        self._label = text(caption, "small")
        self._choice = Elided(choice, "strong", least=150)
        self._detail = Elided("", "muted")
        self._chip = Chip("", "accent")
        self._chip.hide()
        inner = self._inner = row(self._label, self._chip, self._choice, self._detail, spacing=7)
        inner.setContentsMargins(12, 0, 27, 0)
        inner.setStretch(2, 1)
        for part in (self._label, self._chip, self._choice, self._detail):
            part.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setLayout(inner)
        self.show_choice(choice)

    def show_choice(self, choice: str, detail: str = "", *, warning: str = "") -> None:
        """What is chosen, what is known of it at a glance, and what must not be missed."""
        self._choice.say(choice)
        self._chip.show_tone(warning, "accent")
        self._chip.setVisible(bool(warning))
        self._detail.say(detail)
        self._detail.setVisible(bool(detail))
        name = ", ".join(part for part in (f"{self._caption}: {choice}", detail, warning) if part)
        self.setAccessibleName(name)
        self.setToolTip(name)
        self.updateGeometry()

    def show_caption(self, *, shown: bool) -> None:
        """Where room is short, the choice alone; its name keeps the caption."""
        self._label.setVisible(shown)
        self.updateGeometry()

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """As wide as its words, as high as a button."""
        width = self._inner.sizeHint().width()
        return QSize(min(width, self.most), 32)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """The button, and the sign that it opens something."""
        super().paintEvent(event)
        sign = QPixmap(design.chevron())
        with QPainter(self) as painter:
            width, height = 10, 10
            painter.drawPixmap(self.width() - width - 11, (self.height() - height) // 2, sign)

    def minimumSizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """May be shortened to this."""
        return QSize(min(self.sizeHint().width(), max(LEAST, self._room())), 32)


class Header(QWidget):
    """Three pickers at the left, the page's own buttons at the right."""

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("role", "header")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setFixedHeight(56)
        self.rig = Picker(self.tr("Rig"), self.tr("reading…"))
        self.model = Picker(self.tr("Model"), self.tr("choose"), room=self._room_for_model)
        self.context = Picker(self.tr("Context"), "32k", room=lambda: MOST)  # never shortened
        self._pickers = (self.rig, self.model, self.context)
        for picker in (self.rig, self.context):
            picker.setEnabled(False)
        self._model_picker: ModelPicker | None = None
        self.model.clicked.connect(self.open_model_picker)
        self._buttons = QHBoxLayout()
        self._buttons.setSpacing(10)
        layout = self._line = row(*self._pickers, None, self._buttons, spacing=10)
        layout.setContentsMargins(18, 0, 18, 0)
        self.setLayout(layout)
        self._state: AppState | None = None

    def bind(self, state: "AppState") -> None:
        """Show and change ``state`` from now on."""
        self._state = state
        self._rig_menu = QMenu(self)
        self._rig_menu.aboutToShow.connect(self._fill_rig_menu)
        self.rig.setMenu(self._rig_menu)
        self._context_menu = QMenu(self)
        self._context_menu.aboutToShow.connect(self._fill_context_menu)
        self.context.setMenu(self._context_menu)
        self.model_picker.bind(state)
        for picker in self._pickers:
            picker.setEnabled(True)
        state.rig_changed.connect(self._show_rig)
        state.model_changed.connect(self._show_model)
        state.model_named.connect(self._show_model)
        state.plan_changed.connect(self._show_model)
        state.settings_changed.connect(self._show_context)
        self._show_rig()
        self._show_model()
        self._show_context()

    def open_model_picker(self) -> None:
        """Let the user choose a model; before the libraries are loaded, type its name."""
        self.model_picker.open_below(self.model)

    @property
    def model_picker(self) -> "ModelPicker":
        """The popup, made when it is first wanted."""
        from advisor.ui.widgets.model_picker import ModelPicker  # noqa: PLC0415 - after first paint

        if self._model_picker is None:
            self._model_picker = ModelPicker(self)
        return self._model_picker

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 - Qt's name
        """Captions where there is room for them."""
        super().resizeEvent(event)
        for picker in self._pickers:
            picker.most = max(MOST, self.width() * 2 // 5)
            picker.show_caption(shown=self.width() >= NARROW)
        self.model.updateGeometry()

    def minimumSizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """With the model shortened too: what it takes now must not keep a window wide."""
        return QSize(self.width() - self._room_for_model() + LEAST, self.height())

    def _room_for_model(self) -> int:
        """Px that the others leave it at their shortest: the rig's name gives way first."""
        margins, spacing, taken = self._line.contentsMargins(), self._line.spacing(), 0
        for place in range(self._line.count()):
            item = self._line.itemAt(place)
            if item is not None and item.widget() is not self.model and not item.isEmpty():
                taken += item.minimumSize().width() + spacing
        return self.width() - margins.left() - margins.right() - taken

    def show_buttons(self, buttons: list[QWidget]) -> None:
        """The buttons of the page on screen; the previous page's are only taken out."""
        while (item := self._buttons.takeAt(0)) is not None:
            if (old := item.widget()) is not None:
                old.hide()
        for entry in buttons:
            self._buttons.addWidget(entry)
            entry.show()

    def _show_rig(self) -> None:
        state = self._state
        if state is None or state.rig is None:
            return
        from advisor.ui.texts import rig_in_short, rig_name  # noqa: PLC0415 - after first paint

        name = rig_name(state)
        if state.rig.imagined:
            self.rig.show_choice(name, warning=self.tr("imagined"))
        elif state.recorded:
            self.rig.show_choice(name, warning=self.tr("recorded"))
        else:
            self.rig.show_choice(name, rig_in_short(state.rig))

    def _show_model(self) -> None:
        state = self._state
        if state is None:
            return
        if state.choice is None:
            self.model.show_choice(self.tr("choose"))
            return
        # A file has its own, and a catalogue model its usual one where none was chosen.
        own = state.model.file_type if state.model is not None else ""
        self.model.show_choice(state.model_name, state.choice.file_type or own)

    def _show_context(self) -> None:
        if self._state is not None:
            self.context.show_choice(units.tokens(self._state.settings.ctx))

    def _fill_rig_menu(self) -> None:
        state, menu = self._state, self._rig_menu
        if state is None:
            return
        menu.clear()
        here = menu.addAction(self.tr("This machine"))
        here.setCheckable(True)
        here.setChecked(state.session.rig is None)
        here.triggered.connect(lambda: state.set_rig(None))
        if state.session.rig is not None:
            from advisor.ui.texts import rig_name  # noqa: PLC0415 - after first paint

            other = menu.addAction(rig_name(state))
            other.setCheckable(True)
            other.setChecked(True)
        menu.addSeparator()
        menu.addAction(self.tr("Compose another rig…")).triggered.connect(
            lambda: state.show_page("machine:compose")
        )
        menu.addAction(self.tr("Open a rig…")).triggered.connect(
            lambda: state.show_page("machine:open")
        )

    def _fill_context_menu(self) -> None:
        state, menu = self._state, self._context_menu
        if state is None:
            return
        menu.clear()
        for ctx in CONTEXTS:
            action: QAction = menu.addAction(units.tokens(ctx))
            action.setCheckable(True)
            action.setChecked(ctx == state.settings.ctx)
            action.triggered.connect(lambda _checked=False, ctx=ctx: state.change_settings(ctx=ctx))
        menu.addSeparator()
        menu.addAction(self.tr("Another length…")).triggered.connect(self._ask_context)

    def _ask_context(self) -> None:
        state = self._state
        if state is None:
            return
        dialog = QInputDialog(self)
        dialog.setInputMode(QInputDialog.InputMode.IntInput)
        dialog.setWindowTitle(self.tr("Context"))
        dialog.setLabelText(self.tr("Context of all slots together, in tokens"))
        dialog.setIntRange(256, 1 << 27)
        dialog.setIntValue(state.settings.ctx)
        for box in dialog.findChildren(QSpinBox):
            box.setGroupSeparatorShown(True)
            box.lineEdit().setTextMargins(6, 0, 0, 0)
        dialog.intValueSelected.connect(lambda value: state.change_settings(ctx=value))
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()
