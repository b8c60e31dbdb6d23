"""This machine as drivers, the host and the llama.cpp that is found on it see it together."""

from advisor.engine import folders
from advisor.engine.builds import choose, discover, embedded, programs
from advisor.engine.told import embedded_version
from advisor.errors import EngineError
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


def with_engine(rig: Rig) -> Rig:
    """This machine with the llama.cpp that a probe of it would choose.

    Asks every program found, once (``discover``); where there is none it is the app's own.
    """
    named = folders.named()
    if not rig.devices or not programs(named):
        return rig.model_copy(update={"llama_cpp": embedded_version()})
    try:
        version = choose(discover(named), rig).build.version
    except EngineError:  # none works; what is predicted is predicted for the app's own
        version = embedded_version()
    return rig.model_copy(update={"llama_cpp": version})
