"""GPUs that NVML does not know, against outputs in the format of other systems (tests/data)."""

import json
from pathlib import Path
from typing import Any

import pytest
from fake_nvml import Machine

from advisor.hardware import linux_gpus, macos, others, windows
from advisor.hardware.detection import detect, set_aside
from advisor.hardware.rig import Device
from advisor.units import GIB, MIB

DATA = Path(__file__).resolve().parents[1] / "data" / "hardware"
POOL = (64 * GIB, 50 * GIB)


@pytest.fixture
def system(tmp_path: Path):
    """A root folder with the /sys/class/drm of a machine in the data."""
    recorded: dict[str, Any] = json.loads((DATA / "drm.json").read_text())

    def build(name: str) -> Path:
        root = tmp_path / name
        for path, content in recorded[name].items():
            target = root / "sys/class/drm" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content + "\n")
        return root

    return build


def test_radeon_card(system):
    (device,) = linux_gpus.read_devices(POOL, root=system("rx-7900-xtx"))
    assert device.name == "RX 7900 XTX"
    assert device.table_id == "Radeon RX 7900 XTX"
    assert device.memory_total == 24560 * MIB
    assert device.memory_used == 1287606272
    assert device.bandwidth_gbs == 960
    assert device.architecture == "rdna3"
    assert not device.unified
    assert device.power_w == 18
    assert device.power_limit_w == 303
    assert device.temperature_c == 44
    assert device.utilisation == pytest.approx(0.07)
    assert (device.pcie.generation, device.pcie.width) == (4, 16)


Port = tuple[str, str, str, str]
"""Address and vendor, then the link above it, now and at best: ``"16.0 x8"``."""


def pci_tree(root: Path, *ports: Port) -> Path:
    """A machine whose card is the last of these, each behind the one before it."""
    folder = root / "sys/devices/pci0000:00"
    for address, vendor, now, best in ports:
        folder /= address
        folder.mkdir(parents=True)
        (folder / "vendor").write_text(f"{vendor}\n")
        for which, link in (("current", now), ("max", best)):
            speed, _, width = link.partition(" x")
            (folder / f"{which}_link_speed").write_text(f"{speed} GT/s PCIe\n")
            (folder / f"{which}_link_width").write_text(f"{width}\n")
    (folder / "device").write_text("0x744c\n")
    (folder / "uevent").write_text(f"DRIVER=amdgpu\nPCI_SLOT_NAME={ports[-1][0]}\n")
    card = root / "sys/class/drm/card1"
    card.mkdir(parents=True)
    (card / "device").symlink_to(folder)
    return root


AMD_ROOT = ("0000:00:01.1", "0x1022")
INTEL_ROOT = ("0000:00:01.0", "0x8086")


@pytest.mark.parametrize(
    ("ports", "now", "best"),
    [
        # What the GPU itself says is the link within the card's switch.
        (
            (
                (*AMD_ROOT, "16.0 x8", "16.0 x8"),
                ("0000:01:00.0", "0x1002", "16.0 x8", "32.0 x16"),
                ("0000:02:00.0", "0x1002", "32.0 x16", "32.0 x16"),
                ("0000:03:00.0", "0x1002", "32.0 x16", "32.0 x16"),
            ),
            (4, 8),
            (4, 8),
        ),
        # Alchemist: its GPU and the port above it say PCIe 1.0 x1; root ports are Intel's, too.
        (
            (
                (*INTEL_ROOT, "16.0 x16", "32.0 x16"),
                ("0000:01:00.0", "0x8086", "16.0 x16", "16.0 x16"),
                ("0000:02:01.0", "0x8086", "2.5 x1", "2.5 x1"),
                ("0000:03:00.0", "0x8086", "2.5 x1", "2.5 x1"),
            ),
            (4, 16),
            (4, 16),
        ),
        # No switch of its own: an older card, in a slot behind the chipset's switch.
        (
            (
                (*AMD_ROOT, "16.0 x4", "16.0 x4"),
                ("0000:01:00.0", "0x1022", "16.0 x4", "16.0 x4"),
                ("0000:02:04.0", "0x1022", "8.0 x4", "16.0 x4"),
                ("0000:03:00.0", "0x1002", "8.0 x4", "8.0 x16"),
            ),
            (3, 4),
            (3, 4),
        ),
        # Idle: its link is low now.
        (
            (
                (*AMD_ROOT, "2.5 x16", "16.0 x16"),
                ("0000:01:00.0", "0x1002", "2.5 x16", "16.0 x16"),
                ("0000:02:00.0", "0x1002", "16.0 x16", "16.0 x16"),
                ("0000:03:00.0", "0x1002", "16.0 x16", "16.0 x16"),
            ),
            (1, 16),
            (4, 16),
        ),
    ],
)
def test_a_cards_link_is_the_one_to_its_slot(
    tmp_path: Path, ports: tuple[Port, ...], now: tuple[int, int], best: tuple[int, int]
):
    (device,) = linux_gpus.read_devices(POOL, root=pci_tree(tmp_path, *ports))
    link = device.pcie
    assert (link.generation, link.width) == now
    assert (link.max_generation, link.max_width) == best


def test_integrated_graphics_are_not_taken_for_a_gpu(system):
    devices = linux_gpus.read_devices(POOL, root=system("desktop-with-igpu"))
    counted, ignored = set_aside(devices)
    assert [d.name for d in counted] == ["RX 9070 XT"]
    assert [d.integrated for d in ignored] == [True]
    assert "integrated" in ignored[0].unknown["use"]


def test_strix_halo_is_one_pool_with_the_drivers_limit(system):
    pool = (int(124.9 * GIB), 110 * GIB)
    (device,) = linux_gpus.read_devices(pool, root=system("strix-halo"))
    assert device.name == "Strix Halo"
    assert device.unified
    assert device.memory_total == 536870912 + 133143986176
    assert device.bandwidth_gbs == 256
    assert set_aside([device])[0] == (device,)


def test_intel_card_beside_integrated_graphics(system):
    devices = linux_gpus.read_devices(POOL, root=system("arc-and-igpu"))
    counted, ignored = set_aside(devices)
    (card,) = counted
    assert card.name == "Arc B580"
    assert card.memory_total == 12 * GIB
    assert card.sources["memory_total"].startswith("nominal")
    assert [d.name for d in ignored] == ["Intel integrated graphics"]


def test_unknown_amd_card_is_usable(system):
    (device,) = linux_gpus.read_devices(POOL, root=system("unknown-amd"))
    assert device.name == "AMD Radeon AI PRO R9999"
    assert device.memory_total == 34208743424
    assert device.bandwidth_gbs is None
    assert "nothing is guessed" in device.unknown["bandwidth_gbs"]
    assert set_aside([device])[0] == (device,)


def test_nvidia_card_without_its_driver_is_said(system, machine: Machine):
    machine.become("no-gpu")
    rig = detect(root=system("nouveau"))
    assert rig.devices == ()
    assert "NVIDIA's driver is not" in rig.problems[0]
    assert "nouveau" in rig.problems[0]


def test_machine_without_any_gpu(machine: Machine, tmp_path: Path):
    machine.become("no-gpu")
    rig = detect(root=tmp_path)
    assert rig.devices == ()
    assert rig.problems == ()
    assert rig.host.ram_total


@pytest.mark.parametrize(
    ("name", "table_id", "mib", "bandwidth"),
    [
        ("m3-max-128", "Apple M3 Max (40-core)", 98304, 400),
        ("m3-max-36-raised", "Apple M3 Max (30-core)", 32768, 300),
        ("m1-16", "Apple M1", 10923, 68.25),
    ],
)
def test_apple(name: str, table_id: str, mib: int, bandwidth: float):
    recorded = json.loads((DATA / "mac.json").read_text())[name]
    (device,) = macos.parse(json.dumps(recorded["displays"]), recorded["sysctl"], 15)
    assert device.table_id == table_id
    assert device.backend == "metal"
    assert device.unified
    assert abs(device.memory_total / MIB - mib) < 1
    assert device.bandwidth_gbs == bandwidth
    assert set_aside([device])[0] == (device,)


def test_intel_mac():
    recorded = json.loads((DATA / "mac.json").read_text())["intel-mac"]
    devices = macos.parse(json.dumps(recorded["displays"]), recorded["sysctl"])
    counted, ignored = set_aside(devices)
    assert [d.memory_total for d in counted] == [8 * GIB]
    assert [d.name for d in ignored] == ["Intel UHD Graphics 630"]


@pytest.mark.parametrize("displays", ["", "[]", "{}", '{"SPDisplaysDataType": 3}', "nonsense"])
def test_mac_without_an_answer(displays: str):
    assert macos.parse(displays, "") == ()


# HKLM\SYSTEM\CurrentControlSet\Control\Class\{4d36e968-…}\000N on two PCs.
RADEON = {
    "DriverDesc": "AMD Radeon RX 9070 XT",
    "ProviderName": "Advanced Micro Devices, Inc.",
    "DriverVersion": "32.0.21013.1000",
    "MatchingDeviceId": "PCI\\VEN_1002&DEV_7550&SUBSYS_0000&REV_C0",
    "HardwareInformation.qwMemorySize": 17095983104,
    "HardwareInformation.MemorySize": 4293918720,
}
INTEGRATED = {
    "DriverDesc": "AMD Radeon(TM) Graphics",
    "MatchingDeviceId": "PCI\\VEN_1002&DEV_164E&REV_C1",
    "HardwareInformation.MemorySize": (512 * MIB).to_bytes(4, "little"),
}
NVIDIA = {"DriverDesc": "NVIDIA GeForce RTX 4090", "MatchingDeviceId": "PCI\\VEN_10DE&DEV_2684"}
BASIC = {"DriverDesc": "Microsoft Basic Display Adapter", "MatchingDeviceId": "PCI\\CC_0300"}


def test_windows_registry():
    devices = windows.parse([BASIC, NVIDIA, RADEON, INTEGRATED], POOL)
    counted, ignored = set_aside(devices)
    (card,) = counted
    assert card.table_id == "Radeon RX 9070 XT"
    assert card.memory_total == 17095983104
    assert card.driver == "32.0.21013.1000"
    assert [d.integrated for d in ignored] == [True]
    assert ignored[0].memory_total == 512 * MIB + 32 * GIB


def test_windows_32_bit_size_is_not_believed_at_its_limit():
    old = {k: v for k, v in RADEON.items() if k != "HardwareInformation.qwMemorySize"}
    (device,) = windows.parse([old], POOL)
    assert device.table_id == "Radeon RX 9070 XT"
    assert device.memory_total == 16 * GIB
    assert device.sources["memory_total"].startswith("nominal")
    assert not device.integrated
    unlisted = old | {"DriverDesc": "AMD X", "MatchingDeviceId": "PCI\\VEN_1002&DEV_9999"}
    (device,) = windows.parse([unlisted], POOL)
    assert device.table_id is None
    assert device.memory_total is None
    assert device.unknown["memory_total"]
    assert not device.integrated  # a size at its limit is a card's


ARC_140V = {
    "DriverDesc": "Intel(R) Arc(TM) 140V GPU (16GB)",
    "MatchingDeviceId": "PCI\\VEN_8086&DEV_64A0",
    "HardwareInformation.qwMemorySize": 128 * MIB,
}


def test_windows_lends_ram_to_what_is_within_a_processor():
    """By DXGI, or where that is silent as drivers do unless somebody changes it."""
    (device,) = windows.parse([ARC_140V], (32 * GIB, 20 * GIB))
    assert device.name == "Arc 140V"
    assert device.unified
    assert device.memory_total == pytest.approx(0.57 * 32 * GIB, rel=1e-4)
    (card,) = windows.parse([RADEON | {"HardwareInformation.qwMemorySize": 16 * GIB}], POOL)
    assert card.memory_total == 16 * GIB


def test_engine_alone_finds_cards():
    seen = [
        {
            "name": "Vulkan0",
            "description": "AMD Radeon RX 7900 XTX (RADV NAVI31)",
            "memory_total": 24560 * MIB,
            "memory_free": 23749 * MIB,
            "type": "GPU",
        },
        {
            "name": "Vulkan1",
            "description": "Intel(R) UHD Graphics 770 (ADL-S GT1)",
            "memory_total": 48 * GIB,
            "memory_free": 40 * GIB,
            "type": "IGPU",
        },
        {"name": "CPU", "description": "CPU", "memory_total": 64 * GIB, "type": "CPU"},
        {"name": "BLAS", "description": "OpenBLAS", "memory_total": 0, "type": "ACCEL"},
    ]
    devices = others.with_engine((), seen, POOL)
    counted, ignored = set_aside(devices)
    assert [(d.name, d.memory_total) for d in counted] == [("RX 7900 XTX", 24560 * MIB)]
    assert counted[0].memory_used == 811 * MIB
    assert len(ignored) == 1


def test_engine_names_of_a_strix_halo():
    seen = {
        "name": "Vulkan0",
        "description": "Radeon 8060S Graphics (RADV GFX1151)",
        "memory_total": 120 * GIB,
        "type": "IGPU",
    }
    (device,) = others.with_engine((), [seen], (int(124.9 * GIB), 100 * GIB))
    assert device.name == "Strix Halo"
    assert set_aside([device])[0] == (device,)


def test_engine_fills_what_was_unknown():
    unread = Device(name="RTX 4090", backend="cuda", unknown={"memory_total": "not reported"})
    seen = {
        "name": "CUDA0",
        "description": "NVIDIA GeForce RTX 4090",
        "memory_total": 24080 * MIB,
        "memory_free": 24000 * MIB,
        "type": 1,
    }
    (device,) = others.with_engine((unread,), [seen], POOL)
    assert device.memory_total == 24080 * MIB
    assert device.memory_used == 80 * MIB
    assert "memory_total" not in device.unknown


def test_two_cards_of_one_kind_stay_two():
    cards = tuple(
        Device(name="RTX 4090", backend="cuda", memory_total=24080 * MIB) for _ in range(2)
    )
    seen = [
        {
            "name": f"CUDA{i}",
            "description": "NVIDIA GeForce RTX 4090",
            "memory_total": 24080 * MIB,
            "type": 1,
        }
        for i in range(2)
    ]
    devices = others.with_engine(cards, seen, POOL)
    assert len(devices) == 2
    assert all(d.alternatives["memory_total"] for d in devices)
