"""Spill on Windows: GPU memory that the driver moved into shared RAM, from performance counters.

Windows tells per process what its GPU allocations hold in RAM (``GPU Process Memory``); a driver
that runs out of VRAM moves memory there silently, and speed falls to a fraction.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

from advisor.hardware.pdh import Counters
from advisor.hardware.sensors_windows import SHARED_OF_PROGRAM

_INSTANCE: Final = re.compile(
    r"^pid_(?P<pid>\d+)_luid_0x[0-9A-Fa-f]+_0x[0-9A-Fa-f]+_phys_\d+", re.IGNORECASE
)


def shared_bytes(instances: Iterable[tuple[str, float]], pids: Collection[int]) -> int:
    """Bytes in shared memory over all GPUs of some processes, from (instance, value) pairs.

    Instances are named ``pid_1234_luid_0x00000000_0x0000D50A_phys_0``, one per process and GPU.
    """
    total = 0.0
    for name, value in instances:
        match = _INSTANCE.match(name)
        if match and int(match["pid"]) in pids and value > 0:
            total += value
    return int(total)


class SharedMemory:
    """The counter, kept open between readings. Reads None on other systems and when it fails."""

    def __init__(self, library: Any = None) -> None:  # noqa: ANN401 - pdh.dll, for tests
        self._counters = Counters([SHARED_OF_PROGRAM], library)

    def read(self, pids: Sequence[int]) -> int | None:
        """Bytes that these processes hold in shared GPU memory now."""
        read = self._counters.read()
        instances = None if read is None else read.get(SHARED_OF_PROGRAM)
        return None if instances is None else shared_bytes(instances, pids)

    def close(self) -> None:
        """Close the query."""
        self._counters.close()
