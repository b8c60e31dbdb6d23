"""What variables of CUDA, ROCm, Vulkan and SYCL leave of a machine's GPUs to llama.cpp."""

import itertools
from pathlib import Path

import pytest
from fake_nvml import Machine
from hypothesis import given
from hypothesis import strategies as st
from sensor_cases import Kernel

from advisor.hardware import kfd
from advisor.hardware.detection import detect
from advisor.hardware.doctor import examine
from advisor.hardware.rig import Backend, Device, Rig
from advisor.hardware.visible import BUILDS, SEEN, visible
from advisor.units import GIB

VARIABLES = (
    "CUDA_VISIBLE_DEVICES",
    "CUDA_DEVICE_ORDER",
    "ROCR_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "GGML_VK_VISIBLE_DEVICES",
    "ONEAPI_DEVICE_SELECTOR",
)
MI50, RX_7900, GRAPHICS = ("0x66a1", "0x00"), ("0x744c", "0xc8"), ("0x164e", "0xc1")


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def amd(linux: Kernel, *cards: tuple[str, str]) -> Path:
    """A machine with these cards of AMD's, as amdgpu and amdkfd show them, in slots 3, 4, …"""
    nodes = linux.root / "sys/class/kfd/kfd/topology/nodes"
    for node, facts in enumerate(["cpu_cores_count 16\nsimd_count 0", *(cards)]):
        folder = nodes / str(node)
        folder.mkdir(parents=True)
        if isinstance(facts, str):
            (folder / "properties").write_text(f"{facts}\n")
            continue
        slot = node + 2
        linux.card(
            node,
            vendor="0x1002",
            device=facts[0],
            revision=facts[1],
            uevent=f"DRIVER=amdgpu\nPCI_SLOT_NAME=0000:{slot:02x}:00.0",
            mem_info_vram_total=str((32 if facts == MI50 else 24) * GIB),
            mem_info_vram_used="0",
        )
        (folder / "properties").write_text(
            f"cpu_cores_count 0\nsimd_count 240\nlocation_id {slot << 8}\ndomain 0\n"
            f"unique_id {0xABC0 + node}\n"
        )
    return linux.root


def slots(devices: tuple[Device, ...]) -> list[int]:
    return [int((device.pci_address or "")[5:7], 16) for device in devices]


def seen(rig: Rig) -> list[int]:
    return slots(rig.devices)


@pytest.mark.parametrize(
    ("variables", "left"),
    [
        ({}, [3, 4, 5]),
        ({"HIP_VISIBLE_DEVICES": "1"}, [4]),
        ({"HIP_VISIBLE_DEVICES": "2,0"}, [5, 3]),
        ({"HIP_VISIBLE_DEVICES": "0,9,1"}, [3]),  # what is no card ends the list
        ({"HIP_VISIBLE_DEVICES": ""}, [3, 4, 5]),  # HIP takes an empty one for none
        ({"HIP_VISIBLE_DEVICES": "-1"}, []),
        ({"CUDA_VISIBLE_DEVICES": "1"}, [4]),  # HIP reads it too
        ({"CUDA_VISIBLE_DEVICES": "1", "HIP_VISIBLE_DEVICES": "2"}, [5]),
        ({"ROCR_VISIBLE_DEVICES": "2,1"}, [5, 4]),
        ({"ROCR_VISIBLE_DEVICES": ""}, []),
        ({"ROCR_VISIBLE_DEVICES": "2,1", "HIP_VISIBLE_DEVICES": "1"}, [4]),  # of those two
        ({"ROCR_VISIBLE_DEVICES": "GPU-000000000000abc2"}, [4]),
        ({"ROCR_VISIBLE_DEVICES": "gpu-0000"}, []),  # the beginning of all three
        ({"HIP_VISIBLE_DEVICES": "GPU-000000000000ABC3"}, [5]),
        ({"GGML_VK_VISIBLE_DEVICES": "0"}, [3, 4, 5]),  # their llama.cpp is ROCm's
    ],
)
def test_cards_that_rocm_does_not_show_are_not_counted(
    linux: Kernel, machine: Machine, monkeypatch, variables: dict[str, str], left: list[int]
):
    machine.become("no-gpu")
    root = amd(linux, MI50, MI50, MI50)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    rig = detect(root=root)
    assert seen(rig) == left
    hidden = [device for device in rig.ignored if "leaves it out" in device.unknown["use"]]
    assert sorted(slots(tuple(hidden)) + left) == [3, 4, 5]
    said = [finding for finding in examine(rig) if finding.code == "ignored"]
    assert bool(said) == bool(hidden)
    assert all(any(name in finding.text for name in variables) for finding in said)


def test_unlike_cards_are_told_apart_by_the_kernels_order(
    linux: Kernel, machine: Machine, monkeypatch
):
    """Graphics within a processor are one of ROCm's devices too."""
    machine.become("no-gpu")
    root = amd(linux, GRAPHICS, MI50, MI50)
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "2")
    assert seen(detect(root=root)) == [5]
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "0")
    assert seen(detect(root=root)) == []


def test_another_backends_variable_hides_a_card_from_its_builds_alone(
    linux: Kernel, machine: Machine, monkeypatch
):
    machine.become("no-gpu")
    root = amd(linux, RX_7900, RX_7900)
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "1")
    rig = detect(root=root)
    assert seen(rig) == [3, 4]
    (said,) = [finding for finding in examine(rig) if finding.code == "builds"]
    assert said.device_index == 0
    assert "builds for ROCm do not see it" in said.text
    assert "HIP_VISIBLE_DEVICES" in said.text


@pytest.mark.parametrize(
    ("value", "left"),
    [
        ("0", [3]),
        ("1,0", [4, 3]),
        ("1 0", [4, 3]),
        ("1,1", [4]),
        ("", []),
        ("none", []),
        ("2", [3, 4]),  # a renderer on the processor, or no device at all
    ],
)
def test_cards_that_vulkan_does_not_show_are_not_counted(
    linux: Kernel, machine: Machine, monkeypatch, value: str, left: list[int]
):
    machine.become("no-gpu")
    root = amd(linux, RX_7900, RX_7900)
    monkeypatch.setenv("GGML_VK_VISIBLE_DEVICES", value)
    rig = detect(root=root)
    assert seen(rig) == left
    doubts = [finding for finding in examine(rig) if finding.code == "seen"]
    assert len(doubts) == (2 if value == "2" else 0)
    assert all("--list-devices" in finding.text for finding in doubts)


def test_vulkans_numbers_of_unlike_cards_say_nothing(linux: Kernel, machine: Machine, monkeypatch):
    machine.become("no-gpu")
    root = amd(linux, RX_7900, GRAPHICS)
    monkeypatch.setenv("GGML_VK_VISIBLE_DEVICES", "0")
    rig = detect(root=root)
    assert seen(rig) == [3]
    assert [finding.code for finding in examine(rig) if finding.code == "seen"] == ["seen"]
    monkeypatch.setenv("GGML_VK_VISIBLE_DEVICES", "1,0")
    assert not any(finding.code == "seen" for finding in examine(detect(root=root)))


def test_cudas_numbers_of_unlike_cards_are_said_to_say_nothing(machine: Machine, monkeypatch):
    machine.become("mixed")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    rig = detect()
    assert len(rig.devices) == 2
    doubts = [finding for finding in examine(rig) if finding.code == "seen"]
    assert [finding.device_index for finding in doubts] == [0, 1]
    assert "CUDA_VISIBLE_DEVICES=1" in doubts[0].text


def test_what_lies_between_cards_follows_them_to_their_new_places(machine: Machine, monkeypatch):
    machine.become("eight-h100")

    def paths() -> dict[frozenset[str | None], str]:
        rig = detect()
        return {
            frozenset((rig.devices[p.first].uuid, rig.devices[p.second].uuid)): p.path
            for p in rig.peers
        }

    every = paths()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7,2,1")
    few = paths()
    assert len(few) == 3
    assert few.items() <= every.items()


def intel(*backends: Backend) -> list[Device]:
    return [
        Device(name="Max 1100", vendor="Intel", backend=backend, pci_address=f"0000:0{place}:00.0")
        for place, backend in enumerate(backends, start=3)
    ]


@pytest.mark.parametrize(
    ("value", "left"),
    [
        ("level_zero:0", [3]),
        ("level_zero:1,0", [3, 4]),
        ("level_zero:0;level_zero:1", [3, 4]),
        ("LEVEL_ZERO:*", [3, 4]),
        ("*:gpu", [3, 4]),
        ("opencl:cpu", []),
        ("cuda:*", []),
        ("!level_zero:0", [4]),
        ("level_zero:*;!level_zero:1", [3]),
        ("level_zero:7", []),
        ("level_zero:0.1", [3, 4]),  # a part of a card
    ],
)
def test_cards_that_sycl_does_not_show_are_not_counted(value: str, left: list[int]):
    shown, hidden = visible(intel("sycl", "sycl"), {"ONEAPI_DEVICE_SELECTOR": value})
    assert slots(shown) == left
    assert len(shown) + len(hidden) == 2
    assert all(SEEN in device.unknown for device in shown) == (left == [] or "." in value)


def test_a_card_that_counts_for_vulkan_is_hidden_from_sycls_builds():
    shown, hidden = visible(intel("vulkan", "vulkan"), {"ONEAPI_DEVICE_SELECTOR": "level_zero:1"})
    assert slots(shown) == [3, 4]
    assert hidden == ()
    assert [BUILDS in device.unknown for device in shown] == [True, False]


BACKENDS: tuple[Backend, ...] = ("cuda", "rocm", "vulkan", "sycl", "metal")
VALUES = st.text(alphabet="0123 ,;:-*!.GPUgpulevel_zro", max_size=12) | st.sampled_from(
    ["level_zero:gpu", "0,1,2", "GPU-0", "-1"]
)


@given(
    st.lists(st.tuples(st.sampled_from(BACKENDS), st.sampled_from("AB")), max_size=5),
    st.dictionaries(st.sampled_from(VARIABLES), VALUES),
    st.booleans(),
)
def test_every_device_is_either_shown_or_hidden(
    drawn: list[tuple[Backend, str]], environment: dict[str, str], with_nodes: bool
):
    devices = [
        Device(
            name=name, backend=backend, pci_address=f"0000:{place:02x}:00.0", uuid=f"GPU-{place}"
        )
        for place, (backend, name) in enumerate(drawn)
    ]
    nodes = [kfd.Node(d.pci_address or "", f"GPU-{n:016X}") for n, d in enumerate(devices, 1)]
    shown, hidden = visible(devices, environment, nodes if with_nodes else ())
    assert sorted(map(str, slots(shown + hidden))) == sorted(map(str, range(len(devices))))
    assert all("use" in device.unknown for device in hidden)
    assert not any("use" in device.unknown for device in shown)
    backends = [device.backend for device in shown]
    every = [device.backend for device in devices]
    remaining = iter(every)
    assert all(backend in remaining for backend in backends), "backends keep their places"
    if not environment.keys() - {"CUDA_DEVICE_ORDER"}:
        assert (list(shown), hidden) == (devices, ())


def test_topology_without_numbers_is_no_order(tmp_path: Path):
    assert kfd.nodes(tmp_path) == ()
    nodes = tmp_path / "sys/class/kfd/kfd/topology/nodes"
    for name, text in itertools.zip_longest(
        ("0", "1", "2", "x"), ("", "simd_count 8", "nonsense a b")
    ):
        (nodes / name).mkdir(parents=True)
        (nodes / name / "properties").write_text(text or "")
    assert kfd.nodes(tmp_path) == (kfd.Node("0000:00:00.0", ""),)
