"""What llama-bench would have measured where llama-server did."""

from typing import Final

from advisor.llm.model import Model
from advisor.probe.result import ProbeResult, SpeedPoint
from advisor.sizing.sampling import sampling_seconds

_MOST: Final = 0.5
"""Share of a token's time that choosing it is taken to need at most: cores differ."""


def as_benched(model: Model, result: ProbeResult) -> ProbeResult:
    """The result without what llama-server takes to choose its tokens.

    The speed model knows that apart: it is not to be taken for a slow machine.
    """
    if result.method != "server":
        return result
    chooses = sampling_seconds(model)

    def benched(point: SpeedPoint) -> SpeedPoint:
        if not point.decode_tps:
            return point
        seconds = 1 / point.decode_tps
        bare = 1 / max(seconds - chooses, seconds * _MOST)
        return point.model_copy(update={"decode_tps": bare})

    return result.model_copy(update={"speeds": tuple(map(benched, result.speeds))})
