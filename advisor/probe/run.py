"""One probe: a child that loads and runs a model, watched from start to end.

idle → starting → loading → warm-up → prefill ⇄ decode → stopping → done | stopped | failed.
One thread of its own drives it; ``stop`` may be called from any thread, at any time.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from advisor import paths
from advisor.engine.client import Client
from advisor.engine.launch import Address, Files
from advisor.engine.log import Adjusted, Event, LoadingTensors, Ready, WarmingUp
from advisor.engine.process import EngineProcess
from advisor.errors import EngineError, ModelError
from advisor.files import is_file
from advisor.hardware.host import available_memory
from advisor.llm.ghost import Ghost, write_ghost
from advisor.llm.model import Model
from advisor.probe import child, outcome, schedule
from advisor.probe.benching import Benching
from advisor.probe.conclude import Notes, conclude
from advisor.probe.measure import Measurement
from advisor.probe.memory import measuring_since, stopping_since
from advisor.probe.noticed import Noticing
from advisor.probe.preflight import preflight
from advisor.probe.question import Ended, Measured, Noticed, PhaseStarted, ProbeEvent, Question
from advisor.probe.residency import look
from advisor.probe.result import (
    Cause,
    Ending,
    Observation,
    ObservationKind,
    Phase,
    PhaseName,
    ProbeResult,
    SpeedPoint,
)
from advisor.probe.running import Running
from advisor.probe.sampler import HOST, DeviceSource, NoDevices, Sample, Sampler, child_memory
from advisor.probe.slow_zeros import EMPTY, to_fill
from advisor.probe.trace import Fresh, Trace
from advisor.probe.watch import Limits, Watchdog

REAL_TOKENS: Final = range(1000, 4000)
"""Tokens to prompt a real model with: ordinary words in every vocabulary we know of."""
TAIL_LINES: Final = 15
MOST_TOLD: Final = 50
REMOVE_S: Final = 1.0
"""So long a run waits until its ghost is deleted: a disk that is busy takes half a minute."""


class _Over(Exception):  # noqa: N818 - carries an ending, which need not be an error
    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.sentence)
        self.ending = ending


def _failed(cause: Cause, sentence: str, detail: str = "") -> _Over:
    return _Over(Ending(state="failed", cause=cause, sentence=sentence, detail=detail))


def _still_there(path: Path) -> None:
    if not is_file(path):
        sentence = (
            f"{path.name} is not there any more. Put it back, or choose the model from the "
            "catalogue to probe it with empty weights."
        )
        raise _failed("bad-file", sentence, str(path))


def _take_away(ghost: Ghost) -> None:
    """Delete a ghost. What takes longer goes on by itself, and this process ends after it."""

    def work() -> None:
        with contextlib.suppress(OSError):  # in use: the next start removes what is left
            ghost.remove()

    remover = threading.Thread(target=work, name="ghost-remove")
    remover.start()
    remover.join(REMOVE_S)


class Probe(Running):
    """Ask one question of the machine. Use once: ``start`` (or ``run``), then perhaps ``stop``."""

    def __init__(
        self,
        question: Question,
        *,
        devices: DeviceSource | None = None,
        on_event: Callable[[ProbeEvent], None] | None = None,
        limits: Limits | None = None,
        command: Sequence[str] | None = None,
    ) -> None:
        """``on_event`` is called on the probe's threads. ``command`` replaces the worker's."""
        super().__init__("probe", on_event)
        self._question = question
        self._command = command
        self._limits = limits or Limits()
        self._sampler = Sampler(devices or NoDevices(), on_sample=self._sampled)
        self._watchdog = Watchdog(self._limits, self._give_up)
        self._process: EngineProcess | None = None
        self._stoppers: list[threading.Thread] = []
        self._notes = Notes()
        self._noticing = Noticing()
        self._address = ""
        """Where it listens, as the log says."""
        self._ready = threading.Event()
        self._phases: list[Phase] = []
        self._lock = threading.Lock()
        self._began = 0.0
        self._tokens: range = REAL_TOKENS
        self._benching = Benching(self) if question.method == "llama-bench" else None

    # --- From outside ---------------------------------------------------------------------------

    def stop(self) -> None:
        """End it now. Returns at once; ``Ended`` follows within three seconds."""
        self._stop.set()
        process = self._process
        if process is not None and process.pid is not None:
            self._kill(process)

    @property
    def phase(self) -> Phase | None:
        """The phase it is in, None before the first."""
        with self._lock:
            return self._phases[-1] if self._phases else None

    @property
    def phases(self) -> tuple[Phase, ...]:
        """All phases so far."""
        with self._lock:
            return tuple(self._phases)

    @property
    def observations(self) -> tuple[Observation, ...]:
        """What was noticed so far."""
        return tuple(self._notes.told)

    @property
    def elapsed_ms(self) -> int:
        """Milliseconds since it began."""
        return int((time.monotonic() - self._began) * 1000) if self._began else 0

    def trace(self) -> Trace:
        """Samples so far."""
        return self._sampler.trace()

    def since(self, index: int) -> Fresh:
        """Samples from ``index`` on, for a plot that follows."""
        return self._sampler.since(index)

    # --- The run --------------------------------------------------------------------------------

    def run(self) -> ProbeResult:
        """Run it in this thread. Never raises for what can go wrong: see ``result.ending``."""
        self._began = time.monotonic()
        self.enter("starting")
        ending = Ending(state="failed", cause="other", sentence="The probe broke off.")
        try:
            self._sampler.start(self._began)
            with contextlib.ExitStack() as stack:
                self._measure(stack)
            ending = Ending(state="done", sentence="The probe ran to its end.")
        except _Over as over:
            ending = over.ending
        except OSError as error:
            reason = f"The probe broke off: {error.strerror or error}."
            ending = Ending(state="failed", cause="other", sentence=reason, detail=str(error))
        finally:  # whatever happened, who waits is told that it is over
            self._watchdog.stop()
            self._sampler.stop()
            for stopper in self._stoppers:
                stopper.join()
            self._close_phase()
            self.result = self._conclude(ending)
            self._emit(Ended(self.result))
        return self.result

    def _measure(self, stack: contextlib.ExitStack) -> None:
        self._check()
        files = self._files(stack)
        address = Address()
        stack.callback(address.close)
        process = self._start(files, address)
        stack.callback(self._end, process)
        try:
            if self._benching is not None:
                self._benching.run(process)
            else:
                self._wait_until_ready(process)
                client = Client(self._address or f"unix://{address.host}", address.api_key)
                question = self._question
                hp = question.model.hp
                settings = schedule.as_trained(question.settings, hp.n_ctx_train if hp else 0)
                Measurement(settings, question.seconds, self._tokens, self).run(client)
                self._sampler.take()
                self._look_at_pages(process, files.model)
        except EngineError as error:
            raise self._explain(process, error) from error
        self.enter("stopping")

    def _check(self) -> None:
        question = self._question
        if question.build.problem:
            raise _failed("no-build", question.build.problem)
        available = available_memory()
        objections = preflight(question.model, question.rig, question.plan, available=available)
        standing = [o for o in objections if not (o.overridable and question.anyway)]
        if standing:
            raise _failed("refused", " ".join(o.sentence for o in standing))
        self.check()

    def _files(self, stack: contextlib.ExitStack) -> Files:
        """The files to load; ghosts among them go with ``stack``."""
        model, draft = self._question.model, self._question.model.draft
        path = model.whole
        if path is None:
            ghost = self._ghost(model, stack)
            self._tokens, path = ghost.tokens, ghost.path
        _still_there(path)
        if draft is None or self._question.method == "llama-bench":
            return Files(path)
        beside = draft.whole or self._ghost(draft, stack).path
        _still_there(beside)
        return Files(path, beside)

    def _ghost(self, model: Model, stack: contextlib.ExitStack) -> Ghost:
        try:
            # llama-bench takes its tokens from the whole vocabulary.
            every = self._benching is not None
            dense = self._question.dense_ghost
            folder = paths.cache() / "ghosts"
            question = self._question
            slow = [t.name for t in to_fill(model, question.rig, question.settings)]
            ghost = write_ghost(
                model, folder, every_token=every, dense=dense, whole=slow, check=self.check
            )
        except ModelError as error:
            raise _failed("no-disk", str(error), error.detail) from error
        stack.callback(_take_away, ghost)
        if ghost.left_empty:
            self.notice("slow-zeros", EMPTY)
        return ghost

    def _look_at_pages(self, process: EngineProcess, path: Path) -> None:
        question = self._question
        # Other builds keep every page that loading touched, so theirs say nothing.
        if process.pid is not None and question.build.kind == "embedded" and question.settings.mmap:
            self._notes.residency = look(process.pid, path)

    def _start(self, files: Files, address: Address) -> EngineProcess:
        try:
            job, environment = child.job_of(self._question, files, address)
        except EngineError as error:
            raise _failed("no-build", str(error), error.detail) from error
        benching = self._benching
        process = EngineProcess(
            job,
            on_event=self._heard,
            on_line=benching.line if benching is not None else None,
            command=self._command,
            environment=environment,
        )
        self._process = process
        try:
            process.start()
        except EngineError as error:
            raise _failed("no-build", str(error), error.detail) from error
        self._sampler.pid = process.pid
        self._watchdog.start(process)
        if self._stop.is_set():  # asked while the child was being made
            process.stop()
        return process

    def _end(self, process: EngineProcess) -> None:
        self._watchdog.stop()
        process.stop()
        self._sampler.pid = None

    def _wait_until_ready(self, process: EngineProcess) -> None:
        while not self._ready.wait(0.02):
            if not process.running:
                message = "llama.cpp ended before the model was loaded."
                raise EngineError(message)

    # --- Events ---------------------------------------------------------------------------------

    def _heard(self, event: Event) -> None:
        """On the log reader's thread."""
        self._watchdog.touch()
        self._notes.buffers.take(event)
        if isinstance(event, LoadingTensors):
            pid = self._process.pid if self._process is not None else None
            held = child_memory(pid) if pid is not None else None
            self._notes.program = held.resident if held is not None else None
            self._notes.program_files = (held.file or 0) if held is not None else 0
            self.enter("loading")
        elif isinstance(event, WarmingUp):
            self.enter("warm-up")
        elif isinstance(event, Adjusted):
            self.notice("changed-settings", f"llama.cpp says: {event.text}")
        elif isinstance(event, Ready):
            self._address = self._address or event.address
            # The worker gives the file's pages back once the server listens: wait for that.
            if not event.address or self._question.build.kind != "embedded":
                self._ready.set()

    def _sampled(self, at: int, values: Sample) -> None:
        """On the sampler's thread, one sample at a time, or at the end on the probe's."""
        phases = self.phases
        self._watchdog.look(values.get((HOST, "used")))
        for happened in self._noticing.look(
            at,
            values,
            self._sampler.throttled,
            pinned=self._notes.buffers.pinned,
            measuring=measuring_since(phases) is not None and stopping_since(phases) is None,
            lost=tuple(self._sampler.lost),
        ):
            self._tell(happened)

    def _give_up(self) -> None:
        """The watchdog found that nothing moves."""
        process = self._process
        if process is not None:
            self._kill(process)

    def _kill(self, process: EngineProcess) -> None:
        stopper = threading.Thread(target=process.stop, name="probe-stop", daemon=True)
        self._stoppers.append(stopper)
        stopper.start()

    def touch(self) -> None:
        """The child made progress."""
        self._watchdog.touch()

    def measured(self, point: SpeedPoint) -> None:
        """A speed is known."""
        self._notes.speeds.append(point)
        self._emit(Measured(point))

    def enter(self, name: PhaseName, *, depth: int = 0) -> None:
        """Another phase begins."""
        at = self.elapsed_ms
        with self._lock:
            if self._phases:
                last = self._phases[-1]
                if last.name == name and last.depth == depth and name != "prefill":
                    return
                self._phases[-1] = last.model_copy(update={"end_ms": at})
            phase = Phase(name=name, start_ms=at, depth=depth)
            self._phases.append(phase)
        self._watchdog.touch()
        self._emit(PhaseStarted(phase))

    def _close_phase(self) -> None:
        with self._lock:
            if self._phases and self._phases[-1].end_ms is None:
                self._phases[-1] = self._phases[-1].model_copy(update={"end_ms": self.elapsed_ms})

    def notice(self, kind: ObservationKind, sentence: str) -> None:
        """Something a person should know."""
        self._tell(Observation(kind=kind, at_ms=self.elapsed_ms, sentence=sentence))

    def _tell(self, observation: Observation) -> None:
        if len(self._notes.told) < MOST_TOLD:
            self._notes.told.append(observation)
            self._emit(Noticed(observation))

    def check(self) -> None:
        """Raises when it was stopped."""
        if self._stop.is_set():
            raise _Over(Ending(state="stopped", sentence="The probe was stopped."))

    # --- The end --------------------------------------------------------------------------------

    def _explain(self, process: EngineProcess, error: EngineError) -> _Over:
        """Why it did not go on: what we did, what the log says, how the child ended."""
        process.wait(0.5)
        ended = process.stop()
        phase = self.phase  # now that all of its log was read
        if self._stop.is_set():
            return _Over(Ending(state="stopped", sentence="The probe was stopped."))
        return _Over(
            outcome.failure(
                phase=phase.name if phase else "starting",
                hung_s=self._watchdog.silent_s,
                ended=ended,
                reason=process.failure,
                error=error,
                tail=process.last_words(TAIL_LINES),
                lost=self._sampler.lost,
            )
        )

    def _conclude(self, ending: Ending) -> ProbeResult:
        notes, sampler = self._notes, self._sampler
        notes.throttled, notes.throttled_ms = sampler.throttled, sampler.throttled_ms
        return conclude(
            self._question,
            ending,
            notes,
            sampler.trace(),
            self.phases,
            end_ms=self.elapsed_ms,
        )
