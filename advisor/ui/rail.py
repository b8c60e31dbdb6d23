"""The left rail: the five pages and the session menu."""

from PySide6.QtCore import QPoint, Qt, Signal
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QButtonGroup, QMenu, QPushButton, QWidget

from advisor.ui.widgets.basics import button, column, row, text

WIDTH, NARROW_WIDTH = 148, 108


class Rail(QWidget):
    """One checkable button per page, Ctrl+1 … Ctrl+5; the menu of the session below."""

    chosen = Signal(str)

    def __init__(self, pages: list[tuple[str, str]], menu: QMenu) -> None:
        super().__init__()
        self.setProperty("role", "rail")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setFixedWidth(WIDTH)
        self.setAccessibleName(self.tr("Pages"))
        self._group = QButtonGroup(self)
        self._group.setExclusive(True)
        self._buttons: dict[str, QPushButton] = {}
        buttons = []
        for number, (key, title) in enumerate(pages, start=1):
            entry = button(title)
            entry.setProperty("role", "nav")
            entry.setCheckable(True)
            shortcut = QKeySequence(f"Ctrl+{number}")
            entry.setToolTip(
                f"{title} ({shortcut.toString(QKeySequence.SequenceFormat.NativeText)})"
            )
            QShortcut(shortcut, self, lambda key=key: self.chosen.emit(key))
            entry.clicked.connect(lambda _checked=False, key=key: self.chosen.emit(key))
            self._group.addButton(entry)
            self._buttons[key] = entry
            buttons.append(entry)
        self.menu_button = button(self.tr("Session…"))
        self.menu_button.setProperty("role", "nav")
        self.menu_button.clicked.connect(lambda: menu.popup(self._above_button(menu)))
        brand = row(10, text(self.tr("Rig Advisor"), "brand"), None)
        layout = column(brand, 12, *buttons, None, self.menu_button, spacing=3)
        layout.setContentsMargins(9, 17, 9, 8)
        self.setLayout(layout)

    def _above_button(self, menu: QMenu) -> QPoint:
        corner = self.menu_button.mapToGlobal(QPoint(0, 0))
        return corner - QPoint(0, menu.sizeHint().height() + 4)

    def set_narrow(self, *, narrow: bool) -> None:
        """Leave room to the page."""
        self.setFixedWidth(NARROW_WIDTH if narrow else WIDTH)

    def mark(self, key: str) -> None:
        """Show which page is on screen."""
        self._buttons[key].setChecked(True)
        # Tab stops once in the list of pages, at the one on screen; arrows go on from there.
        for other, entry in self._buttons.items():
            entry.setFocusPolicy(
                Qt.FocusPolicy.StrongFocus if other == key else Qt.FocusPolicy.ClickFocus
            )
