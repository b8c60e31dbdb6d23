"""Drives one probe for the window: prepares it off the GUI thread, hands its events over."""

from typing import Final

from PySide6.QtCore import QObject, Signal, Slot

from advisor.engine.builds import Build
from advisor.errors import RigAdvisorError
from advisor.hardware.rig import Rig
from advisor.llm.model import Model
from advisor.probe import store
from advisor.probe.devices import MonitoredDevices
from advisor.probe.prepare import Prepared, prepare, probe_of
from advisor.probe.question import Ended, ProbeEvent
from advisor.probe.result import Method, ProbeResult
from advisor.probe.run import Probe
from advisor.probe.scaled_run import ScaledProbe
from advisor.probe.trace import Fresh
from advisor.sizing.settings import RunSettings
from advisor.ui import paced
from advisor.ui.jobs import Job, run_task

_NOTHING_RAN: Final = frozenset({"refused", "no-build", "no-disk"})
END_S: Final = 3.0
"""How long closing the window may wait for the child's end."""


class ProbeController(QObject):
    """idle → preparing → running → idle. Lives on the GUI thread."""

    prepared = Signal(object)
    """``Prepared``: what would be run; nothing runs yet."""
    refused = Signal(object)
    """A tuple of ``Objection``."""
    started = Signal()
    happened = Signal(object)
    """A ``ProbeEvent``, on the GUI thread."""
    finished = Signal(object)
    """``ProbeResult``; always follows ``started``."""
    failed = Signal(str)
    """It could not be prepared; a sentence."""
    kept = Signal()
    """The last result is among the past probes now."""
    not_kept = Signal(str)
    """It could not be put there; a sentence."""
    _arrived = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._builds: tuple[Build, ...] | None = None
        self._probe: Probe | ScaledProbe | None = None
        self._job: Job | None = None
        self._run_wanted = False
        self._anyway_wanted = False
        self._closing = False
        self.last: Prepared | None = None
        self.wanted: str | None = None
        """Path of the llama.cpp to use (empty: the embedded one); None: the best for the rig."""
        self._arrived.connect(self._deliver)

    @property
    def running(self) -> bool:
        """Whether a child is at work, or about to be."""
        return self._probe is not None

    @property
    def probe(self) -> Probe | ScaledProbe | None:
        """The probe that runs."""
        return self._probe

    def forget_builds(self) -> None:
        """Look for llama.cpp anew next time."""
        self._builds = None

    def prepare(
        self,
        model: Model,
        rig: Rig,
        settings: RunSettings,
        *,
        seconds: float,
        method: Method = "server",
        run: bool = False,
        anyway: bool = False,
        probes: tuple[ProbeResult, ...] = (),
    ) -> None:
        """Find a llama.cpp and plan the run; ``run`` starts it when nothing speaks against it.

        A start that was asked for outlives being prepared anew: the question may still settle.
        """
        if self.running:
            return
        if self._job is not None:
            self._job.cancel()
            run, anyway = run or self._run_wanted, anyway or self._anyway_wanted
        self._run_wanted, self._anyway_wanted = run, anyway
        builds, wanted = self._builds, self.wanted

        def work(_job: Job) -> Prepared:
            return prepare(
                model,
                rig,
                settings,
                builds=builds,
                wanted=wanted,
                method=method,
                seconds=seconds,
                anyway=anyway,
                probes=probes,
            )

        def done(ready: Prepared) -> None:
            self._job = None
            self._builds = ready.builds
            self.last = ready
            self.prepared.emit(ready)
            if run:
                self._start(ready)

        self._job = run_task(work, on_result=done, on_error=self._complain, owner=self)

    def _complain(self, error: RigAdvisorError) -> None:
        self._job = None
        self.failed.emit(str(error))

    def _start(self, ready: Prepared) -> None:
        if self._closing:
            return
        anyway = ready.question.anyway
        standing = tuple(o for o in ready.objections if not (o.overridable and anyway))
        if standing:
            self.refused.emit(standing)
            return
        rig = ready.question.rig
        devices = MonitoredDevices(rig) if rig.devices else None
        self._probe = probe_of(ready, devices=devices, on_event=self._arrived.emit)
        paced.hold(self)
        self._probe.start()
        self.started.emit()

    def stop(self) -> None:
        """End the run now."""
        if self._probe is not None:
            self._probe.stop()

    def close(self) -> None:
        """The window closes: no child may be left."""
        self._closing = True
        paced.release(self)
        if self._job is not None:
            self._job.cancel()
        probe = self._probe
        if probe is not None:
            probe.stop()
            probe.join(END_S)

    def since(self, index: int) -> Fresh | None:
        """Samples from ``index`` on; None while nothing runs."""
        return self._probe.since(index) if self._probe is not None else None

    @Slot(object)
    def _deliver(self, event: ProbeEvent) -> None:
        if self._closing:
            return
        if isinstance(event, Ended):
            self._probe = None
            paced.release(self)
            self._keep(event.result)
            self.finished.emit(event.result)
        else:
            self.happened.emit(event)

    def _keep(self, result: ProbeResult) -> None:
        # Results of runs that measured something are worth a place in the list.
        if result.ending.cause in _NOTHING_RAN or not result.trace.times_ms:
            return

        def work(_job: Job) -> None:
            store.save(result)
            if result.ending.state == "stopped":
                store.tidy()

        run_task(
            work,
            on_result=lambda _none: self.kept.emit(),
            on_error=lambda error: self.not_kept.emit(str(error)),
            owner=self,
        )
