"""What happened beside memory and speed: told while it runs, and summed up at its end."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from advisor.probe.memory import in_bytes, measuring_since, stopping_since
from advisor.probe.result import Observation, ObservationKind, Phase
from advisor.probe.sampler import HOST, Sample, power_limited
from advisor.probe.trace import Quantity, Trace
from advisor.probe.watch import ASLEEP_S
from advisor.units import MIB, gib

SWAP_NOTICED: Final = 64 * MIB
OTHERS_NOTICED: Final = 512 * MIB
SPILL_NOTICED: Final = 256 * MIB
MOVED: Final = 64 * MIB
"""A card's memory that changes by more than this moves."""
SETTLED_MS: Final = 500
"""The driver is asked what programs hold only every 250 ms (hardware/monitor.py), later than what a
card holds in all: so long after memory moved, the two are not set against each other."""
BUSY_NOTICED: Final = 10.0
"""Percent of the processor that others take, on average while speeds are measured."""
IDLE_NEEDED: Final = 10.0
"""Percent of the processor that is left idle where others do not hold llama.cpp up."""


def _throttled(place: str, why: str) -> tuple[ObservationKind, str]:
    """A card's power limit is no fault, and the next run has it too."""
    kind: ObservationKind = "power-limited" if power_limited(why) else "throttled"
    return kind, f"{place}: its clocks were lowered: {why}."


def _swapped(size: int) -> str:
    return f"{gib(size)} of llama.cpp's memory was swapped out: speeds are low."


def _spilled(size: int) -> str:
    return (
        f"{gib(size)} of GPU memory was moved to shared RAM: it did not fit, and speeds are a "
        "fraction of what they would be."
    )


def _asleep(seconds: float) -> str:
    return (
        f"Nothing could be read for {seconds:.0f} s: the computer slept or was stopped. Its speeds "
        "mean nothing then; probe again."
    )


def _taken(size: int, place: str) -> str:
    name = "RAM" if place == HOST else place
    return f"Other programs took {gib(size)} of {name} while the probe ran."


class _Others:
    """What other programs came to hold on one device while speeds were measured, in KiB."""

    def __init__(self) -> None:
        self._used: float | None = None
        self._since = 0
        self._least: float | None = None

    def taken(self, at_ms: int, used: float, own: float | None, *, measuring: bool) -> int:
        """More than the least that they held before; 0 while that cannot be said."""
        if self._used is None or abs(used - self._used) > MOVED >> 10:
            self._used, self._since = used, at_ms
        if not own or not measuring or at_ms - self._since < SETTLED_MS:
            return 0
        held = max(0, used - own)
        self._least = held if self._least is None else min(held, self._least)
        return int(held - self._least)


class Noticing:
    """Looks at each sample as it comes, and tells everything once, when it begins."""

    def __init__(self) -> None:
        self._told: set[tuple[ObservationKind, str]] = set()
        self._others: dict[str, _Others] = {}
        self._before: int | None = None
        """Milliseconds of the sample before."""
        self._free: float | None = None
        """KiB of RAM that were free or ours when measuring began."""

    def look(
        self,
        at_ms: int,
        values: Sample,
        throttled: Mapping[str, str],
        *,
        pinned: int,
        measuring: bool,
        lost: Collection[str] = (),
    ) -> list[Observation]:
        """What begins with this sample. ``measuring``: the model is loaded, speeds are measured.

        throttled: devices whose clocks are lowered, and why; pinned: as for ``observations``; lost:
        devices that do not answer any more.
        """
        found: list[tuple[ObservationKind, str, str]] = [
            *(("lost", name, f"{name} stopped answering.") for name in lost),
        ]
        for name, why in throttled.items():
            kind, sentence = _throttled(name, why)
            found.append((kind, name, sentence))
        slept = 0.0 if self._before is None else (at_ms - self._before) / 1000
        self._before = at_ms
        if slept > ASLEEP_S:
            found.append(("asleep", "", _asleep(slept)))
        swapped = in_bytes(values.get((HOST, "swap"))) or 0
        if swapped > SWAP_NOTICED:
            found.append(("swap", HOST, _swapped(swapped)))
        spilled = in_bytes(values.get((HOST, "shared"))) or 0
        if spilled > SPILL_NOTICED + pinned:
            found.append(("spill", "", _spilled(spilled - pinned)))
        found += self._others_on_devices(at_ms, values, measuring=measuring)
        if measuring:
            found += self._others_in_ram(values)
        news = [item for item in found if item[:2] not in self._told]
        self._told.update(item[:2] for item in news)
        return [
            Observation(kind=kind, at_ms=at_ms, sentence=sentence, place=place)
            for kind, place, sentence in news
        ]

    def _others_on_devices(
        self, at_ms: int, values: Sample, *, measuring: bool
    ) -> list[tuple[ObservationKind, str, str]]:
        found: list[tuple[ObservationKind, str, str]] = []
        for (place, quantity), own in values.items():
            used = values.get((place, "used"))
            if quantity != "process" or used is None:
                continue
            others = self._others.setdefault(place, _Others())
            taken = others.taken(at_ms, used, own, measuring=measuring) << 10
            if taken >= OTHERS_NOTICED:
                found.append(("other-program", place, _taken(taken, place)))
        return found

    def _others_in_ram(self, values: Sample) -> list[tuple[ObservationKind, str, str]]:
        found: list[tuple[ObservationKind, str, str]] = []
        used, free = values.get((HOST, "used")), values.get((HOST, "available"))
        if used is not None and free is not None:
            ours = free + used - (values.get((HOST, "file")) or 0)
            self._free = ours if self._free is None else self._free
            taken = int(self._free - ours) << 10
            if taken >= OTHERS_NOTICED:
                found.append(("other-program", HOST, _taken(taken, HOST)))
        return found


# --- At the end ---------------------------------------------------------------------------------


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
    found: list[Observation] = []
    for name, why in throttled.items():
        kind, sentence = _throttled(name, why)
        at_ms = moments.get(name, end)
        found.append(Observation(kind=kind, at_ms=at_ms, sentence=sentence, place=name))
    swapped = _above(trace, "swap", SWAP_NOTICED)
    if swapped is not None:
        found.append(
            Observation(
                kind="swap",
                at_ms=swapped[0],
                sentence=_swapped(swapped[1]),
                place=HOST,
            )
        )
    spilled = _above(trace, "shared", SPILL_NOTICED + pinned)
    if spilled is not None:
        found.append(
            Observation(
                kind="spill",
                at_ms=spilled[0],
                sentence=_spilled(spilled[1] - pinned),
            )
        )
    others = _others(trace, phases)
    found += [] if others is None else [others]
    found += _others_on_devices(trace, phases)
    found += _busy(trace, phases)
    return tuple(found)


def _above(trace: Trace, quantity: Quantity, limit: int) -> tuple[int, int] | None:
    """When a quantity of the host first passed a limit, and the most that it was, in bytes."""
    series = trace.get(HOST, quantity)
    peak = in_bytes(trace.peak(HOST, quantity))
    if series is None or peak is None or peak <= limit:
        return None
    pairs = zip(trace.times_ms, series.values, strict=True)
    return next(at for at, v in pairs if v is not None and int(v) << 10 > limit), peak


def _others_on_devices(trace: Trace, phases: Sequence[Phase]) -> list[Observation]:
    """Devices on which other programs took much while speeds were measured.

    What they took counts from the least that they held before.
    """
    found: list[Observation] = []
    since, until = measuring_since(phases), stopping_since(phases)
    if since is None:
        return found
    for series in trace.series:
        own = trace.get(series.place, "process")
        if series.quantity != "used" or series.place == HOST or own is None:
            continue
        others = _Others()
        risen = [
            (others.taken(at, used, mine, measuring=at >= since), at)
            for at, used, mine in zip(trace.times_ms, series.values, own.values, strict=True)
            if used is not None and (until is None or at < until)
        ]
        taken, at = max(risen, default=(0, 0), key=lambda pair: pair[0])
        if taken << 10 >= OTHERS_NOTICED:
            sentence = _taken(taken << 10, series.place)
            found.append(
                Observation(kind="other-program", at_ms=at, sentence=sentence, place=series.place)
            )
    return found


def _others(trace: Trace, phases: Sequence[Phase]) -> Observation | None:
    """Whether RAM that others hold grew by much while the model worked."""
    used, file, free = (trace.get(HOST, q) for q in ("used", "file", "available"))
    since = measuring_since(phases)
    if used is None or free is None or since is None:
        return None
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
        sentence=_taken(taken, HOST),
        place=HOST,
    )


def _busy(trace: Trace, phases: Sequence[Phase]) -> list[Observation]:
    """Whether other programs left llama.cpp less of the processor than it could have used."""
    others, used = trace.get(HOST, "others"), trace.get(HOST, "utilisation")
    spans = [(p.start_ms, p.end_ms) for p in phases if p.name in {"prefill", "decode"}]
    if others is None or used is None or not spans:
        return []
    measured = [
        (float(theirs), float(whole))
        for at, theirs, whole in zip(trace.times_ms, others.values, used.values, strict=True)
        if theirs is not None
        and whole is not None
        and any(start <= at and (end is None or at <= end) for start, end in spans)
    ]
    if not measured:
        return []
    theirs, whole = (sum(column) / len(measured) for column in zip(*measured, strict=True))
    if theirs < BUSY_NOTICED or whole < 100 - IDLE_NEEDED:
        return []
    sentence = (
        f"Other programs used {theirs:.0f}% of the processor while it was measured, and hardly "
        "any was left idle, so speeds may be too low. Close them, then probe again."
    )
    return [Observation(kind="busy", at_ms=spans[0][0], sentence=sentence, place=HOST)]
