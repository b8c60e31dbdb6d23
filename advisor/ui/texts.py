"""Rigs and models in a few words, for headers and lists."""

from pathlib import Path
from typing import TYPE_CHECKING

from advisor import units
from advisor.hardware.rig import Rig

if TYPE_CHECKING:
    from advisor.ui.state import AppState


def rig_in_short(rig: Rig) -> str:
    """``"2× RTX 4090 · 128 GiB"``; the CPU's cores where there is no accelerator."""
    counts: dict[str, int] = {}
    for device in rig.devices:
        counts[device.name] = counts.get(device.name, 0) + 1
    parts = [name if n == 1 else f"{n}× {name}" for name, n in counts.items()]
    host = rig.host
    if not parts and host.cores:
        parts.append(f"{host.cores} cores")
    if host.ram_total is not None:
        parts.append(units.gib(host.ram_total, 0))
    return " · ".join(parts)


def choice_name(state: "AppState") -> str:
    """The model in question as people say it."""
    if state.model is not None:
        return state.model.name
    choice = state.choice
    if choice is None:
        return ""
    name = choice.model
    return Path(name).name if name.endswith(".gguf") else name.rpartition("/")[2]


def detection_in_short(rig: Rig) -> str:
    """What was detected and from where, for the status line."""
    drivers = sorted({d.driver for d in rig.devices if d.driver})
    parts = [rig_in_short(rig)]
    if drivers:
        parts.append(f"driver {', '.join(drivers)}")
    if rig.host.os:
        parts.append(rig.host.os)
    return " · ".join(part for part in parts if part)
