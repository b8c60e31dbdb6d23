"""Memory bandwidth of the host, measured on request and remembered."""

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

from advisor import paths
from advisor.errors import RigError
from advisor.hardware.cgroups import memory_limit
from advisor.units import MIB

_FILE = "ram_bandwidth.json"
_CHUNK = 64 * MIB
"""Bytes of one thread's buffer: well past any last-level cache once every thread has one."""
_LEAST_GBS = 2.0
"""Slower than the RAM of any machine that runs this app; a Raspberry Pi 4 reads about 4."""


class RamBandwidth(BaseModel):
    """A measurement, and the machine it belongs to."""

    model_config = ConfigDict(frozen=True)

    gbs: float
    threads: int
    date: str
    cpu: str
    ram_total: int

    @property
    def source(self) -> str:
        """In words, for the screen."""
        return f"measured {self.date[:10]}: {self.threads} threads reading"


def measure_ram_bandwidth(cpu: str = "", seconds: float = 1.0) -> RamBandwidth:
    """Read memory with every core for about a second; GB/s (10**9), the best of several passes.

    Reading is what decoding does with weights. Each pass looks for the largest of integers in
    buffers larger than the caches: numpy does that in vectors, two to three times as fast as a dot
    product of 32-bit floats, which the processor holds back, not the memory. One call reads a whole
    buffer, so that other threads of this program hardly hold it up. The result is remembered; see
    `cached_ram_bandwidth`. Uses up to 64 MiB per core, less when memory is short.

    Raises RigError where so little could be read that other programs must have been in the way.
    """
    import numpy as np  # noqa: PLC0415 - 100 ms that starting the app must not pay

    cores = psutil.cpu_count(logical=False) or os.cpu_count() or 1
    memory, limit = psutil.virtual_memory(), memory_limit()
    available = memory.available if limit is None else min(memory.available, limit.left())
    threads = max(1, min(cores, 64, available // 4 // _CHUNK or 1))
    buffers = [np.ones(_CHUNK // 8, dtype=np.int64) for _ in range(threads)]

    def read(buffer: "np.ndarray[tuple[int, ...], np.dtype[np.int64]]") -> None:
        buffer.max()

    best = 0.0
    with ThreadPoolExecutor(threads) as pool:
        deadline = time.perf_counter() + seconds
        while True:
            start = time.perf_counter()
            list(pool.map(read, buffers))
            now = time.perf_counter()
            best = max(best, threads * _CHUNK / (now - start) / 1e9)
            if now >= deadline:
                break
    if best < _LEAST_GBS:
        message = (
            f"Only {best:.1f} GB/s of RAM could be read: other programs keep the machine busy. "
            "Measure again when they are done."
        )
        raise RigError(message)
    result = RamBandwidth(
        gbs=round(best, 1),
        threads=threads,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        cpu=cpu,
        ram_total=memory.total,
    )
    _store(result)
    return result


def cached_ram_bandwidth(cpu: str, ram_total: int | None) -> RamBandwidth | None:
    """The remembered measurement, if it was made on this CPU with this much RAM in the machine,
    whatever a container may have of it."""
    try:
        known = RamBandwidth.model_validate_json((paths.data() / _FILE).read_bytes())
    except (OSError, ValidationError):
        return None
    # The kernel keeps a little more or less for itself from one version to the next.
    same_ram = ram_total is not None and abs(known.ram_total - ram_total) < 256 * MIB
    return known if known.cpu == cpu and same_ram else None


def _store(result: RamBandwidth) -> None:
    target: Path = paths.data() / _FILE
    scratch = target.with_suffix(".part")
    scratch.write_text(json.dumps(result.model_dump(), indent=1), encoding="utf-8")
    scratch.replace(target)
