"""Live readings while the Machine page is on screen: one monitor, looked at twice a second."""

from collections.abc import Callable
from typing import Final

import numpy as np
from PySide6.QtCore import QObject, QTimer

from advisor.hardware.monitor import DeviceSample, HostSample, Monitor
from advisor.hardware.rig import Rig

SAMPLE_S: Final = 0.2
HISTORY_S: Final = 60.0
LOOK_MS: Final = 500
STOP_S: Final = 0.0
"""A driver call that hangs must not hold the window up; its thread ends with the call."""


class LiveReadings(QObject):
    """Starts and stops the monitor; ``on_news`` is called on the GUI thread."""

    def __init__(self, on_news: Callable[["LiveReadings"], None], parent: QObject) -> None:
        super().__init__(parent)
        self._on_news = on_news
        self._rig: Rig | None = None
        self._monitor: Monitor | None = None
        self._look = QTimer(self, interval=LOOK_MS)
        self._look.timeout.connect(self._tell)

    def watch(self, rig: Rig | None) -> None:
        """Follow this rig; an imagined one has no sensors."""
        if rig is None or rig.imagined:
            self.stop()
        elif rig is not self._rig or self._monitor is None:
            self.stop()
            self._rig = rig
            self._monitor = Monitor(rig, interval_s=SAMPLE_S, history_s=HISTORY_S).start()
            self._look.start()

    def stop(self) -> None:
        """Nobody looks any more."""
        self._look.stop()
        if self._monitor is not None:
            self._monitor.stop(STOP_S)
            self._monitor = None

    def device(self, index: int) -> DeviceSample | None:
        """The newest reading of a device."""
        sample = None if self._monitor is None else self._monitor.latest()
        if sample is None or index >= len(sample.devices):
            return None
        return sample.devices[index]

    @property
    def host(self) -> HostSample | None:
        """The newest reading of the host."""
        sample = None if self._monitor is None else self._monitor.latest()
        return None if sample is None else sample.host

    def device_history(self, index: int) -> list[float]:
        """Bytes in use over the last minute."""
        if self._monitor is None:
            return []
        return _known(self._monitor.window(HISTORY_S).device(index, "used"))

    def host_history(self) -> list[float]:
        """Bytes of RAM in use over the last minute."""
        return [] if self._monitor is None else _known(self._monitor.window(HISTORY_S).host("used"))

    def _tell(self) -> None:
        self._on_news(self)


def _known(values: np.ndarray) -> list[float]:
    return [float(v) for v in values[~np.isnan(values)]]
