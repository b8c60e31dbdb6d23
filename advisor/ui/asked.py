"""What is asked, rig, model, settings, usage and results, and what follows: tensors and the plan.

Every change makes a new ``session`` and emits one signal. The plan of the chosen cell is computed
on the thread pool and announced by ``plan_changed``.
"""

from pathlib import Path
from typing import Any, Final

from PySide6.QtCore import QObject, QTimer, Signal

from advisor.advice.picks import Pick
from advisor.advice.usage import Usage
from advisor.advice.verdict import Advice
from advisor.errors import MissingFile, RigAdvisorError
from advisor.hardware.rig import Rig
from advisor.llm.model import Model
from advisor.probe.calibrate import same_machine
from advisor.probe.result import ProbeResult
from advisor.session import ModelChoice, ReportChoices, Session
from advisor.sizing.plan import Plan
from advisor.sizing.settings import RunSettings
from advisor.ui import services
from advisor.ui.history import History, changed_fields
from advisor.ui.jobs import Job, run_task

REPLAN_MS: Final = 25


class Asked(QObject):
    """The part of ``AppState`` that knows no files."""

    rig_changed = Signal()
    """``state.rig`` is another one (detected, imagined, opened)."""
    machine_read = Signal()
    """``state.detected`` was read (again), whether or not it is the rig in question."""
    machine_unread = Signal()
    """``state.unread`` has become true."""
    model_changed = Signal()
    """``state.choice`` is another model or file type; ``state.model`` follows with the plan."""
    model_named = Signal()
    """``state.model_name`` is what the catalogue calls the model in question."""
    settings_changed = Signal()
    usage_changed = Signal()
    results_changed = Signal()
    """A probe result was added to ``state.session.probes``."""
    plan_changed = Signal()
    """``state.plan`` and ``state.model`` belong to the present question, or are None."""
    file_changed = Signal()
    """``state.path`` or ``state.modified`` changed."""
    failed = Signal(str)
    """A sentence for the window's banner."""
    noticed = Signal(str)
    """A sentence for the status line."""
    model_wanted = Signal()
    """Some page asks for the model picker."""
    words_wanted = Signal()
    """Somebody asks what the words mean."""
    page_wanted = Signal(str)
    """Key of the page to show: machine, fit, probe, advice, report."""

    to_keep = Signal()
    """The session or what followed from it is no longer as it was last kept."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.session = Session()
        self.path: Path | None = None
        """The session's file, None while it was never saved."""
        self.modified = False
        self.detected: Rig | None = None
        """This machine, None until it was read."""
        self.unread = False
        """Whether this machine could not be read; a rig in words does meanwhile."""
        self.model: Model | None = None
        self.plan: Plan | None = None
        self.problem = ""
        """Why there is no plan, as a sentence; empty while one is computed."""
        self.missing: Path | None = None
        """The file that is not where it was, if that is why."""
        self.history = History()
        self._advice: Advice | None = None
        """What the pages last worked out for the present question."""
        self._planned_for = False
        """Whether ``plan`` belongs to the present question, not to the one before it."""
        self._job: Job | None = None
        self._names: dict[str, str] = {}
        """What models that were asked about are called, as far as the catalogue told."""
        self.model_changed.connect(self._ask_name)
        self._replan = QTimer(self, singleShot=True, interval=REPLAN_MS)
        self._replan.timeout.connect(self._start_planning)

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
    def model_name(self) -> str:
        """What the model in question is called; a moment long only the end of its id is known."""
        if self.model is not None:
            return self.model.name
        choice = self.choice
        if choice is None:
            return ""
        return self._names.get(choice.model) or services.short_name(choice.model)

    @property
    def settings(self) -> RunSettings:
        """Run settings in question, with the llama.cpp that would run them."""
        return services.in_full(self.session.settings, self.rig)

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
        fresh = rig.llama_cpp is None
        if fresh and self.detected is not None:  # until it is looked for again
            rig = rig.model_copy(update={"llama_cpp": self.detected.llama_cpp})
        self.detected = rig
        self.unread = False
        self.machine_read.emit()
        self._come_home()
        if self.session.rig is None:
            self._advice = None
            self.rig_changed.emit()
            self._plan_anew()
        if fresh:
            run_task(lambda _job: services.engine_of(rig), on_result=self.set_engine, owner=self)

    def set_engine(self, version: str) -> None:
        """Which llama.cpp this machine would run a model with: speeds depend on its age."""
        rig, before = self.detected, self.settings
        if rig is None or rig.llama_cpp == version:
            return
        self.detected = rig.model_copy(update={"llama_cpp": version})
        if self.settings != before:
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

    def take(self, pick: Pick) -> None:
        """Ask about what a list names, placed as it was there."""
        self.choose_model(pick.entry.id, pick.cell.file_type)
        self.change_settings(**pick.fields)

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
        self.to_keep.emit()
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

    def advised(self, advice: Advice | None) -> None:
        """A page has worked out the advice that belongs to the present question."""
        self._advice = advice
        self.to_keep.emit()

    def _come_home(self) -> None:
        """A session of this very machine goes on with the machine as it is now.

        A report is a record: its rig stays as it was read until this machine is chosen.
        """
        rig = self.session.rig
        if self.path is None or rig is None or self.detected is None:
            return
        if same_machine(rig, self.detected):
            self.session = self.session.model_copy(update={"rig": None})

    def _update(self, **fields: object) -> None:
        before = self.session
        self.session = before.model_copy(update=fields)
        if not self.session.asks_the_same(before):
            # What followed from another question is no part of this one.
            self._advice = None
            self.session = self.session.model_copy(update={"outcome": None})
        self.history.changed(before, self.session)
        self.to_keep.emit()
        if not self.modified:
            self.modified = True
        self.file_changed.emit()

    # back and forth

    def undo(self) -> None:
        """Take back the last change of rig, model, settings or usage."""
        self._ask_again(self.history.undo(self.session), self.tr("Undone: {what}"))

    def redo(self) -> None:
        """Make the change again that was taken back last."""
        self._ask_again(self.history.redo(self.session), self.tr("Done again: {what}"))

    def _ask_again(self, session: Session | None, words: str) -> None:
        if session is None:
            return
        changed = changed_fields(self.session, session)
        self.session, self._advice, self.modified = session, None, True
        if {"model", "scenario"} & set(changed):
            self.model = None
            self.model_changed.emit()
        for name, signal in (
            ("rig", self.rig_changed),
            ("settings", self.settings_changed),
            ("usage", self.usage_changed),
        ):
            if name in changed:
                signal.emit()
        self.to_keep.emit()
        self.file_changed.emit()
        names = {
            "rig": self.tr("rig"),
            "model": self.tr("model"),
            "scenario": self.tr("built-in case"),
            "settings": self.tr("settings"),
            "usage": self.tr("usage"),
        }
        self.noticed.emit(words.format(what=", ".join(names[name] for name in changed)))
        self._plan_anew()

    # what follows from it

    def _ask_name(self) -> None:
        """A large model's tensors take a while: its name need not wait for them."""
        choice = self.choice
        if choice is None or choice.model in self._names:
            return
        model = choice.model
        run_task(
            lambda _job: services.name_of(model),
            on_result=lambda name: self._named(model, name),
            owner=self,
        )

    def _named(self, model: str, name: str) -> None:
        self._names[model] = name
        self.model_named.emit()

    def _plan_anew(self) -> None:
        # Or its answer, to the question before, would pass for the model of this one.
        if self._job is not None:
            self._job.cancel()
        self._planned_for = False
        self._replan.start()

    @property
    def present_plan(self) -> Plan | None:
        """The plan, where it is of the present question and not of the one before it."""
        return self.plan if self._planned_for else None

    def _start_planning(self) -> None:
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
