"""What would read prompts faster where weights are copied from RAM for them, and what it costs."""

from collections.abc import Mapping
from typing import Final

from advisor.basis import Range
from advisor.errors import SettingsError
from advisor.hardware.rig import Rig
from advisor.llm.model import Model
from advisor.sizing.calibration import Calibration
from advisor.sizing.plan import Plan
from advisor.sizing.planner import size
from advisor.sizing.settings import FIT, RunSettings
from advisor.sizing.speed_prefill import COPIED
from advisor.units import rate
from advisor.units import size as people

_COPIES: Final = 0.25
"""Share of a prompt's time from which on its copies are worth a look."""
_GAIN: Final = 1.2
"""Times as fast that prompts have to be read: less may be the range's."""
_LARGE: Final = 2048
"""Tokens of a micro-batch that llama.cpp's own batch holds (-b)."""
_LONG: Final = 4096
"""Tokens of a prompt that is long enough for it."""


def prompt_sentences(
    model: Model, rig: Rig, plan: Plan, calibration: Calibration | None = None
) -> tuple[str, ...]:
    """Sentences, none where copies hardly matter or nothing helps; ``plan``'s run is sized anew."""
    terms = plan.speed.prefill_terms
    copied = sum(term.seconds for term in terms if term.name == COPIED)
    if copied < _COPIES * sum(term.seconds for term in terms) or copied <= 0:
        return ()

    def sized(settings: RunSettings, update: Mapping[str, object]) -> Plan | None:
        changed = settings.model_copy(update=update)
        try:
            return size(model, rig, changed, calibration=calibration, finely=True, longest=False)
        except SettingsError:
            return None

    found: list[str] = []
    if plan.settings.mmap:
        locked = sized(plan.settings, {"mmap": False})
        if locked is not None and _gains(plan.speed.prefill_tps, locked.speed.prefill_tps):
            found.append(
                f"--no-mmap would read prompts at {_from(plan, locked)}: weights in RAM are then "
                f"page-locked and copied faster. {people(plan.host.weights)} of RAM stay taken "
                "while it runs, and loading takes longer."
            )
    if plan.settings.ubatch_size < _LARGE <= plan.settings.ctx:
        larger = {"ubatch_size": _LARGE, "batch_size": max(plan.settings.batch_size, _LARGE)}
        long = {"n_prompt": min(_LONG, plan.settings.ctx)}
        before, after = sized(plan.settings, long), sized(plan.settings, {**long, **larger})
        if after is not None and after.fits is False:
            after = sized(plan.settings, {**long, **larger, **FIT})
        if before is not None and after is not None and after.fits is not False:
            words = _larger(plan, before, after)
            found += [words] if words else []
    return tuple(found)


def _larger(plan: Plan, before: Plan, after: Plan) -> str:
    if not _gains(before.speed.prefill_tps, after.speed.prefill_tps):
        return ""
    said = (
        f"-ub {_LARGE} would read prompts of {before.settings.n_prompt:,} tokens at "
        f"{_from(before, after)}: what is copied serves more tokens at once."
    )
    more = sum(d.compute or 0 for d in after.devices) - sum(d.compute or 0 for d in plan.devices)
    cost = f" Its buffers take {people(more)} more" if more > 0 else ""
    was, now = plan.speed.decode_tps, after.speed.decode_tps
    if cost and was is not None and now is not None and now.mid < 0.99 * was.mid:
        cost += (
            f", so more has to lie in RAM: it decodes {rate(now.mid)} instead of {rate(was.mid)}"
        )
    return f"{said}{cost}." if cost else said


def _gains(before: Range | None, after: Range | None) -> bool:
    return before is not None and after is not None and after.mid >= _GAIN * before.mid


def _from(before: Plan, after: Plan) -> str:
    was, now = before.speed.prefill_tps, after.speed.prefill_tps
    return f"about {rate(now and now.mid)} instead of {rate(was and was.mid)}"
