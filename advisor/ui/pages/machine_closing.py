"""Plans of the list's models whose speed is a guess, made behind the window."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from PySide6.QtCore import QElapsedTimer, QObject, Signal

from advisor.advice.capability import Capability
from advisor.advice.closer import Closer
from advisor.advice.picks import Pick
from advisor.ui.paced import Paced
from advisor.ui.pages.machine_models import Listed, listed

SHOWN_MS: Final = 1000
"""What is planned in so long is shown together: lines move as their speeds become known."""


class Closing(QObject):
    """Plans one model after the other, those in sight first."""

    planned = Signal(object)
    """A list with fewer guesses (``Listed``)."""

    def __init__(self, owner: QObject, in_sight: Callable[[], list[Pick]]) -> None:
        super().__init__(owner)
        self._in_sight = in_sight
        self._found: Capability | None = None
        self._closer: Closer | None = None
        self._shown = QElapsedTimer()
        self._paced = Paced(self, self._next, lambda made: self._have(*made))

    def begin(self, found: Capability, closer: Closer) -> None:
        """With another list."""
        self.stop()
        self._found, self._closer = found, closer
        self.go_on()

    def go_on(self) -> None:
        """Somebody looks again."""
        self._shown.start()
        self._paced.start()

    def stop(self) -> None:
        """Nobody looks, or something else is asked."""
        self._paced.stop()

    def _next(self) -> Callable[[], tuple[Capability, Listed | None]] | None:
        found, closer = self._found, self._closer
        rough = [] if found is None else [pick for pick in found.models if pick.rough]
        if found is None or closer is None or not rough:
            return None
        seen = {pick.entry.id for pick in self._in_sight()}
        pick = next((pick for pick in rough if pick.entry.id in seen), rough[0])
        show = len(rough) == 1 or self._shown.elapsed() > SHOWN_MS

        def step() -> tuple[Capability, Listed | None]:
            now = _with(found, pick, closer.planned(pick))
            return now, listed(now) if show else None

        return step

    def _have(self, found: Capability, shown: Listed | None) -> None:
        self._found = found
        if shown is not None:
            self._shown.restart()
            self.planned.emit(shown)


def _with(found: Capability, guessed: Pick, planned: Pick | None) -> Capability:
    """What is known now, in its order; a model that does not run after all is left out."""
    models = [pick for pick in found.models if pick is not guessed]
    if planned is not None:
        models.append(planned)
    models.sort(key=lambda pick: pick.order)
    return replace(found, models=tuple(models))
