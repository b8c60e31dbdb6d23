"""Live readings while the Machine page is on screen: one monitor, looked at twice a second."""

from collections.abc import Callable
from typing import Final

import numpy as np
from PySide6.QtCore import QObject, QTimer

from advisor.hardware.monitor import DeviceSample, HostSample, Monitor, Sample, Window
from advisor.hardware.rig import Rig

HISTORY_S: Final = 60.0
LOOK_MS: Final = 500
"""Numbers that change faster cannot be read."""
SHOWN: Final = 300
"""Points of a line at most; the highest of the samples between them is drawn."""
STOP_S: Final = 0.0
"""A driver call that hangs must not hold the window up; its thread ends with the call."""


class LiveReadings(QObject):
    """Starts and stops the monitor; ``on_news`` is called on the GUI thread."""

    def __init__(self, on_news: Callable[["LiveReadings"], None], parent: QObject) -> None:
        super().__init__(parent)
        self._on_news = on_news
        self._rig: Rig | None = None
        self._monitor: Monitor | None = None
        self._sample: Sample | None = None
        self._window: Window | None = None
        self._look = QTimer(self, interval=LOOK_MS)
        self._look.timeout.connect(self._tell)

    def watch(self, rig: Rig | None) -> None:
        """Follow this rig; an imagined one has no sensors."""
        if rig is None or rig.imagined:
            self.stop()
        elif rig is not self._rig or self._monitor is None:
            self.stop()
            self._rig = rig
            self._monitor = Monitor(rig, history_s=HISTORY_S).start()
            self._look.start()

    def stop(self) -> None:
        """Nobody looks any more."""
        self._look.stop()
        self._sample = self._window = None
        if self._monitor is not None:
            self._monitor.stop(STOP_S)
            self._monitor = None

    def device(self, index: int) -> DeviceSample | None:
        """The newest reading of a device."""
        known = () if self._sample is None else self._sample.devices
        return known[index] if index < len(known) else None

    @property
    def host(self) -> HostSample | None:
        """The newest reading of the host."""
        return None if self._sample is None else self._sample.host

    def device_history(self, index: int) -> list[float]:
        """Bytes in use over the last minute."""
        return [] if self._window is None else _points(self._window.device(index, "used"))

    def host_history(self) -> list[float]:
        """Bytes of RAM in use over the last minute."""
        return [] if self._window is None else _points(self._window.host("used"))

    def _tell(self) -> None:
        if self._monitor is not None:
            self._sample = self._monitor.latest()
            self._window = self._monitor.window(HISTORY_S)
        self._on_news(self)


def _points(values: np.ndarray) -> list[float]:
    known = values[~np.isnan(values)]
    step = -(-len(known) // SHOWN)
    if step > 1:
        # Whole steps, counted from the newest: a line that grows does not flicker.
        known = known[len(known) % step :].reshape(-1, step).max(axis=1)
    return known.tolist()
