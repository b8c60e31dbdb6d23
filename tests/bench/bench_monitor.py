"""What following and detecting eight cards costs. Compare ratios: machines and their load differ.

One round of ``tick`` times 20 is the share of a core at 20 Hz: 1 ms is 2 %.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from advisor.hardware import detect
from advisor.hardware.nvml_library import NvmlLibrary
from advisor.hardware.readings import DEVICE_COLUMNS, HOST_COLUMNS
from advisor.hardware.sensors import HostSensor, sensors_for

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import fake_nvml


@pytest.fixture(params=["no-gpu", "rtx-4090", "eight-h100"])
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A scenario of the fake NVML."""
    with fake_nvml.installed(fake_nvml.build(tmp_path), tmp_path / "scenario.txt") as fake:
        fake.become(request.param)
        yield request.param


def test_detect(benchmark, machine: str):
    rig = benchmark(detect)
    assert len(rig.devices) == {"no-gpu": 0, "rtx-4090": 1, "eight-h100": 8}[machine]


def test_tick(benchmark, machine: str):
    """Every reading of one tick; slow and rare ones in the share in which they come."""
    rig = detect()
    with NvmlLibrary() as nvml:
        sensors = sensors_for(rig.devices, nvml)
        host = HostSensor()
        row = np.empty((len(sensors), len(DEVICE_COLUMNS)))
        host_row = np.empty(len(HOST_COLUMNS))
        ticks = iter(range(1 << 30))

        def tick() -> None:
            now = next(ticks)
            host.read(host_row, now)
            for index, sensor in enumerate(sensors):
                sensor.read(row[index], now)
                if now % 20 == 0:
                    sensor.list_processes(row[index], host.family)

        benchmark(tick)
        host.close()
    assert machine == "no-gpu" or not np.isnan(row[:, 0]).any()


def test_twenty_hertz_for_ten_seconds(benchmark, machine: str, tmp_path: Path):
    """Prints the share of a core that the whole thread takes, in a process of its own."""
    code = (
        "import time; from advisor.hardware.monitor import Monitor; "
        "m = Monitor().start(); m.wait_ready(10); time.sleep(1); "
        "c, t = time.process_time(), time.monotonic(); time.sleep(10); "
        "c, t = time.process_time() - c, time.monotonic() - t; "
        "print(f'{100 * c / t:.2f} % of a core at {m.window(10).rate_hz:.2f} Hz'); m.stop()"
    )
    library = fake_nvml.build(tmp_path)
    fake_nvml.Machine(tmp_path / "scenario.txt").become(machine)
    environment = {
        "LD_LIBRARY_PATH": str(library.parent),
        "FAKE_NVML": str(tmp_path / "scenario.txt"),
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
    }
    command = [sys.executable, "-c", code]
    done = benchmark.pedantic(
        lambda: subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True
        ),
        rounds=1,
    )
    print(f"{machine}: {done.stdout.strip()}")
    assert "Hz" in done.stdout
