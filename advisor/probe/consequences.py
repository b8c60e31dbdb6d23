"""What follows where a run was not as predicted: in memory, part by part, and in speed. Pure."""

from typing import Final

from advisor.basis import Range
from advisor.probe.calibrate import disturbed, teaches
from advisor.probe.result import Component, PlaceResult, ProbeResult
from advisor.probe.sampler import HOST
from advisor.units import MIB, size

LARGE_SHARE: Final = 0.01
LARGE_BYTES: Final = 4 * MIB
"""What llama.cpp accounts for is predicted to within 1 % or 4 MiB: more than both is large."""
DRIVER_BYTES: Final = 64 * MIB
"""So far a driver's context differs from one release to the next."""
PROGRAM_BYTES: Final = 128 * MIB
"""So far builds differ by the libraries that they load."""
LITTLE_LEFT: Final = 512 * MIB

_NAMES: Final = {
    "weights": "weights",
    "context": "context",
    "compute": "compute buffers",
    "output": "output buffer",
    "draft": "drafting",
    "projector": "projector",
}


def consequences(result: ProbeResult) -> list[str]:
    """Sentences, none where all is as predicted or the run did not come to its end."""
    if result.ending.state != "done":
        return []
    found: list[str] = []
    for place in result.places:
        found += [said for part in place.components if (said := _of_part(result, place, part))]
        found += _of_place(place)
    return [*found, *_of_speed(result)]


def _of_part(result: ProbeResult, place: PlaceResult, part: Component) -> str:
    if part.engine is None or part.planned is None:
        return ""
    difference = part.engine - part.planned
    least = {"driver": DRIVER_BYTES, "program": PROGRAM_BYTES}.get(part.name)
    if abs(difference) < (least or max(LARGE_BYTES, LARGE_SHARE * part.planned)):
        return ""
    more = f"{size(abs(difference))} {'more' if difference > 0 else 'less'}"
    name = _where(place)
    if part.name == "driver":
        return (
            f"The driver takes {more} of {name} than predicted. Plans that this probe calibrates "
            f"count {size(part.engine)} for it."
        )
    if part.name == "program":
        return f"llama.cpp itself holds {more} of {name} than predicted, whatever the model."
    return (
        f"{_NAMES[part.name].capitalize()}: llama.cpp {result.engine.version} allocated {more} of "
        f"{name} than predicted. Its own figure holds; “Check with llama.cpp” on Fit asks it for "
        "any other file type and context."
    )


def _of_place(place: PlaceResult) -> list[str]:
    if place.lowest_free is None or place.lowest_free >= LITTLE_LEFT:
        return []
    left = max(0, place.lowest_free)
    sentence = (
        f"Only {size(left)} of {_where(place)} stayed free: what another program takes may end "
        "such a run. A shorter context, a smaller file type or a quantized KV cache leaves more."
    )
    return [sentence]


def _of_speed(result: ProbeResult) -> list[str]:
    """About decoding at the first depth alone: one sentence says what follows for all."""
    point = next((p for p in result.speeds if p.decode_tps and p.decode_predicted), None)
    if point is None or point.decode_tps is None or point.decode_predicted is None:
        return []
    off = _outside(point.decode_tps, point.decode_predicted)
    if not off or not teaches(result):
        return []
    then = (
        "As something held it back, that may be no more than this."
        if disturbed(result)
        else "Other models on this machine are predicted by what was measured from now on."
    )
    return [f"Decoding is {off} than predicted. {then}"]


def _outside(value: float, span: Range) -> str:
    if value < span.low:
        return f"{1 - value / span.low:.0%} slower" if value < 0.995 * span.low else ""
    return f"{value / span.high - 1:.0%} faster" if value > 1.005 * span.high else ""


def _where(place: PlaceResult) -> str:
    return "RAM" if place.name == HOST else place.name
