"""The GPU table: every entry is sound, and a card is matched or left alone, never guessed."""

import re

import pytest

from advisor.hardware import table
from advisor.hardware.nvml_fields import architecture_of
from advisor.hardware.table import candidates, find, gpu_table, suggest
from advisor.units import GIB, MIB

CLASSES = {
    *("maxwell", "pascal", "volta", "turing", "ampere", "ada", "hopper", "blackwell", "gb10"),
    *("pascal-gp100", "blackwell-datacenter", "jetson-orin", "jetson-orin-nano", "jetson-thor"),
    *("polaris", "vega", "rdna1", "rdna2", "rdna3", "rdna4", "cdna", "strix-halo"),
    *("arc", "alchemist", "ponte-vecchio", "xe-lpg", "xe-lpg-plus", "xe2-lpg", "xe3-lpg"),
    *(f"apple-m{n}" for n in range(1, 6)),
}


def test_every_entry_is_sound():
    entries = gpu_table().gpus
    assert len(entries) >= 107
    assert len({entry.name for entry in entries}) == len(entries)
    for entry in entries:
        assert entry.architecture in CLASSES, entry.name
        assert entry.source, entry.name
        assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", entry.date), entry.name
        assert 2 <= entry.memory_gib <= 600, entry.name
        assert entry.bandwidth_gbs is None or 50 < entry.bandwidth_gbs < 10_000, entry.name
        assert entry.unified == (entry.memory_limit is not None), entry.name
        assert all(field in type(entry).model_fields for field in entry.unverified), entry.name
        assert (entry.compute_capability is not None) == (entry.vendor == "NVIDIA"), entry.name
        vendor = {"NVIDIA": "10de", "AMD": "1002", "Intel": "8086", "Apple": "-"}[entry.vendor]
        assert all(
            re.fullmatch(rf"{vendor}:[0-9a-f]{{4}}(:[0-9a-f]{{2}})?", i) for i in entry.pci_ids
        ), entry.name
        if entry.street_price_usd is not None:
            assert entry.street_price_date, entry.name
        if entry.launch_msrp_usd is not None:
            doubted = "launch_msrp_usd" in entry.unverified
            assert doubted != bool(entry.launch_msrp_source), entry.name


def test_a_driver_tells_the_same_class_as_the_table():
    for entry in gpu_table().gpus:
        if entry.compute_capability is not None:
            told = architecture_of(entry.compute_capability)
            # Orin's two chips have one capability; the table knows the smaller by its name.
            assert told in {entry.architecture, entry.architecture.removesuffix("-nano")}, (
                entry.name
            )


def test_every_entry_is_found_by_its_own_names():
    for entry in gpu_table().gpus:
        assert find(entry.name) is entry
        assert find(entry.short_name) is entry
        assert find(f"NVIDIA {entry.name}") is entry
        for alias in entry.aliases:
            assert entry in table.same_product(alias)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("RTX 4090", "GeForce RTX 4090"),
        ("nvidia geforce rtx4090", "GeForce RTX 4090"),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", "GeForce RTX 4090 Laptop"),
        ("rtx4060ti 16gb", "GeForce RTX 4060 Ti 16GB"),
        ("RTX 4060 Ti", None),
        ("RTX 3060", "GeForce RTX 3060 12GB"),
        ("NVIDIA H100 80GB HBM3", "H100 SXM"),
        ("NVIDIA H100 PCIe", "H100 PCIe"),
        ("NVIDIA A100-SXM4-80GB", "A100 80GB SXM"),
        ("A100 PCIe 80GB", "A100 80GB PCIe"),
        ("A100", None),
        ("Tesla V100-SXM2-32GB", "Tesla V100 32GB SXM2"),
        ("NVIDIA RTX 6000 Ada Generation", "RTX 6000 Ada"),
        ("Quadro RTX 6000", "Quadro RTX 6000"),
        (
            "NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition",
            "RTX PRO 6000 Blackwell Max-Q",
        ),
        ("RX 7900 XTX", "Radeon RX 7900 XTX"),
        ("AMD Radeon RX 7900XT", "Radeon RX 7900 XT"),
        ("Intel(R) Arc(TM) B580 Graphics", "Arc B580"),
        ("Strix Halo 8060S", "Ryzen AI Max+ 395 (Strix Halo, 128GB)"),
        ("M3 Max 128GB", "Apple M3 Max (40-core)"),
        ("Apple M3 Max 36 GB", "Apple M3 Max (30-core)"),
        ("M3 Max", None),
        ("DGX Spark GB10", "DGX Spark / GB10"),
        ("3090", "GeForce RTX 3090"),
        ("4070 ti super", "GeForce RTX 4070 Ti SUPER"),
        ("rtx4070tisuper", "GeForce RTX 4070 Ti SUPER"),
        ("RTX 4080S", "GeForce RTX 4080 SUPER"),
        ("4090 laptop", "GeForce RTX 4090 Laptop"),
        ("rtx4090laptop", "GeForce RTX 4090 Laptop"),
        ("3060ti", "GeForce RTX 3060 Ti"),
        ("3060", "GeForce RTX 3060 12GB"),
        ("3080 12gb", "GeForce RTX 3080 12GB"),
        ("4060 Ti", None),
        ("7900 XTX", "Radeon RX 7900 XTX"),
        ("9070xt", "Radeon RX 9070 XT"),
        ("7600", None),  # AMD calls a processor so, too
        ("9070", None),
        ("rtxa6000", "RTX A6000"),
        ("A6000", "RTX A6000"),
        ("arca770 16gb", "Arc A770 16GB"),
        ("m2ultra", "Apple M2 Ultra"),
        ("L40S", "L40S"),
        ("B300", "B300"),
        ("T400", "T400 2GB"),
        ("RX 480", "Radeon RX 480"),
        ("MI250X", "Instinct MI250X 64GB"),
        ("an RTX 5090", "GeForce RTX 5090"),
        ("NVIDIA GeForce GTX 1660 Ti", "GeForce GTX 1660 Ti"),
        ("NVIDIA GeForce RTX 2070 Super with Max-Q Design", "GeForce RTX 2070 SUPER Max-Q"),
        ("NVIDIA RTX 3000 Ada Generation Laptop GPU", "RTX 3000 Ada Laptop"),
        ("NVIDIA RTX A5000 Laptop GPU", "RTX A5000 Laptop"),
        ("GTX 1060", "GeForce GTX 1060 6GB"),
        ("Radeon RX 580 Series", None),  # with 4 or 8 GiB
        ("NVIDIA TITAN X (Pascal)", "TITAN X Pascal"),
        ("Titan X", None),  # two products
        ("6000", None),
        ("8000", None),
        ("RTX 4091", None),
        ("RTX 4095", None),
        ("Intel UHD Graphics 770", None),
        ("Intel(R) Arc(TM) 140V GPU (16GB)", "Arc 140V"),
        ("Intel(R) Arc(TM) 140V GPU (8GB)", "Arc 140V"),  # what is lent, not what is sold
        ("Intel(R) Arc(tm) Graphics (MTL)", "Arc Graphics (Meteor Lake)"),
        ("Intel(R) Arc(tm) B390", "Arc B390"),
        ("Intel(R) Arc(TM) Graphics", None),  # the PCI id tells
        ("", None),
    ],
)
def test_names(name: str, expected: str | None):
    found = find(name)
    assert (found.name if found else None) == expected


@pytest.mark.parametrize(
    ("name", "memory", "pci_id", "expected"),
    [
        ("NVIDIA GeForce RTX 4060 Ti", 16380 * MIB, "10de:2803", "GeForce RTX 4060 Ti 16GB"),
        ("NVIDIA GeForce RTX 4060 Ti", 8188 * MIB, "10de:2803", "GeForce RTX 4060 Ti 8GB"),
        ("NVIDIA GeForce RTX 3060", 12288 * MIB, "10de:2504", "GeForce RTX 3060 12GB"),
        ("NVIDIA GeForce RTX 3060", 8192 * MIB, "10de:2504", "GeForce RTX 3060 8GB"),
        ("NVIDIA GeForce RTX 4090", 49139 * MIB, "10de:2684", "GeForce RTX 4090 48GB"),
        ("NVIDIA GeForce RTX 3080", 12288 * MIB, "10de:220a", "GeForce RTX 3080 12GB"),
        ("NVIDIA L40S", 46068 * MIB, "10de:26b9", "L40S"),
        ("Tesla T4", 15360 * MIB, "10de:1eb8", "Tesla T4"),
        # A name that nothing knows is settled by the PCI id alone …
        ("Graphics Device", 24564 * MIB, "10de:2684", "GeForce RTX 4090"),
        # … but not against what the name or the memory says.
        ("NVIDIA GeForce RTX 3090", 24576 * MIB, "10de:2684", None),
        ("Something Laptop GPU", 24564 * MIB, "10de:2684", None),
        ("NVIDIA GeForce RTX 4090", 16376 * MIB, "10de:2684", None),
        ("AMD Radeon RX 580 Series", 8192 * MIB, "1002:67df:e7", "Radeon RX 580 8GB"),
        ("AMD Radeon RX 580 Series", 4096 * MIB, "1002:67df:e7", "Radeon RX 580 4GB"),
        # Turing's laptops call themselves as the desktop's card.
        ("NVIDIA GeForce GTX 1650", 4096 * MIB, "10de:1f94", "GeForce GTX 1650 Laptop"),
        ("NVIDIA GeForce GTX 1060 3GB", 3072 * MIB, "10de:1c02", "GeForce GTX 1060 3GB"),
        ("AMD Radeon Graphics", 24560 * MIB, "1002:744c:c8", "Radeon RX 7900 XTX"),
        ("AMD Radeon Graphics", 20464 * MIB, "1002:744c:cc", "Radeon RX 7900 XT"),
        ("NVIDIA GB10", None, "10de:2e12", "DGX Spark / GB10"),
        ("Intel(R) Arc(TM) Graphics", None, "8086:7d55", "Arc Graphics (Meteor Lake)"),
        ("Intel(R) Graphics", None, "8086:b081", "Arc B370"),
        ("NVIDIA B300 SXM6 AC", 275040 * MIB, "10de:3182", "B300"),
        ("NVIDIA T400", 2048 * MIB, "10de:1fb2", "T400 2GB"),
        ("NVIDIA T400 4GB", 4096 * MIB, "10de:1ff2", "T400 4GB"),
        ("AMD Radeon RX 480 Graphics", 4096 * MIB, "1002:67df:c7", "Radeon RX 480 4GB"),
        ("AMD Radeon RX 480 Graphics", 8192 * MIB, "1002:67df:c7", "Radeon RX 480"),
        # Each of a module's two dies is a device of its own: the whole module's bandwidth and
        # watts were no die's, and it was known for neither.
        ("AMD Instinct MI250X", 65520 * MIB, "1002:7408", "Instinct MI250X 64GB"),
        ("Unheard Of 9000", 24 * GIB, "10de:ffff", None),
    ],
)
def test_identifiers_and_memory_tell_variants_apart(
    name: str, memory: int | None, pci_id: str, expected: str | None
):
    found = find(name, memory=memory, pci_id=pci_id)
    assert (found.name if found else None) == expected


def test_ambiguous_and_mistyped_names_get_suggestions():
    assert {entry.short_name for entry in candidates("RTX 4060 Ti")} == {
        "RTX 4060 Ti 16GB",
        "RTX 4060 Ti 8GB",
    }
    assert "RTX 4090" in suggest("RTX 4091")
    assert suggest("zzzzzzzz") == []


@pytest.mark.parametrize(("pool", "usable"), [(16, 10922), (32, 21845), (36, 27648), (192, 147456)])
def test_apple_memory_limit_is_what_metal_reports(pool: int, usable: int):
    limit = gpu_table().memory_limits["apple"]
    # llama.cpp's log: recommendedMaxWorkingSetSize.
    assert abs(limit.usable(pool * GIB) // MIB - usable) <= 2
