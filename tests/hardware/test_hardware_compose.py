"""Imagined rigs: text, the batch contract, edits, and files."""

import json
from pathlib import Path

import pytest

from advisor.errors import RigError
from advisor.hardware import edits
from advisor.hardware.compose import describe_rig, parse_rig, rig_from_spec
from advisor.hardware.doctor import examine
from advisor.hardware.external_links import external_links
from advisor.hardware.rig import Host, Rig
from advisor.hardware.saved import load_rig, rig_to_json, save_rig
from advisor.hardware.shared_memory import reads_the_ram
from advisor.hardware.table import gpu_table
from advisor.sizing.speed_data import speed_data
from advisor.units import GIB


@pytest.mark.parametrize(
    ("text", "names", "ram_gib", "bandwidth"),
    [
        ("2x RTX 4090 + 128 GB DDR5-6000", ["RTX 4090"] * 2, 128, 96.0),
        ("2xRTX4090+128GBDDR5-6000", ["RTX 4090"] * 2, 128, 96.0),
        ("8x H200", ["H200 SXM"] * 8, None, None),
        ("M3 Ultra 512GB", ["M3 Ultra"], 512, 819),
        ("RTX 5090 + RTX 3090 + 64GB DDR4-3200", ["RTX 5090", "RTX 3090"], 64, 51.2),
        ("CPU only 64 GB DDR5-5600", [], 64, 89.6),
        ("Strix Halo 128GB", ["Strix Halo"], 128, 256),
        ("Ryzen AI Max+ 395 64GB", ["Strix Halo"], 64, 256),
        ("4 × RTX 3090, EPYC 9654 12-channel DDR5-4800 768 GB", ["RTX 3090"] * 4, 768, 460.8),
        ("dual RTX 3090 with 64GB RAM", ["RTX 3090"] * 2, 64, None),
        ("RTX 4070 SUPER x2 + 2x32GB DDR5-6000", ["RTX 4070 SUPER"] * 2, 64, 96.0),
        ("M4 Max 128 GB RAM", ["M4 Max (40-core)"], 128, 546),
        ("RX 7900 XTX + 32 GB + Ryzen 7 7800X3D", ["RX 7900 XTX"], 32, None),
        ("L40S; 1 TB 8-channel DDR5-4800", ["L40S"], 1024, 307.2),
        # As people type.
        ("2x3090 + 64gb ram", ["RTX 3090"] * 2, 64, None),
        ("two 3090s w/ nvlink, 128gb", ["RTX 3090"] * 2, 128, None),
        ("(2) RTX 3090 / 64GB DDR4 3600MHz", ["RTX 3090"] * 2, 64, 57.6),
        ("1 3090 and 1 3060", ["RTX 3090", "RTX 3060 12GB"], None, None),
        ("ryzen 7 5800x3d 64gb ddr4 3600 rtx 4070", ["RTX 4070"], 64, 57.6),
        ("Core Ultra 9 285K 96GB DDR5-6400 RTX 5090", ["RTX 5090"], 96, 102.4),
        ("i9-13900K, RTX 4080 Super, 32GB DDR5", ["RTX 4080 SUPER"], 32, None),
        ("8700g 64gb ddr5", ["Radeon 780M"], 64, None),
        ("xeon w5 512gb", [], 512, None),
        ("RTX 4090 64 GB DDR5-5600", ["RTX 4090"], 64, 89.6),
        ("RTX 4090, 24 GB, 64 GB RAM at 6000 MT/s", ["RTX 4090"], 64, 96),
        ("rtx 4090 24 GB VRAM, 64 GB RAM", ["RTX 4090"], 64, None),
        ("4090 64gb", ["RTX 4090"], 64, None),
        ("2x 16GB 5060 Ti + 4x16 GB + 2TB NVMe SSD", ["RTX 5060 Ti 16GB"] * 2, 64, None),
        ("MSI RTX 4090 Suprim X PCIe 4.0 x16 + 64GB", ["RTX 4090"], 64, None),
        ("4 x A100 80GB SXM NVLink, 1TB DDR4-3200 8 ch", ["A100 80GB SXM"] * 4, 1024, 204.8),
        ("gaming laptop with rtx 4060 8gb and 16gb ram", ["RTX 4060 Laptop"], 16, None),
        ("mac studio m3 ultra 512", ["M3 Ultra"], 512, 819),
        ("MacBook Pro 36GB M3 Max", ["M3 Max (30-core)"], 36, 300),
        ("Strix Halo + 96GB", ["Strix Halo"], 96, 256),
    ],
)
def test_text(text: str, names: list[str], ram_gib: int | None, bandwidth: float | None):
    rig = parse_rig(text)
    assert [device.name for device in rig.devices] == names
    assert rig.imagined
    assert rig.host.ram_total == (None if ram_gib is None else ram_gib * GIB)
    assert rig.host.ram_bandwidth_gbs == (None if bandwidth is None else pytest.approx(bandwidth))
    for device in rig.devices:
        assert device.memory_total
        if reads_the_ram(device):
            assert device.bandwidth_gbs == rig.host.ram_bandwidth_gbs
            continue
        assert device.bandwidth_gbs
        assert device.sources["bandwidth_gbs"].startswith("GPU table (")


def test_every_name_of_the_table_is_read_beside_ram():
    for entry in gpu_table().gpus:
        for name in (entry.name, entry.label or entry.name, *entry.aliases):
            try:
                rig = parse_rig(name if entry.unified else f"{name} + 64 GB DDR5-6000")
            except RigError as error:
                assert "more than one card" in str(error)  # noqa: PT017 - few names are shared
                continue
            assert {device.table_id for device in rig.devices} == {entry.name}
            assert not rig.host.cpu


@pytest.mark.parametrize(
    "text",
    [
        "2x DGX Spark over 200GbE",
        "two dgx sparks connected by 200GbE",
        "2 machines with DGX Spark over 200GbE",
        "2 nodes: DGX Spark via 200GbE",
    ],
)
def test_machines_that_are_counted(text: str):
    assert parse_rig(text) == parse_rig("DGX Spark over 200GbE with DGX Spark").model_copy(
        update={"name": parse_rig(text).name}
    )


@pytest.mark.parametrize(
    ("text", "dies", "name"),
    [
        ("MI250X", 2, "MI250X 64GB"),
        ("2x MI250X 128GB + 512 GB DDR4-3200", 4, "MI250X 64GB"),
        ("Instinct MI250", 2, "MI250 64GB"),
        ("MI250X 64GB", 1, "MI250X 64GB"),  # one die, as it is shown
    ],
)
def test_a_module_of_two_dies_is_two_devices(text: str, dies: int, name: str):
    """As drivers and llama.cpp see it."""
    rig = parse_rig(text)
    assert [device.name for device in rig.devices] == [name] * dies
    assert {device.memory_total for device in rig.devices} == {64 * GIB}
    assert all("dies" in device.sources["name"] for device in rig.devices)
    assert sum(finding.code == "dies" for finding in examine(rig)) == 1
    assert parse_rig(describe_rig(rig)).devices == rig.devices


@pytest.mark.parametrize(
    ("spec", "dies"),
    [
        ({"name": "MI250X"}, 2),
        ({"name": "MI250X", "memory_gib": 128, "count": 2}, 4),
        ({"name": "MI250X", "memory_gib": 64, "count": 2}, 2),
    ],
)
def test_so_it_is_in_a_batch_row(spec: dict[str, object], dies: int):
    rig = rig_from_spec({"gpus": [spec]})
    assert [device.memory_total for device in rig.devices] == [64 * GIB] * dies
    assert rig.devices[0].bandwidth_gbs == 1638


def test_what_is_not_said_is_unknown_with_a_reason():
    rig = parse_rig("8x H200")
    assert rig.host.ram_total is None
    assert "not stated" in rig.host.unknown["ram_total"]
    assert "two channels assumed" in str(parse_rig("64 GB DDR5-5600").host.ram_bandwidth_source)
    server = parse_rig("8x H100 + 1 TB DDR5-4800").host
    assert "eight channels assumed" in str(server.ram_bandwidth_source)
    assert server.ram_bandwidth_gbs == pytest.approx(8 * 4800 * 8 / 1000)
    few = parse_rig("3x H100 + 256 GB DDR5-4800").host
    assert "eight channels assumed" in str(few.ram_bandwidth_source), "no desktop takes an SXM"
    pcie = parse_rig("H100 PCIe + 128 GB DDR5-4800").host
    assert "two channels assumed" in str(pcie.ram_bandwidth_source)
    assert "assumed" not in str(parse_rig("64 GB quad-channel DDR4-3200").host.ram_bandwidth_source)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "2x RTX 4090 + 128 GB DDR5-6000"),
        ("RTX 4091", "RTX 4090"),
        ("RTX 4060 Ti + 32GB", "RTX 4060 Ti 16GB; RTX 4060 Ti 8GB"),
        ("M3 Max", "M3 Max (30-core)"),
        ("M3 Max 99GB", "not sold with 99 GB"),
        ("M3 Ultra 1TB", "not sold with 1024 GB"),
        ("0x RTX 4090", "between 1 and"),
        ("999x RTX 4090", "between 1 and"),
        ("RTX 4091 64 GB DDR5-5600", "Separate parts"),
        ("rtx 5070 ti super + 64 GB", "“super” is no part of a name"),
        ("2x 4080s", "RTX 4080; RTX 4080 SUPER"),
        ("64 GB + 32 GB", "given twice: 64GB and 32GB"),
        ("M4 Max 128GB + 64 GB DDR5-6000", "share one memory"),
        ("12gb vram + 32gb ram", "which card it is"),
        ("radeon 610m 64gb", "graphics within a processor"),
        ("2 machines with RTX 3090", "which machines are joined"),
        ("rtx 4090 and m4 pro 48gb over 10gbe", "which machines are joined"),
        ("two cats", "not in the GPU table"),
        ("M3 Ultra 0GB", "has no memory to put a model into"),
        ("Weird 9000 0 GB 700 GB/s", "has no memory to put a model into"),
    ],
)
def test_what_is_not_understood_is_said(text: str, says: str):
    with pytest.raises(RigError) as caught:
        parse_rig(text)
    assert says in str(caught.value)


def test_another_memory_size_leaves_the_bandwidth_unknown():
    device = parse_rig("RTX 3070 16GB").devices[0]
    assert device.memory_total == 16 * GIB
    assert device.bandwidth_gbs is None
    assert device.table_id is None
    assert "another size" in device.unknown["bandwidth_gbs"]
    assert device.architecture == "ampere"


def test_unified_memory_is_one_pool_with_the_drivers_limit():
    rig = parse_rig("M2 Ultra 192GB")
    assert rig.devices[0].unified
    assert rig.devices[0].memory_total == pytest.approx(0.84 * 192 * GIB, rel=1e-4)
    assert rig.host.ram_total == 192 * GIB


def test_batch_contract():
    spec = {
        "gpus": [{"name": "RTX 4090", "count": 2, "memory_gib": 24}],
        "ram_gib": 128,
        "ram_bandwidth_gbs": 90,
    }
    rig = rig_from_spec(spec)
    assert [d.memory_total for d in rig.devices] == [24 * GIB] * 2
    assert rig.devices[0].table_id == "GeForce RTX 4090"
    assert rig.host.ram_bandwidth_gbs == 90
    assert rig.name == "2x RTX 4090 + 128 GB"
    assert rig_from_spec("8x H200").devices[7].name == "H200 SXM"
    assert rig_from_spec({"gpus": [{"name": "H200", "memory_gib": 141}]}).devices[
        0
    ].memory_total == (141 * GIB)


def test_a_card_that_nobody_knows_is_usable_when_its_memory_is_given():
    device = rig_from_spec({"gpus": [{"name": "Weird 9000", "memory_gib": 48}]}).devices[0]
    assert device.memory_total == 48 * GIB
    assert device.bandwidth_gbs is None
    assert "not in the GPU table" in device.unknown["bandwidth_gbs"]
    filled = {"name": "Weird 9000", "memory_gib": 48, "bandwidth_gbs": 700}
    assert rig_from_spec({"gpus": [filled]}).devices[0].bandwidth_gbs == 700
    with pytest.raises(RigError):
        rig_from_spec({"gpus": [{"name": "Weird 9000"}]})


@pytest.mark.parametrize(
    "spec",
    [
        {"gpus": [{"name": "RTX 4090", "cnt": 2}]},
        {"gpus": [{"count": 2}]},
        {"gpus": [{"name": "RTX 4090", "count": 0}]},
        {"gpus": "RTX 4090"},
        {"ram_gib": -1},
        {"devices": 3, "hosts": []},
        {"hosts": [], "name": "x"},
    ],
)
def test_bad_specs_are_refused_in_words(spec: dict[str, object]):
    with pytest.raises(RigError, match=r"rig|GPU"):
        rig_from_spec(spec)


def test_edits():
    rig = parse_rig("RTX 4090 + 64 GB DDR5-5600")
    more = edits.add_devices(rig, "2x RTX 3090")
    assert more.name == "RTX 4090 + 2x RTX 3090 + 64 GB DDR5-5600"
    assert edits.remove_device(more, 0).name == "2x RTX 3090 + 64 GB DDR5-5600"
    assert edits.add(rig, "2x RTX 3090") == more
    assert edits.add(rig, "128 GB DDR5-6000").host.ram_total == 128 * GIB
    both = edits.add(rig, "RTX 3090 + 128 GB DDR5-6000")
    assert both.name == "RTX 4090 + RTX 3090 + 128 GB DDR5-6000"
    swapped = edits.swap_device(more, 1, "RTX 5090")
    assert [d.name for d in swapped.devices] == ["RTX 4090", "RTX 5090", "RTX 3090"]
    wider = edits.set_memory(swapped, "128 GB DDR5-6000")
    assert wider.host.ram_total == 128 * GIB
    assert wider.host.ram_bandwidth_gbs == pytest.approx(96)
    unsaid = edits.set_memory(wider, "96 GB")
    assert unsaid.host.ram_bandwidth_gbs is None
    assert "not stated" in unsaid.host.unknown["ram_bandwidth_gbs"]
    for bad in (lambda: edits.remove_device(rig, 1), lambda: edits.swap_device(rig, 0, "64 GB")):
        with pytest.raises(RigError):
            bad()
    with pytest.raises(RigError):
        edits.set_memory(rig, "RTX 3090")


def test_a_detected_rig_becomes_imagined_when_edited():
    detected = parse_rig("RTX 4090 + 64 GB").model_copy(
        update={"imagined": False, "name": "This machine"}
    )
    assert edits.add_devices(detected, "RTX 3090").imagined


def test_save_and_load(tmp_path: Path):
    rig = parse_rig("2x RTX 4090 + 128 GB DDR5-6000")
    path = tmp_path / "rig.json"
    save_rig(rig, path)
    assert load_rig(path) == rig
    wrapped = tmp_path / "detect.json"
    elsewhere = rig.model_copy(update={"imagined": False, "name": "This machine"})
    wrapped.write_text(json.dumps({"rig": json.loads(rig_to_json(elsewhere))}))
    loaded = load_rig(wrapped)
    assert loaded.imagined
    assert loaded.name == "Imported: This machine"
    assert list(tmp_path.glob("*.part")) == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b'{"rig": 3}',
        b'{"hosts": [], "name": "x"}',
        (
            b'{"name": "", "hosts": [{}], "devices": '
            b'[{"name": "", "backend": "cpu", "host_index": 4}]}'
        ),
    ],
)
def test_files_that_are_no_rig(tmp_path: Path, content: bytes):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(RigError):
        load_rig(path)


def test_folders_and_missing_files(tmp_path: Path):
    with pytest.raises(RigError, match="could not be read"):
        load_rig(tmp_path / "absent.json")
    with pytest.raises(RigError, match="could not be saved"):
        save_rig(Rig(name="x"), tmp_path / "absent" / "rig.json")


@pytest.mark.parametrize(
    ("words", "links"),
    [
        ("RTX 4090 + 32 GB", [(4, 16)]),
        ("RTX 4090 eGPU + 32 GB", [(3, 4)]),
        ("RTX 4090 over Thunderbolt 4 + 32 GB", [(3, 4)]),
        ("RX 7900 XTX eGPU over USB4 + 32 GB", [(3, 4)]),
        ("RTX 4090 eGPU (OCuLink) + 32 GB", [(4, 4)]),
        ("RTX 4090 eGPU over Thunderbolt 5 + 32 GB", [(4, 4)]),
        ("RTX 4090 eGPU PCIe 4.0 x4 + 32 GB", [(4, 4)]),
        ("RTX 2070 SUPER with Max-Q Design + 16 GB", [(3, 16)]),
        ("RTX 4090 PCIe 3.0 x4 + 64 GB", [(3, 4)]),
        ("RTX 3090 gen3 x8 + 64GB", [(3, 8)]),
        ("RTX 3090, PCIe x1, 64 GB", [(4, 1)]),
        ("RTX 4090 pcie4 x8 + RTX 3090 in an x4 slot + 64 GB", [(4, 8), (4, 4)]),
        ("2x RTX 3090 x8 slots + 64 GB", [(4, 8), (4, 8)]),
        ("RTX 4060 PCIe 5.0 x16 + 32 GB", [(4, 8)]),
        ("H100 PCIe + A100 40GB PCIe + 64 GB", [(5, 16), (4, 16)]),
        ("RTX 3090 x2 + 64 GB", [(4, 16), (4, 16)]),
    ],
)
def test_the_way_of_a_card_to_the_board_is_read(words: str, links: list[tuple[int, int]]) -> None:
    """It was taken for nothing: a card behind Thunderbolt copied experts as one in a slot does."""
    cards = parse_rig(words).devices
    assert [(d.pcie.max_generation, d.pcie.max_width) for d in cards] == links
    # It has no other link for now: “4.0 x16 now, 3.0 x4 at best” stood on its card.
    assert [(d.pcie.generation, d.pcie.width) for d in cards] == links
    again = parse_rig(describe_rig(parse_rig(words))).devices
    assert [(d.pcie.max_generation, d.pcie.max_width) for d in again] == links


def test_a_card_outside_the_case_copies_about_as_fast_as_was_measured() -> None:
    pcie = speed_data().pcie
    for link in external_links():
        if link.measured_gbs is not None:
            low, high = link.measured_gbs
            copies = pcie.gbs_per_lane[link.generation] * link.lanes * pcie.share
            assert 0.88 * low < copies < 1.12 * high, link.name


def test_macs_joined_by_thunderbolt_are_machines_and_no_cards() -> None:
    rig = parse_rig("M3 Ultra 512GB over Thunderbolt 5 with M3 Ultra 512GB")
    assert len(rig.hosts) == 2
    assert all(device.pcie.max_width is None for device in rig.devices)


def test_a_small_processor_is_one() -> None:
    rig = parse_rig("Intel N100 mini PC 16GB DDR5-4800")
    assert (rig.devices, rig.host.cpu) == ((), "N100")
    assert rig.host.ram_bandwidth_gbs == pytest.approx(38.4)  # one channel
    assert parse_rig("Raspberry Pi 5 8GB").host.cpu == "Raspberry Pi 5"


def test_a_card_that_is_not_known_is_told_how_to_be_written() -> None:
    with pytest.raises(RigError, match="memory and bandwidth: “My card 24GB 900 GB/s”"):
        parse_rig("GTX 460 + 16 GB")


def test_measuring_ram_leaves_what_its_modules_may_reach() -> None:
    """Graphics within a processor read RAM faster than its cores do."""
    host = parse_rig("64 GB DDR5-6000").host.with_read(62.0, "measured today")
    assert host.ram_bandwidth_gbs == 96.0
    assert host.ram_shown == (62.0, "measured today")
    untold = parse_rig("64 GB").host
    assert "ram_bandwidth_gbs" in untold.unknown
    read = untold.with_read(62.0, "measured today").with_read(64.0, "measured again")
    assert (read.ram_bandwidth_gbs, read.ram_bandwidth_source) == (64.0, "measured again")
    assert "ram_bandwidth_gbs" not in read.unknown


def test_a_rig_that_was_saved_with_measured_ram_in_the_modules_place() -> None:
    saved = {"ram_bandwidth_gbs": 62.0, "ram_bandwidth_source": "measured 2026-11-23: 8 threads"}
    host = Host.model_validate(saved)
    assert host.ram_read_gbs == 62.0
    assert Host.model_validate_json(host.model_dump_json()) == host
    assert Host(ram_bandwidth_gbs=96.0, ram_bandwidth_source="SMBIOS").ram_read_gbs is None
