"""From what was sampled and logged to what is told: how it ended, power, events. Pure."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from advisor.engine.log import Failure
from advisor.engine.process import Exit
from advisor.errors import EngineError
from advisor.probe.memory import in_bytes, working_since
from advisor.probe.result import (
    Cause,
    Ending,
    Observation,
    Phase,
    PhaseName,
    PowerResult,
    SpeedPoint,
)
from advisor.probe.sampler import HOST
from advisor.probe.trace import Quantity, Trace
from advisor.units import MIB, gib, size

SWAP_NOTICED: Final = 64 * MIB
OTHERS_NOTICED: Final = 512 * MIB
SPILL_NOTICED: Final = 256 * MIB

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
        sentence = text.format(when=when, what=_allocation(reason), place=reason.place)
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
    "bad-file": ("bad-file", "llama.cpp cannot load this file: it is damaged or incomplete."),
    "assertion": ("crashed", "llama.cpp gave up {when} on an error of its own."),
}


def _allocation(reason: Failure) -> str:
    where = f" on {reason.place}" if reason.place else ""
    return f"{size(reason.size)}{where}" if reason.size is not None else f"what it needed{where}"


# --- Power and events ---------------------------------------------------------------------------


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


def observations(
    trace: Trace,
    phases: Sequence[Phase],
    throttled: Mapping[str, str],
    throttled_ms: Mapping[str, int] | None = None,
    *,
    pinned: int = 0,
) -> tuple[Observation, ...]:
    """What the samples tell beside memory: swapping, throttling, spilling, others at work.

    pinned: bytes of RAM that llama.cpp shares with GPUs on purpose.
    """
    end = trace.times_ms[-1] if trace.times_ms else 0
    moments = throttled_ms or {}
    found = [
        Observation(
            kind="throttled",
            at_ms=moments.get(name, end),
            sentence=f"{name}: its clocks were lowered ({why}).",
            place=name,
        )
        for name, why in throttled.items()
    ]
    swapped = _above(trace, "swap", SWAP_NOTICED)
    if swapped is not None:
        found.append(
            Observation(
                kind="swap",
                at_ms=swapped[0],
                sentence=f"{gib(swapped[1])} of llama.cpp's memory was swapped out: speeds are "
                "low.",
                place=HOST,
            )
        )
    spilled = _above(trace, "shared", SPILL_NOTICED + pinned)
    if spilled is not None:
        found.append(
            Observation(
                kind="spill",
                at_ms=spilled[0],
                sentence=f"{gib(spilled[1] - pinned)} of GPU memory was moved to shared RAM: it "
                "did not fit, and speeds are a fraction of what they would be.",
            )
        )
    others = _others(trace, phases)
    found += [] if others is None else [others]
    found += _others_on_devices(trace)
    return tuple(found)


def _above(trace: Trace, quantity: Quantity, limit: int) -> tuple[int, int] | None:
    """When a quantity of the host first passed a limit, and the most that it was, in bytes."""
    series = trace.get(HOST, quantity)
    peak = in_bytes(trace.peak(HOST, quantity))
    if series is None or peak is None or peak <= limit:
        return None
    pairs = zip(trace.times_ms, series.values, strict=True)
    return next(at for at, v in pairs if v is not None and int(v) << 10 > limit), peak


def _others_on_devices(trace: Trace) -> list[Observation]:
    """Devices on which other programs took much during the run."""
    found: list[Observation] = []
    for series in trace.series:
        own = trace.get(series.place, "process")
        if series.quantity != "used" or series.place == HOST or own is None:
            continue
        held = [
            (at, int(used) - int(mine))
            for at, used, mine in zip(trace.times_ms, series.values, own.values, strict=True)
            if used is not None and mine  # nothing of ours yet: its first moments are not told
        ]
        if len(held) < 3:
            continue
        first = held[0][1]
        at, most = max(held, key=lambda pair: pair[1])
        if (most - first) << 10 >= OTHERS_NOTICED:
            taken = gib((most - first) << 10)
            sentence = f"Other programs took {taken} of {series.place} while the probe ran."
            found.append(
                Observation(kind="other-program", at_ms=at, sentence=sentence, place=series.place)
            )
    return found


def _others(trace: Trace, phases: Sequence[Phase]) -> Observation | None:
    """Whether RAM that others hold grew by much while the model worked."""
    used, file, free = (trace.get(HOST, q) for q in ("used", "file", "available"))
    if used is None or free is None:
        return None
    since = working_since(phases)
    pages = file.values if file is not None else (0,) * len(used.values)
    held = [
        (at, int(a) + int(u) - int(f or 0))
        for at, u, f, a in zip(trace.times_ms, used.values, pages, free.values, strict=True)
        if u is not None and a is not None and at >= since
    ]
    if len(held) < 3:
        return None
    # What is free plus what the child holds stays the same unless others take or return memory.
    first = held[0][1]
    at, least = min(held, key=lambda pair: pair[1])
    taken = (first - least) << 10
    if taken < OTHERS_NOTICED:
        return None
    return Observation(
        kind="other-program",
        at_ms=at,
        sentence=f"Other programs took {gib(taken)} of RAM while the probe ran.",
        place=HOST,
    )
