"""Device samples for a probe, from the monitor that the machine page uses too."""

from typing import Final

from advisor.hardware.monitor import Monitor
from advisor.hardware.rig import Rig
from advisor.probe.sampler import DeviceSample
from advisor.sizing.planner import device_names

READY_S: Final = 3.0
"""How long drivers may take to give their first reading."""


class MonitoredDevices:
    """Every accelerator of this machine, under llama.cpp's names."""

    def __init__(self, rig: Rig) -> None:
        self._names = device_names(rig.devices)
        self._monitor = Monitor(rig)

    def start(self) -> None:
        """Begin reading; returns with the first sample."""
        self._monitor.start()
        self._monitor.wait_ready(READY_S)

    def close(self) -> None:
        """End reading."""
        self._monitor.stop()

    def read(self, pid: int | None) -> tuple[DeviceSample, ...]:
        """The newest sample of every device; ``pid`` is the child."""
        self._monitor.watch(pid)
        sample = self._monitor.latest()
        if sample is None:
            return ()
        return tuple(
            DeviceSample(
                name=name,
                used=device.used,
                # Without a child to follow, what was read of the last one stands there still.
                process=None if pid is None else device.process,
                utilisation=None if device.utilisation is None else 100 * device.utilisation,
                power_w=device.power_w,
                temperature_c=device.temperature_c,
                pcie_bytes_s=None if device.pcie_rx is None else int(device.pcie_rx),
                throttled=", ".join(device.throttle),
                lost=device.lost,
            )
            for name, device in zip(self._names, sample.devices, strict=False)
        )
