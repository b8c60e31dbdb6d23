"""The machine: what is installed or imagined, what it does now, and what was not understood."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from advisor.hardware.rig import Rig


def detect(
    engine_devices: Sequence[Mapping[str, object]] = (), *, models: Path | None = None
) -> Rig:
    """This machine, always usable: without a GPU it is a rig that computes on its CPU.

    ``engine_devices``: what a llama.cpp build sees (xllamacpp's ``get_device_info`` as plain
    data), a second source and the only one for GPUs that no driver interface here reports.
    ``models``: the folder whose free disk counts. Takes 0.1 s; never raises for hardware.
    """
    from advisor.hardware.detection import detect as run  # noqa: PLC0415 - psutil only when asked

    return run(engine_devices, models=models)
