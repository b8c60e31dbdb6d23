"""What a probe taught about one rig: factors on the speed model, and the driver's own memory."""

import math
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Calibration:
    """Factors that every later figure of this rig carries. The default changes nothing."""

    bandwidth_factor: float = 1.0
    """Measured over assumed effective memory bandwidth of the devices."""
    latency_factor: float = 1.0
    """Measured over assumed time per kernel launch and layer."""
    prefill_factor: float = 1.0
    """Measured over assumed prefill rate of the devices."""
    host_bandwidth_gbs: float | None = None
    """Effective bandwidth of the host's memory as llama.cpp's CPU backend reached it."""
    host_latency_factor: float = 1.0
    """Measured over assumed time that the CPU takes per block beside reading."""
    host_prefill_tflops: float | None = None
    """Effective rate of the CPU in prefill, 10**12 operations per second."""
    few_bits: float = 0.0
    """Share that types of less than 4 bits had in the time of what was read from RAM."""
    driver_bytes: tuple[int, ...] | None = None
    """Driver context per device, in the rig's order."""
    devices_told: bool = True
    """Whether the probes ran on the devices at all; else what they do stays as it was."""
    spread: float = math.inf
    """Spread (natural logarithm) about which other models decode on devices."""
    host_spread: float = math.inf
    """The same of the host."""
    prefill_spread: float = math.inf
    """The same in prefill, wherever it was measured."""
    missed: float = 0.0
    """Spread that the probes' own decoding leaves: no range is narrower."""
    prefill_missed: float = 0.0
    """The same in prefill."""
    source: str = ""
    """Which probe, and when."""

    def decode_spread(self, uncalibrated: float) -> float:
        """Spread of a device's decoding: where rows tell more than a probe of another model does,
        it stays as narrow as they make it."""
        return max(min(uncalibrated, self.spread), self.missed)

    def on_host(self, uncalibrated: float) -> float:
        """Spread of the host's decoding."""
        return max(min(uncalibrated, self.host_spread), self.missed)

    def reading_spread(self, uncalibrated: float) -> float:
        """Spread of prefill."""
        return max(min(uncalibrated, self.prefill_spread), self.prefill_missed)

    @property
    def of_devices(self) -> bool:
        """Whether what devices do was measured."""
        return self.devices_told and not self.is_identity

    @property
    def is_identity(self) -> bool:
        """Whether nothing was measured."""
        return self == IDENTITY


IDENTITY: Final = Calibration()
