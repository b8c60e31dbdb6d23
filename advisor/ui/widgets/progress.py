"""How far something is, as a bar."""

from PySide6.QtWidgets import QProgressBar


class Progress(QProgressBar):
    """Painted with the rest of the window.

    Qt's own paints itself at once with each value, and with it all that waits to be painted, whose
    layouts are not settled yet: a page that is being filled is painted twice in one turn.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setTextVisible(False)
        self.setAccessibleName(name)

    def setValue(self, value: int) -> None:  # noqa: N802 - Qt's name
        """Another value, on screen with the next frame."""
        self.setUpdatesEnabled(False)
        super().setValue(value)
        self.setUpdatesEnabled(True)
