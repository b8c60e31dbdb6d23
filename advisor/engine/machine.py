"""This machine as drivers, the host and the embedded llama.cpp see it together."""

from advisor.engine.builds import embedded
from advisor.hardware import detect
from advisor.hardware.rig import Rig


def read_machine() -> Rig:
    """Detect this machine, and ask the engine (a child process) for what no driver reports.

    That is every GPU where there is none, and how much of a Mac's memory Metal allows.
    """
    rig = detect()
    if any(device.backend != "metal" for device in rig.devices):
        return rig
    seen = [
        {
            "name": device.name,
            "description": device.title,
            "memory_total": device.total,
            "memory_free": device.free,
            "type": device.type,
        }
        for device in embedded().devices
    ]
    return detect(seen) if seen else rig
