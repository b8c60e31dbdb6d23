"""How a probe spends its seconds: prompt lengths, depths and tokens. Pure."""

from dataclasses import dataclass
from typing import Final

from advisor.sizing.settings import RunSettings
from advisor.units import tokens

WARM_PROMPT: Final = 16
WARM_TOKENS: Final = 4
MIN_DECODE: Final = 4
MAX_DECODE: Final = 256
MIN_DEPTH_FACTOR: Final = 2
"""A second depth is only worth it this much deeper than the first."""

ZERO_TOKENS: Final = 128
"""Most tokens generated from an empty context: as many as llama-bench does by default."""

_ZERO_DECODE: Final = 0.12
_FIRST_PREFILL: Final = 0.20
_FIRST_DECODE: Final = 0.20
_DEEP_PREFILL: Final = 0.30
_DEEP_DECODE: Final = 0.15
"""Shares of the time: the rest is slack for speeds that fall with depth."""

_PREFILL_LIMIT_FACTOR: Final = 3.0


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


def deeper(
    settings: RunSettings, seconds: float, before: int, prefill_tps: float, decode_tps: float
) -> Point | None:
    """A second, deeper measurement in the ``seconds`` that are left; None when not worth it."""
    room = cells_per_sequence(settings)
    affordable = int(prefill_tps * seconds * _DEEP_PREFILL)
    n_prompt = min(affordable, room - MAX_DECODE - 1)
    if n_prompt < before * MIN_DEPTH_FACTOR:
        return None
    return _point(
        n_prompt,
        room,
        seconds=seconds,
        share=_DEEP_DECODE,
        prefill_tps=prefill_tps,
        decode_tps=decode_tps,
    )


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
