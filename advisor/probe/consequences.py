"""What follows where a run was not as predicted: in memory, part by part, and in speed. Pure."""

from collections.abc import Sequence
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

GHOSTS_PROMPTS: Final = (
    "A ghost's tokens choose their experts by chance, so about all of them are copied from RAM for "
    "a prompt; a text has its favourites, and the model itself reads prompts faster, as Fit says."
)
"""Its prediction copies as many: ``Question.ghost``."""

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
    devices = [place for place in result.places if place.name != HOST]
    host = [place for place in result.places if place.name == HOST]
    found = [*_of_parts(result, devices), *_of_parts(result, host)]
    for place in result.places:
        found += _of_place(place)
    return [*found, *_of_speed(result), *_of_prompts(result)]


def _of_parts(result: ProbeResult, places: Sequence[PlaceResult]) -> list[str]:
    """A sentence for each part that differs much, about the place where it differs most."""
    largest: dict[str, tuple[int, Component, list[str]]] = {}
    for place in places:
        for part in place.components:
            difference = _difference(part)
            if not difference:
                continue
            before = largest.get(part.name)
            names = [] if before is None else before[2]
            if before is None or difference > before[0]:
                largest[part.name] = (difference, part, [_where(place), *names])
            else:
                names.append(_where(place))
    return [_of_part(result, part, _named(names)) for _d, part, names in largest.values()]


def _difference(part: Component) -> int:
    """Bytes between a part and its prediction; 0 where that is no news."""
    if part.engine is None or part.planned is None:
        return 0
    least = {"driver": DRIVER_BYTES, "program": PROGRAM_BYTES}.get(part.name)
    difference = abs(part.engine - part.planned)
    return (
        difference if difference >= (least or max(LARGE_BYTES, LARGE_SHARE * part.planned)) else 0
    )


def _named(names: Sequence[str]) -> str:
    more = len(names) - 1
    return names[0] + (f" (and of {more} more)" if more else "")


def _of_part(result: ProbeResult, part: Component, name: str) -> str:
    difference = (part.engine or 0) - (part.planned or 0)
    more = f"{size(abs(difference))} {'more' if difference > 0 else 'less'}"
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


def _of_prompts(result: ProbeResult) -> list[str]:
    """What a ghost's prompts do not tell of the model's."""
    in_ram = result.settings.n_cpu_moe or any("exps" in o for o in result.settings.override_tensor)
    read = any(point.prefill_tps for point in result.speeds)
    return [GHOSTS_PROMPTS] if result.ghost and result.rig.devices and in_ram and read else []


def _outside(value: float, span: Range) -> str:
    if value < span.low:
        return f"{1 - value / span.low:.0%} slower" if value < 0.995 * span.low else ""
    return f"{value / span.high - 1:.0%} faster" if value > 1.005 * span.high else ""


def _where(place: PlaceResult) -> str:
    return "RAM" if place.name == HOST else place.name
