"""What follows from a session: the model, its plan, the matrix of what fits, and the advice.

The window, the command line and the report all ask here, so that they give the same answers.
"""

import datetime as dt
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from advisor import llm
from advisor.advice.advise import Progress, advise
from advisor.advice.engine import MeasuredRun
from advisor.advice.options import Option
from advisor.advice.scenario_work import work_out
from advisor.advice.scenarios import Answer, Depth, scenario
from advisor.advice.verdict import Advice
from advisor.advice.workings import Workings
from advisor.engine.told import embedded_version, told
from advisor.errors import ModelError
from advisor.hardware.rig import Rig
from advisor.llm.catalogue import catalogue
from advisor.llm.companions import with_companions
from advisor.llm.model import Model
from advisor.probe.calibrate import disturbed, learn, measures_speed, same_machine, why_untaught
from advisor.probe.result import ProbeResult
from advisor.session import ModelChoice, Session
from advisor.sizing import size_anywhere
from advisor.sizing.calibration import Calibration
from advisor.sizing.matrix import Matrix, matrix
from advisor.sizing.plan import Plan
from advisor.sizing.settings import RunSettings
from advisor.sizing.tables import PerModel

SHORTEST_CONTEXT = 4096
LONGEST_UNTRAINED = 131072
"""Longest context shown for a model that does not say what it was trained for."""


def load_model(choice: ModelChoice) -> Model:
    """The tensors of a choice. Raises ModelError."""
    return llm.load(choice.model, choice.file_type, imatrix=choice.imatrix)


def accompanied(model: Model, settings: RunSettings) -> Model:
    """The model with the draft model and the projector that the settings name.

    Raises ModelError where one of them cannot be read.
    """
    if not settings.model_draft and not settings.mmproj:
        return model
    return _accompanied(model, (settings.model_draft, settings.mmproj))


_accompanied: PerModel[tuple[str, str], Model] = PerModel(
    lambda model, names: with_companions(model, draft=names[0], mmproj=names[1])
)


def plan_of(
    model: Model, rig: Rig, settings: RunSettings, calibration: Calibration | None = None
) -> Plan:
    """The plan of a model with its companions, anywhere where nobody asked for a placement.

    Raises SettingsError where llama.cpp would refuse to start, and ModelError where a companion
    cannot be read.
    """
    return size_anywhere(accompanied(model, settings), rig, settings, calibration=calibration)


def file_types_of(choice: ModelChoice) -> Mapping[str, Model]:
    """The chosen model in every file type worth showing, largest first; a GGUF in its own."""
    chosen = load_model(choice)
    if chosen.source == "gguf":
        return {chosen.file_type: chosen}
    entry = catalogue().find(choice.model)
    names = dict.fromkeys((*entry.file_types, chosen.file_type))
    if chosen.file_type != "F16" and "BF16" in names:
        names.pop("F16", None)  # the same bytes; one row is enough
    models = {name: llm.load(choice.model, name, imatrix=choice.imatrix) for name in names}
    return dict(sorted(models.items(), key=lambda item: -item[1].nbytes))


def contexts_of(model: Model, settings: RunSettings) -> tuple[int, ...]:
    """4k and up to what the model was trained for; the chosen context is always among them."""
    trained = model.hp.n_ctx_train if model.hp is not None else 0
    top = max(trained or LONGEST_UNTRAINED, SHORTEST_CONTEXT)
    usual = [ctx for ctx in (1024 << n for n in range(2, 11)) if ctx <= top]
    return tuple(sorted({*usual, top, settings.ctx}))


def matrix_of(
    choice: ModelChoice, rig: Rig, settings: RunSettings, calibration: Calibration | None = None
) -> tuple[Matrix, Mapping[str, Model]]:
    """The matrix of file types and contexts, and the models of its rows."""
    models = {name: accompanied(model, settings) for name, model in file_types_of(choice).items()}
    contexts = contexts_of(next(iter(models.values())), settings)
    found = matrix(models, rig, settings, contexts, calibration=calibration, closely=True)
    return found, models


def advice_of(
    session: Session,
    rig: Rig,
    *,
    at: dt.datetime,
    rough: bool = False,
    cancelled: Callable[[], bool] = lambda: False,
    progress: Progress = lambda _share, _text: None,
) -> Advice | None:
    """What to do about the session's usage on ``rig``; of its built-in case without a model.

    None while neither is chosen. ``rough``: a first answer about a model, see ``advise``. Raises
    ModelError for a model that writes no answers.
    """
    choice = session.model
    if choice is None:
        case = scenario_of(session, at=at, depth="verdict", cancelled=cancelled, progress=progress)
        return None if case is None else case.advice
    current = load_model(choice)
    asked = current if current.source == "gguf" else catalogue().find(choice.model)
    also = {entry.id: entry for entry in map(catalogue().find, session.usage.also)}
    silent = [entry.name for entry in also.values() if not entry.chats]
    if not current.served:
        silent.insert(0, current.name)
    if silent:
        raise ModelError(
            f"llama-server does not write answers token by token with {silent[0]}, and advice is "
            "about models that it does that with: choose one of those for it. What this one takes "
            "is worked out all the same."
        )
    models = [asked, *(entry for entry in also.values() if entry.id != asked.id)]
    advice = advise(
        session.usage,
        rig,
        models,
        at=at,
        current=current,
        settings=told(session.settings, rig),
        calibration=learn(rig, session.probes),
        measured=measured_runs(session.probes, rig),
        workings=_workings(),
        rough=rough,
        cancelled=cancelled,
        progress=progress,
    )
    tried = probed_in_vain(advice.to_probe, session.probes, rig)
    if not tried:
        return advice
    # After the first, which goes on from the headline: "It holds ...".
    first, others = advice.reasons[:1], advice.reasons[1:]
    return replace(advice, reasons=(*first, tried, *others))


def probed_in_vain(wanted: Option | None, probes: Sequence[ProbeResult], rig: Rig) -> str:
    """That what advice wants probed was probed already, and why that taught too little."""
    if wanted is None:
        return ""
    made = [
        probe
        for probe in probes
        if (probe.model_id, probe.file_type) == (wanted.model_id, wanted.file_type)
        and same_machine(rig, probe.rig)
    ]
    newest = max(made, key=lambda probe: probe.created, default=None)
    why = "" if newest is None else why_untaught(newest)
    if newest is None or not why:
        return ""
    return (
        f"{newest.title} was probed on {_made(newest)}, which does not settle its speed because "
        f"{why}."
    )


def _made(probe: ProbeResult) -> str:
    """When, in the reader's own time as the list of probes has it."""
    return f"{probe.created.astimezone():%Y-%m-%d %H:%M}"


@functools.cache
def _workings() -> Workings:
    """Shared by everything in this process that asks for advice: the page, then its report."""
    return Workings()


def scenario_of(
    session: Session,
    *,
    at: dt.datetime,
    depth: Depth = "whole",
    cancelled: Callable[[], bool] = lambda: False,
    progress: Progress = lambda _share, _text: None,
) -> Answer | None:
    """Everything about the built-in case that the session is about; None when it is about none.

    ``depth``: how exact, and with which tables. Raises SessionError for a case that this version
    does not have.
    """
    if session.scenario is None:
        return None
    case = scenario(session.scenario)
    return work_out(
        case,
        at=at,
        usage=session.usage,
        depth=depth,
        workings=_workings(),
        llama_cpp=session.settings.built or embedded_version(),
        cancelled=cancelled,
        progress=progress,
    )


def measured_runs(probes: Sequence[ProbeResult], rig: Rig) -> list[MeasuredRun]:
    """What probes of this very rig measured with an empty context, newest last.

    Those that swapping, spilling, heat or other programs held back do not tell how fast it is.
    """
    found: list[MeasuredRun] = []
    for probe in sorted(probes, key=lambda p: p.created):
        point = min(probe.speeds, key=lambda s: s.depth, default=None)
        same_rig = not rig.imagined and _same_parts(probe.rig, rig)
        if not same_rig or not measures_speed(probe) or disturbed(probe):
            continue
        if point is None or point.decode_tps is None:
            continue
        found.append(
            MeasuredRun(
                model_id=probe.model_id,
                file_type=probe.file_type,
                kv=probe.settings.ctk,
                decode_tps=point.decode_tps,
                prefill_tps=point.prefill_tps,
                device_watts=sum(p.mean_w for p in probe.power) or None,
                source=f"probe of {_made(probe)}",
                served=probe.method == "server",
            )
        )
    return found


def _same_parts(one: Rig, other: Rig) -> bool:
    """Two readings of one rig: cards, processor and memory; what is in use does not count.

    A report's PDF does not hold UUIDs.
    """

    def parts(rig: Rig) -> tuple[object, ...]:
        cards = tuple((d.name, d.memory_total) for d in rig.devices)
        return cards, rig.host.cpu, rig.host.ram_total

    return parts(one) == parts(other) and all(
        a.uuid == b.uuid or None in (a.uuid, b.uuid)
        for a, b in zip(one.devices, other.devices, strict=True)
    )
