"""What earlier probes of this machine taught goes on in a new session, and is said."""

from PySide6.QtCore import QObject

from advisor.probe import kept
from advisor.probe.result import ProbeResult
from advisor.ui.jobs import run_task
from advisor.ui.state import AppState


class EarlierProbes(QObject):
    """Gives each new session the kept probes of this machine, once it was read."""

    def __init__(self, state: AppState) -> None:
        super().__init__(state)
        self._state = state
        self._wanted = False
        state.session_replaced.connect(self._leave)
        state.session_begun.connect(self._begin)
        state.machine_read.connect(self._look)

    def _leave(self) -> None:
        self._wanted = False

    def _begin(self) -> None:
        self._wanted = True
        self._look()

    def _look(self) -> None:
        rig = self._state.detected
        if not self._wanted or rig is None:
            return
        run_task(lambda _job: kept.teaching(rig), on_result=self._hand_over, owner=self)

    def _hand_over(self, results: tuple[ProbeResult, ...]) -> None:
        state = self._state
        if not self._wanted or not results or state.session.probes:
            return
        self._wanted = False
        state.inherit(results)
        words = self.tr(
            "Speeds are calibrated by the probe of {title}, {date}; Fit can show them without it"
        )
        newest = results[0]
        state.noticed.emit(words.format(title=newest.title, date=f"{newest.created:%Y-%m-%d}"))
