"""Live readings of AMD, Intel and Apple GPUs and of Windows, against what people recorded."""

import ctypes
import dataclasses
import gc
import json
import math
import os
import struct
import subprocess
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from advisor.hardware import dxgi, linux_gpus, macos, sensors_windows, windows
from advisor.hardware.background import Background
from advisor.hardware.drm_clients import Client, DrmClients, parse, utilisation
from advisor.hardware.monitor import Monitor
from advisor.hardware.pdh import Counters
from advisor.hardware.readings import DEVICE_COLUMNS, NAN
from advisor.hardware.rig import Device, Host, Rig
from advisor.hardware.sensors import sensors_for
from advisor.hardware.sensors_linux import amd_throttle
from advisor.hardware.table import gpu_table
from advisor.units import GIB, MIB

PATH = Path(__file__).resolve().parents[1] / "data" / "hardware" / "recorded.json"
RECORDED: dict[str, Any] = json.loads(PATH.read_text(encoding="utf-8"))
HERE = Path(__file__).parent
POOL = (64 * GIB, 50 * GIB)


def cases(kind: str) -> list[Any]:
    return [pytest.param(case, id=name) for name, case in RECORDED[kind].items()]


def new_row() -> np.ndarray:
    return np.full(len(DEVICE_COLUMNS), NAN)


def column(row: np.ndarray, name: str) -> float:
    return float(row[DEVICE_COLUMNS.index(name)])


# --- Linux ----------------------------------------------------------------------------------------


class Machine:
    """A /sys and a /proc with cards and programs that a test decides."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def card(self, number: int, **files: str) -> Path:
        folder = self.root / f"sys/class/drm/card{number}/device"
        for name, content in files.items():
            target = folder / name.replace("__", "/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content + "\n")
        return folder

    def program(self, pid: int, number: int, fdinfo: str) -> None:
        opened = self.root / f"proc/{pid}"
        (opened / "fd").mkdir(parents=True, exist_ok=True)
        (opened / "fdinfo").mkdir(exist_ok=True)
        link = opened / f"fd/{number}"
        if not link.is_symlink():
            link.symlink_to("/dev/dri/renderD128")
        (opened / f"fdinfo/{number}").write_text(fdinfo)


@pytest.fixture
def linux(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def radeon(linux: Machine, **more: str) -> Path:
    return linux.card(
        0,
        vendor="0x1002",
        device="0x744c",
        revision="0xc8",
        uevent="DRIVER=amdgpu\nPCI_SLOT_NAME=0000:08:00.0",
        mem_info_vram_total=str(24560 * MIB),
        mem_info_vram_used=str(1228 * MIB),
        mem_info_gtt_total=str(32 * GIB),
        mem_info_gtt_used=str(90 * MIB),
        gpu_busy_percent="7",
        mem_busy_percent="3",
        power__runtime_status="active",
        hwmon__hwmon3__temp1_input="44000",
        hwmon__hwmon3__freq1_input="1420000000",
        **more,
    )


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


def test_every_gpu_of_a_program_counts_once(linux: Machine):
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
    assert clients.processes("0000:08:00.0", unified=True)[0].memory == (3068 + 2 * 8192) << 10
    assert clients.processes("0000:09:00.0", unified=False) == ()


def test_new_programs_are_found_and_ended_ones_forgotten(linux: Machine):
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


def test_only_watched_programs_are_read_at_every_look(linux: Machine):
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


def test_radeon_card_is_followed(linux: Machine):
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


def test_a_card_that_sleeps_is_not_woken(linux: Machine):
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


def test_a_card_that_goes_and_comes_back(linux: Machine):
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


def test_a_pool_is_followed_as_it_was_detected(linux: Machine):
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


def test_intel_card_is_followed(linux: Machine, monkeypatch: pytest.MonkeyPatch):
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


def test_intel_card_of_i915(linux: Machine):
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


def test_following_cards_of_the_kernel_leaves_nothing_behind(linux: Machine, monkeypatch):
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

    opened = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    tracemalloc.start()
    try:
        seconds(100)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        seconds(500)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 16 * 1024
    assert len(os.listdir("/proc/self/fd")) == opened  # noqa: PTH208
    sensor.close()


def test_the_monitor_follows_cards_of_the_kernel(linux: Machine, monkeypatch):
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


# --- macOS ----------------------------------------------------------------------------------------


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


# --- Windows --------------------------------------------------------------------------------------


def compiled(name: str, folder: Path) -> ctypes.CDLL:
    target = folder / f"{name}.so"
    flags = ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"]
    command = ["gcc", *flags, "-o", str(target), str(HERE / f"{name}.c")]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(target))


@pytest.fixture(scope="module")
def fake_dxgi(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return compiled("fake_dxgi", tmp_path_factory.mktemp("dxgi"))


@pytest.fixture
def fake_pdh(tmp_path: Path) -> ctypes.CDLL:
    return compiled("fake_pdh", tmp_path)


def put(pdh: ctypes.CDLL, path: str, instance: str, value: float, status: int = 0) -> None:
    words = (ctypes.c_wchar_p(path), ctypes.c_wchar_p(instance))
    pdh.put(*words, ctypes.c_double(value), ctypes.c_uint32(status))


def test_structures_are_laid_out_as_windows_has_them():
    # sizeof on 64-bit Windows (dxgi.h, dxgi1_4.h).
    assert ctypes.sizeof(dxgi.AdapterDesc1) == 312
    assert dxgi.AdapterDesc1.dedicated_video.offset == 272
    assert dxgi.AdapterDesc1.luid.offset == 296
    assert ctypes.sizeof(dxgi.VideoMemoryInfo) == 32


def test_adapters_of_dxgi(fake_dxgi: ctypes.CDLL):
    card, within = dxgi.adapters(fake_dxgi)  # not the one that draws in software
    assert card.name == "AMD Radeon RX 7900 XT"
    assert card.pci_id == "1002:744c"
    assert (card.dedicated, card.shared) == (21458059264, 16 * GIB)
    assert card.budget == 20000000000
    assert card.luid == "0x00000000_0x0001532a"
    assert within.pci_id == "1002:164e"
    assert ctypes.c_int.in_dll(fake_dxgi, "alive").value == 0


def test_an_older_windows_knows_no_budget(fake_dxgi: ctypes.CDLL):
    old = ctypes.c_int.in_dll(fake_dxgi, "old_windows")
    old.value = 1
    try:
        assert [adapter.budget for adapter in dxgi.adapters(fake_dxgi)] == [None, None]
    finally:
        old.value = 0
    assert ctypes.c_int.in_dll(fake_dxgi, "alive").value == 0


def test_a_list_without_end_is_left(fake_dxgi: ctypes.CDLL):
    endless = ctypes.c_int.in_dll(fake_dxgi, "endless")
    endless.value = 1
    try:
        assert len(dxgi.adapters(fake_dxgi)) == 43  # of 64, every third draws in software
    finally:
        endless.value = 0


def test_no_dxgi_and_a_driver_that_fails():
    class Fails:
        def CreateDXGIFactory1(self, *_: object) -> int:  # noqa: N802 - Windows' name
            raise OSError("exception: access violation reading 0x0000000000000000")

    assert dxgi.adapters() == ()  # this is not Windows
    assert dxgi.adapters(Fails()) == ()


def test_windows_cards_by_registry_and_dxgi(fake_dxgi: ctypes.CDLL):
    keys = [
        {
            "DriverDesc": "AMD Radeon RX 7900 XT",
            "MatchingDeviceId": "PCI\\VEN_1002&DEV_744C&REV_CC",
            "HardwareInformation.qwMemorySize": 21458059264,
        },
        {
            "DriverDesc": "AMD Radeon(TM) Graphics",
            "MatchingDeviceId": "PCI\\VEN_1002&DEV_164E",
            "HardwareInformation.qwMemorySize": 536870912,
        },
        {  # sold long ago; the registry keeps its key
            "DriverDesc": "AMD Radeon RX 6800 XT",
            "MatchingDeviceId": "PCI\\VEN_1002&DEV_73BF&REV_C1",
            "HardwareInformation.qwMemorySize": 17179869184,
        },
    ]
    card, within = windows.parse(keys, POOL, dxgi.adapters(fake_dxgi))
    assert card.name == "RX 7900 XT"
    assert card.memory_total == 21458059264
    assert card.memory_used == 21458059264 - 20000000000
    assert card.sources["memory_used"].startswith("DXGI")
    assert card.alternatives["memory_total"][0].value == 21458059264
    assert within.integrated
    assert within.memory_total == 536870912 + 16 * GIB
    assert within.sources["memory_total"].startswith("DXGI")
    assert len(windows.parse(keys, POOL)) == 3  # without DXGI, all that the registry says


def test_a_capped_size_is_read_from_dxgi():
    keys = [
        {
            "DriverDesc": "Intel(R) Arc(TM) A770 Graphics",
            "MatchingDeviceId": "PCI\\VEN_8086&DEV_56A0",
            "HardwareInformation.MemorySize": bytes.fromhex("00f0ff7f"),
        }
    ]
    for gib in (8, 16):
        adapter = dxgi.Adapter("Arc", "8086:56a0", gib * GIB, 16 * GIB, None, "0x0_0x1")
        (device,) = windows.parse(keys, POOL, [adapter])
        assert device.memory_total == gib * GIB
        assert device.table_id == next(
            (e.name for e in gpu_table().gpus if e.name == f"Arc A770 {gib}GB"), None
        )


def test_counters_are_read_as_windows_lays_them_out(fake_pdh: ctypes.CDLL):
    counters = Counters((*sensors_windows.COUNTERS, r"\Nobody(*)\Knows"), fake_pdh)
    dedicated, engine = sensors_windows.DEDICATED, sensors_windows.ENGINE
    put(fake_pdh, dedicated, "luid_0x00000000_0x0001532A_phys_0", 3 * 2**33)
    put(fake_pdh, dedicated, "luid_0x00000000_0x00017099_phys_0", 7, 0x800007D1)  # no instance
    put(fake_pdh, engine, "pid_7_luid_0x00000000_0x0001532A_phys_0_eng_0_engtype_3D", 12.5)
    first = counters.read()
    assert first is not None
    assert first[dedicated] == [("luid_0x00000000_0x0001532A_phys_0", float(3 * 2**33))]
    assert engine not in first
    second = counters.read()
    assert second is not None
    assert second[engine][0][1] == 12.5
    counters.close()
    counters.close()
    assert counters.read() is None
    assert ctypes.c_int.in_dll(fake_pdh, "open_queries").value == 0


def test_without_counters_nothing_is_read(fake_pdh: ctypes.CDLL):
    assert Counters([r"\Nobody(*)\Knows"], fake_pdh).read() is None
    assert ctypes.c_int.in_dll(fake_pdh, "open_queries").value == 0
    assert Counters(sensors_windows.COUNTERS).read() is None  # this is not Windows


def test_what_windows_counts_for_an_adapter():
    case = RECORDED["counters"]["strix-halo"]
    read = {
        sensors_windows.DEDICATED: [(n, v * GIB) for n, v in case["dedicated"].items()],
        sensors_windows.SHARED: [(n, v * GIB) for n, v in case["shared"].items()],
        sensors_windows.OF_PROGRAM: [("pid_42_luid_0x00000000_0x0001532A_phys_0", 5.0 * GIB)],
        sensors_windows.ENGINE: [
            ("pid_42_luid_0x00000000_0x0001532A_phys_0_eng_0_engtype_3D", 30.0),
            ("pid_43_luid_0x00000000_0x0001532A_phys_0_eng_0_engtype_3D", 20.0),
            ("pid_42_luid_0x00000000_0x0001532A_phys_0_eng_3_engtype_Copy", 10.0),
            ("_Total", 60.0),
        ],
    }
    luid = f"0x00000000_0x{case['luid']:08x}"
    known = sensors_windows.usage(read)[luid]
    assert known.dedicated == pytest.approx(0.947 * GIB)
    assert known.shared == pytest.approx(0.141 * GIB)
    assert known.programs == {42: 5.0 * GIB}
    assert known.busy == pytest.approx(0.5)


def test_cards_are_matched_to_adapters():
    def adapter(pci_id: str, number: int) -> dxgi.Adapter:
        return dxgi.Adapter("", pci_id, GIB, GIB, None, f"luid {number}")

    def device(pci_id: str | None, vendor: str = "AMD") -> Device:
        return Device(name="", vendor=vendor, backend="vulkan", pci_id=pci_id)

    adapters = [adapter("1002:744c", 1), adapter("1002:744c", 2), adapter("10de:2684", 3)]
    devices = [device("1002:744c:c8"), device("10de:2684", "NVIDIA"), device("1002:744c")]
    found = sensors_windows.places([*devices, device(None)], adapters)
    assert found == {0: "luid 1", 1: "luid 3", 2: "luid 2"}
    twice = [adapter("10de:2684", 1), adapter("10de:2684", 2)]
    assert sensors_windows.places([device("10de:2684", "NVIDIA")] * 2, twice) == {}


def test_windows_cards_are_followed(
    fake_dxgi: ctypes.CDLL, fake_pdh: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch
):
    me, luid = os.getpid(), "luid_0x00000000_0x0001532A_phys_0"
    put(fake_pdh, sensors_windows.DEDICATED, luid, 3 * GIB)
    put(fake_pdh, sensors_windows.OF_PROGRAM, f"pid_{me}_{luid}", 2 * GIB)
    found = dxgi.adapters(fake_dxgi)
    monkeypatch.setattr(sensors_windows.dxgi, "adapters", lambda: found)
    monkeypatch.setattr(sensors_windows, "Counters", lambda paths: Counters(paths, fake_pdh))
    device = Device(name="RX 7900 XT", vendor="AMD", backend="vulkan", pci_id="1002:744c")
    other = device.model_copy(update={"pci_id": "1002:73bf"})
    with monkeypatch.context() as patch:
        patch.setattr("sys.platform", "win32")
        sensor, unmatched = sensors_for([device, other], None)
    row = new_row()
    until(lambda: (sensor.read(row, 0), column(row, "used") == 3 * GIB)[1])
    sensor.list_processes(row, frozenset({me}))
    assert column(row, "process") == 2 * GIB
    assert [p.memory for p in sensor.processes] == [2 * GIB]
    unmatched.read(row, 0)
    assert math.isnan(column(row, "used"))
    # Its driver was started again: Windows names it anew.
    put(fake_pdh, sensors_windows.DEDICATED, luid.replace("0x0001532A", "0x00077777"), 5 * GIB)
    fake_pdh.drop(ctypes.c_wchar_p(luid))
    found = (dataclasses.replace(found[0], luid="0x00000000_0x00077777"),)
    until(lambda: (sensor.read(row, 0), column(row, "used") == 5 * GIB)[1])
    sensor.close()
    until(lambda: ctypes.c_int.in_dll(fake_pdh, "open_queries").value == 0)


# --- Sources with a clock of their own ------------------------------------------------------------


def until(wanted: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not wanted():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_slow_source_holds_nobody_up():
    going, asked = threading.Event(), threading.Event()

    def ask() -> int:
        asked.set()
        going.wait(10)
        return 7

    source = Background(ask, 0.0, name="slow")
    assert asked.wait(10)
    assert source.newest is None
    source.close()  # returns while the question is open
    going.set()
    until(lambda: source.newest == 7)
    until(lambda: "slow" not in [thread.name for thread in threading.enumerate()])
