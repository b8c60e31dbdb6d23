"""What every kind of probe is from outside: started, stopped, waited for, followed."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable

from advisor.probe.question import ProbeEvent
from advisor.probe.result import Observation, Phase, ProbeResult
from advisor.probe.trace import Fresh


class Running(ABC):
    """Runs once, in a thread of its own or in the caller's. Readable from any thread."""

    def __init__(self, name: str, on_event: Callable[[ProbeEvent], None] | None) -> None:
        """``name``: the thread's. ``on_event`` is called on the probe's threads."""
        self._name = name
        self._on_event = on_event
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.result: ProbeResult | None = None

    def start(self) -> None:
        """Run in a thread of its own; the outcome arrives as ``Ended`` and in ``result``."""
        self._thread = threading.Thread(target=self.run, name=self._name, daemon=True)
        self._thread.start()

    def join(self, seconds: float | None = None) -> bool:
        """Wait for the end. Returns whether it has come."""
        if self._thread is not None:
            self._thread.join(seconds)
            return not self._thread.is_alive()
        return True

    @abstractmethod
    def run(self) -> ProbeResult:
        """Run it in this thread. Never raises for what can go wrong: see ``result.ending``."""

    @abstractmethod
    def stop(self) -> None:
        """End it now. Returns at once; ``Ended`` follows within three seconds."""

    @property
    @abstractmethod
    def phases(self) -> tuple[Phase, ...]:
        """All phases so far."""

    @property
    @abstractmethod
    def observations(self) -> tuple[Observation, ...]:
        """What was noticed so far."""

    @abstractmethod
    def since(self, index: int) -> Fresh:
        """Samples from ``index`` on, for a plot that follows; from 0 where it must begin anew."""

    def _emit(self, event: ProbeEvent) -> None:
        if self._on_event is not None:
            self._on_event(event)
