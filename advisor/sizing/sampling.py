"""What llama-server takes to choose a token, which llama-bench's speeds leave out.

Computed and published decode speeds are llama-bench's, which draws tokens at random. llama-server
looks through the whole vocabulary on one core of the processor, while the devices wait. A speed
that somebody wishes for is one of use: what is held against it goes through ``reaches`` or
``served``.
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


def served(decode: Range, more: float) -> Range:
    """Tokens per second as llama-server writes them. ``more``: seconds of ``sampling_seconds``."""
    if not more:
        return decode
    return Range(low=_with(decode.low, more), mid=_with(decode.mid, more),
                 high=_with(decode.high, more))  # fmt: skip


def _with(tps: float, more: float) -> float:
    return 1 / (1 / tps + more)


def served_tps(speed: Speed) -> Range | None:
    """The same of a prediction."""
    return None if speed.decode_tps is None else served(speed.decode_tps, speed.sampling_s)


def reaches(decode: Range | None, more: float, least_tps: float) -> bool:
    """Whether llama-server writes as fast as wished for; an unknown speed does not."""
    return decode is not None and _with(decode.mid, more) >= least_tps


def matters(decode: Range | None, more: float) -> bool:
    """Whether the choice takes so much of a token's time that people should know."""
    return decode is not None and more >= sampling().told * (1 / decode.mid + more)


def sentence(speed: Speed) -> str:
    """What it makes of the decode speed; empty where it hardly matters."""
    return "" if speed.decode_tps is None else in_use(speed.decode_tps, speed.sampling_s)


def in_use(decode: Range, more: float) -> str:
    """The same of a speed that llama-bench would measure."""
    if not matters(decode, more):
        return ""
    return (
        f"llama-server writes about {rate(served(decode, more).mid)}: it chooses each token on the "
        f"processor, which takes some {duration(more)} (llama-bench and published figures leave "
        "that out)."
    )


def pace(speed: Speed, *, limit: float | None = None) -> str:
    """``"decode 9.8 tok/s"`` or, where that is less, ``"write 96 tok/s in llama-server"``.

    ``limit``: what it is held against.
    """
    known = served_tps(speed)
    if known is None or not matters(speed.decode_tps, speed.sampling_s):
        return f"decode {rate(known and known.mid, limit=limit)}"
    return f"write {rate(known.mid, limit=limit)} in llama-server"


def on_a_bench(written: Range, more: float) -> str:
    """What llama-bench would say of a speed that llama-server writes; empty where they are alike.

    Of a part of a sentence, without its end.
    """
    bench = 1 / written.mid - more
    if bench <= 0 or not matters(Range.exactly(1 / bench), more):
        return ""
    return (
        f"llama-bench would say about {rate(1 / bench)}: it leaves out that llama-server chooses "
        f"each token on the processor, some {duration(more)}"
    )
