"""How a probe spends its seconds: prompt lengths, depths and tokens. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from advisor.sizing.settings import RunSettings
from advisor.units import tokens

WARM_PROMPT: Final = 16
WARM_TOKENS: Final = 4
MIN_DECODE: Final = 4
MAX_DECODE: Final = 256
MIN_DEPTH_FACTOR: Final = 2
"""A further depth is only worth it this much deeper than the one before."""
_MOST_DEPTH_FACTOR: Final = 16
"""As long as one prompt alone was read, nobody knows how much slower a longer one is."""
MOST_DEPTHS: Final = 2
"""So many depths behind the first prompt."""

ZERO_TOKENS: Final = 128
"""Most tokens generated from an empty context: as many as llama-bench does by default."""

_ZERO_DECODE: Final = 0.12
_FIRST_PREFILL: Final = 0.20
_FIRST_DECODE: Final = 0.20
_DEEP_PREFILL: Final = 0.42
_DEEPEST_PREFILL: Final = 0.60
_DEEP_DECODE: Final = 0.20
"""Shares of the time: the rest is slack for speeds that fall with depth."""

_PREFILL_LIMIT_FACTOR: Final = 3.0

_AGAIN: Final = 0.05
"""Share of the time in which a short prompt is read again."""
_MOST_AGAIN: Final = 5
"""As often as llama-bench reads its prompt by default."""


@dataclass(frozen=True, slots=True)
class Point:
    """One measurement: a prompt of ``n_prompt`` tokens, then up to ``n_decode`` generated."""

    n_prompt: int
    n_decode: int
    decode_s: float
    """Stop generating after so long, whatever was reached."""
    limit_s: float
    """Give up on the whole measurement after so long."""


def cells_per_sequence(settings: RunSettings) -> int:
    """Context that one request can use (llama-context.cpp: n_ctx_seq)."""
    if settings.kv_unified or settings.parallel == 1:
        return settings.ctx
    return max(256, settings.ctx // settings.parallel)


def as_trained(settings: RunSettings, trained: int) -> RunSettings:
    """The settings with no more context than llama-server uses of it for one request.

    It takes no prompt beyond what a model was trained for (server-context.cpp: n_ctx_slot).
    ``trained``: in tokens, 0 where the header does not say.
    """
    if not trained or cells_per_sequence(settings) <= trained:
        return settings
    slots = 1 if settings.kv_unified else settings.parallel
    return settings.model_copy(update={"ctx": trained * slots})


def warm_up(settings: RunSettings) -> Point:
    """A few tokens: buffers get touched, and the speeds for the rest become known."""
    room = cells_per_sequence(settings)
    prompt = max(1, min(WARM_PROMPT, room // 4))
    return Point(prompt, WARM_TOKENS, decode_s=1e9, limit_s=1e9)


def zero(settings: RunSettings, seconds: float, decode_tps: float) -> Point:
    """Generation from an empty context, behind a prompt of one token."""
    room = cells_per_sequence(settings)
    wanted = int(decode_tps * seconds * _ZERO_DECODE)
    n_decode = max(MIN_DECODE, min(ZERO_TOKENS, wanted, room - 2))
    share = max(seconds * _ZERO_DECODE, MIN_DECODE / decode_tps)
    return Point(1, n_decode, decode_s=share, limit_s=max(seconds, 3 * share))


def first(settings: RunSettings, seconds: float, prefill_tps: float, decode_tps: float) -> Point:
    """The prompt that the settings ask for, or what the time allows; then decode."""
    room = cells_per_sequence(settings)
    affordable = int(prefill_tps * seconds * _FIRST_PREFILL)
    n_prompt = max(WARM_PROMPT, min(settings.n_prompt, affordable, room - MIN_DECODE - 1))
    return _point(
        n_prompt,
        room,
        seconds=seconds,
        share=_FIRST_DECODE,
        prefill_tps=prefill_tps,
        decode_tps=decode_tps,
    )


def again(seconds: float, took: float) -> int:
    """How often to read a prompt anew that took so long the first time; 0: that time counts.

    The first of its size pays for kernels that are loaded and graphs that are built, some 100 ms on
    a GPU (llama-bench runs each prompt once before it measures). Beside seconds that is nothing.
    """
    return min(_MOST_AGAIN, int(_AGAIN * seconds / took))


@dataclass(frozen=True, slots=True)
class Read:
    """A prompt that was read."""

    n_prompt: int
    tps: float


def deeper(
    settings: RunSettings, seconds: float, read: Sequence[Read], decode_tps: float
) -> Point | None:
    """A deeper measurement in the ``seconds`` that are left; None when not worth it.

    ``read``: the prompts before it, the longest last, at least one.
    """
    room, before = cells_per_sequence(settings), read[-1].n_prompt
    if len(read) == 1:
        affordable = int(read[0].tps * seconds * _DEEP_PREFILL)
        n_prompt = min(affordable, before * _MOST_DEPTH_FACTOR)
    else:
        n_prompt = _readable(read[-2], read[-1], seconds * _DEEPEST_PREFILL)
    n_prompt = min(n_prompt, room - MAX_DECODE - 1)
    if n_prompt < before * MIN_DEPTH_FACTOR:
        return None
    seconds_each = _per_token(*read[-2:], n_prompt=n_prompt) if len(read) > 1 else 1 / read[0].tps
    return _point(
        n_prompt,
        room,
        seconds=seconds,
        share=_DEEP_DECODE,
        prefill_tps=1 / seconds_each,
        decode_tps=decode_tps,
    )


def _slope(short: Read, long: Read) -> float:
    """Seconds by which each further token of a prompt makes each of its tokens slower.

    Attention looks at all that came before, so a prompt of n tokens takes a·n + c·n² seconds.
    """
    return max(0.0, (1 / long.tps - 1 / short.tps) / (long.n_prompt - short.n_prompt))


def _per_token(short: Read, long: Read, n_prompt: int) -> float:
    """Seconds per token of a longer prompt."""
    return 1 / long.tps + _slope(short, long) * (n_prompt - long.n_prompt)


def _readable(short: Read, long: Read, seconds: float) -> int:
    """Tokens of the prompt that takes so long."""
    c = _slope(short, long)
    a = 1 / long.tps - c * long.n_prompt
    return int(2 * seconds / (a + math.sqrt(a * a + 4 * c * seconds)))


def _point(
    n_prompt: int, room: int, *, seconds: float, share: float, prefill_tps: float, decode_tps: float
) -> Point:
    wanted = int(decode_tps * seconds * share)
    n_decode = max(MIN_DECODE, min(MAX_DECODE, wanted, room - n_prompt - 1))
    expected = n_prompt / prefill_tps + n_decode / decode_tps
    return Point(
        n_prompt=n_prompt,
        n_decode=n_decode,
        decode_s=max(seconds * share, MIN_DECODE / decode_tps),
        limit_s=max(seconds, expected * _PREFILL_LIMIT_FACTOR),
    )


def describe(point: Point) -> str:
    """``"prefill 512, decode 64"``."""
    return f"prefill {tokens(point.n_prompt)}, decode {point.n_decode}"
