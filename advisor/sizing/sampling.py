"""What llama-server takes to choose a token, which llama-bench's speeds leave out.

Computed and published decode speeds are llama-bench's, which draws tokens at random. llama-server
looks through the whole vocabulary on one core of the processor, while the devices wait.
"""

import functools

from pydantic import BaseModel, ConfigDict

from advisor import resources
from advisor.basis import Range
from advisor.llm.model import Model
from advisor.sizing.plan import Speed
from advisor.units import duration, rate


class Sampling(BaseModel):
    """resources/sampling.json."""

    model_config = ConfigDict(frozen=True)

    date: str
    base_us: float
    """µs per token of the server's own loop."""
    ns_per_token: float
    """ns per token of the vocabulary: a copy, and the search for the best."""
    told: float
    """Share of the time per token from which on it is worth a sentence."""
    method: str
    data: str
    backend_sampling: str
    """Why the option of that name is not advised."""


@functools.cache
def sampling() -> Sampling:
    """The shipped constants, validated once per process."""
    return resources.load(Sampling, "sampling.json")


def sampling_seconds(model: Model) -> float:
    """Seconds per token that llama-server's choice takes; 0 where the vocabulary is not known."""
    n_vocab = model.hp.n_vocab if model.hp is not None else 0
    known = sampling()
    return known.base_us * 1e-6 + n_vocab * known.ns_per_token * 1e-9 if n_vocab else 0.0


def served_tps(speed: Speed) -> Range | None:
    """Tokens per second as llama-server writes them."""
    span, more = speed.decode_tps, speed.sampling_s
    if span is None:
        return None
    return Range(**{end: 1 / (1 / tps + more) for end, tps in span.model_dump().items()})


def matters(speed: Speed) -> bool:
    """Whether the choice takes so much of a token's time that people should know."""
    span = speed.decode_tps
    if span is None:
        return False
    return speed.sampling_s >= sampling().told * (1 / span.mid + speed.sampling_s)


def sentence(speed: Speed) -> str:
    """What it makes of the decode speed; empty where it hardly matters."""
    served = served_tps(speed)
    if served is None or not matters(speed):
        return ""
    return (
        f"llama-server writes about {rate(served.mid)}: it chooses each token on the processor, "
        f"which takes some {duration(speed.sampling_s)} (llama-bench and published figures leave "
        "that out)."
    )
