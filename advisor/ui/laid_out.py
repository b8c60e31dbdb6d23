"""Many changes in a part of the window that are laid out together, and not each by itself.

Qt lays out what is around a widget when that is shown, level by level up to the window, so that a
card with ten lines that come and go was laid out ten times in one turn of the event loop.
"""

import contextlib
import time
from collections.abc import Generator
from typing import Final
from weakref import WeakKeyDictionary

import shiboken6
from PySide6.QtCore import QCoreApplication, QEvent
from PySide6.QtWidgets import QLayout, QWidget

KNOWN_S: Final = 0.5
"""So long the layouts of a part are known: a page is drawn in several turns, and to look through
all that it holds takes as long as all the rest. One that is made meanwhile is laid out by itself,
as far as the next that is known."""
_known: Final[WeakKeyDictionary[QWidget, tuple[float, list[QLayout]]]] = WeakKeyDictionary()


@contextlib.contextmanager
def once(part: QWidget) -> Generator[None]:
    """Lay out ``part`` and all around it after what is done inside, before it is painted."""
    held = [each for each in _layouts(part) if shiboken6.isValid(each) and each.isEnabled()]
    for layout in held:
        layout.setEnabled(False)
    try:
        yield
    finally:
        for layout in held:
            if shiboken6.isValid(layout):
                layout.setEnabled(True)
                _catch_up(layout)


def _catch_up(layout: QLayout) -> None:
    """One whose widget got another size meanwhile has not heard of it."""
    widget = layout.parentWidget()
    if widget is not None and widget.isVisible() and layout.geometry() != widget.contentsRect():
        layout.update()
        # One that nobody has laid out yet takes itself to be asked already, and asks for nothing.
        QCoreApplication.postEvent(widget, QEvent(QEvent.Type.LayoutRequest))


def _layouts(part: QWidget) -> list[QLayout]:
    """Those of whole widgets: a layout within a layout is laid out by that."""
    now = time.monotonic()
    found = _known.get(part)
    if found is None or now - found[0] > KNOWN_S:
        layouts = [*part.findChildren(QLayout)]
        around = part.parentWidget()
        while around is not None:
            if (layout := around.layout()) is not None:
                layouts.append(layout)
            around = around.parentWidget()
        found = now, [layout for layout in layouts if isinstance(layout.parent(), QWidget)]
        _known[part] = found
    return found[1]
