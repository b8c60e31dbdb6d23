"""What every sensor fills: one row of columns per device, NaN where there is no reading."""

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from advisor.hardware.rig import Process

Row = NDArray[np.float64]

DEVICE_COLUMNS = (
    "used",  # bytes held on the device by every program
    "process",  # bytes held by the watched program
    "utilisation",  # share of time a kernel ran, 0 to 1
    "memory_utilisation",  # share of time memory was read or written, 0 to 1
    "power",  # W
    "temperature",  # °C
    "clock",  # MHz
    "throttle",  # NVML's bits, see nvml.throttle_words
    "pcie_rx",  # bytes per second into the device
    "pcie_tx",  # bytes per second out of it
)
HOST_COLUMNS = (
    "used",  # bytes: total less available
    "available",
    "swap_used",
    "cpu",  # share of all threads, 0 to 1
    "process",  # resident bytes of the watched program and its children
    "process_file",  # the part of them that are pages of files (a model mapped into memory)
)
NAN = math.nan


class Sensor(Protocol):
    """Reads one device into its row of columns."""

    lost: bool
    processes: tuple[Process, ...]

    def read(self, row: Row, tick: int) -> None:
        """Fill the row; NaN where there is no reading. Never raises for hardware."""
        ...

    def slow(self, row: Row, turn: int) -> None:
        """Readings that block for a while (20 ms); one per call, in turns."""
        ...

    def list_processes(self, row: Row, watched: frozenset[int]) -> None:
        """Who holds memory, and how much of it is the watched program's."""
        ...

    def close(self) -> None:
        """Give back what it holds open."""
        ...


def held_by(processes: tuple[Process, ...], watched: frozenset[int]) -> float:
    """Bytes that the watched programs hold; 0 when they hold none, NaN when nobody can say."""
    ours = [p.memory for p in processes if p.pid in watched]
    known = [memory for memory in ours if memory is not None]
    return float(sum(known)) if known else (NAN if ours or not watched else 0.0)
