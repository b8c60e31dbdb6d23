"""Live readings of Apple GPUs, and sources that have a pace of their own."""

import math
import threading
from typing import Any

import pytest
from sensor_cases import RECORDED, cases, column, new_row, until

from advisor.hardware import macos
from advisor.hardware.background import Background
from advisor.hardware.rig import Device
from advisor.hardware.sensors import sensors_for


@pytest.mark.parametrize("case", cases("ioreg"))
def test_what_an_apple_gpu_uses(case: dict[str, Any]):
    known = macos.read_statistics(case["output"])
    assert macos.in_use(known) == case["used"]
    assert known is not None
    assert known["Device Utilization %"] / 100 == case["utilisation"]
    assert macos.read_statistics("") is None
    assert macos.in_use(None) is None


def test_an_apple_gpu_is_followed_at_its_own_pace(monkeypatch):
    case = RECORDED["ioreg"]["m1-max"]
    monkeypatch.setattr("advisor.hardware.macos.run", lambda *_: case["output"])
    device = Device(name="M1 Max", vendor="Apple", backend="metal", unified=True)
    with monkeypatch.context() as patch:
        patch.setattr("sys.platform", "darwin")
        (sensor,) = sensors_for([device], None)
    row = new_row()
    until(lambda: (sensor.read(row, 0), column(row, "used") == case["used"])[1])
    assert column(row, "utilisation") == pytest.approx(case["utilisation"])
    assert math.isnan(column(row, "power"))
    sensor.close()


def test_a_slow_source_holds_nobody_up():
    going, asked = threading.Event(), threading.Event()

    def ask() -> int:
        asked.set()
        going.wait(120)
        return 7

    source = Background(ask, 0.0, name="slow")
    assert asked.wait(60)
    assert source.newest is None
    source.close()  # returns while the question is open
    going.set()
    until(lambda: source.newest == 7)
    until(lambda: "slow" not in [thread.name for thread in threading.enumerate()])
