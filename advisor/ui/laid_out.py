"""Many changes in a part of the window that are laid out together, and not each by itself.

Qt lays out what is around a widget when that is shown, level by level up to the window, so that a
card with ten lines that come and go was laid out ten times in one turn of the event loop.
"""

import contextlib
from collections.abc import Generator

import shiboken6
from PySide6.QtWidgets import QLayout, QWidget


@contextlib.contextmanager
def once(part: QWidget) -> Generator[None]:
    """Lay out ``part`` and all around it after what is done inside, before it is painted."""
    held = [layout for layout in _layouts(part) if layout.isEnabled()]
    for layout in held:
        layout.setEnabled(False)
    try:
        yield
    finally:
        for layout in held:
            if shiboken6.isValid(layout):
                layout.setEnabled(True)
                _catch_up(layout)


def _layouts(part: QWidget) -> Generator[QLayout]:
    yield from part.findChildren(QLayout)
    around = part.parentWidget()
    while around is not None:
        layout = around.layout()
        if layout is not None:
            yield layout
        around = around.parentWidget()


def _catch_up(layout: QLayout) -> None:
    """One whose widget got another size meanwhile has not heard of it."""
    widget = layout.parentWidget()
    if widget is None or layout.parent() is not widget or not widget.isVisible():
        return
    if layout.geometry() != widget.contentsRect():
        layout.update()
