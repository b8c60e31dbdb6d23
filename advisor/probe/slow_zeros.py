"""Which weights of a ghost have to be filled, because their zeros slow the processor down."""

from typing import Final

from advisor import llm
from advisor.errors import RigAdvisorError
from advisor.hardware.rig import Rig
from advisor.llm import ghost_fill
from advisor.llm.model import Model
from advisor.llm.tensor import Tensor
from advisor.probe.preflight import Objection
from advisor.probe.result import ProbeResult
from advisor.sizing.allocation import place_model, room
from advisor.sizing.settings import RunSettings
from advisor.sizing.weights import device_tensors
from advisor.units import GIB, gib

MUCH: Final = GIB
"""Disk that is worth a word before it is filled."""
EMPTY: Final = (
    "The disk of the app's cache has no room for weights in RAM of a type whose zeros slow a "
    "processor down, so the stand-in holds zeros there: decoding is several times slower than with "
    "the model, and its speeds count for nothing. Make room, then probe again."
)
HELD: Final = (
    "An earlier version of the app made this probe. Its stand-in held zeros in RAM, of a type "
    "whose zeros slow a processor down: the model decodes several times faster. Probe it again."
)


def to_fill(model: Model, rig: Rig, settings: RunSettings) -> tuple[Tensor, ...]:
    """Tensors of a ghost that the processor multiplies with and that may not be zero.

    model: the one that a ghost stands in for. rig: as its build can use it.
    """
    slow = [t for t in model.tensors if t.type.name in ghost_fill.SLOW_ZEROS]
    if not slow or model.whole is not None:
        return ()
    space = room(rig)
    if not space.backends:
        return tuple(slow)
    placement = place_model(model, settings, space.backends, space.free)
    on_devices = {
        tensor.name
        for backend in set(space.backends)
        for tensor in device_tensors(model, placement, backend, load_mtp=settings.load_mtp)
    }
    return tuple(tensor for tensor in slow if tensor.name not in on_devices)


def filling(model: Model, rig: Rig, settings: RunSettings) -> tuple[Objection, ...]:
    """Said where a ghost takes much disk while it runs, and time to be written."""
    taken = sum(tensor.nbytes for tensor in to_fill(model, rig, settings))
    if taken < MUCH:
        return ()
    return (
        Objection(
            f"{gib(taken)} of the weights that stay in RAM are of a type whose zeros slow a "
            "processor down, so its stand-in holds numbers there and takes that much disk while "
            "the probe runs.",
            refuses=False,
        ),
    )


def held_zeros(result: ProbeResult) -> bool:
    """Whether a kept result is of a ghost with such zeros, of which its version knew nothing.

    Of a model that is not known any more nothing can be told; it calibrates nothing either.
    """
    if not result.ghost or result.minds_zeros:
        return False
    try:
        model = llm.load(result.model_id, result.file_type)
        return bool(to_fill(model, result.rig, result.settings))
    except RigAdvisorError:
        return False
