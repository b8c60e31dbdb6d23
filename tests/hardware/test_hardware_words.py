"""A machine in words as people write it: nothing is misread in silence."""

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.errors import RigError
from advisor.hardware.channels import channels_of
from advisor.hardware.compose import MAX_DEVICES, describe_rig, parse_rig
from advisor.hardware.rig import Rig
from advisor.hardware.table import GpuEntry, gpu_table
from advisor.units import GIB


def seen(rig: Rig) -> tuple[list[str], float]:
    return [device.name for device in rig.devices], (rig.host.ram_total or 0) / GIB


@pytest.mark.parametrize(
    ("text", "names", "ram"),
    [
        # A card's own memory, wherever it stands, is no RAM.
        ("Gigabyte RTX 4090 Gaming OC 24G", ["RTX 4090"], 0),
        ("ASUS ROG Strix RTX 4090 OC 24GB", ["RTX 4090"], 0),
        ("EVGA RTX 3090 FTW3 Ultra Gaming 24GB x2", ["RTX 3090"] * 2, 0),
        ("RX 7900 XTX Red Devil 24GB + 64 GB", ["RX 7900 XTX"], 64),
        ("32GB VRAM RTX 5090", ["RTX 5090"], 0),
        ("RTX 3090 x8 slot 24GB", ["RTX 3090"], 0),
        # RAM that is called so is RAM.
        ("RTX 4090 24 GB RAM", ["RTX 4090"], 24),
        ("RTX 4090 24GB DDR5", ["RTX 4090"], 24),
        ("2x RTX 4090 96GB", ["RTX 4090"] * 2, 96),
        ("dual 3090 64GB", ["RTX 3090"] * 2, 64),
        # The memory of all cards together.
        ("2x RTX 3090 48GB", ["RTX 3090"] * 2, 0),
        ("3x RTX 3090 (72GB total), 128GB ram", ["RTX 3090"] * 3, 128),
        ("2x RTX 4090 48GB", ["RTX 4090 48GB"] * 2, 0),
        ("2x 2080Ti 22GB", ["RTX 2080 Ti 22GB"] * 2, 0),
        ("3080 20GB", ["RTX 3080 20GB"], 0),
        # “Dual” is a board with two fans, one of two GPUs, or as wide as two slots.
        ("ASUS Dual RTX 4060 OC 8GB + 32GB", ["RTX 4060"], 32),
        ("RTX 4060 Dual OC 8GB", ["RTX 4060"], 0),
        ("Arc Pro B60 Dual 48GB", ["Arc Pro B60"] * 2, 0),
        ("Radeon PRO W7900 Dual Slot", ["PRO W7900"], 0),
        # What counts processors does not count their memory.
        ("dual EPYC 7742 512GB DDR4-3200", [], 512),
        ("2x EPYC 9755 24x 64GB DDR5-6400", [], 1536),
        # Units, modules, slots, machines.
        ("RTX 4090 and 64 gigs of ram", ["RTX 4090"], 64),
        ("RTX 4090 64 gigabytes RAM", ["RTX 4090"], 64),
        ("RTX4090 64GB DDR5 6000MHz CL30 (2x32)", ["RTX 4090"], 64),
        ("RTX 4090 DDR5-6000 2x32", ["RTX 4090"], 64),
        ("RTX 4090 + 96GB (2x48GB) DDR5-6400", ["RTX 4090"], 96),
        ("RTX 3090 pcie 4 x8 + 32GB", ["RTX 3090"], 32),
        ("Framework 16 RX 7700S 64GB", ["RX 7700S"], 64),
        ("M4 Max 128GB MacBook Pro 16", ["M4 Max (40-core)"], 128),
        ("M4 Max (16-core CPU, 40-core GPU) 128GB", ["M4 Max (40-core)"], 128),
        ("M4 Max 14-core CPU 32-core GPU 36GB", ["M4 Max (32-core)"], 36),
        ("16-inch MacBook Pro M3 Max 64GB", ["M3 Max (40-core)"], 64),
        ("MacBook Pro 16GB M1 Pro", ["M1 Pro"], 16),
        ("apple silicon m2 pro 32", ["M2 Pro"], 32),
        ("Ryzen AI Max+ PRO 395 64GB", ["Strix Halo"], 64),
        ("Ryzen AI Max 385 32GB", ["Strix Halo 8050S"], 32),
        ("Core Ultra 9 275HX RTX 5090 laptop 64GB", ["RTX 5090 Laptop"], 64),
        ("A10G", ["A10G"], 0),
        ("RTX 8000", ["Quadro RTX 8000"], 0),
    ],
)
def test_as_people_write(text: str, names: list[str], ram: float):
    rig = parse_rig(text)
    assert seen(rig) == (names, ram)
    for device in rig.devices:
        assert device.table_id, "a product that the table knows"


@pytest.mark.parametrize(
    ("text", "lanes"),
    [
        ("RTX 3090 @ PCIe 3.0 x4", 4),
        ("RTX 3090 over oculink", 4),
        ("RTX 3090 over oculink and 64GB RAM", 4),
        ("RTX 4090 over Thunderbolt 4", 4),
        ("RTX 3090 via a riser pcie 3.0 x1 + 64GB", 1),
    ],
)
def test_a_cards_own_cable_is_no_network(text: str, lanes: int):
    rig = parse_rig(text)
    assert len(rig.hosts) == 1
    assert [device.pcie.max_width for device in rig.devices] == [lanes]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("RTX 6000", "more than one card"),
        ("CMP 170HX", "not in the GPU table"),
        ("24 GB VRAM 64 GB RAM", "not which card it is"),
        ("1000000 GB", "more than any machine has"),
        ("My card 24GB 0 GB/s", "without bandwidth"),
        ("64 GB RAM 0 GB/s", "without bandwidth"),
        ("Core Ultra 7 258V 64GB", "gives two sizes"),
        ("Iris Xe 16GB", "graphics within a processor"),
    ],
)
def test_what_cannot_be_is_said(text: str, says: str):
    with pytest.raises(RigError, match=says):
        parse_rig(text)


@pytest.mark.parametrize(
    ("cpu", "channels"),
    [
        ("EPYC 9654", 12),
        ("AMD EPYC 9575F", 12),
        ("EPYC 8324P", 6),
        ("EPYC 7742", 8),
        ("2x EPYC 7551", 8),
        ("EPYC 4564P", 2),
        ("Threadripper PRO 7995WX", 8),
        ("5995WX", 8),
        ("Ryzen Threadripper 3970X", 4),
        ("Xeon E5-2690 v4", 4),
        ("Xeon E5-2699v4", 4),
        ("Intel(R) Xeon(R) Gold 6248", 6),
        ("Xeon Platinum 8380", 8),
        ("Xeon Platinum 8480+", 8),
        ("Xeon w7-3465X", 8),
        ("Xeon w5-2465X", 4),
        ("Xeon 6980P", 12),
        ("Xeon 6 6767P", 8),
        ("N100", 1),
        ("Ryzen 9 7950X", None),
        ("Core Ultra 9 285K", None),
        ("", None),
    ],
)
def test_a_processors_name_tells_its_memory_channels(cpu: str, channels: int | None):
    assert channels_of(cpu) == channels


def test_they_count_where_the_text_does_not_say():
    told = parse_rig("Threadripper 7970X 128GB DDR5-5200").host
    assert told.ram_bandwidth_gbs == pytest.approx(4 * 5200 * 8 / 1000)
    assert "all channels that one Threadripper 7970X has" in str(told.ram_bandwidth_source)
    stated = parse_rig("EPYC 9654 8-channel DDR5-4800 512GB").host
    assert stated.ram_bandwidth_gbs == pytest.approx(8 * 4800 * 8 / 1000)
    pair = parse_rig("dual Xeon E5-2690 v4, 256GB DDR4-2400, 2x P40")
    assert pair.host.cpu == "2x Xeon E5-2690 v4"
    assert pair.host.ram_bandwidth_gbs == pytest.approx(4 * 2400 * 8 / 1000)


# “2x 6700S” is said to be two RX 6700 to some.
CARDS = [
    e
    for e in gpu_table().gpus
    if not e.unified and e.dies == 1 and not re.search(r"\dS$", e.short_name)
]
MAKERS = st.sampled_from(["", "MSI ", "ASUS ROG Strix ", "Gigabyte ", "PNY ", "EVGA "])
LINES = st.sampled_from(["", " OC", " Gaming X Trio", " Founders Edition", " FTW3 Ultra"])
UNITS = st.sampled_from(["GB", " GB", "gb", "G", " gigabytes", "GiB"])


@settings(max_examples=60)
@given(st.sampled_from(CARDS), MAKERS, LINES, UNITS, st.sampled_from(["", "2x ", "4 x "]))
def test_a_cards_size_behind_its_name_changes_nothing(
    entry: GpuEntry, maker: str, line: str, unit: str, count: str
):
    bare = re.sub(r"\s*\d+GB", "", entry.short_name)
    plain = parse_rig(f"{count}{entry.short_name} + 64 GB DDR5-6000")
    written = f"{count}{maker}{bare}{line} {entry.memory_gib:g}{unit} + 64 GB DDR5-6000"
    try:
        rig = parse_rig(written)
    except RigError as error:
        assert "more than one card" in str(error)  # noqa: PT017 - sold so with two kinds of memory
        return
    assert seen(rig) == seen(plain)
    assert rig.devices == plain.devices


MODULES = st.sampled_from(["64 GB", "2x32 GB", "128GB DDR5-6000", "32 GB DDR4-3200", "96GB"])
PROCESSORS = st.sampled_from(["", "EPYC 9654", "Ryzen 9 7950X", "2x Xeon Gold 6248", "i9-13900K"])
SLOTS = st.sampled_from(["", " PCIe 3.0 x4", " x8 slot", " eGPU", " @ gen4 x4"])


@given(
    st.lists(st.tuples(st.integers(1, 4), st.sampled_from(CARDS), SLOTS), min_size=1, max_size=3),
    MODULES,
    PROCESSORS,
    st.randoms(use_true_random=False),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_parts_in_any_order_are_the_same_machine(drawn, memory, processor, random):
    cards = [f"{count}x {entry.short_name}{slot}" for count, entry, slot in drawn]
    rig = parse_rig(" + ".join([*cards, memory, *([processor] if processor else [])]))
    assert [d.table_id for d in rig.devices] == [
        entry.name for count, entry, _ in drawn for _ in range(count)
    ]
    others = [memory, *([processor] if processor else [])]
    random.shuffle(others)
    mixed = list(cards)
    for other in others:
        mixed.insert(random.randint(0, len(mixed)), other)
    again = parse_rig(" + ".join(mixed))
    assert again.devices == rig.devices
    assert (again.host.ram_total, again.host.cpu) == (rig.host.ram_total, rig.host.cpu)
    told = parse_rig(describe_rig(rig))
    assert seen(told) == seen(rig)
    assert [d.pcie for d in told.devices] == [d.pcie for d in rig.devices]
    assert told.host.ram_bandwidth_gbs == rig.host.ram_bandwidth_gbs


PIECES = st.sampled_from(
    re.findall(
        r"\S+",
        "2x x2 dual RTX 4090 3090s 24GB 64 GB VRAM RAM DDR5-6000 + over 10GbE with and (2x32) M3 "
        "Ultra 512 EPYC 9654 12ch @ PCIe 3.0 x4 slot laptop total Core 7 155H MI250X 0 -1 gb/s 900 "
        ", RX 7900 XTX Arc 140V B60 TB 1e9 ½ x GB10",
    )
)


@given(st.lists(PIECES, max_size=12).map(" ".join) | st.text(max_size=30))
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_any_words_are_a_machine_or_an_error_that_says_why(text: str):
    try:
        rig = parse_rig(text)
    except RigError as error:
        assert str(error).strip().endswith((".", "?", "!", "”"))  # noqa: PT017 - either will do
        return
    assert len(rig.devices) <= MAX_DEVICES
    for device in rig.devices:
        assert device.memory_total
        assert device.memory_total > 0
        assert device.bandwidth_gbs is None or device.bandwidth_gbs > 0
    for host in rig.hosts:
        assert host.ram_total is None or 0 < host.ram_total <= 64 << 40
    told = parse_rig(describe_rig(rig)) if rig.devices or rig.host.ram_total else rig
    assert seen(told) == seen(rig)
