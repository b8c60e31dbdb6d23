"""Live readings of AMD and Intel GPUs on Linux, against what people recorded."""

import gc
import math
import os
import struct
import time
import tracemalloc
from typing import Any

import numpy as np
import pytest
from sensor_cases import (
    POOL,
    RECORDED,
    Kernel,
    cases,
    column,
    new_row,
    radeon,
)

from advisor.hardware import linux_gpus
from advisor.hardware.drm_clients import Client, DrmClients, parse, utilisation
from advisor.hardware.monitor import Monitor
from advisor.hardware.rig import Host, Rig
from advisor.hardware.sensors import sensors_for
from advisor.hardware.sensors_linux import amd_throttle
from advisor.units import GIB, MIB


@pytest.mark.parametrize("case", cases("fdinfo"))
def test_what_a_driver_tells_of_a_program(case: dict[str, Any]):
    client = parse(case["text"])
    assert client is not None
    assert client.address == case["address"]
    assert (client.own, client.shared) == (case["own"], case["shared"])
    assert client.busy == {name: tuple(values) for name, values in case["busy"].items()}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pos:\t0\nflags:\t02\n",
        "drm-driver:\tamdgpu\ndrm-client-id:\tx\ndrm-pdev:\t0000:03:00.0\n",
        "drm-driver:\tamdxdna_accel_driver\ndrm-client-id:\t76\n",
    ],
)
def test_other_files_are_no_gpus(text: str):
    assert parse(text) is None


def test_sizes_in_any_unit_and_nonsense():
    head = "drm-pdev:\t0000:03:00.0\ndrm-client-id:\t1\n"
    client = parse(
        head + "drm-resident-vram0:\t8 MiB\ndrm-resident-gtt:\t65536\n"
        "drm-total-system:\tmany KiB\ndrm-resident-system:\t1 TiB\ndrm-engine-render:\tx ns\n"
        "drm-cycles-ccs:\t5\n"
    )
    assert client is not None
    assert (client.own, client.shared, client.busy) == (8 * MIB, 65536, {})


def test_every_gpu_of_a_program_counts_once(linux: Kernel):
    text = RECORDED["fdinfo"]["amdgpu-card"]["text"]
    me = os.getpid()
    for number in (7, 8):  # duplicates of one open file
        linux.program(me, number, text)
    linux.program(me, 9, text.replace("217", "218").replace("2068", "1000"))
    linux.program(me + 1, 7, text)  # inherited from its parent
    clients = DrmClients(linux.root)
    clients.look(everywhere=True)
    held = clients.processes("0000:08:00.0", unified=False)
    assert sum(p.memory or 0 for p in held) == 3068 << 10
    held = clients.processes("0000:08:00.0", unified=True)
    assert sum(p.memory or 0 for p in held) == (3068 + 2 * 8192) << 10
    assert clients.processes("0000:09:00.0", unified=False) == ()


def test_new_programs_are_found_and_ended_ones_forgotten(linux: Kernel):
    clients = DrmClients(linux.root)
    clients.look()
    text = RECORDED["fdinfo"]["amdgpu-card"]["text"]
    me = os.getpid()
    linux.program(me, 7, text)
    clients.look(watched=[me])
    (process,) = clients.processes("0000:08:00.0", unified=False)
    assert (process.pid, process.memory) == (me, 2068 << 10)
    assert process.name.lower().startswith(("py", "rig"))
    (linux.root / f"proc/{me}/fdinfo/7").unlink()
    clients.look(watched=[me])
    assert clients.processes("0000:08:00.0", unified=False) == ()


def test_only_watched_programs_are_read_at_every_look(linux: Kernel):
    text = RECORDED["fdinfo"]["amdgpu-card"]["text"]
    for pid in (os.getpid(), os.getppid()):
        linux.program(pid, 7, text.replace("217", str(pid)))
    clients = DrmClients(linux.root)
    clients.look(everywhere=True)
    for pid in (os.getpid(), os.getppid()):
        linux.program(pid, 7, text.replace("217", str(pid)).replace("2068", "4000"))
    clients.look(watched=[os.getpid()])
    held = {p.pid: p.memory for p in clients.processes("0000:08:00.0", unified=False)}
    assert held == {os.getpid(): 4000 << 10, os.getppid(): 2068 << 10}
    clients.look(everywhere=True)
    held = {p.pid: p.memory for p in clients.processes("0000:08:00.0", unified=False)}
    assert held[os.getppid()] == 4000 << 10


def test_how_busy_programs_keep_a_gpu():
    def client(number: int, busy: int, cycles: int | None = None) -> Client:
        return Client("xe", "0000:03:00.0", number, 0, 0, {"ccs": (busy, cycles)})

    second = 1_000_000_000
    assert utilisation([client(1, 0)], [client(1, second // 4)], second) == pytest.approx(0.25)
    before = [client(1, 100, 1000), client(2, 50, 1000)]
    after = [client(1, 400, 2000), client(2, 150, 2000)]
    assert utilisation(before, after, second) == pytest.approx(0.4)
    assert utilisation([], after, second) is None  # the first look tells nothing
    assert utilisation([client(1, 0)], [client(1, 9 * second)], second) == 1.0
    assert utilisation(after, before, second) == 0.0  # a counter that began anew


def test_radeon_card_is_followed(linux: Kernel):
    folder = radeon(linux, hwmon__hwmon3__power1_input="30000000")
    linux.program(os.getpid(), 7, RECORDED["fdinfo"]["amdgpu-card"]["text"])
    devices = linux_gpus.read_devices(POOL, root=linux.root)
    (process,) = devices[0].processes
    assert process.memory == 2068 << 10
    (sensor,) = sensors_for(devices, None, linux.root)
    row = new_row()
    sensor.read(row, 0)
    sensor.list_processes(row, frozenset({os.getpid()}))
    assert column(row, "used") == 1228 * MIB
    assert column(row, "process") == 2068 << 10
    assert column(row, "utilisation") == pytest.approx(0.07)
    assert column(row, "memory_utilisation") == pytest.approx(0.03)
    assert column(row, "power") == 30  # newer cards have no average
    assert column(row, "temperature") == 44
    assert column(row, "clock") == 1420
    assert math.isnan(column(row, "throttle"))
    (folder / "mem_info_vram_used").write_text(f"{9000 * MIB}\n")
    sensor.read(row, 1)
    assert column(row, "used") == 9000 * MIB
    sensor.close()


def test_a_card_that_sleeps_is_not_woken(linux: Kernel):
    folder = radeon(linux)
    devices = linux_gpus.read_devices(POOL, root=linux.root)
    (sensor,) = sensors_for(devices, None, linux.root)
    row = new_row()
    sensor.read(row, 0)
    assert column(row, "clock") == 1420
    assert devices[0].temperature_c == 44
    (folder / "power/runtime_status").write_text("suspended\n")
    (asleep,) = linux_gpus.read_devices(POOL, root=linux.root)
    assert asleep.memory_used == 1228 * MIB
    assert asleep.temperature_c is None
    assert "sleep" in asleep.unknown["temperature_c"]
    sensor.read(row, 20)
    assert column(row, "used") == 1228 * MIB
    assert math.isnan(column(row, "clock"))
    assert not sensor.lost
    (folder / "power/runtime_status").write_text("active\n")
    sensor.read(row, 40)
    assert column(row, "clock") == 1420
    sensor.close()


def test_a_card_that_goes_and_comes_back(linux: Kernel):
    folder = radeon(linux)
    devices = linux_gpus.read_devices(POOL, root=linux.root)
    (sensor,) = sensors_for(devices, None, linux.root)
    row = new_row()
    sensor.read(row, 0)
    away = folder.rename(folder.with_name("away"))
    (away / "vendor").write_text("")  # an open file of a device that is gone reads nothing
    sensor.read(row, 40)
    assert sensor.lost
    assert np.isnan(row).all()
    away.rename(folder)
    (folder / "vendor").write_text("0x1002\n")
    sensor.read(row, 80)
    assert not sensor.lost
    assert column(row, "used") == 1228 * MIB
    sensor.close()


def test_a_pool_is_followed_as_it_was_detected(linux: Kernel):
    linux.card(
        0,
        vendor="0x1002",
        device="0x1586",
        revision="0xc1",
        uevent="DRIVER=amdgpu\nPCI_SLOT_NAME=0000:c4:00.0",
        mem_info_vram_total=str(512 * MIB),
        mem_info_vram_used=str(300 * MIB),
        mem_info_gtt_total=str(96 * GIB),
        mem_info_gtt_used=str(20 * GIB),
    )
    apu = RECORDED["fdinfo"]["amdgpu-apu"]
    linux.program(os.getpid(), 7, apu["text"])
    (device,) = linux_gpus.read_devices((124 * GIB, 90 * GIB), root=linux.root)
    assert device.memory_used == 20 * GIB + 300 * MIB
    assert device.processes[0].memory == apu["own"] + apu["shared"]
    (sensor,) = sensors_for([device], None, linux.root)
    row = new_row()
    sensor.read(row, 0)
    assert column(row, "used") == device.memory_used
    sensor.close()


@pytest.mark.parametrize(
    ("status", "bits"),
    [
        (0, 0),
        (1 << 0, 4),
        (1 << 17, 4),
        (1 << 36, 64),
        (1 << 46, 8),
        (1 << 57, 0),
        (1 | 1 << 32, 68),
    ],
)
def test_why_a_radeon_is_held_down(status: int, bits: int):
    # gpu_metrics_v1_3 and v2_2 (kgd_pp_interface.h).
    card = struct.pack("<HBB", 120, 1, 3) + bytes(108) + struct.pack("<Q", status)
    apu = struct.pack("<HBB", 128, 2, 2) + bytes(116) + struct.pack("<Q", status)
    assert len(card) == 120
    assert len(apu) == 128
    assert amd_throttle(card) == bits
    assert amd_throttle(apu) == bits


@pytest.mark.parametrize(
    "metrics",
    [
        b"",
        struct.pack("<HBB", 264, 3, 0) + bytes(260),
        struct.pack("<HBB", 120, 1, 3) + bytes(100),
        struct.pack("<HBB", 120, 1, 3) + bytes(108) + b"\xff" * 8,
    ],
)
def test_metrics_that_do_not_say_are_unknown(metrics: bytes):
    assert math.isnan(amd_throttle(metrics))


def test_intel_card_is_followed(linux: Kernel, monkeypatch: pytest.MonkeyPatch):
    case = RECORDED["intel-hwmon"]["b70"]
    hwmon = {f"hwmon__hwmon7__{name}": text for name, text in case["files"].items()}
    folder = linux.card(
        1,
        vendor="0x8086",
        device=case["device"],
        uevent="DRIVER=xe\nPCI_SLOT_NAME=0000:03:00.0",
        tile0__gt0__freq0__act_freq="2350",
        tile0__gt0__freq0__throttle__status="0",
        tile0__gt0__freq0__throttle__reason_pl1="0",
        tile0__gt0__freq0__throttle__reason_thermal="0",
        **hwmon,
    )
    text = RECORDED["fdinfo"]["xe"]["text"]
    linux.program(os.getpid(), 7, text)
    (device,) = linux_gpus.read_devices(POOL, root=linux.root)
    assert device.memory_used == RECORDED["fdinfo"]["xe"]["own"]
    assert device.power_limit_w == case["limit"]
    assert device.processes[0].pid == os.getpid()
    (sensor,) = sensors_for([device], None, linux.root)
    row = new_row()
    began = time.monotonic()
    sensor.read(row, 0)
    sensor.list_processes(row, frozenset({os.getpid()}))
    assert math.isnan(column(row, "power"))  # of one reading nothing can be said
    assert column(row, "clock") == 2350
    assert column(row, "throttle") == 0
    (folder / "hwmon/hwmon7/energy1_input").write_text(f"{1000000 + case['joules'] * 10**6}\n")
    (folder / "tile0/gt0/freq0/throttle/status").write_text("1\n")
    (folder / "tile0/gt0/freq0/throttle/reason_pl1").write_text("1\n")
    linux.program(
        os.getpid(),
        7,
        text.replace("ccs: 0", "ccs: 400").replace("7655183225", "7655184225"),
    )
    time.sleep(0.02)
    sensor.read(row, 20)
    longest = time.monotonic() - began
    monkeypatch.setattr("advisor.hardware.drm_clients._TURN_S", 0.0)  # the next second
    sensor.list_processes(row, frozenset({os.getpid()}))
    assert case["joules"] / longest <= column(row, "power") <= case["joules"] / 0.02
    assert column(row, "throttle") == 4
    assert column(row, "used") == RECORDED["fdinfo"]["xe"]["own"]
    assert column(row, "process") == RECORDED["fdinfo"]["xe"]["own"]
    assert column(row, "utilisation") == pytest.approx(0.1)  # four engines of the kind
    sensor.close()


def test_intel_card_of_i915(linux: Kernel):
    linux.card(
        1,
        vendor="0x8086",
        device="0x56a0",
        uevent="DRIVER=i915\nPCI_SLOT_NAME=0000:03:00.0",
        drm__card1__gt__gt0__rps_act_freq_mhz="2100",
        drm__card1__gt__gt0__throttle_reason_status="1",
        drm__card1__gt__gt0__throttle_reason_thermal="1",
        hwmon__hwmon4__name="i915",
        hwmon__hwmon4__energy1_input="5000",
        hwmon__hwmon4__power1_max="190000000",
        hwmon__hwmon4__temp1_input="51000",
    )
    (device,) = linux_gpus.read_devices(POOL, root=linux.root)
    assert device.power_limit_w == 190
    assert "administrators" in device.unknown["memory_used"]
    (sensor,) = sensors_for([device], None, linux.root)
    row = new_row()
    sensor.read(row, 0)
    sensor.list_processes(row, frozenset())
    assert column(row, "clock") == 2100
    assert column(row, "temperature") == 51
    assert column(row, "throttle") == 64
    assert math.isnan(column(row, "used"))  # nobody's programs are to be seen
    sensor.close()


def test_following_cards_of_the_kernel_leaves_nothing_behind(linux: Kernel, monkeypatch):
    """Five hundred seconds' worth of looks, programs coming and going."""
    radeon(linux)
    monkeypatch.setattr("advisor.hardware.drm_clients._TURN_S", 0.0)
    text = RECORDED["fdinfo"]["amdgpu-card"]["text"]
    devices = linux_gpus.read_devices(POOL, root=linux.root)
    (sensor,) = sensors_for(devices, None, linux.root)
    row = new_row()

    def seconds(count: int) -> None:
        for tick in range(count):
            pid = 1_000_000 + tick % 7
            linux.program(pid, 7, text)
            sensor.read(row, tick)
            sensor.list_processes(row, frozenset({pid}))
            (linux.root / f"proc/{pid}/fdinfo/7").unlink()

    def held() -> int:
        # Threads that earlier tests left may allocate meanwhile: only what this code holds counts.
        gc.collect()
        ours = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, "*hardware*")])
        return sum(trace.size for trace in ours.traces)

    opened = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    tracemalloc.start()
    try:
        seconds(100)
        before = held()
        seconds(500)
        grown = held() - before
    finally:
        tracemalloc.stop()
    assert grown < 16 * 1024
    assert len(os.listdir("/proc/self/fd")) == opened  # noqa: PTH208
    sensor.close()


def test_the_monitor_follows_cards_of_the_kernel(linux: Kernel, monkeypatch):
    radeon(linux)
    devices = linux_gpus.read_devices(POOL, root=linux.root)
    monkeypatch.setattr(
        "advisor.hardware.monitor.sensors_for",
        lambda devices, nvml: sensors_for(devices, nvml, linux.root),
    )
    monitor = Monitor(Rig(name="", devices=devices, hosts=(Host(),)), interval_s=0.01).start()
    try:
        assert monitor.wait_ready(10)
        sample = monitor.latest()
        assert sample is not None
        assert sample.devices[0].used == 1228 * MIB
    finally:
        monitor.stop()
