"""The monitor against cards that change, vanish, come back and hang."""

import gc
import os
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable

import fake_nvml
import numpy as np
import pytest
from fake_nvml import MIB, SCENARIOS, Machine

from advisor.hardware.compose import parse_rig
from advisor.hardware.monitor import Monitor, Sample
from advisor.units import GIB

PATIENCE_S = 60


def until(monitor: Monitor, wanted: Callable[[Sample], bool]) -> Sample:
    """The first sample that is as wanted."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        sample = monitor.latest()
        if sample is not None and wanted(sample):
            return sample
        time.sleep(0.01)
    raise AssertionError(f"not seen within {PATIENCE_S} s; last was {monitor.latest()}")


def test_without_a_gpu_it_follows_the_host(machine: Machine):
    machine.become("no-gpu")
    monitor = Monitor(interval_s=0.01).start()
    try:
        assert monitor.wait_ready(PATIENCE_S)
        sample = until(monitor, lambda s: s.host.used is not None)
        assert sample.devices == ()
        assert sample.host.available is not None
        assert sample.host.available > 0
        assert sample.host.process is None
    finally:
        monitor.stop()


def test_every_reading_of_a_card(machine: Machine):
    machine.become("rtx-4090")
    monitor = Monitor(interval_s=0.01).start()
    try:
        seen = until(
            monitor, lambda s: s.devices[0].pcie_tx is not None and s.devices[0].pcie_rx is not None
        )
    finally:
        monitor.stop()
    card = seen.devices[0]
    assert card.used == 1100 * MIB
    assert card.utilisation == pytest.approx(0.03)
    assert card.power_w == pytest.approx(24.3)
    assert card.temperature_c == 38
    assert card.clock_mhz == 210
    assert card.throttle == ()
    assert card.pcie_tx == 1_200_000
    assert card.pcie_rx == 3_400_000
    assert not card.lost


def test_memory_that_rises_is_followed(machine: Machine):
    machine.become("rtx-4090-pair")
    monitor = Monitor(interval_s=0.01).start()
    try:
        until(monitor, lambda s: s.devices[1].used == 1100 * MIB)
        machine.change({"1.used": 9000 * MIB})
        sample = until(monitor, lambda s: s.devices[1].used == 9000 * MIB)
        assert sample.devices[0].used == 1100 * MIB
        window = monitor.window(60)
    finally:
        monitor.stop()
    used = window.device(1, "used")
    assert set(used) == {1100 * MIB, 9000 * MIB}
    assert np.all(np.diff(window.times) > 0)
    assert window.rate_hz is not None
    assert len(window.host("available")) == len(window.times)


def test_a_card_falls_off_the_bus_and_comes_back(machine: Machine):
    machine.become("rtx-4090-pair")
    monitor = Monitor(interval_s=0.005).start()
    try:
        until(monitor, lambda s: s.devices[1].used is not None)
        machine.change({"1.lost": 1})
        gone = until(monitor, lambda s: s.devices[1].lost)
        assert gone.devices[1].used is None
        assert gone.devices[1].power_w is None
        assert not gone.devices[0].lost
        machine.change({"1.lost": None})
        back = until(monitor, lambda s: not s.devices[1].lost and s.devices[1].used is not None)
        assert back.devices[1].used == 1100 * MIB
    finally:
        monitor.stop()


def test_a_call_that_is_not_supported_costs_only_its_own_column(machine: Machine):
    machine.become("laptop")
    monitor = Monitor(interval_s=0.01).start()
    try:
        sample = until(monitor, lambda s: s.devices[0].temperature_c is not None)
    finally:
        monitor.stop()
    card = sample.devices[0]
    assert card.utilisation is None
    assert card.clock_mhz is None
    assert card.used == 350 * MIB


def test_a_driver_that_took_too_long_is_asked_again(machine: Machine):
    """A single late answer left a card's memory unknown for the rest of a probe."""
    machine.become("rtx-4090-pair")
    monitor = Monitor(interval_s=0.01).start()
    try:
        until(monitor, lambda s: s.devices[1].used == 1100 * MIB)
        machine.change({"1.fail.nvmlDeviceGetMemoryInfo_v2": 10})  # NVML_ERROR_TIMEOUT
        late = until(monitor, lambda s: s.devices[1].used is None)
        assert not late.devices[1].lost
        assert late.devices[1].power_w is not None
        machine.change({"1.fail.nvmlDeviceGetMemoryInfo_v2": None})
        until(monitor, lambda s: s.devices[1].used == 1100 * MIB)
    finally:
        monitor.stop()


def test_an_older_driver_tells_why_its_clocks_are_low(machine: Machine):
    """Its function has a former name, which the readings of a probe did not try."""
    machine.become("rtx-4090")
    machine.change({"0.throttle": 0x40, "fail.nvmlDeviceGetCurrentClocksEventReasons": 13})
    monitor = Monitor(interval_s=0.01).start()
    try:
        until(monitor, lambda s: s.devices[0].throttle == ("temperature (hardware)",))
    finally:
        monitor.stop()


def test_unified_memory_follows_the_host(machine: Machine):
    machine.become("gb10")
    monitor = Monitor(interval_s=0.01).start()
    try:
        sample = until(monitor, lambda s: s.devices[0].used is not None)
    finally:
        monitor.stop()
    assert sample.devices[0].used == pytest.approx(sample.host.used, rel=0.2)


def test_mig_slice_is_followed_by_its_own_handle(machine: Machine):
    machine.become("mig")
    monitor = Monitor(interval_s=0.01).start()
    try:
        assert until(monitor, lambda s: s.devices[0].used is not None).devices[0].used == 16 * MIB
    finally:
        monitor.stop()


def test_who_holds_memory(machine: Machine):
    machine.become("busy")
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        machine.change({"0.compute": f"{child.pid}:{3 * GIB},4001:{6 * GIB}"})
        monitor = Monitor(interval_s=0.01).start()
        try:
            monitor.watch(child.pid)
            sample = until(monitor, lambda s: s.devices[0].process == 3 * GIB)
            assert {p.name for p in sample.devices[0].processes} >= {"game.exe", "firefox"}
            monitor.watch(None)
            until(monitor, lambda s: s.host.process is None)
        finally:
            monitor.stop()
    finally:
        child.communicate(b"\n")


def test_memory_of_a_watched_program_and_its_end(machine: Machine):
    machine.become("no-gpu")
    code = "x = bytearray(60 << 20); print('ready', flush=True); input()"
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    monitor = Monitor(interval_s=0.01).start()
    try:
        assert child.stdout is not None
        child.stdout.readline()
        monitor.watch(child.pid)
        sample = until(monitor, lambda s: (s.host.process or 0) > 60 * MIB)
        assert sample.host.process is not None
        assert sample.host.process_file is not None
        assert 0 < sample.host.process_file < sample.host.process
        child.communicate(b"\n")
        until(monitor, lambda s: s.host.process is None)
    finally:
        monitor.stop()
        if child.poll() is None:
            child.kill()
            child.wait()


def test_a_hanging_driver_does_not_hold_up_the_program(machine: Machine):
    machine.become({**SCENARIOS["rtx-4090"], "delay.nvmlInitWithFlags": 1500})
    monitor = Monitor(parse_rig("RTX 4090"), interval_s=0.01).start()
    thread = next(t for t in threading.enumerate() if t.name == "monitor")
    monitor.stop(timeout_s=0.05)
    # It has let go of us while the driver still holds its thread.
    assert thread.is_alive()
    assert monitor.latest() is None
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


def test_devices_without_sensors_are_unknown_and_not_zero(machine: Machine):
    machine.become("driver-not-loaded")
    monitor = Monitor(parse_rig("RTX 4090 + M2 Ultra 192GB"), interval_s=0.01).start()
    try:
        sample = until(monitor, lambda s: s.host.used is not None)
        assert sample.devices[0].used is None
        assert sample.devices[0].power_w is None
        assert np.isnan(monitor.window(10).device(0, "power")).all()
    finally:
        monitor.stop()


def test_history_is_bounded(machine: Machine):
    machine.become("rtx-4090")
    monitor = Monitor(interval_s=0.002, history_s=0.05).start()
    try:
        deadline = time.monotonic() + PATIENCE_S
        while monitor.ticks < 2 * 25 and time.monotonic() < deadline:
            time.sleep(0.02)
        window = monitor.window(60)
        assert len(window.times) == 25
        assert np.all(np.diff(window.times) > 0)
        assert len(monitor.window(0).times) == 0
    finally:
        monitor.stop()


def test_memory_does_not_grow(machine: Machine):
    """Three thousand further ticks, minutes at 20 Hz, leave no more behind than the first did.

    Rings are full after a hundred ticks, and every slow or rare reading has come round.
    """
    machine.become("busy")
    monitor = Monitor(interval_s=0.0002, history_s=0.02)

    def ticks(count: int) -> None:
        deadline = time.monotonic() + 6 * PATIENCE_S
        while monitor.ticks < count and time.monotonic() < deadline:
            time.sleep(0.01)
        assert monitor.ticks >= count

    def held() -> int:
        # Threads that earlier tests left may allocate meanwhile: only what this code holds counts.
        gc.collect()
        ours = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, "*hardware*")])
        return sum(trace.size for trace in ours.traces)

    tracemalloc.start()
    try:
        monitor.start()
        monitor.watch(os.getpid())
        assert monitor.wait_ready(PATIENCE_S)
        ticks(500)
        before = held()
        ticks(3500)
        grown = held() - before
    finally:
        monitor.stop()
        tracemalloc.stop()
    assert grown < 32 * 1024


def test_before_the_first_sample_there_is_nothing():
    monitor = Monitor(parse_rig("RTX 4090"))
    assert monitor.latest() is None
    assert len(monitor.window(10).times) == 0
    monitor.stop()


def test_start_twice_is_one_thread(machine: Machine):
    machine.become("no-gpu")
    monitor = Monitor(interval_s=0.01)
    assert monitor.start() is monitor.start()
    assert [t.name for t in threading.enumerate()].count("monitor") == 1
    monitor.stop()
    monitor.stop()


def test_every_scenario_can_be_watched(machine: Machine):
    for name in fake_nvml.SCENARIOS:
        machine.become(name)
        monitor = Monitor(interval_s=0.01).start()
        try:
            assert monitor.wait_ready(PATIENCE_S), name
            assert monitor.latest() is not None, name
        finally:
            monitor.stop()
