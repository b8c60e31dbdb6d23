"""The session in question as the window sees it: one ``AppState`` with typed signals, no rules.

Everything that a person chose or measured is ``state.session`` (immutable; every change makes a new
one and emits one signal). What follows from it, the model's tensors and the plan of the chosen
cell, is computed on the thread pool and announced by ``plan_changed``.
"""

from pathlib import Path
from typing import Any, Final

from PySide6.QtCore import QObject, QTimer, Signal

from advisor import session as sessions
from advisor.advice.usage import Usage
from advisor.errors import RigAdvisorError, SessionError
from advisor.hardware.rig import Rig
from advisor.llm.model import Model
from advisor.probe.result import ProbeResult
from advisor.session import ModelChoice, ReportChoices, Session
from advisor.sizing.plan import Plan
from advisor.sizing.settings import RunSettings
from advisor.ui import services
from advisor.ui.jobs import Job, run_task

REPLAN_MS: Final = 25
AUTOSAVE_MS: Final = 1500


class AppState(QObject):
    """Rig, model, settings, usage and results; and the plan that follows from them."""

    rig_changed = Signal()
    """``state.rig`` is another one (detected, imagined, opened)."""
    machine_read = Signal()
    """``state.detected`` was read (again), whether or not it is the rig in question."""
    model_changed = Signal()
    """``state.choice`` is another model or file type; ``state.model`` follows with the plan."""
    settings_changed = Signal()
    usage_changed = Signal()
    results_changed = Signal()
    """A probe result was added to ``state.session.probes``."""
    plan_changed = Signal()
    """``state.plan`` and ``state.model`` belong to the present question, or are None."""
    session_replaced = Signal()
    """Another session was opened; follows after the signals above."""
    file_changed = Signal()
    """``state.path`` or ``state.modified`` changed."""
    failed = Signal(str)
    """A sentence for the window's banner."""
    noticed = Signal(str)
    """A sentence for the status line."""
    model_wanted = Signal()
    """Some page asks for the model picker."""
    page_wanted = Signal(str)
    """Key of the page to show: machine, fit, probe, advice, report."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.session = Session()
        self.path: Path | None = None
        """The session's file, None while it was never saved."""
        self.modified = False
        self._seen: str | None = None
        """Fingerprint of the file when it was last read or written here."""
        self.detected: Rig | None = None
        """This machine, None until it was read."""
        self.model: Model | None = None
        self.plan: Plan | None = None
        self.problem = ""
        """Why there is no plan, as a sentence; empty while one is computed."""
        self._job: Job | None = None
        self._replan = QTimer(self, singleShot=True, interval=REPLAN_MS)
        self._replan.timeout.connect(self._start_planning)
        self._autosave = sessions.Autosave()
        self._autosave_timer = QTimer(self, singleShot=True, interval=AUTOSAVE_MS)
        self._autosave_timer.timeout.connect(self.autosave)

    # what is in question

    @property
    def rig(self) -> Rig | None:
        """The rig in question: the session's, else this machine. None until it was read."""
        return self.session.rig or self.detected

    @property
    def choice(self) -> ModelChoice | None:
        """The model in question."""
        return self.session.model

    @property
    def settings(self) -> RunSettings:
        """Run settings in question."""
        return self.session.settings

    @property
    def usage(self) -> Usage:
        """How the rig would be used."""
        return self.session.usage

    def set_detected(self, rig: Rig) -> None:
        """This machine was read (again)."""
        self.detected = rig
        self.machine_read.emit()
        if self.session.rig is None:
            self.rig_changed.emit()
            self._replan.start()

    def set_rig(self, rig: Rig | None) -> None:
        """Ask about another rig; None is this machine."""
        self._update(rig=rig)
        self.rig_changed.emit()
        self._replan.start()

    def choose_model(
        self, model: str, file_type: str | None = None, *, imatrix: bool = False
    ) -> None:
        """Ask about a catalogue model or a GGUF file; its own or usual file type when None."""
        choice = ModelChoice(model=model, file_type=file_type, imatrix=imatrix)
        if choice == self.session.model:
            return
        self._update(model=choice)
        self.model = None
        self.model_changed.emit()
        self._replan.start()

    def choose_cell(self, file_type: str, ctx: int) -> None:
        """Ask about one cell of the matrix: a file type and a context of the present model."""
        choice = self.session.model
        if choice is None:
            return
        new = choice.model_copy(update={"file_type": file_type})
        settings = self.session.settings.model_copy(update={"ctx": ctx})
        changed_model, changed_settings = new != choice, settings != self.session.settings
        if not (changed_model or changed_settings):
            return
        self._update(model=new, settings=settings)
        if changed_model:
            self.model = None
            self.model_changed.emit()
        if changed_settings:
            self.settings_changed.emit()
        self._replan.start()

    def change_settings(self, **changes: Any) -> None:  # noqa: ANN401 - RunSettings' own fields
        """Change some run settings. Emits ``failed`` with a sentence when they are refused."""
        try:
            settings = services.changed_settings(self.session.settings, changes)
        except RigAdvisorError as error:
            self.failed.emit(str(error))
            return
        if settings == self.session.settings:
            return
        self._update(settings=settings)
        self.settings_changed.emit()
        self._replan.start()

    def set_usage(self, usage: Usage) -> None:
        """Another usage."""
        if usage == self.session.usage:
            return
        self._update(usage=usage)
        self.usage_changed.emit()

    def begin_scenario(self, name: str, usage: Usage) -> None:
        """Ask about a built-in case instead of a model, with the usage that it is about."""
        self._update(scenario=name, model=None, usage=usage)
        self.model = None
        self.model_changed.emit()
        self.usage_changed.emit()
        self._replan.start()

    def set_report(self, *, title: str, note: str, choices: ReportChoices) -> None:
        """Title, note and making of the report."""
        self._update(title=title, note=note, report=choices)

    def add_result(self, result: ProbeResult) -> None:
        """Keep what a probe measured; later plans for this rig are calibrated by it."""
        self._update(probes=(*self.session.probes, result))
        self.results_changed.emit()
        self._replan.start()

    def show_page(self, key: str) -> None:
        """Ask the window for a page."""
        self.page_wanted.emit(key)

    # the document

    def replace_session(self, session: Session, path: Path | None) -> None:
        """Another document is in question now."""
        self.session, self.path, self.modified = session, path, False
        self._seen = None if path is None else sessions.fingerprint(path)
        self.model = None
        self.plan = None
        for signal in (
            self.rig_changed,
            self.model_changed,
            self.settings_changed,
            self.usage_changed,
            self.results_changed,
            self.session_replaced,
            self.file_changed,
        ):
            signal.emit()
        self._replan.start()

    def open_file(self, path: Path) -> None:
        """Open a session, or a report that carries one, or a GGUF file, or a rig."""

        def done(opened: services.Opened) -> None:
            if opened.session is not None:
                sessions.remember_file(path)
                # Only a session file is saved over; a report, whatever its name, never.
                own = path.suffix.lower() == ".json"
                self.replace_session(opened.session, path if own else None)
            elif opened.rig is not None:
                self.set_rig(opened.rig)
            elif opened.model is not None:
                self.choose_model(opened.model)
                self.show_page("fit")

        run_task(
            lambda _job: services.open_anything(path),
            on_result=done,
            on_error=lambda error: self.failed.emit(str(error)),
            owner=self,
        )

    def save(self, path: Path, *, replace: bool = False) -> bool:
        """Write the session; False after a failure, which ``failed`` has told.

        What another window wrote to the session's file since is replaced only where asked.
        """
        if (
            path == self.path
            and not replace
            and sessions.fingerprint(path) not in (None, self._seen)
        ):
            self.failed.emit(
                self.tr(
                    "{name} was changed by another window since it was opened here, so it was not "
                    "saved over. Use “Save as…” to keep both, or to replace it."
                ).format(name=path.name)
            )
            return False
        try:
            self.session = sessions.save(self.session, path)
            sessions.remember_file(path)
        except SessionError as error:
            self.failed.emit(str(error))
            return False
        self.path, self.modified = path, False
        self._seen = sessions.fingerprint(path)
        self.file_changed.emit()
        return True

    def autosave(self) -> None:
        """Keep the session as it is; a full disk is told once per change."""
        try:
            self._autosave.save(self.session)
        except SessionError as error:
            self.failed.emit(str(error))

    def restore(self) -> None:
        """Take up the session of the last window that ended."""
        found, problem = self._autosave.restore()
        if problem:
            self.failed.emit(problem)
        if found is not None:
            self.replace_session(found, None)

    def close(self) -> None:
        """The window closes: nothing may run on, and the session is kept."""
        self._replan.stop()
        if self._autosave_timer.isActive():
            self._autosave_timer.stop()
            self.autosave()
        if self._job is not None:
            self._job.cancel()

    def _update(self, **fields: object) -> None:
        self.session = self.session.model_copy(update=fields)
        self._autosave_timer.start()
        if not self.modified:
            self.modified = True
        self.file_changed.emit()

    # what follows from it

    def _start_planning(self) -> None:
        if self._job is not None:
            self._job.cancel()
        rig, choice, settings = self.rig, self.choice, self.settings
        self.problem = ""
        if rig is None or choice is None:
            self._planned(None)
            return
        known, probes = self.model, self.session.probes
        self._job = run_task(
            lambda _job: services.plan(choice, known, rig, settings, probes),
            on_result=self._planned,
            on_error=self._not_planned,
            owner=self,
        )

    def _planned(self, result: tuple[Model, Plan] | None) -> None:
        self.model, self.plan = result if result is not None else (None, None)
        self.plan_changed.emit()

    def _not_planned(self, error: RigAdvisorError) -> None:
        self.problem = str(error)
        self._planned(None)
