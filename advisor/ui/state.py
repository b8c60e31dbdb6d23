"""The session in question as the window sees it: one ``AppState`` with typed signals, no rules.

Everything that a person chose or measured is ``state.session`` (immutable; every change makes a new
one and emits one signal). What follows from it, the model's tensors and the plan of the chosen
cell, is computed on the thread pool and announced by ``plan_changed``.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from PySide6.QtCore import QObject, QThreadPool, QTimer, Signal

from advisor import session as sessions
from advisor.advice.usage import Usage
from advisor.advice.verdict import Advice
from advisor.errors import MissingFile, RigAdvisorError
from advisor.hardware.rig import Rig
from advisor.llm.model import Model
from advisor.probe.calibrate import same_machine
from advisor.probe.result import ProbeResult
from advisor.report.provenance import outcome, stamped
from advisor.session import ModelChoice, ReportChoices, Restored, Session
from advisor.sizing.plan import Plan
from advisor.sizing.settings import RunSettings
from advisor.ui import opening, services
from advisor.ui.jobs import Job, run_task

REPLAN_MS: Final = 25
AUTOSAVE_MS: Final = 1500
WRITING_MS: Final = 10_000
"""So long a window that closes waits for the disk."""


class AppState(QObject):
    """Rig, model, settings, usage and results; and the plan that follows from them."""

    rig_changed = Signal()
    """``state.rig`` is another one (detected, imagined, opened)."""
    machine_read = Signal()
    """``state.detected`` was read (again), whether or not it is the rig in question."""
    machine_unread = Signal()
    """``state.unread`` has become true."""
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
    session_begun = Signal()
    """Nothing was chosen or measured in it yet."""
    saved = Signal(Path)
    """The session was written where the user asked."""
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
        self.unread = False
        """Whether this machine could not be read; a rig in words does meanwhile."""
        """This machine, None until it was read."""
        self.model: Model | None = None
        self.plan: Plan | None = None
        self.problem = ""
        self.missing: Path | None = None
        """Why there is no plan, as a sentence; empty while one is computed."""
        self._advice: Advice | None = None
        """What the pages last worked out for the present question."""
        self._planned_for = False
        """Whether ``plan`` belongs to the present question, not to the one before it."""
        self._job: Job | None = None
        self._writer = QThreadPool(self)
        """Files are written off the GUI thread and one after the other."""
        self._writer.setMaxThreadCount(1)
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
    def here(self) -> bool:
        """Whether that is this machine as it is now, not an imagined or a recorded rig."""
        return self.session.rig is None

    @property
    def recorded(self) -> bool:
        """Whether that is a machine as somebody's session or report recorded it."""
        return self.session.rig is not None and not self.session.rig.imagined

    @property
    def rig_to_probe(self) -> Rig | None:
        """The rig in question; one that was recorded elsewhere counts as imagined here."""
        rig, detected = self.session.rig, self.detected
        if rig is None or not self.recorded:
            return self.rig
        if detected is not None and same_machine(rig, detected):
            return rig
        name = self.tr("The recorded machine")
        return rig.model_copy(update={"name": name, "imagined": True})

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

    def set_unread(self) -> None:
        """This machine could not be read."""
        if self.detected is None:
            self.unread = True
            self.machine_unread.emit()

    def set_detected(self, rig: Rig) -> None:
        """This machine was read (again)."""
        self.detected = rig
        self.unread = False
        self.machine_read.emit()
        self._come_home()
        if self.session.rig is None:
            self._advice = None
            self.rig_changed.emit()
            self._plan_anew()

    def set_rig(self, rig: Rig | None) -> None:
        """Ask about another rig; None is this machine."""
        self._update(rig=rig)
        self.rig_changed.emit()
        self._plan_anew()

    def choose_model(
        self,
        model: str,
        file_type: str | None = None,
        *,
        imatrix: bool = False,
        moved: bool = False,
    ) -> None:
        """Ask about a catalogue model or a GGUF file; its own or usual file type when None.

        What ran beside the model before belongs to that one, unless it only ``moved``.
        """
        choice = ModelChoice(model=model, file_type=file_type, imatrix=imatrix)
        before = self.session.model
        if choice == before and not moved:  # a disk may be back
            return
        settings = self.session.settings
        if before is not None and before.model != model and not moved:
            settings = services.without_companions(settings)
        alike = settings == self.session.settings
        self._update(model=choice, settings=settings)
        self.model = None
        self.model_changed.emit()
        if not alike:
            self.settings_changed.emit()
        self._plan_anew()

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
        self._plan_anew()

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
        self._plan_anew()

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
        self._plan_anew()

    def set_report(self, *, title: str, note: str, choices: ReportChoices) -> None:
        """Title, note and making of the report."""
        self._update(title=title, note=note, report=choices)

    def add_result(self, result: ProbeResult) -> None:
        """Keep what a probe measured; later plans for this rig are calibrated by it."""
        others = tuple(probe for probe in self.session.probes if probe.id != result.id)
        self._update(probes=(*others, result))
        self.results_changed.emit()
        self._plan_anew()

    def inherit(self, results: tuple[ProbeResult, ...]) -> None:
        """Go on with what was measured before this session: nobody changed it by that."""
        self.session = self.session.model_copy(update={"probes": results})
        self._advice = None
        self._autosave_timer.start()
        self.results_changed.emit()
        self._plan_anew()

    def forget_results(self, *identities: str) -> None:
        """Let go of what probes measured: nothing is calibrated by them any more."""
        left = tuple(probe for probe in self.session.probes if probe.id not in identities)
        if left != self.session.probes:
            self._update(probes=left)
            self.results_changed.emit()
            self._plan_anew()

    def show_page(self, key: str) -> None:
        """Ask the window for a page."""
        self.page_wanted.emit(key)

    # the document

    def advised(self, advice: Advice | None) -> None:
        """A page has worked out the advice that belongs to the present question."""
        self._advice = advice
        self._autosave_timer.start()

    def begin_session(self) -> None:
        """A new session in place of the present one."""
        self.replace_session(Session(), None)
        self.session_begun.emit()

    def replace_session(
        self, session: Session, path: Path | None, *, seen: str | None = None
    ) -> None:
        """Another document is in question now; ``seen`` is its file's fingerprint.

        What was changed and not saved is kept in a file among the recent ones.
        """
        if self.modified and _worth_keeping(self.session):
            self._put_aside(self._kept())
        self.session, self.path, self.modified = session, path, False
        self._seen = seen
        self._advice = None
        self.model = None
        self.plan = None
        self._come_home()
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
        self._autosave_timer.start()
        self._plan_anew()

    def _come_home(self) -> None:
        """A session of this very machine goes on with the machine as it is now.

        A report is a record: its rig stays as it was read until this machine is chosen.
        """
        rig = self.session.rig
        if self.path is None or rig is None or self.detected is None:
            return
        if same_machine(rig, self.detected):
            self.session = self.session.model_copy(update={"rig": None})

    def open_file(self, path: Path) -> None:
        """Open a session, a report that carries one, a model, a rig or a folder of models."""
        self._open(lambda: opening.open_anything(path), path)

    def size_in_every_file_type(self) -> None:
        """Ask about the GGUF file in question as if it were not quantized yet."""
        path = None if self.model is None else self.model.path
        if path is not None:
            self._open(lambda: opening.in_every_file_type(path), path)

    def _open(self, work: Callable[[], opening.Opened], path: Path) -> None:
        def done(opened: opening.Opened) -> None:
            if opened.session is not None:
                own = path if opened.file is not None else None
                self.replace_session(opened.session, own, seen=opened.file)
            elif opened.rig is not None:
                self.set_rig(opened.rig)
            elif opened.model is not None:
                self.choose_model(opened.model)
                self.show_page("fit")
                if opened.added:
                    words = self.tr("{name} is in the catalogue now, in every file type")
                    self.noticed.emit(words.format(name=opened.added))
            elif opened.projector is not None:
                self._add_projector(opened.projector)
            elif opened.folder is not None:
                name = opened.folder.name
                self.noticed.emit(self.tr("Models are looked for in {name} too").format(name=name))
                self.model_wanted.emit()

        run_task(
            lambda _job: work(),
            on_result=done,
            on_error=lambda error: self.failed.emit(str(error)),
            owner=self,
        )

    def _add_projector(self, path: str) -> None:
        """What lets a model see or hear is no model: it goes beside the one in question."""
        name = Path(path).name
        if self.choice is None:
            words = self.tr(
                "{name} is a projector, which lets a model see or hear. Choose its model first, "
                "then open it again."
            )
            self.failed.emit(words.format(name=name))
            return
        self.change_settings(mmproj=path)
        self.show_page("fit")
        words = self.tr("{name} runs beside {model} now; Settings on Fit take it away")
        model = self.model.name if self.model is not None else Path(self.choice.model).name
        self.noticed.emit(words.format(name=name, model=model))

    def save(self, path: Path, *, replace: bool = False) -> None:
        """Write the session; ``saved`` or ``failed`` follows.

        What another window wrote to the session's file since is replaced only where asked.
        """
        asked, written, replace = self.session, self._record(), replace or path != self.path
        seen = self._seen

        def done(opened: opening.Opened) -> None:
            self.path, self._seen = path, opened.file
            if self.session is asked and opened.session is not None:
                self.modified = False
                self.session = opened.session.model_copy(update={"rig": asked.rig})
            self._autosave_timer.start()
            self.file_changed.emit()
            self.saved.emit(path)

        run_task(
            lambda _job: opening.save_session(written, path, seen=seen, replace=replace),
            on_result=done,
            on_error=lambda error: self.failed.emit(str(error)),
            owner=self,
            pool=self._writer,
        )

    def _record(self) -> Session:
        """The session as a file holds it: with the rig as it was read, and what followed."""
        written = stamped(self.session, self.rig, self._found, self._advice)
        if self._advice is None and self.session.outcome is not None:
            # Nothing was worked out anew: what it was opened with still belongs to it.
            return written.model_copy(update={"outcome": self.session.outcome})
        return written

    def _kept(self) -> Session:
        """The session as it is, to go on with: what it was opened with stays to compare with."""
        if self.session.outcome is not None:
            return self.session
        return self.session.model_copy(update={"outcome": outcome(self._found, self._advice)})

    def autosave(self) -> None:
        """Keep the session as it is; a full disk is told once per change."""
        kept, file, seen, modified = self._kept(), self.path, self._seen, self.modified
        run_task(
            lambda _job: self._autosave.save(kept, file=file, seen=seen, modified=modified),
            on_result=lambda _none: None,
            on_error=lambda error: self.failed.emit(str(error)),
            owner=self,
            pool=self._writer,
        )

    def _put_aside(self, session: Session) -> None:
        def work(_job: Job) -> None:
            sessions.remember_file(self._autosave.put_aside(session))

        run_task(
            work,
            on_result=lambda _none: self.noticed.emit(
                self.tr("The session before was not saved; it is kept under “Open recent”.")
            ),
            on_error=lambda error: self.failed.emit(str(error)),
            owner=self,
            pool=self._writer,
        )

    def restore(self, then: Callable[[], None] = lambda: None) -> None:
        """Take up the session of the last window that ended, ``then`` go on."""

        def done(left: Restored) -> None:
            if left.problem:
                self.failed.emit(left.problem)
            if left.session is not None:
                self.replace_session(left.session, left.file, seen=left.seen)
                self.modified = left.modified
                self.file_changed.emit()
            if left.session is None or not _worth_keeping(left.session):
                self.session_begun.emit()
            then()

        run_task(lambda _job: self._autosave.restore(), on_result=done, owner=self)

    def close(self) -> None:
        """The window closes: nothing may run on, and the session is kept."""
        self._replan.stop()
        if self._autosave_timer.isActive():
            self._autosave_timer.stop()
            self.autosave()
        self._writer.waitForDone(WRITING_MS)
        if self._job is not None:
            self._job.cancel()

    def _update(self, **fields: object) -> None:
        before = self.session
        self.session = before.model_copy(update=fields)
        if not self.session.asks_the_same(before):
            # What followed from another question is no part of this one.
            self._advice = None
            self.session = self.session.model_copy(update={"outcome": None})
        self._autosave_timer.start()
        if not self.modified:
            self.modified = True
        self.file_changed.emit()

    # what follows from it

    def _plan_anew(self) -> None:
        self._planned_for = False
        self._replan.start()

    @property
    def _found(self) -> Plan | None:
        return self.plan if self._planned_for else None

    def _start_planning(self) -> None:
        if self._job is not None:
            self._job.cancel()
        rig, choice, settings = self.rig, self.choice, self.settings
        self.problem, self.missing = "", None
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
        self._planned_for = True
        self.plan_changed.emit()

    def _not_planned(self, error: RigAdvisorError) -> None:
        self.problem = str(error)
        self.missing = error.path if isinstance(error, MissingFile) else None
        self._planned(None)


def _worth_keeping(session: Session) -> bool:
    """Whether somebody chose, measured or wrote something."""
    return bool(
        session.model or session.scenario or session.probes or session.title or session.note
    )
