"""NVML scenarios through the real pynvml: what is read is right, what is not read says why."""

import json
import os
import subprocess
import sys
from pathlib import Path

import fake_nvml
import pytest
from fake_nvml import MIB, SCENARIOS, Machine

from advisor.hardware import detect
from advisor.hardware.detection import detect as detect_at
from advisor.hardware.rig import Device, PcieLink, Rig
from advisor.hardware.saved import rig_from_json, rig_to_json
from advisor.units import GIB

# Every NVML function that detection asks, as the library exports them.
DEVICE_FUNCTIONS = [
    "nvmlDeviceGetName",
    "nvmlDeviceGetUUID",
    "nvmlDeviceGetPciInfo_v3",
    "nvmlDeviceGetMemoryInfo_v2",
    "nvmlDeviceGetUtilizationRates",
    "nvmlDeviceGetCurrPcieLinkGeneration",
    "nvmlDeviceGetCurrPcieLinkWidth",
    "nvmlDeviceGetMaxPcieLinkGeneration",
    "nvmlDeviceGetMaxPcieLinkWidth",
    "nvmlDeviceGetPowerUsage",
    "nvmlDeviceGetEnforcedPowerLimit",
    "nvmlDeviceGetPowerManagementDefaultLimit",
    "nvmlDeviceGetMemoryBusWidth",
    "nvmlDeviceGetNumGpuCores",
    "nvmlDeviceGetDisplayActive",
    "nvmlDeviceGetDisplayMode",
    "nvmlDeviceGetTemperature",
    "nvmlDeviceGetClockInfo",
    "nvmlDeviceGetMaxClockInfo",
    "nvmlDeviceGetNvLinkState",
    "nvmlDeviceGetEccMode",
    "nvmlDeviceGetMigMode",
    "nvmlDeviceGetDriverModel_v2",
    "nvmlDeviceGetCudaComputeCapability",
    "nvmlDeviceGetCurrentClocksEventReasons",
    "nvmlDeviceGetComputeRunningProcesses_v3",
    "nvmlDeviceGetGraphicsRunningProcesses_v3",
    "nvmlDeviceGetTopologyCommonAncestor",
    "nvmlDeviceGetP2PStatus",
]
SYSTEM_FUNCTIONS = [
    "nvmlInitWithFlags",
    "nvmlShutdown",
    "nvmlSystemGetDriverVersion",
    "nvmlSystemGetCudaDriverVersion",
    "nvmlDeviceGetCount_v2",
    "nvmlDeviceGetHandleByIndex_v2",
]


def only(rig: Rig) -> Device:
    assert len(rig.devices) == 1
    return rig.devices[0]


def test_a_4090_as_the_driver_shows_it(machine: Machine):
    machine.become("rtx-4090")
    device = only(detect())
    assert device.name == "RTX 4090"
    assert device.table_id == "GeForce RTX 4090"
    # What cudaMemGetInfo, and so llama.cpp, reports as total.
    assert device.memory_total == 24080 * MIB
    assert device.memory_reserved == 484 * MIB
    assert device.memory_used == 1100 * MIB
    assert device.memory_free == 22980 * MIB
    assert device.bandwidth_gbs == 1008
    assert device.multiprocessors == 128
    assert device.compute_capability == (8, 9)
    assert device.architecture == "ada"
    assert device.driver == "580.95.05"
    assert device.cuda == "13.0"
    assert device.pci_id == "10de:2684"
    assert device.pci_address == "00000000:01:00.0"
    assert (device.power_w, device.power_limit_w, device.power_default_w) == (24.3, 450, 450)
    assert (device.pcie.generation, device.pcie.max_generation, device.pcie.max_width) == (1, 4, 16)
    assert device.nvlink_gbs == 0
    assert device.display is True
    assert device.display_attached is True
    assert device.memory_clock_mhz == 405
    assert (device.utilisation, device.memory_utilisation) == (0.03, 0)
    assert device.ecc is False
    assert device.throttle == ()
    assert device.unknown == {}
    # The driver's own clocks confirm the table's bandwidth.
    (second,) = device.alternatives["bandwidth_gbs"]
    assert second.value == pytest.approx(1008, rel=0.001)
    for field in ("memory_total", "bandwidth_gbs", "pcie", "driver", "architecture"):
        assert device.sources[field]


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_every_scenario_gives_a_usable_rig(machine: Machine, name: str):
    machine.become(name)
    rig = detect()
    assert rig.host.ram_total
    assert not rig.imagined
    assert rig_from_json(rig_to_json(rig)) == rig
    for device in (*rig.devices, *rig.ignored):
        assert device.name
        for field, value in device.model_dump().items():
            missing = value is None and field not in OPTIONAL
            assert not missing or field in device.unknown, f"{field} of {device.name} has no reason"
        assert device.memory_total != 0
        assert all(reason for reason in device.unknown.values())


# None here means there is nothing to say, rather than something unread.
OPTIONAL = {"table_id", "driver_model", "power_idle_w", "vendor", "pci_address", "memory_reserved"}
OPTIONAL |= {"nvlink_links", "utilisation", "power_w", "clock_mhz", "clock_max_mhz", "display"}
OPTIONAL |= {"power_limit_w", "power_default_w", "temperature_c", "uuid", "multiprocessors"}
OPTIONAL |= {"compute_capability", "display_attached", "memory_clock_mhz", "memory_utilisation"}


@pytest.mark.parametrize("function", [*DEVICE_FUNCTIONS, *SYSTEM_FUNCTIONS])
@pytest.mark.parametrize("code", [3, 13, 15, 999])
def test_every_call_failing_in_turn(machine: Machine, function: str, code: int):
    machine.become({**SCENARIOS["rtx-4090-pair"], f"fail.{function}": code})
    rig = detect()
    assert rig.host.ram_total
    # Losing one fact never loses a card, unless the driver says that the card is gone.
    fatal = function in {
        "nvmlInitWithFlags",
        "nvmlDeviceGetCount_v2",
        "nvmlDeviceGetHandleByIndex_v2",
    }
    pairwise = function in {"nvmlDeviceGetTopologyCommonAncestor", "nvmlDeviceGetP2PStatus"}
    survives = not fatal and (code != 15 or pairwise or function in SYSTEM_FUNCTIONS)
    if function.startswith("nvmlSystem") and code == 15:
        survives = False
    assert len(rig.devices) == (2 if survives else 0)
    assert bool(rig.problems) == (not survives)


def test_memory_that_cannot_be_read_is_unknown_and_not_zero(machine: Machine):
    machine.become({**SCENARIOS["rtx-4090"], "0.fail.nvmlDeviceGetMemoryInfo_v2": 3})
    device = only(detect())
    assert device.memory_total is None
    assert device.memory_free is None
    assert "not reported" in device.unknown["memory_total"]
    # Two products bear this name and PCI id; without the memory neither is assumed.
    assert device.table_id is None


def test_laptop_is_not_a_desktop(machine: Machine):
    machine.become("laptop")
    device = only(detect())
    assert device.laptop
    assert device.table_id == "GeForce RTX 4090 Laptop"
    assert device.bandwidth_gbs == 576


def test_mig_slice_is_not_the_card(machine: Machine):
    machine.become("mig")
    rig = detect()
    device = only(rig)
    assert device.mig
    assert device.name == "H100 SXM MIG 3g.40gb"
    assert device.memory_total == 40320 * MIB
    assert device.bandwidth_gbs == pytest.approx(3350 / 2)
    assert device.multiprocessors == 60
    assert device.fp16_tflops == pytest.approx(989 * 60 / 132)
    assert [d.name for d in rig.ignored] == ["H100 SXM MIG 1g.10gb"] * 2
    assert all("one MIG slice" in d.unknown["use"] for d in rig.ignored)


def test_mig_without_a_slice_is_said(machine: Machine):
    machine.become("mig-empty")
    rig = detect()
    assert rig.devices == ()
    assert "administrator rights" in rig.problems[0]


def test_gb10_is_one_pool_with_the_host(machine: Machine):
    machine.become("gb10")
    rig = detect()
    device = only(rig)
    assert device.unified
    assert device.table_id == "DGX Spark / GB10"
    assert device.memory_total == rig.host.ram_total
    assert device.memory_used is not None
    assert 0 < device.memory_used < device.memory_total
    assert device.pcie == PcieLink()
    assert "without PCIe" in device.unknown["pcie"]
    assert [(p.name, p.memory) for p in device.processes] == [("python", 19135 * MIB)]
    assert rig.host.ram_bandwidth_gbs == 273


def test_grace_hopper_keeps_its_two_memories_apart(machine: Machine, tmp_path: Path):
    machine.become("gh200")
    nodes = tmp_path / "sys/devices/system/node"
    gib = {"node0": 2, "node1": 1}
    for name, cpus in (("node0", "0-71"), ("node1", "")):
        (nodes / name).mkdir(parents=True)
        (nodes / name / "cpulist").write_text(f"{cpus}\n")
        (nodes / name / "meminfo").write_text(f"Node 0 MemTotal: {gib[name] << 20} kB\n")
    rig = detect_at(root=tmp_path)
    device = only(rig)
    assert device.table_id == "GH200 96GB"
    assert not device.unified
    assert device.memory_total == (97871 - 618) * MIB
    # Of what the kernel calls RAM, the node without processors is the GPU's memory.
    assert rig.host.ram_total == detect().host.ram_total - GIB
    assert "less the GPUs' memory" in rig.host.sources["ram_total"]


def test_wsl_keeps_what_it_can(machine: Machine):
    machine.become("wsl")
    device = only(detect())
    assert device.memory_total == 24080 * MIB
    assert "processes" in device.unknown
    assert "pcie" in device.unknown


def test_processes_have_names_and_no_private_paths(machine: Machine):
    machine.become("busy")
    device = only(detect())
    held = [(p.name, p.memory) for p in device.processes]
    assert held == [
        ("firefox", 9 * 1024 * MIB),
        ("game.exe", 6 * 1024 * MIB),
        ("another user's program", None),
    ]
    assert device.throttle == ("power limit", "temperature (software)")


def test_wddm_hides_memory_per_process(machine: Machine):
    machine.become("wddm")
    device = only(detect())
    assert device.driver_model == "WDDM"
    assert [p.memory for p in device.processes] == [None]


def test_old_driver_without_memory_v2(machine: Machine):
    machine.become("old-driver")
    device = only(detect())
    assert device.memory_total == 24576 * MIB
    assert "includes what the driver reserves" in device.sources["memory_total"]
    assert "too old" in device.unknown["memory_reserved"]
    assert device.cuda == "11.4"


def test_a_card_that_the_table_does_not_know(machine: Machine):
    machine.become("unknown-card")
    device = only(detect())
    assert device.table_id is None
    assert device.name == "RTX 4095"
    # Its own clocks and bus still tell how fast its memory is.
    assert device.bandwidth_gbs == pytest.approx(1008, rel=0.001)
    assert device.architecture == "ada"
    assert "nothing is guessed" in device.unknown["table_id"]


def test_lost_cards_leave_the_others(machine: Machine):
    for scenario, left in (("off-the-bus", "RTX 4090"), ("no-handle", "RTX 3090")):
        machine.become(scenario)
        rig = detect()
        assert [d.name for d in rig.devices] == [left]
        assert "fallen off the bus" in rig.problems[0]


def test_driver_problems_are_said(machine: Machine):
    machine.become("driver-updated")
    assert "not restarted" in detect().problems[0]
    machine.become("driver-not-loaded")
    assert "not loaded" in detect().problems[0]


def test_mixed_rig_and_what_lies_between(machine: Machine):
    machine.become("mixed")
    rig = detect()
    assert [d.name for d in rig.devices] == ["RTX 4090", "RTX 3090"]
    assert rig.devices[1].pcie.max_width == 4
    assert rig.devices[1].power_limit_w == 250
    assert [(p.first, p.second, p.path) for p in rig.peers] == [(0, 1, "the link between two CPUs")]


def test_eight_cards_with_nvlink(machine: Machine):
    machine.become("eight-h100")
    rig = detect()
    assert [d.name for d in rig.devices] == ["H100 SXM"] * 8
    assert {d.nvlink_gbs for d in rig.devices} == {900.0}
    assert {d.nvlink_links for d in rig.devices} == {18}
    assert len(rig.peers) == 28
    assert {p.path for p in rig.peers} == {"NVLink"}
    assert all(p.peer_to_peer for p in rig.peers)


def test_the_engine_confirms_and_adds(machine: Machine):
    machine.become("rtx-4090")
    seen = [
        {
            "name": "CUDA0",
            "description": "NVIDIA GeForce RTX 4090",
            "memory_total": 24080 * MIB,
            "memory_free": 22000 * MIB,
            "type": "GGML_BACKEND_DEVICE_TYPE_GPU",
            "device_id": "0000:01:00.0",
        },
        {"name": "CPU", "description": "CPU", "memory_total": 1, "memory_free": 1, "type": 0},
        {
            "name": "Vulkan1",
            "description": "AMD Radeon RX 7900 XTX (RADV NAVI31)",
            "memory_total": 24560 * MIB,
            "memory_free": 23749 * MIB,
            "type": 1,
            "device_id": "0000:0a:00.0",
        },
    ]
    rig = detect(seen)
    assert len(rig.devices) == 2
    sources = [r.source for r in rig.devices[0].alternatives["memory_total"]]
    assert "llama.cpp's device list" in sources
    assert rig.devices[1].memory_total == 24560 * MIB
    assert rig.devices[1].backend == "vulkan"


def test_an_h200_in_a_virtual_machine_as_it_was_read_there(machine: Machine):
    """The whole card as detection told of it on the machine itself (data/hardware/h200.json)."""
    path = Path(__file__).resolve().parents[1] / "data" / "hardware" / "h200.json"
    recorded = only(rig_from_json(path.read_text(encoding="utf-8")))
    machine.become("h200")
    found = only(detect())
    assert found.processes == recorded.processes == ()
    # The card's own name in this driver, and where the table's facts come from, may change.
    told = found.model_copy(update={"uuid": recorded.uuid, "sources": recorded.sources})
    assert told == recorded


def test_real_loading_path_in_a_process_of_its_own(nvml_library: Path, tmp_path: Path):
    """The dynamic loader finds the library as it would find the driver's."""
    scenario = tmp_path / "scenario.txt"
    Machine(scenario).become("rtx-4090-pair")
    code = (
        "import sys; from advisor.hardware import detect; "
        "sys.stdout.write(detect().model_dump_json())"
    )
    environment = os.environ | {
        "LD_LIBRARY_PATH": str(nvml_library.parent),
        "FAKE_NVML": str(scenario),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    names = [device["name"] for device in json.loads(done.stdout)["devices"]]
    assert names == ["RTX 4090", "RTX 4090"]


def test_the_fake_is_gone_afterwards(nvml_library: Path, tmp_path: Path):
    with fake_nvml.installed(nvml_library, tmp_path / "x.txt") as fake:
        fake.become("rtx-4090")
        assert len(detect().devices) == 1
    assert "FAKE_NVML" not in os.environ


@pytest.mark.parametrize(
    ("scenario", "named", "order", "seen"),
    [
        ("rtx-4090-pair", None, None, [0, 1]),
        ("rtx-4090-pair", "1", None, [1]),
        ("rtx-4090-pair", "1,0", None, [1, 0]),
        ("rtx-4090-pair", "0,7,1", None, [0]),  # what is no card ends the list
        ("rtx-4090-pair", "", None, []),
        ("rtx-4090-pair", "-1", None, []),
        ("mixed", "1", None, [0, 1]),  # the fastest first: nobody can tell which that is
        ("mixed", "1", "PCI_BUS_ID", [1]),
    ],
)
def test_cards_that_cuda_does_not_show_are_not_counted(
    machine: Machine, monkeypatch, *, scenario, named, order, seen
):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    machine.become(scenario)
    every = detect().devices
    for name, value in (("CUDA_VISIBLE_DEVICES", named), ("CUDA_DEVICE_ORDER", order)):
        if value is not None:
            monkeypatch.setenv(name, value)
    rig = detect()
    assert [d.uuid for d in rig.devices] == [every[place].uuid for place in seen]
    left_out = [d for d in rig.ignored if "CUDA_VISIBLE_DEVICES" in d.unknown.get("use", "")]
    assert len(left_out) == len(every) - len(seen)
    assert all({p.first, p.second} <= set(range(len(seen))) for p in rig.peers)


def test_a_card_is_shown_by_the_beginning_of_its_name(machine: Machine, monkeypatch):
    machine.become("mixed")
    first, second = detect().devices
    assert second.uuid is not None
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", second.uuid)
    assert [d.uuid for d in detect().devices] == [second.uuid]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-")  # not one alone
    assert detect().devices == ()
    assert first.uuid != second.uuid


def test_the_slice_that_was_chosen_is_the_one_that_counts(machine: Machine, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    machine.become("mig")
    rig = detect()
    (first,) = rig.devices
    other = next(d for d in rig.ignored if d.mig and d.uuid != first.uuid)
    assert other.uuid is not None
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", other.uuid)
    chosen = detect()
    assert [d.uuid for d in chosen.devices] == [other.uuid]
    assert first.uuid in {d.uuid for d in chosen.ignored}
