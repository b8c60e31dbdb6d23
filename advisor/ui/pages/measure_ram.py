"""Measuring this machine's RAM where no source tells its bandwidth: speeds wait for it."""

from collections.abc import Callable

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QWidget

from advisor.errors import RigAdvisorError
from advisor.hardware.bandwidth import RamBandwidth
from advisor.ui import services
from advisor.ui.jobs import run_task
from advisor.ui.state import AppState
from advisor.ui.widgets.basics import button, row, text


def measure_ram(
    state: AppState,
    owner: QObject,
    on_done: Callable[[], None],
    on_error: Callable[[RigAdvisorError], None],
) -> None:
    """Measure for a second on the thread pool; the machine then has the bandwidth found."""
    rig = state.detected
    if rig is None:
        return

    def done(result: RamBandwidth) -> None:
        on_done()
        detected = state.detected
        if detected is not None:
            state.set_detected(services.with_bandwidth(detected, result))

    run_task(lambda _job: services.measure_ram(rig), on_result=done, on_error=on_error, owner=owner)


class MeasureRam(QWidget):
    """Says that speeds are unknown for want of the RAM's bandwidth, and measures it."""

    def __init__(self, state: AppState, words: str = "") -> None:
        super().__init__()
        self._state = state
        self.button = button(self.tr("Measure RAM bandwidth (1 s)"), self._measure)
        line = row(self.button, text(words, "muted", wrap=True))
        line.setStretch(1, 1)
        self.setLayout(line)
        self.hide()

    def show_where(self, unknown: bool) -> None:
        """Shown where a speed is unknown and measuring this machine's RAM would tell it."""
        rig = self._state.rig
        untold = rig is not None and rig.host.ram_bandwidth_gbs is None
        self.setVisible(unknown and untold and self._state.here)

    def _measure(self) -> None:
        self.button.setEnabled(False)
        self.button.setText(self.tr("Measuring…"))
        measure_ram(self._state, self, self._end, self._complain)

    def _end(self) -> None:
        self.button.setEnabled(True)
        self.button.setText(self.tr("Measure RAM bandwidth (1 s)"))

    def _complain(self, error: RigAdvisorError) -> None:
        self._end()
        self._state.failed.emit(str(error))
