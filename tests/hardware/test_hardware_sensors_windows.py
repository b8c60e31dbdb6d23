"""GPUs on Windows: DXGI, PDH and the registry, against recordings and compiled stand-ins."""

import ctypes
import dataclasses
import math
import os
from pathlib import Path

import pytest
from sensor_cases import (
    POOL,
    RECORDED,
    column,
    compiled,
    new_row,
    until,
)

from advisor.hardware import dxgi, others, sensors_windows, windows
from advisor.hardware.pdh import Counters
from advisor.hardware.rig import Device
from advisor.hardware.sensors import sensors_for
from advisor.hardware.table import gpu_table
from advisor.units import GIB, MIB


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


def test_an_nvidia_card_without_nvml(monkeypatch: pytest.MonkeyPatch):
    """Its own library may be missing while its driver works: registry and DXGI tell the rest."""
    keys = RECORDED["registry"]["4070-ti-and-raphael"]["keys"]
    adapters = (
        dxgi.Adapter("RTX 4070 Ti", "10de:2782", 12282 * MIB, 16 * GIB, 11 * GIB, "0x0_0x1"),
        dxgi.Adapter("Radeon", "1002:164e", 512 * MIB, 16 * GIB, None, "0x0_0x2"),
    )
    with monkeypatch.context() as patch:
        patch.setattr("sys.platform", "win32")
        patch.setattr(windows, "_display_keys", lambda: keys)
        patch.setattr(dxgi, "adapters", lambda: adapters)
        told = [
            others.read_devices(POOL, without_nvml=without).devices for without in (False, True)
        ]
        patch.setattr(dxgi, "adapters", tuple)  # a driver that does not work
        assert [d.vendor for d in others.read_devices(POOL, without_nvml=True).devices] == ["AMD"]
    assert [[d.vendor for d in devices] for devices in told] == [["AMD"], ["AMD", "NVIDIA"]]
    card = told[1][1]
    assert card.table_id == "GeForce RTX 4070 Ti"
    assert card.backend == "cuda"
    assert card.memory_total == 12878610432
    assert card.sources["memory_total"].startswith("registry")
    assert card.alternatives["memory_total"][0].source == "DXGI"
    assert card.memory_used == 12878610432 - 11 * GIB
    assert not card.integrated


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
