"""From what was sampled and logged to what is kept: sentences, peaks, differences. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, Literal

from advisor.engine.log import BufferKind, BufferSize, Failure
from advisor.engine.process import Exit
from advisor.errors import EngineError
from advisor.probe.residency import Residency
from advisor.probe.result import (
    Cause,
    Component,
    Ending,
    Observation,
    Phase,
    PhaseName,
    PlaceResult,
    PowerResult,
    SpeedPoint,
)
from advisor.probe.sampler import HOST
from advisor.probe.trace import Quantity, Trace
from advisor.sizing.plan import DevicePlan, HostPlan, Plan
from advisor.units import MIB, gib, size

SWAP_NOTICED: Final = 64 * MIB
OTHERS_NOTICED: Final = 512 * MIB
SPILL_NOTICED: Final = 256 * MIB
UNREAD_NOTICED: Final = 64 * MIB
UNREAD_SHARE: Final = 0.02
"""Weights that were not read are worth a word when they are this much, and this share of all."""

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


# --- Memory -------------------------------------------------------------------------------------

_KIND: Final[Mapping[BufferKind, str]] = {
    "model": "weights",
    "context": "context",
    "state": "context",
    "compute": "compute",
    "output": "output",
}


def allocated(buffers: Iterable[BufferSize], devices: Sequence[str]) -> dict[str, dict[str, int]]:
    """Bytes that llama.cpp allocated, by place (``"host"`` for all else) and component."""
    sums: dict[str, dict[str, int]] = {}
    seen: set[tuple[str, str]] = set()
    for buffer in buffers:
        # A compute buffer is announced anew whenever its size changes: the last one counts.
        place = buffer.place if buffer.place in devices else HOST
        name = _KIND[buffer.kind]
        parts = sums.setdefault(place, {})
        if name == "compute" and (buffer.place, name) in seen:
            parts[name] = buffer.size
        else:
            parts[name] = parts.get(name, 0) + buffer.size
        seen.add((buffer.place, name))
    return sums


def places(
    plan: Plan | None,
    trace: Trace,
    phases: Sequence[Phase],
    *,
    buffers: Sequence[BufferSize],
    program: int | None,
    program_planned: int | None = None,
) -> tuple[PlaceResult, ...]:
    """Memory at every place of the plan: predicted, allocated by the log, and measured.

    program: bytes that the child held before it loaded anything; program_planned: what was
    predicted of that.
    """
    if plan is None:
        return ()
    by_log = allocated(_loaded(buffers), [device.name for device in plan.devices])
    working = _working_since(phases)
    results = [_device(d, trace, by_log.get(d.name, {})) for d in plan.devices]
    own = Component(name="program", planned=program_planned, engine=program)
    results.append(_host(plan.host, trace, by_log.get(HOST, {}), working, own))
    return tuple(results)


def _loaded(buffers: Sequence[BufferSize]) -> list[BufferSize]:
    """Buffers less the mapped file where weights were copied out of it, which then count once."""
    copied = sum(b.size for b in buffers if b.kind == "model" and "REPACK" in b.place)
    adjusted: list[BufferSize] = []
    for buffer in buffers:
        if buffer.kind == "model" and buffer.place.endswith("_Mapped") and copied:
            # The mapped range spans the whole file; what was copied is no longer read there.
            left = max(0, buffer.size - copied)
            copied = max(0, copied - buffer.size)
            adjusted.append(BufferSize("model", buffer.place, left))
        else:
            adjusted.append(buffer)
    return adjusted


def _working_since(phases: Sequence[Phase]) -> int:
    """When the first measured prompt ran: from then on memory is what the model needs.

    Before, the whole file was read, and its pages counted although they may be taken back.
    """
    for wanted in ("prefill", "warm-up"):
        for phase in phases:
            if phase.name == wanted:
                return phase.start_ms
    return 0


def _bytes(kib: float | None) -> int | None:
    return None if kib is None else int(kib) << 10


def _first(trace: Trace, place: str, quantity: Literal["used", "available"]) -> int | None:
    series = trace.get(place, quantity)
    if series is None:
        return None
    return _bytes(next((v for v in series.values if v is not None), None))


def _lowest(trace: Trace, place: str, quantity: Literal["used", "available"]) -> int | None:
    series = trace.get(place, quantity)
    known = [] if series is None else [v for v in series.values if v is not None]
    return _bytes(min(known, default=None))


def _device(plan: DevicePlan, trace: Trace, log: Mapping[str, int]) -> PlaceResult:
    before = _first(trace, plan.name, "used")
    own = _bytes(trace.peak(plan.name, "process"))
    peak = _bytes(trace.peak(plan.name, "used"))
    rise = None if peak is None or before is None else peak - before
    measured = own or rise
    free = None if plan.capacity is None or peak is None else plan.capacity - peak
    accounted = sum(log.values())
    driver = None if measured is None or not log else max(0, measured - accounted)
    return PlaceResult(
        name=plan.name,
        title=plan.title,
        capacity=plan.capacity,
        before=before,
        peak=measured,
        planned=plan.total,
        lowest_free=free,
        components=(
            Component(name="weights", planned=plan.weights, engine=log.get("weights")),
            Component(name="context", planned=plan.context, engine=log.get("context")),
            Component(name="compute", planned=plan.compute, engine=log.get("compute")),
            Component(name="driver", planned=plan.driver, engine=driver),
        ),
    )


def _host(
    plan: HostPlan, trace: Trace, log: Mapping[str, int], working_ms: int, program: Component
) -> PlaceResult:
    available = _first(trace, HOST, "available")
    return PlaceResult(
        name=HOST,
        title="RAM",
        capacity=plan.free_before if available is None else available,
        before=None,
        peak=_bytes(trace.peak(HOST, "used", since_ms=working_ms)),
        load_peak=_bytes(trace.peak(HOST, "used")),
        planned=None if plan.total is None else plan.total + (program.planned or 0),
        lowest_free=_lowest(trace, HOST, "available"),
        components=(
            Component(name="weights", planned=plan.weights, engine=log.get("weights")),
            Component(name="context", planned=plan.context, engine=log.get("context")),
            Component(name="compute", planned=plan.compute, engine=log.get("compute")),
            Component(name="output", planned=plan.output, engine=log.get("output")),
            program,
        ),
    )


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
    peak = _bytes(trace.peak(HOST, quantity))
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


def unread(
    residency: Residency | None, buffers: Sequence[BufferSize], at_ms: int
) -> tuple[Observation, ...]:
    """Why less was held than planned: weights of the file that no token of the run needed."""
    if residency is None:
        return ()
    copied = sum(b.size for b in buffers if b.kind == "model" and not _is_file(b))
    left = residency.weights - residency.read - copied
    if left < UNREAD_NOTICED or left < residency.weights * UNREAD_SHARE:
        return ()
    sentence = f"{size(left)} of the weights were never read from the file"
    if residency.experts_in_all > residency.experts_used:
        sentence += (
            f": {residency.experts_used:,} of {residency.experts_in_all:,} experts in it were used"
        )
    sentence += ". The plan counts them all, as a longer run would; this one held less."
    return (Observation(kind="unread", at_ms=at_ms, sentence=sentence),)


def _is_file(buffer: BufferSize) -> bool:
    return buffer.place.endswith("_Mapped")


def _others(trace: Trace, phases: Sequence[Phase]) -> Observation | None:
    """Whether RAM that others hold grew by much while the model worked."""
    used, file, free = (trace.get(HOST, q) for q in ("used", "file", "available"))
    if used is None or free is None:
        return None
    since = _working_since(phases)
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
