"""The model picker: search the catalogue and the files on this machine, or open or drop a file.

Light to import: it opens and is typed into as soon as the window is there, and has its lines once
the libraries are loaded that make them.
"""

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from PySide6.QtCore import (
    QAbstractListModel,
    QEvent,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QPoint,
    QRect,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QColor, QFont, QFontMetrics, QHideEvent, QKeyEvent, QPainter
from PySide6.QtWidgets import (
    QFileDialog,
    QFrame,
    QLineEdit,
    QListView,
    QMenu,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from advisor.errors import ModelError
from advisor.paths import without_home
from advisor.ui import design
from advisor.ui.jobs import Job, run_task
from advisor.ui.widgets.basics import button, column, row, text

if TYPE_CHECKING:  # these load pydantic and numpy: only after the first paint
    from advisor.llm.local_files import LocalFile
    from advisor.ui.state import AppState
    from advisor.ui.widgets.model_lines import Choice

Index = QModelIndex | QPersistentModelIndex


class _Choices(QAbstractListModel):
    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.items: list[Choice] = []

    def show_items(self, items: "list[Choice]") -> None:
        self.beginResetModel()
        self.items = items
        self.endResetModel()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008, N802 - Qt's signature
        return 0 if parent.isValid() else len(self.items)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:  # noqa: ANN401
        item = self.items[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return item.title
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{item.title}, {item.detail} {item.place}".strip()
        if role == Qt.ItemDataRole.ToolTipRole:
            return item.model
        return None


class _LinePainter(QStyledItemDelegate):
    def __init__(self, view: QListView, choices: _Choices) -> None:
        super().__init__(view)
        self._choices = choices

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:  # noqa: N802, ARG002 - Qt's signature
        return QSize(200, 42)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        item = self._choices.items[index.row()]
        c = design.colours()
        area: QRect = option.rect  # pyright: ignore[reportAttributeAccessIssue] - missing from the stubs
        # As a number: an operation on flags takes as long as drawing words.
        state: int = option.state.value  # pyright: ignore[reportAttributeAccessIssue] - as above
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        chosen = state & _SELECTED
        if chosen or state & _HOVER:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(c.accent_soft if chosen else c.ground))
            painter.drawRoundedRect(area.adjusted(2, 1, -2, -1), 6, 6)
        words = area.adjusted(10, 4, -10, -4)
        title, small = design.font(design.BODY, QFont.Weight.DemiBold), design.font(design.SMALL)
        painter.setFont(small)
        painter.setPen(QColor(c.muted))
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignTop
        painter.drawText(words, right, item.place)
        taken = QFontMetrics(small).horizontalAdvance(item.place) + 10 if item.place else 0
        elide = Qt.TextElideMode.ElideRight
        detail = QFontMetrics(small).elidedText(item.detail, elide, words.width())
        painter.drawText(words, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignBottom, detail)
        painter.setFont(title)
        painter.setPen(QColor(c.text))
        name = QFontMetrics(title).elidedText(item.title, elide, words.width() - taken)
        painter.drawText(words, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop, name)
        painter.restore()


class ModelPicker(QFrame):
    """A popup with a search line and one list: files on this machine first, then the catalogue."""

    _chosen = Signal(str)
    """A catalogue id or the path of a file."""
    _opened = Signal(Path)
    _failed = Signal(str)

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self.setProperty("role", "popup")
        self.setAccessibleName(self.tr("Choose a model"))
        self._bound = False
        """Whether the libraries are loaded that make its lines."""
        self._files: tuple[LocalFile, ...] = ()
        self._known: dict[str, Choice] = {}
        """Lines of the catalogue, which are made once."""
        self._read = False
        self._entered = False
        """Whether Enter was pressed before there were lines to take."""
        self._moved = 0
        """Lines down that were asked for before there were any."""
        self.search = QLineEdit()
        self.search.setPlaceholderText(self.tr("Search by name, size, maker or ability"))
        self.search.setAccessibleName(self.tr("Search models"))
        self.search.setClearButtonEnabled(True)
        self.search.textChanged.connect(self._typed)
        self.search.installEventFilter(self)
        self._choices = _Choices(self)
        self.list = QListView()
        self.list.setModel(self._choices)
        self.list.setItemDelegate(_LinePainter(self.list, self._choices))
        self.list.setMouseTracking(True)
        self.list.setUniformItemSizes(True)
        self.list.setAccessibleName(self.tr("Models"))
        self.list.setVerticalScrollMode(QListView.ScrollMode.ScrollPerPixel)
        self.list.clicked.connect(lambda index: self._take(index.row()))
        self.list.activated.connect(lambda index: self._take(index.row()))
        self.list.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.list.customContextMenuRequested.connect(self._offer_to_forget)
        self._count = text("", "small")
        self._said = text("", "muted", wrap=True)
        self._said.hide()
        self._open_file = button(self.tr("Open a GGUF file…"), self._open, "link")
        self._folders = button(
            self.tr("Folders…"), self._show_folders, "link", tip=self.tr("Where files are found")
        )
        for part in (self._folders, self._open_file):
            part.setEnabled(False)
        layout = column(
            self.search,
            self._said,
            self.list,
            row(self._count, None, self._folders, self._open_file),
            text(
                self.tr("or drop a .gguf file, a folder or a model's config.json on the window"),
                "small",
            ),
            spacing=8,
        )
        layout.setContentsMargins(12, 12, 12, 10)
        self.setLayout(layout)

    def open_below(self, anchor: QWidget) -> None:
        """Show it under its picker; files are looked for anew."""
        screen = anchor.screen().availableGeometry()
        self.resize(min(600, screen.width()), 460)
        place = anchor.mapToGlobal(anchor.rect().bottomLeft() + QPoint(0, 4))
        place.setX(max(screen.left(), min(place.x(), screen.right() + 1 - self.width())))
        self.move(place)
        self.search.clear()
        self._forget_keys()
        self._refresh()
        self.show()
        self.search.setFocus(Qt.FocusReason.PopupFocusReason)
        if self._bound:
            self._read_lines()

    def bind(self, state: "AppState") -> None:
        """Choose for ``state`` from now on, and look for what was typed before."""
        self._chosen.connect(state.choose_model)
        self._chosen.connect(lambda _model: state.show_page("fit"))
        self._opened.connect(state.open_file)
        self._failed.connect(state.failed)
        self._bound = True
        for part in (self._folders, self._open_file):
            part.setEnabled(True)
        if self.isVisible():
            # The first page took the keyboard when it came.
            self.search.setFocus(Qt.FocusReason.PopupFocusReason)
            self._read_lines()

    def _read_lines(self) -> None:
        if not self._read:
            run_task(_catalogue_lines, on_result=self._ready, owner=self)
        self._look_for_files()

    def _look_for_files(self) -> None:
        run_task(_local_files, on_result=self._found, owner=self)

    def _ready(self, known: "dict[str, Choice]") -> None:
        self._known = known
        self._read = True
        self._refresh()
        if self._moved:
            self._move(self._moved)
        if self._entered:
            self._take(self.list.currentIndex().row())
        self._forget_keys()

    def _typed(self) -> None:
        self._forget_keys()
        self._refresh()

    def _forget_keys(self) -> None:
        self._entered, self._moved = False, 0

    def hideEvent(self, event: QHideEvent) -> None:  # noqa: N802 - Qt's name
        """Nothing is waited for any more."""
        super().hideEvent(event)
        self._forget_keys()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802 - Qt's name
        """Arrow keys and Enter work in the list while one types."""
        if watched is self.search and isinstance(event, QKeyEvent):
            if event.type() == QEvent.Type.KeyPress and event.key() in _MOVES:
                self._move(_MOVES[Qt.Key(event.key())])
                return True
            if event.type() == QEvent.Type.KeyPress and event.key() in _ENTER:
                self._entered = not self._read
                self._take(self.list.currentIndex().row())
                return True
        return super().eventFilter(watched, event)

    def _move(self, step: int) -> None:
        """Mark another line; before there are any, once they have come."""
        if not self._read:
            self._moved = max(0, self._moved + step)
            return
        count = self._choices.rowCount()
        if count:
            line = max(0, min(count - 1, self.list.currentIndex().row() + step))
            self.list.setCurrentIndex(self._choices.index(line, 0))

    def _found(self, files: "tuple[LocalFile, ...]") -> None:
        line = self.list.currentIndex().row()
        model = self._choices.items[line].model if line > 0 else None
        self._files = files
        self._refresh()
        # Where somebody went on from the first line, Enter takes what is marked then.
        for line, item in enumerate(self._choices.items):
            if item.model == model:
                self.list.setCurrentIndex(self._choices.index(line, 0))

    def _refresh(self) -> None:
        if not self._read:
            self._count.setText(self.tr("Reading the catalogue…"))
            return
        from advisor.ui.widgets.model_lines import search  # noqa: PLC0415 - loaded by now

        found = search(self.search.text().strip(), self._files, self._known)
        self._said.setText(found.said)
        self._said.setVisible(bool(found.said))
        self._choices.show_items(found.lines)
        # What nobody asked for is not taken by Enter alone.
        if found.lines and not found.beyond:
            self.list.setCurrentIndex(self._choices.index(0, 0))
        self._count.setText(found.count)

    def _take(self, line: int) -> None:
        if 0 <= line < self._choices.rowCount():
            choice = self._choices.items[line]
            self.hide()
            self._chosen.emit(choice.model)

    def _offer_to_forget(self, place: QPoint) -> None:
        """A model that the user put into the catalogue may go again."""
        line = self.list.indexAt(place).row()
        if line < 0 or not self._choices.items[line].added:
            return
        model = self._choices.items[line].model
        menu = QMenu(self)
        menu.addAction(self.tr("Forget this model"), functools.partial(self._forget, model))
        menu.aboutToHide.connect(menu.deleteLater)
        menu.popup(self.list.viewport().mapToGlobal(place))

    def _forget(self, model: str) -> None:
        from advisor.ui.opening import forget_model  # noqa: PLC0415 - loaded by now

        forget_model(model)
        self._refresh()

    def _show_folders(self) -> None:
        """The user's own folders: one more, or one fewer."""
        from advisor.llm import model_folders  # noqa: PLC0415 - loaded by now

        menu = QMenu(self)
        menu.addAction(self.tr("Add a folder of models…"), self._add_folder)
        folders = model_folders.named()
        if folders:
            menu.addSeparator()
        for folder in folders:
            words = self.tr("Forget {folder}").format(folder=without_home(str(folder)))
            menu.addAction(words, functools.partial(self._forget_folder, folder))
        menu.aboutToHide.connect(menu.deleteLater)
        menu.popup(self._folders.mapToGlobal(self._folders.rect().bottomLeft()))

    def _add_folder(self) -> None:
        self.hide()
        dialog = QFileDialog(self.window(), self.tr("Add a folder of models"))
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setOption(QFileDialog.Option.ShowDirsOnly)
        dialog.fileSelected.connect(lambda name: self._opened.emit(Path(name)))
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    def _forget_folder(self, folder: Path) -> None:
        from advisor.llm import model_folders  # noqa: PLC0415 - loaded by now

        try:
            model_folders.forget(folder)
        except ModelError as error:
            self._failed.emit(str(error))
        self._look_for_files()

    def _open(self) -> None:
        self.hide()
        dialog = QFileDialog(self.window(), self.tr("Open a model"))
        dialog.setNameFilter(self.tr("GGUF models (*.gguf)"))
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.fileSelected.connect(lambda name: self._opened.emit(Path(name)))
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()


def _catalogue_lines(_job: Job) -> "dict[str, Choice]":
    from advisor.ui.widgets.model_lines import catalogue_lines  # noqa: PLC0415 - for a thread

    return catalogue_lines()


def _local_files(_job: Job) -> "tuple[LocalFile, ...]":
    from advisor.ui.opening import local_files  # noqa: PLC0415 - for a thread

    return local_files()


_SELECTED: Final[int] = QStyle.StateFlag.State_Selected.value
_HOVER: Final[int] = QStyle.StateFlag.State_MouseOver.value
_MOVES: Final = {
    Qt.Key.Key_Down: 1,
    Qt.Key.Key_Up: -1,
    Qt.Key.Key_PageDown: 8,
    Qt.Key.Key_PageUp: -8,
}
_ENTER: Final = (Qt.Key.Key_Return, Qt.Key.Key_Enter)
