"""What would read prompts faster where weights are copied from RAM for them, and what it costs."""

from typing import Final

from advisor.errors import SettingsError
from advisor.hardware.rig import Rig
from advisor.llm.model import Model
from advisor.sizing.calibration import Calibration
from advisor.sizing.other_splits import nothing_asked
from advisor.sizing.plan import Plan
from advisor.sizing.planner import size
from advisor.sizing.settings import FIT, RunSettings
from advisor.sizing.speed_prefill import COPIED
from advisor.sizing.ways_out import Change
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
_LOCKED: Final = {"mmap": False}


def prompt_ways(
    model: Model,
    rig: Rig,
    asked: RunSettings,
    plan: Plan,
    calibration: Calibration | None = None,
) -> tuple[Change, ...]:
    """Settings that read prompts of a run faster; none where copies hardly matter or none helps.

    ``asked``: the settings that led to ``plan``. Every way is sized as its fields make it.
    """
    terms = plan.speed.prefill_terms
    copied = sum(term.seconds for term in terms if term.name == COPIED)
    if copied < _COPIES * sum(term.seconds for term in terms) or copied <= 0:
        return ()
    base = asked.model_copy(update=FIT) if nothing_asked(asked) else asked

    def sized(**fields: object) -> Plan | None:
        try:
            settings = base.model_copy(update=fields)
            return size(model, rig, settings, calibration=calibration, finely=True, longest=False)
        except SettingsError:
            return None

    ways: list[Change] = []
    if asked.mmap and (locked := sized(**_LOCKED)) and _gains(plan, locked):
        # Of older builds --no-mmap (llama.cpp's common/arg.cpp): engine/command.py tells them so.
        ways.append(
            Change(
                kind="load_mode",
                title=f"Load it with --load-mode none: prompts at {_from(plan, locked)}",
                cost=f"{people(locked.host.weights)} of RAM stay taken while it runs, page-locked "
                "for faster copies as far as the driver does that, and loading takes longer.",
                size=0.0,
                file_type=model.file_type,
                rig=rig,
                plan=locked,
                fields=_LOCKED,
            )
        )
    if asked.ubatch_size < _LARGE <= asked.ctx:
        larger: dict[str, object] = {
            "ubatch_size": _LARGE,
            "batch_size": max(asked.batch_size, _LARGE),
        }
        long = {"n_prompt": min(_LONG, asked.ctx)}
        before, after = sized(**long), sized(**long, **larger)
        if after is not None and after.fits is False:
            larger = {**larger, **FIT}
            after = sized(**long, **larger)
        if before and after and after.fits is not False and _gains(before, after):
            ways.append(
                Change(
                    kind="micro_batch",
                    title=f"Raise the micro-batch (-ub {_LARGE}): prompts of "
                    f"{after.settings.n_prompt:,} tokens at {_from(before, after)}",
                    cost=_buffers(plan, after),
                    size=0.0,
                    file_type=model.file_type,
                    rig=rig,
                    plan=after,
                    fields=larger,
                )
            )
    return tuple(ways)


def as_sentence(way: Change) -> str:
    """A way as a line of text tells it."""
    return f"{way.title}. {way.cost}"


def _buffers(plan: Plan, after: Plan) -> str:
    more = sum(d.compute or 0 for d in after.devices) - sum(d.compute or 0 for d in plan.devices)
    cost = f"Its buffers take {people(more)} more" if more > 0 else "Its buffers take no more"
    was, now = plan.speed.decode_tps, after.speed.decode_tps
    if was is None or now is None or now.mid > 0.99 * was.mid:
        return f"{cost}; what is copied serves more tokens at once."
    if rate(now.mid) != rate(was.mid):
        cost += ", so more has to lie in RAM: " if more > 0 else "; "
        cost += f"it decodes {rate(now.mid)} instead of {rate(was.mid)}"
    return f"{cost}; what is copied serves more tokens at once."


def _gains(before: Plan, after: Plan) -> bool:
    was, now = before.speed.prefill_tps, after.speed.prefill_tps
    return was is not None and now is not None and now.mid >= _GAIN * was.mid


def _from(before: Plan, after: Plan) -> str:
    was, now = before.speed.prefill_tps, after.speed.prefill_tps
    return f"about {rate(now and now.mid)} instead of {rate(was and was.mid)}"
