"""What probes of one machine teach about its speed and its driver's memory."""

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from advisor import llm
from advisor.errors import ModelError
from advisor.hardware.rig import Rig
from advisor.llm.model import Model
from advisor.probe.result import ObservationKind, ProbeResult, SpeedPoint, reads_from
from advisor.probe.slow_zeros import held_zeros
from advisor.probe.unsampled import as_benched
from advisor.sizing import size
from advisor.sizing.calibration import Calibration
from advisor.sizing.plan import Speed
from advisor.sizing.speed_class import class_of
from advisor.sizing.speed_data import CalibratedClass, speed_data
from advisor.sizing.speed_machine import few_bits, ram_rate
from advisor.sizing.speed_prefill import COPIED
from advisor.sizing.speed_similar import NORMAL_80
from advisor.sizing.speed_sums import model_sums

Floats = NDArray[np.float64]

MOST_PROBES: Final = 3
"""As many of the newest probes are used: a machine changes."""
SPOILING: Final[frozenset[ObservationKind]] = frozenset(
    {"swap", "spill", "lost", "asleep", "slow-zeros"}
)
"""After these the speeds are those of a disk, a bus, a pause or of no real model: no later run has
to expect them."""
DISTURBING: Final[frozenset[ObservationKind]] = frozenset({"busy", "throttled", "other-program"})
"""After these the machine may be faster than it was measured."""
_SPOILT: Final[dict[ObservationKind, str]] = {
    "swap": "the machine swapped",
    "spill": "memory of the GPU spilled into RAM",
    "lost": "a GPU stopped answering",
    "asleep": "the machine was asleep meanwhile",
    "slow-zeros": "its disk had no room for numbers in place of zeros",
}
_MIN_DECODED: Final = 8
"""Points of fewer tokens say little."""
_STEPS: Final = 4
_RANGE: Final = (1e-3, 1e5)


@dataclass(frozen=True, slots=True)
class Measured:
    """One probe with the model that it ran."""

    model: Model
    result: ProbeResult


def same_machine(one: Rig, other: Rig) -> bool:
    """Whether two rigs are the same hardware, as far as speed is concerned."""

    def key(rig: Rig) -> tuple[object, ...]:
        return (rig.host.cpu, rig.host.threads, *sorted(d.name for d in rig.devices))

    return not one.imagined and not other.imagined and key(one) == key(other)


def measures_speed(result: ProbeResult) -> bool:
    """Whether its speeds are this machine's own: it ran to its end, and nothing spoilt them."""
    spoilt = any(seen.kind in SPOILING for seen in result.observations)
    extrapolated = result.layers is not None
    whole = result.ending.state == "done" and bool(result.speeds) and not (spoilt or extrapolated)
    return whole and not held_zeros(result)


def teaches(result: ProbeResult) -> bool:
    """Whether it calibrates at all: few tokens say little."""
    return measures_speed(result) and any(map(_decode, result.speeds))


def disturbed(result: ProbeResult) -> bool:
    """Whether other programs or heat held it back, so that its speeds may be too low."""
    return any(seen.kind in DISTURBING for seen in result.observations)


def why_untaught(result: ProbeResult) -> str:
    """Why it calibrates nothing, or little, as the end of a sentence; empty where it does."""
    if result.ending.state != "done":
        return "it did not run to its end"
    for seen in result.observations:
        if seen.kind in SPOILING:
            return _SPOILT[seen.kind]
    if held_zeros(result):
        return "an earlier version of the app made it with zeros that slow a processor down"
    if not measures_speed(result):
        return "it did not measure the whole model's speed"
    if not teaches(result):
        return "too few tokens were generated"
    return "other programs or heat held it back" if disturbed(result) else ""


def usable(rig: Rig, results: Iterable[ProbeResult]) -> list[ProbeResult]:
    """Probes of this machine that measured how fast it decodes, newest first.

    Those that something held back count only where there are no others.
    """
    fitting = [r for r in results if teaches(r) and same_machine(rig, r.rig)]
    undisturbed = [r for r in fitting if not disturbed(r)]
    return sorted(undisturbed or fitting, key=lambda r: r.created, reverse=True)


def learn(rig: Rig, results: Iterable[ProbeResult]) -> Calibration | None:
    """What the newest probes of this machine teach; None without any. Remembered by their names.

    Loads the models again by their names; one that is no longer known is left out.
    """
    newest = usable(rig, results)[:MOST_PROBES]
    return _learned(_Key(tuple(r.id for r in newest), tuple(newest))) if newest else None


@dataclass(frozen=True, slots=True)
class _Key:
    names: tuple[str, ...]
    results: tuple[ProbeResult, ...] = field(compare=False)


@lru_cache(maxsize=8)
def _learned(key: _Key) -> Calibration | None:
    measured: list[Measured] = []
    for result in key.results:
        try:
            model = llm.load(str(result.path or result.model_id), result.file_type)
        except ModelError:
            continue
        measured.append(Measured(model, result))
    return calibrate(measured)


def calibrate(probes: Sequence[Measured]) -> Calibration | None:
    """What these probes, all of one machine, change in the speed model; None without any.

    Decoding: time per token is linear in what one byte, block and byte of RAM costs, so all points
    are fitted together. Prefill: time is a + b/x in each rate x, so each point gives its x by a
    secant; several points are combined by their median.
    """
    if not probes:
        return None
    probes = [replace(p, result=as_benched(p.model, p.result)) for p in probes]
    left, kinds = speed_data().calibrated, _kinds(probes)
    found = Calibration(
        source=_source(probes),
        spread=max([left.spread, *(kind.spread for kind in kinds)]),
        host_spread=left.spread,
    )
    on_host = [p for p in probes if not p.result.rig.devices]
    on_devices = [p for p in probes if p.result.rig.devices]
    found = _costs(found, probes)
    if on_devices:
        found = _fit(found, on_devices, _device_prefill)
        found = replace(found, driver_bytes=_drivers(on_devices))
    if on_host:
        found = _fit(found, on_host, _host_prefill)
    if found.prefill_factor != 1.0 or found.host_prefill_tflops is not None:
        found = replace(
            found,
            prefill_spread=max([left.prefill_spread, *(kind.prefill_spread for kind in kinds)]),
        )
    # Held back, a probe tells where to look, not how near: as wide as where nothing was measured.
    held_back = any(disturbed(p.result) for p in probes)
    if held_back:
        found = replace(found, spread=math.inf, host_spread=math.inf, prefill_spread=math.inf)
    return replace(
        found,
        missed=_missed(found, probes, _decode),
        prefill_missed=_missed(found, probes, _prefill),
    )


def _kinds(probes: Sequence[Measured]) -> list[CalibratedClass]:
    """Of the devices that were probed: kinds of which one model tells less than of others."""
    classes = speed_data().calibrated.classes
    found = [class_of(device) for probe in probes for device in probe.result.rig.devices]
    return [classes[known[0]] for known in found if known is not None and known[0] in classes]


def _source(probes: Sequence[Measured]) -> str:
    newest = max(probes, key=lambda p: p.result.created).result
    more = f" and {len(probes) - 1} more" if len(probes) > 1 else ""
    held_back = disturbed(newest)
    but = ", which other programs or heat held back: the range stays wide" if held_back else ""
    return f"probe of {newest.title}, {newest.created:%Y-%m-%d}{more}{but}"


Change = Callable[[Calibration, float], Calibration]
Quantity = Callable[[Speed | SpeedPoint], float | None]


def _device_prefill(base: Calibration, x: float) -> Calibration:
    return replace(base, prefill_factor=x)


def _host_prefill(base: Calibration, x: float) -> Calibration:
    return replace(base, host_prefill_tflops=x)


def _decode(speed: Speed | SpeedPoint) -> float | None:
    if isinstance(speed, SpeedPoint):
        return speed.decode_tps if speed.n_decode >= _MIN_DECODED else None
    return None if speed.decode_tps is None else speed.decode_tps.mid


def _prefill(speed: Speed | SpeedPoint) -> float | None:
    if isinstance(speed, SpeedPoint):
        return speed.prefill_tps
    return None if speed.prefill_tps is None else speed.prefill_tps.mid


def predicted(
    probe: Measured, point: SpeedPoint, calibration: Calibration, *, reading: bool = False
) -> Speed:
    """What the speed model says of one measured point: as it decodes, or as it reads its prompt.

    As llama-bench measures it, whatever did.
    """
    depth = reads_from(probe.result.method, point) if reading else point.depth
    settings = probe.result.settings.model_copy(
        update={"depth": depth, "n_prompt": max(1, point.n_prompt)}
    )
    rig = probe.result.rig
    return size(probe.model, rig, settings, calibration=calibration, longest=False).speed


_UNKNOWN_RAM: Final = 20.0
"""GB/s to begin with where nothing is known of the RAM; the points alone decide."""
_SLACK: Final = 0.02
"""Errors (natural logarithm) below it count by their squares, larger ones by themselves: a probe
that something disturbed does not carry the others along."""
_ROUNDS: Final = 60


@dataclass(frozen=True, slots=True)
class _Cost:
    """One factor of the time per token, and how far it may be from the shipped constant."""

    doubled: Callable[[Calibration, float], Calibration]
    """The calibration under a cost so many times as high."""
    doubt: float
    """Standard deviation of its logarithm before the probe; infinite: nothing is known."""


def _device_byte(base: Calibration, cost: float) -> Calibration:
    return replace(base, bandwidth_factor=base.bandwidth_factor / cost)


def _device_launch(base: Calibration, cost: float) -> Calibration:
    return replace(base, latency_factor=base.latency_factor * cost)


def _host_byte(base: Calibration, cost: float) -> Calibration:
    return replace(base, host_bandwidth_gbs=(base.host_bandwidth_gbs or _UNKNOWN_RAM) / cost)


def _host_block(base: Calibration, cost: float) -> Calibration:
    return replace(base, host_latency_factor=base.host_latency_factor * cost)


def _costs(base: Calibration, probes: Sequence[Measured]) -> Calibration:
    """Costs of a byte and a block, on devices and in RAM, by iterated least squares.

    The shipped constants are where the search starts and what it stays near as far as a probe does
    not say otherwise (a Gaussian prior): one run cannot tell a byte's cost from a block's, two
    models of different shape can; and what a run with experts in RAM shows is shared out by who
    had the larger part and the larger doubt.
    """
    points = [(probe, point) for probe in probes for point in probe.result.speeds]
    points = [(probe, point) for probe, point in points if _decode(point)]
    nominal = _nominal_ram(probes)
    start = replace(base, host_bandwidth_gbs=nominal or _UNKNOWN_RAM)
    costs = (
        _Cost(_device_byte, 0.15),
        _Cost(_device_launch, 0.5),
        _Cost(_host_byte, speed_data().host.spread if nominal else math.inf),
        _Cost(_host_block, 1.0),
    )
    rows: list[list[float]] = []
    targets: list[float] = []
    for probe, point in points:
        row = _linear(start, probe, point, costs)
        target = _decode(point)
        if row is not None and target:
            rows.append(row)
            targets.append(1 / target)
    if not rows:
        return base
    logs = _solved(np.array(rows), np.array(targets), [cost.doubt for cost in costs])
    found = start
    for cost, log in zip(costs, logs, strict=True):
        found = cost.doubled(found, math.exp(log))
    few = [
        few_bits(known.layers.sum(axis=0))
        for probe, _ in points
        if (known := model_sums(probe.model)) is not None
    ]
    return _as_far_as_told(replace(found, few_bits=statistics.fmean(few)), np.array(rows))


_LITTLE: Final = 0.1
_MUCH: Final = 0.5
"""Shares of the time: of cards that have less than the first, a probe tells nothing; of what has
less than the second, too little for a narrower range."""


def _as_far_as_told(found: Calibration, rows: Floats) -> Calibration:
    """Devices and RAM that had no part in the runs are as they were."""
    shares = rows / rows.sum(axis=1, keepdims=True)
    on_devices, on_host = (float(shares[:, at : at + 2].sum(axis=1).max()) for at in (0, 2))
    if on_devices < _LITTLE:
        found = replace(found, devices_told=False, bandwidth_factor=1.0, latency_factor=1.0)
    if not shares[:, 2].any():
        found = replace(found, host_bandwidth_gbs=None)
    return replace(
        found,
        spread=found.spread if on_devices >= _MUCH else math.inf,
        host_spread=found.host_spread if on_host >= _MUCH else math.inf,
    )


def _nominal_ram(probes: Sequence[Measured]) -> float | None:
    rates = (ram_rate(probe.result.rig.host) for probe in probes)
    return max(filter(None, rates), default=None)


def _linear(
    start: Calibration, probe: Measured, point: SpeedPoint, costs: Sequence[_Cost]
) -> list[float] | None:
    """Seconds per token that each cost stands for, and the rest of them last."""

    def seconds(calibration: Calibration) -> float | None:
        tps = _decode(predicted(probe, point, calibration))
        return 1 / tps if tps else None

    at_start = seconds(start)
    doubled = [seconds(cost.doubled(start, 2.0)) for cost in costs]
    if at_start is None or any(found is None for found in doubled):
        return None
    parts = [max((found or 0.0) - at_start, 0.0) for found in doubled]
    return [*parts, max(at_start - sum(parts), 0.0)]


def _solved(rows: Floats, targets: Floats, doubts: Sequence[float]) -> Floats:
    """Logarithms of the costs: Gauss-Newton, points weighted anew in every round."""
    tight = np.array([0.0 if math.isinf(doubt) else (_SLACK / doubt) ** 2 for doubt in doubts])
    logs: Floats = np.zeros(len(doubts))
    for _ in range(_ROUNDS):
        parts: Floats = rows[:, :-1] * np.exp(logs)
        total: Floats = parts.sum(axis=1) + rows[:, -1]
        error: Floats = np.log(total / targets)
        weight: Floats = 1 / np.maximum(np.abs(error) / _SLACK, 1.0)
        slope: Floats = parts / total[:, None]
        weighted: Floats = (slope * weight[:, None]).T
        left: Floats = weighted @ slope + np.diag(tight + 1e-9)
        step: Floats = np.linalg.solve(left, -weighted @ error - tight * logs).astype(np.float64)
        logs = logs + np.minimum(np.maximum(step, -1.0), 1.0)
    return logs


def _fit(base: Calibration, probes: Sequence[Measured], change: Change) -> Calibration:
    """``base`` with one rate changed so that the points' median is met."""
    rates = [
        rate
        for probe in probes
        for point in probe.result.speeds
        if (rate := _solve(base, probe, point, change)) is not None
    ]
    return change(base, statistics.median(rates)) if rates else base


def _solve(base: Calibration, probe: Measured, point: SpeedPoint, change: Change) -> float | None:
    """The rate under which this point is predicted as measured; None where it has no say."""
    target = _prefill(point)
    if not target or _chooses_all(base, probe, point):
        return None

    def seconds(rate: float) -> float | None:
        tps = _prefill(predicted(probe, point, change(base, rate), reading=True))
        return 1 / tps if tps else None

    low, high = 1.0, 2.0
    for _ in range(_STEPS):
        at_low, at_high = seconds(low), seconds(high)
        if at_low is None or at_high is None or at_low == at_high:
            return None
        slope = (at_low - at_high) / (1 / low - 1 / high)
        wanted = 1 / target - (at_low - slope / low)
        if slope <= 0 or wanted <= 0:
            return None
        low = min(max(slope / wanted, _RANGE[0]), _RANGE[1])
        high = low * 1.05
    return low


def _chooses_all(base: Calibration, probe: Measured, point: SpeedPoint) -> bool:
    """Whether more of its experts were copied to a device than a text would choose: a ghost's
    routers know no favourites."""
    if not probe.result.ghost:
        return False
    terms = predicted(probe, point, base, reading=True).prefill_terms
    return any(term.name == COPIED for term in terms)


def _missed(found: Calibration, probes: Sequence[Measured], quantity: Quantity) -> float:
    """The spread of what is left between measured and predicted speeds.

    At least as much that every speed of the newest probe lies in its range.
    """
    newest = max(probes, key=lambda p: p.result.created)
    errors, latest = [0.0], [0.0]
    for probe in probes:
        for point in probe.result.speeds:
            reading = quantity is _prefill
            if reading and _chooses_all(found, probe, point):
                continue
            target, tps = quantity(point), quantity(predicted(probe, point, found, reading=reading))
            if target and tps:
                error = abs(math.log(target / tps))
                errors.append(error)
                latest.append(error if probe is newest else 0.0)
    return max(max(latest) / NORMAL_80, math.sqrt(statistics.fmean(e * e for e in errors)))


def _drivers(probes: Sequence[Measured]) -> tuple[int, ...] | None:
    """Memory that the driver takes per device, from the newest probe that measured all."""
    for probe in probes:
        found = [
            next((part.engine for part in place.components if part.name == "driver"), None)
            for place in probe.result.places
            if place.name != "host"
        ]
        known = [size for size in found if size is not None]
        if found and len(known) == len(found):
            return tuple(known)
    return None
