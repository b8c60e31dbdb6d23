"""How long one waits for an answer's first token after long prompts, where most of a wait is."""

from typing import Final, NamedTuple

from advisor.basis import Explanation, Range
from advisor.errors import SettingsError
from advisor.hardware.rig import Rig
from advisor.llm.model import Model
from advisor.sizing import memory
from advisor.sizing.calibration import Calibration
from advisor.sizing.planner import size
from advisor.sizing.settings import RunSettings

_LONG: Final = 8192
"""Tokens of a prompt with a document or some files of code."""


class Wait(NamedTuple):
    """After a prompt of ``tokens`` that nothing of which is cached."""

    tokens: int
    seconds: Range
    how: Explanation | None


def waits(
    model: Model, rig: Rig, settings: RunSettings, calibration: Calibration | None = None
) -> tuple[Wait, ...]:
    """For a long prompt and for one that fills a slot; none where the speed is not known.

    ``settings``: those of a plan, placement included. A model that writes no tokens has none.
    """
    if not model.decodes:
        return ()
    full = memory.resolve(settings).n_ctx_seq - 1
    found: list[Wait] = []
    for count in ([_LONG] if full // 2 >= _LONG else []) + [full]:
        asked = settings.model_copy(update={"n_prompt": count, "depth": 0})
        try:
            plan = size(model, rig, asked, calibration=calibration, longest=False)
        except SettingsError:
            return ()
        if plan.speed.ttft_s is not None:
            found.append(Wait(count, plan.speed.ttft_s, plan.explanations.get("speed.ttft")))
    return tuple(found)
