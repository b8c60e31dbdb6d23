"""Sources that answer too slowly for the monitor's clock: each is asked in a thread of its own."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Background(Generic[T]):
    """Asks again and again at its own pace; what was said last can be had at once.

    ``at_end`` is called by the thread when it ends, to give back what asking held open.
    """

    def __init__(
        self,
        ask: Callable[[], T | None],
        every_s: float,
        *,
        name: str,
        at_end: Callable[[], None] | None = None,
    ) -> None:
        self._ask = ask
        self._every = every_s
        self._at_end = at_end
        self._stop = threading.Event()
        self.newest: T | None = None
        """The last answer; None before the first, and after a question that had none."""
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def _run(self) -> None:
        while not self._stop.is_set():
            self.newest = self._ask()
            self._stop.wait(self._every)
        if self._at_end is not None:
            self._at_end()

    def close(self) -> None:
        """Ask no more. Returns at once, even while a question is open."""
        self._stop.set()
