"""From what was sampled and logged to what is told: how it ended, and power. Pure."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from advisor.engine.log import Failure
from advisor.engine.process import Exit
from advisor.errors import EngineError
from advisor.probe.result import (
    Cause,
    Ending,
    Phase,
    PhaseName,
    PowerResult,
    SpeedPoint,
)
from advisor.probe.trace import Trace
from advisor.units import size

MOST_SAID: Final = 200
"""Characters of llama.cpp's own words in a sentence."""
_FUNCTION: Final = re.compile(r"^[a-z_]+: ")
_PHASES: Final[Mapping[PhaseName, str]] = {
    "starting": "while it started",
    "loading": "while the model was loading",
    "warm-up": "during warm-up",
    "prefill": "while reading the prompt",
    "decode": "while generating",
    "stopping": "while it was being stopped",
}


def failure(
    *,
    phase: PhaseName,
    hung_s: float | None,
    ended: Exit,
    reason: Failure | None,
    error: EngineError,
    tail: str,
    lost: Collection[str] = (),
) -> Ending:
    """The end of a run that failed, from every witness."""
    when = _PHASES[phase]
    cause: Cause
    if lost:
        cause = "device-lost"
        names = ", ".join(sorted(lost))
        sentence = f"{names} stopped answering {when}. Its driver may need a restart."
    elif hung_s is not None:
        cause = "hung"
        sentence = (
            f"llama.cpp stopped moving {when}: no sign of life for {hung_s:.0f} s. It was ended."
        )
    elif reason is not None and reason.kind in _BY_REASON:
        cause, text = _BY_REASON[reason.kind]
        sentence = text.format(
            when=when, what=_allocation(reason), place=reason.place, text=_said(reason)
        )
    elif ended.out_of_memory:
        cause = "out-of-memory"
        sentence = f"The system ran out of RAM {when} and ended llama.cpp."
    elif ended.code in {-9, 137} and not ended.stopped:
        cause = "killed"
        sentence = f"llama.cpp was killed from outside {when}."
    elif not ended.stopped:
        cause = "crashed"
        sentence = f"{ended.sentence.rstrip('.')} {when}."
    else:
        cause = "other"
        sentence = f"{str(error).rstrip('.')} ({when})."
    detail = "\n".join(part for part in (error.detail, tail) if part)
    return Ending(state="failed", cause=cause, sentence=sentence, detail=detail)


_BY_REASON: Final[Mapping[str, tuple[Cause, str]]] = {
    "out-of-memory": (
        "out-of-memory",
        (
            "Out of memory {when}: llama.cpp could not allocate {what}. "
            "Choose a smaller file type or context, or close programs."
        ),
    ),
    "device-lost": ("device-lost", "The GPU was lost {when}. Its driver may need a restart."),
    "unknown-architecture": (
        "unknown-architecture",
        'This llama.cpp does not know the architecture "{place}". A newer build may.',
    ),
    "wrong-build": (
        "crashed",
        "This llama.cpp has no code for this GPU ({text}). Choose a build that was made for it.",
    ),
    "old-driver": (
        "crashed",
        (
            "The GPU's driver is too old for this llama.cpp. Update the driver, or choose an older "
            "build."
        ),
    ),
    "old-build": (
        "bad-file",
        "This llama.cpp is too old for this file ({text}). Choose a newer build.",
    ),
    "settings": ("crashed", "llama.cpp refuses these settings: {text}."),
    "address": ("crashed", "llama.cpp could not listen for our requests: {text}."),
    "bad-file": (
        "bad-file",
        "llama.cpp cannot load this file: it is damaged or incomplete. Download it again.",
    ),
    "assertion": ("crashed", "llama.cpp gave up {when} on an error of its own."),
}


def _said(reason: Failure) -> str:
    """llama.cpp's own words, without the names of its functions."""
    words = _FUNCTION.sub("", reason.text.rpartition("error: ")[2])
    return words[:MOST_SAID].rstrip(". ")


def _allocation(reason: Failure) -> str:
    where = f" on {reason.place}" if reason.place else ""
    return f"{size(reason.size)}{where}" if reason.size is not None else f"what it needed{where}"


def power(
    trace: Trace, phases: Sequence[Phase], speeds: Sequence[SpeedPoint]
) -> tuple[PowerResult, ...]:
    """Mean power while tokens were generated, and energy per token, of every device."""
    spans = [(p.start_ms, p.end_ms) for p in phases if p.name == "decode"]
    rates = [s.decode_tps for s in speeds if s.decode_tps]
    results: list[PowerResult] = []
    for series in trace.series:
        if series.quantity != "power":
            continue
        inside = [
            float(value)
            for at, value in zip(trace.times_ms, series.values, strict=True)
            if value is not None
            and any(start <= at and (end is None or at <= end) for start, end in spans)
        ]
        if inside:
            mean = sum(inside) / len(inside)
            joules = mean / (sum(rates) / len(rates)) if rates else None
            results.append(PowerResult(place=series.place, mean_w=mean, joules_per_token=joules))
    return tuple(results)
