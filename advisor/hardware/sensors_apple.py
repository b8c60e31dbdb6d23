"""Live readings of Apple's GPUs, from the statistics that their driver keeps in the I/O registry.

Power and clocks are told to administrators only (powermetrics).
"""

from advisor.hardware.background import Background
from advisor.hardware.macos import in_use, statistics
from advisor.hardware.readings import NAN, Row
from advisor.hardware.rig import Process

EVERY_S = 2.0
"""Each question starts a program that takes 20 ms."""


class AppleSensor:
    """The GPU of Apple silicon, at a pace of its own."""

    def __init__(self) -> None:
        self.lost = False
        self.processes: tuple[Process, ...] = ()
        self._source = Background(statistics, EVERY_S, name="ioreg")

    def read(self, row: Row, tick: int) -> None:
        """See `Sensor.read`."""
        del tick
        known = self._source.newest
        used = in_use(known)
        busy = None if known is None else known.get("Device Utilization %")
        row[0] = NAN if used is None else used
        row[2] = NAN if busy is None else busy / 100

    def slow(self, row: Row, turn: int) -> None:
        """Nothing else to read."""

    def list_processes(self, row: Row, watched: frozenset[int]) -> None:
        """macOS does not tell which program holds how much of it."""

    def close(self) -> None:
        """Ask no more."""
        self._source.close()
