"""What would freeze the machine if it were run: said before, with the numbers. Pure."""

from dataclasses import dataclass
from typing import Final, Literal

from advisor.hardware.rig import Rig
from advisor.llm.ghost_scaled import Scaled
from advisor.llm.model import Model
from advisor.sizing.plan import Plan
from advisor.units import GIB, gib

HOST_MARGIN: Final = GIB
"""RAM that must stay free for the system and this app."""


@dataclass(frozen=True, slots=True)
class Objection:
    """One reason not to run. ``overridable``: a person may run anyway."""

    sentence: str
    overridable: bool = True
    remedy: Literal["", "this-machine", "look-again"] = ""
    """What else a person can do about it at once."""
    refuses: bool = True
    """A run ends by itself for this reason, and says it; else it is worth knowing before."""


def preflight(
    model: Model, rig: Rig, plan: Plan | None, *, available: int | None
) -> tuple[Objection, ...]:
    """Reasons not to run this plan of the model on this machine now.

    available: bytes of RAM that can be had now, None when that could not be read.
    """
    if (silent := nothing_to_time(model)) is not None:
        return (silent,)
    if rig.imagined:
        return (
            Objection(
                f"{rig.name} is not the machine at hand, and a probe runs here. "
                "Choose “This machine”.",
                overridable=False,
                remedy="this-machine",
            ),
        )
    if plan is None:
        return ()
    objections: list[Objection] = []
    need = plan.host.total
    if need is not None and available is not None and need > available - HOST_MARGIN:
        objections.append(
            Objection(
                f"It needs {gib(need)} of RAM ({_parts(plan)}); {gib(available)} can be had now, "
                f"and {gib(HOST_MARGIN)} should stay free. The machine would start swapping or "
                "end programs. Choose a smaller file type or context, or close programs."
            )
        )
    objections += [
        Objection(
            f"{device.title} ({device.name}) needs {gib(device.total)}; "
            f"{gib(device.free_before)} are free, {gib(-device.headroom)} too few. "
            "Move layers or experts to RAM, or choose a smaller file type or context."
        )
        for device in plan.devices
        if device.headroom is not None and device.headroom < 0
    ]
    return tuple(objections)


def nothing_to_time(model: Model) -> Objection | None:
    """Said of what keeps no context: a probe times tokens that are written one after the other.

    llama-server answers no completion then (server-context.cpp: need_logits without memory), nor
    with T5, whose decoder waits for an encoder that it never asks.
    """
    if model.decodes:
        return None
    return Objection(
        f"llama-server writes no answers token by token with {model.name}, which is what a probe "
        "times. Its memory is computed, and “Check with llama.cpp” on the Fit page holds it to "
        "llama.cpp's own figures.",
        overridable=False,
    )


def short_ghosts(parts: Scaled) -> Objection:
    """Said where the disk has no sparse files: what would be run in place of the whole."""
    few, more, count = parts.layers
    return Objection(
        f"The disk of the app's cache has no sparse files, so a stand-in of the whole model would "
        f"fill it. Two short ones can be run instead, with {few} and {more} of {count} layers "
        f"({gib(parts.nbytes)} at most); speeds and memory of the whole are extrapolated from them "
        "and marked so.",
        refuses=False,
    )


def _parts(plan: Plan) -> str:
    host = plan.host
    named = (("weights", host.weights), ("context", host.context), ("compute", host.compute))
    return ", ".join(f"{name} {gib(size)}" for name, size in named if size)
