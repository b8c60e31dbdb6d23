"""What probes of one machine teach about its speed and its driver's memory."""

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

from advisor import llm
from advisor.errors import ModelError
from advisor.hardware.rig import Rig
from advisor.llm.model import Model
from advisor.probe.result import ProbeResult, SpeedPoint
from advisor.sizing import size
from advisor.sizing.calibration import Calibration
from advisor.sizing.plan import Speed

MIN_SPREAD: Final = 0.08
"""Spread (natural logarithm) that one probe leaves: another model on the same machine."""

MOST_PROBES: Final = 3
"""As many of the newest probes are used: a machine changes."""
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


def usable(rig: Rig, results: Iterable[ProbeResult]) -> list[ProbeResult]:
    """Finished probes of this machine that measured a speed, newest first."""
    fitting = [
        r
        for r in results
        if r.ending.state == "done"
        and r.speeds
        and r.layers is None  # extrapolated
        and same_machine(rig, r.rig)
    ]
    return sorted(fitting, key=lambda r: r.created, reverse=True)


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
    """Factors under which the speed model gives what these probes measured; None without any.

    All must be of one machine. Time per token is a + b/x in every rate x of the speed model, so
    each point gives its x by a secant; several points are combined by their median.
    """
    if not probes:
        return None
    found = Calibration(source=_source(probes))
    on_host = [p for p in probes if not p.result.rig.devices]
    on_devices = [p for p in probes if p.result.rig.devices]
    if on_devices:
        found = _fit(found, on_devices, _device_decode, _decode)
        found = _fit(found, on_devices, _device_prefill, _prefill)
        found = replace(found, driver_bytes=_drivers(on_devices))
    if on_host:
        found = _fit(found, on_host, _host_decode, _decode)
        found = _fit(found, on_host, _host_prefill, _prefill)
    return replace(found, spread=max(MIN_SPREAD, _residual(found, probes)))


def _source(probes: Sequence[Measured]) -> str:
    newest = max(probes, key=lambda p: p.result.created).result
    more = f" and {len(probes) - 1} more" if len(probes) > 1 else ""
    return f"probe of {newest.title}, {newest.created:%Y-%m-%d}{more}"


# --- Rates of the speed model -------------------------------------------------------------------

Change = Callable[[Calibration, float], Calibration]
Quantity = Callable[[Speed | SpeedPoint], float | None]


def _device_decode(base: Calibration, x: float) -> Calibration:
    return replace(base, bandwidth_factor=x, latency_factor=1 / x)


def _device_prefill(base: Calibration, x: float) -> Calibration:
    return replace(base, prefill_factor=x)


def _host_decode(base: Calibration, x: float) -> Calibration:
    return replace(base, host_bandwidth_gbs=x)


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


def predicted(probe: Measured, point: SpeedPoint, calibration: Calibration) -> Speed:
    """What the speed model says of one measured point."""
    # A prompt's speed is its mean from an empty context on; decoding starts behind it.
    settings = probe.result.settings.model_copy(
        update={"depth": point.depth, "n_prompt": max(1, point.n_prompt)}
    )
    return size(probe.model, probe.result.rig, settings, calibration=calibration).speed


def _fit(
    base: Calibration, probes: Sequence[Measured], change: Change, quantity: Quantity
) -> Calibration:
    """``base`` with one rate changed so that the points' median is met."""
    rates = [
        rate
        for probe in probes
        for point in probe.result.speeds
        if (rate := _solve(base, probe, point, change, quantity)) is not None
    ]
    return change(base, statistics.median(rates)) if rates else base


def _solve(
    base: Calibration, probe: Measured, point: SpeedPoint, change: Change, quantity: Quantity
) -> float | None:
    """The rate under which this point is predicted as measured; None where it has no say."""
    target = quantity(point)
    if not target:
        return None

    def seconds(rate: float) -> float | None:
        tps = quantity(predicted(probe, point, change(base, rate)))
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


def _residual(calibration: Calibration, probes: Sequence[Measured]) -> float:
    """Spread of what is left between measured and predicted decode speeds."""
    errors: list[float] = []
    for probe in probes:
        for point in probe.result.speeds:
            target, tps = _decode(point), _decode(predicted(probe, point, calibration))
            if target and tps:
                errors.append(math.log(target / tps))
    return statistics.pstdev(errors) if len(errors) > 1 else 0.0


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
