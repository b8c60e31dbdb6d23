"""One variant on one rig: its plan, its speed for the need, and the power it draws."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from advisor.advice import power
from advisor.advice.costs import LocalRun
from advisor.advice.usage import Usage
from advisor.advice.variants import Variant
from advisor.basis import Basis, Range
from advisor.errors import SettingsError
from advisor.hardware.rig import Rig
from advisor.llm.model import Model
from advisor.sizing import size
from advisor.sizing.plan import Plan
from advisor.sizing.settings import RunSettings

Sizer = Callable[[Model, Rig, RunSettings], Plan]


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
class Timed:
    """The outcome. ``run`` is None where speed or power is not known."""

    plan: Plan
    run: LocalRun | None
    ttft_s: Range | None
    notes: tuple[str, ...] = ()


def timed(
    variant: Variant,
    rig: Rig,
    usage: Usage,
    base: RunSettings,
    *,
    measured: Sequence[MeasuredRun] = (),
    sizer: Sizer = size,
) -> Timed | None:
    """Size and time a variant on a rig; None where llama.cpp would refuse the settings."""
    try:
        plan = sizer(variant.model, rig, variant.settings(base, usage))
    except SettingsError:
        return None
    speed = plan.speed
    decode, prefill = speed.decode_tps, speed.prefill_tps
    basis = speed.basis
    watts = power.estimate(rig)
    notes: list[str] = []
    found = next((m for m in measured if _same(m, variant)), None)
    if found is not None:
        decode, basis = Range.exactly(found.decode_tps), Basis.MEASURED
        prefill = prefill if found.prefill_tps is None else Range.exactly(found.prefill_tps)
        if found.device_watts is not None:
            watts = power.measured(found.device_watts, rig, source=found.source) or watts
        notes.append(f"speed from the {found.source}")
    if decode is None or prefill is None:
        return Timed(plan, None, None, (*speed.notes, "its speed is not known"))
    if watts is None:
        return Timed(plan, None, speed.ttft_s, ("its power draw is not known",))
    run = LocalRun(decode_tps=decode, prefill_tps=prefill, power=watts, basis=basis)
    wait = run.seconds(usage)
    ttft = speed.ttft_s or Range(
        low=float(wait.low) - usage.output_tokens / decode.high,
        mid=float(wait.mid) - usage.output_tokens / decode.mid,
        high=float(wait.high) - usage.output_tokens / decode.low,
    )
    return Timed(plan, run, ttft, tuple(notes))


def _same(m: MeasuredRun, variant: Variant) -> bool:
    model = variant.model
    return (m.model_id.lower(), m.file_type, m.kv) == (
        model.id.lower(),
        model.file_type,
        variant.kv,
    )
