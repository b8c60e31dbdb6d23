"""One variant on one rig: whether it fits, its speed for the need, and the power it draws."""

from collections.abc import Sequence
from dataclasses import dataclass

from advisor.advice import power
from advisor.advice.costs import LocalRun
from advisor.advice.usage import Usage
from advisor.advice.variants import Variant
from advisor.basis import Basis, Range
from advisor.errors import SettingsError
from advisor.hardware.rig import Rig
from advisor.sizing import memory, size
from advisor.sizing.allocation import allocate, room
from advisor.sizing.calibration import Calibration
from advisor.sizing.plan import Plan
from advisor.sizing.settings import RunSettings
from advisor.sizing.solver import solve
from advisor.sizing.speed import predict
from advisor.sizing.verdict import Judgement, judged


@dataclass(frozen=True)
class MeasuredRun:
    """What a probe measured on the rig in question. Speeds in tokens per second."""

    model_id: str
    file_type: str
    kv: str
    decode_tps: float
    prefill_tps: float | None
    device_watts: float | None
    """Of all cards together while tokens were made."""
    source: str
    """``"probe of 2026-11-23 14:05"``."""


@dataclass(frozen=True)
class Engine:
    """How the engine is asked: settings to start from, and what probes taught about this rig."""

    settings: RunSettings
    calibration: Calibration | None = None
    measured: Sequence[MeasuredRun] = ()

    def elsewhere(self) -> "Engine":
        """For another rig: nothing was measured there."""
        return Engine(self.settings)


@dataclass(frozen=True)
class Timed:
    """The outcome. ``run`` is None where speed or power is not known, the notes say why."""

    judgement: Judgement
    ctx: int
    run: LocalRun | None
    ttft_s: Range | None
    notes: tuple[str, ...] = ()


def timed(variant: Variant, rig: Rig, usage: Usage, engine: Engine) -> Timed | None:
    """Fit and speed of a variant on a rig; None where llama.cpp would refuse the settings.

    Prefill counts from the end of what is cached, decode from the middle of the answer.
    """
    wanted = variant.settings(engine.settings, usage)
    try:
        memory.check(variant.model, wanted)
    except SettingsError:
        return None
    space = room(rig, engine.calibration)
    solved = solve(variant.model, rig, wanted, space)
    allocation = allocate(variant.model, solved, space.backends, space.free)
    judgement = judged(allocation, space, solved.margin)
    if not judgement.fits:
        return Timed(judgement, usage.context, None, None)
    prompt = predict(variant.model, rig, solved, allocation.placement, engine.calibration)
    deep = min(usage.prompt_tokens + usage.output_tokens // 2, usage.context - 1)
    answer = predict(
        variant.model,
        rig,
        solved.model_copy(update={"depth": deep}),
        allocation.placement,
        engine.calibration,
    )
    decode, prefill, basis = answer.decode_tps, prompt.prefill_tps, answer.basis
    watts = power.estimate(rig)
    notes: list[str] = []
    found = next((m for m in engine.measured if _same(m, variant)), None)
    if found is not None:
        decode, basis = Range.exactly(found.decode_tps), Basis.MEASURED
        prefill = prefill if found.prefill_tps is None else Range.exactly(found.prefill_tps)
        if found.device_watts is not None:
            watts = power.measured(found.device_watts, rig, source=found.source) or watts
        notes.append(f"speed from the {found.source}")
    if decode is None or prefill is None:
        missing = "speed" if decode is None else "time for a prompt"
        return Timed(
            judgement, usage.context, None, None, (*answer.notes, f"its {missing} is not known")
        )
    if watts is None:
        return Timed(judgement, usage.context, None, None, ("its power draw is not known",))
    run = LocalRun(decode_tps=decode, prefill_tps=prefill, power=watts, basis=basis)
    new = float(usage.new_tokens)
    ttft = Range(
        low=new / prefill.high + 1 / decode.high,
        mid=new / prefill.mid + 1 / decode.mid,
        high=new / prefill.low + 1 / decode.low,
    )
    return Timed(judgement, usage.context, run, ttft, tuple(notes))


def planned(variant: Variant, rig: Rig, usage: Usage, engine: Engine) -> Plan:
    """The whole plan of a variant that ``timed`` has sized, for reading and for its command."""
    settings = variant.settings(engine.settings, usage)
    return size(variant.model, rig, settings, calibration=engine.calibration)


def _same(m: MeasuredRun, variant: Variant) -> bool:
    model = variant.model
    return (m.model_id.lower(), m.file_type, m.kv) == (
        model.id.lower(),
        model.file_type,
        variant.kv,
    )
