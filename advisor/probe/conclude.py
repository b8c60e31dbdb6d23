"""From everything that a run left to its result. Pure but for the result's name and date."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from advisor.probe import memory, noticed, outcome, program
from advisor.probe.buffers import Buffers
from advisor.probe.question import Question
from advisor.probe.residency import Residency
from advisor.probe.result import (
    Ending,
    EngineFacts,
    Observation,
    Phase,
    ProbeResult,
    SpeedPoint,
    now,
    reads_from,
)
from advisor.probe.trace import Trace
from advisor.sizing import size
from advisor.sizing.plan import Speed
from advisor.sizing.sampling import served_tps


@dataclass
class Notes:
    """What is collected while a run lasts, beside its samples."""

    buffers: Buffers = field(default_factory=Buffers)
    """What the log said of memory."""
    program: int | None = None
    """Bytes that the child held when it began to load."""
    program_files: int = 0
    """Bytes of that which are pages of its program and libraries."""
    residency: Residency | None = None
    """What of the model's file it had read in the end."""
    speeds: list[SpeedPoint] = field(default_factory=list[SpeedPoint])
    told: list[Observation] = field(default_factory=list[Observation])
    """What was noticed while it ran."""
    throttled: dict[str, str] = field(default_factory=dict[str, str])
    """Devices whose clocks were lowered at some time, and why."""
    throttled_ms: dict[str, int] = field(default_factory=dict[str, int])
    """When that was first seen."""


def conclude(
    question: Question,
    ending: Ending,
    notes: Notes,
    trace: Trace,
    phases: tuple[Phase, ...],
    *,
    end_ms: int,
) -> ProbeResult:
    """The result of a run that ended ``end_ms`` milliseconds after it began."""
    model, build = question.model, question.build
    created = now()
    return ProbeResult(
        id=f"{created:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}",
        created=created,
        rig=question.rig,
        model_id=model.id,
        model_name=model.name,
        file_type=model.file_type,
        file_bytes=model.nbytes,
        n_params=model.n_params,
        ghost=question.ghost,
        minds_zeros=True,
        path=model.whole,
        settings=question.settings,
        engine=EngineFacts(
            name=build.path or "embedded", version=build.version, backends=build.backends
        ),
        method=question.method,
        ending=ending,
        phases=phases,
        places=memory.places(
            question.plan,
            trace,
            phases,
            buffers=notes.buffers,
            program=notes.program,
            program_planned=program.expected(build, model),
            files_needed=_files_needed(question, notes),
        ),
        speeds=beside_predicted(question, notes.speeds),
        power=outcome.power(trace, phases, notes.speeds),
        observations=_observations(question, notes, trace, phases, end_ms),
        trace=trace,
    )


def beside_predicted(question: Question, points: Sequence[SpeedPoint]) -> tuple[SpeedPoint, ...]:
    """The points with what was predicted of each before the run."""
    return tuple(_beside_predicted(question, point) for point in points)


def _beside_predicted(question: Question, point: SpeedPoint) -> SpeedPoint:
    def speed(depth: int) -> Speed:
        at = {"depth": depth, "n_prompt": max(1, point.n_prompt)}
        settings = question.settings.model_copy(update=at)
        plan = size(
            question.model,
            question.rig,
            settings,
            calibration=question.calibration,
            ghost=question.ghost,
            longest=False,
        )
        return plan.speed

    expected = speed(point.depth)
    served = question.method == "server"
    update = {"decode_predicted": served_tps(expected) if served else expected.decode_tps}
    if point.prefill_tps is not None:
        update["prefill_predicted"] = speed(reads_from(question.method, point)).prefill_tps
    return point.model_copy(update=update)


def _files_needed(question: Question, notes: Notes) -> int | None:
    """What an engine works with of its files' pages, where it keeps more than that.

    Our own worker gives such pages back.
    """
    if question.build.kind == "embedded" or not notes.buffers.model:
        return None
    return notes.buffers.mapped + notes.program_files


def _observations(
    question: Question, notes: Notes, trace: Trace, phases: tuple[Phase, ...], end_ms: int
) -> tuple[Observation, ...]:
    summed_up = noticed.observations(
        trace, phases, notes.throttled, notes.throttled_ms, pinned=notes.buffers.pinned
    )
    # What was told when it began is told again with all that came of it.
    known = {(o.kind, o.place) for o in summed_up}
    found = [*(o for o in notes.told if (o.kind, o.place) not in known), *summed_up]
    needed = _files_needed(question, notes)
    if needed is not None:
        found += memory.kept(trace, phases, notes.buffers, end_ms, needed)
    found += memory.unread(notes.residency, notes.buffers, end_ms)
    return tuple(sorted(found, key=lambda o: o.at_ms))
