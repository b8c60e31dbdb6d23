"""What a placement is judged by: the seconds that the settings' goal counts."""

from advisor.hardware.rig import Rig
from advisor.llm.model import Model
from advisor.sizing.calibration import Calibration
from advisor.sizing.placement import Placement
from advisor.sizing.settings import RunSettings
from advisor.sizing.speed import predict

ANSWER_SHARE = 8
"""A balanced run reads a prompt and writes an answer of one part in so many of it."""


def goal_settings(settings: RunSettings) -> RunSettings:
    """The settings at the depth that a placement is judged at: half way through the context.

    Time per token grows evenly with depth, so this is the mean over filling the context.
    """
    if settings.depth:
        return settings
    return settings.model_copy(update={"depth": settings.ctx // 2})


def weights_of(rig: Rig, settings: RunSettings) -> tuple[float, float]:
    """How often the goal counts a decoded and a prompt token.

    Where a device's rate of arithmetic is not known, only decoding can be compared.
    """
    if any(device.fp16_tflops is None for device in rig.devices):
        return 1.0, 0.0
    if settings.goal == "prefill":
        return 0.0, 1.0
    if settings.goal == "balanced":
        return settings.n_prompt / ANSWER_SHARE, float(settings.n_prompt)
    return 1.0, 0.0


def goal_seconds(
    model: Model,
    rig: Rig,
    settings: RunSettings,
    placement: Placement,
    calibration: Calibration | None = None,
) -> float | None:
    """What the goal wants least of; None where the speed is not known."""
    judged = goal_settings(settings)
    speed = predict(model, rig, judged, placement, calibration)
    once, prompt = weights_of(rig, judged)
    if speed.decode_tps is None or (prompt and speed.prefill_tps is None):
        return None
    seconds = once / speed.decode_tps.mid
    return seconds + (prompt / speed.prefill_tps.mid if speed.prefill_tps else 0.0)
