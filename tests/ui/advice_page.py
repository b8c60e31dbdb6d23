"""The Advice page as its tests use it: what it says, what is typed and picked, its answer."""

from PySide6.QtCore import QCoreApplication
from PySide6.QtWidgets import QComboBox, QLabel, QLineEdit, QWidget

from advisor.ui.pages.advice import AdvicePage

MODEL = "Qwen/Qwen3-32B"


def words(widget: QWidget) -> str:
    labels = widget.findChildren(QLabel)
    return "\n".join(label.text() for label in labels if label.isVisibleTo(widget))


def settled(qtbot, page: AdvicePage) -> None:
    qtbot.waitUntil(lambda: page.advice is not None and not page._stale)
    page.catch_up()
    QCoreApplication.processEvents()  # new labels are shown in a turn of their own


def typed(page: AdvicePage, key: str, content: str) -> None:
    box = page.form.fields[key]
    assert isinstance(box, QLineEdit)
    box.setText(content)
    box.editingFinished.emit()


def picked(box: QComboBox, value: object) -> None:
    box.setCurrentIndex(box.findData(value))
    box.activated.emit(box.currentIndex())
