"""Graphics within a processor: llama.cpp's Vulkan takes them where they are alone."""

from datetime import date
from pathlib import Path

import pytest

from advisor.advice.builds import builds, with_cards
from advisor.advice.hardware_prices import book_of
from advisor.advice.usage import Usage
from advisor.errors import RigError
from advisor.hardware import doctor, edits, linux_gpus
from advisor.hardware.bandwidth import RamBandwidth
from advisor.hardware.compose import parse_rig, rig_from_spec
from advisor.hardware.detection import set_aside
from advisor.hardware.rig import Device, Host, Rig
from advisor.hardware.shared_memory import reads_the_ram, with_ram_bandwidth
from advisor.hardware.table import gpu_table, within
from advisor.llm.catalogue import catalogue
from advisor.sizing import size
from advisor.sizing.settings import RunSettings
from advisor.ui import services

GIB = 1 << 30
POOL = (60 * GIB, 50 * GIB)


def detected(root: Path, **facts: str) -> Device:
    """What Linux's files say of a card of AMD's."""
    folder = root / "sys/class/drm/card1/device"
    folder.mkdir(parents=True)
    for name, content in ({"vendor": "0x1002"} | facts).items():
        (folder / name).write_text(content + "\n")
    (device,) = linux_gpus.read_devices(POOL, root=root)
    return device


def radeon_890m(root: Path) -> Device:
    """As Linux shows one with 512 MiB carved out and the default GTT limit."""
    gtt = {"mem_info_vram_total": str(GIB // 2), "mem_info_gtt_total": str(30 * GIB)}
    return detected(root, device="0x150e", **gtt)


def test_in_words_it_gets_half_of_the_ram_at_the_rams_speed() -> None:
    rig = parse_rig("Radeon 890M + 64 GB LPDDR5X-7500")
    (device,) = rig.devices
    assert device.name == "Radeon 890M"
    assert device.backend == "vulkan"
    assert device.unified
    assert device.memory_total == 32 * GIB
    assert "GTT" in device.sources["memory_total"]
    assert device.bandwidth_gbs == rig.host.ram_bandwidth_gbs == 120
    assert "RAM" in device.sources["bandwidth_gbs"]
    assert rig.host.ram_total == 64 * GIB
    assert rig.host.laptop


@pytest.mark.parametrize(
    ("words", "graphics", "laptop"),
    [
        ("Ryzen AI 9 HX 370 + 64 GB LPDDR5X-7500", "Radeon 890M", True),
        ("AMD Ryzen AI 9 HX 370 64 GB LPDDR5X-7500", "Radeon 890M", True),
        ("mini PC with a Ryzen 7 PRO 7840U and 64 GB DDR5-5600", "Radeon 780M", True),
        ("Ryzen 8845HS, 64 GB DDR5-5600", "Radeon 780M", True),
        ("Ryzen 7 8700G + 2x32 GB DDR5-5600", "Radeon 780M", None),
    ],
)
def test_a_processor_that_is_named_brings_its_graphics(
    words: str, graphics: str, laptop: bool | None
) -> None:
    """As detection finds them on such a machine; the words are the rig's name all the same."""
    rig = parse_rig(words)
    speed = words.rsplit(" ", 1)[-1]
    (named,) = parse_rig(f"{graphics} + 64 GB {speed}").devices
    (device,) = rig.devices
    assert "Ryzen" in rig.host.cpu
    assert rig.host.laptop is laptop
    assert rig.name == words
    assert "within the" in device.sources["name"]
    assert device.bandwidth_gbs == rig.host.ram_bandwidth_gbs
    as_named = {"sources": named.sources, "laptop": named.laptop}
    assert device.model_copy(update=as_named) == named


@pytest.mark.parametrize(
    "words",
    [
        "CPU only, Ryzen AI 9 HX 370, 64 GB LPDDR5X-7500",
        "Ryzen AI 9 HX 370 without a GPU + 64 GB LPDDR5X-7500",
        "Ryzen 9 7950X + 64 GB DDR5-6000",  # two compute units, for a screen
        "Ryzen 7 7700 + 64 GB DDR5-6000",
        "Ryzen 7 2600 + 64 GB DDR4-3200",  # not the 260
        "Ryzen AI 9 HX 370",  # nobody knows of how much memory
    ],
)
def test_a_processor_alone_stays_one(words: str) -> None:
    assert not parse_rig(words).devices


def test_beside_a_named_card_a_processors_graphics_do_not_count() -> None:
    rig = parse_rig("RTX 4060 Laptop + Ryzen 7 8845HS + 32 GB DDR5-5600")
    assert [device.name for device in rig.devices] == ["RTX 4060 Laptop"]
    apu = parse_rig("Ryzen 7 8700G + 64 GB DDR5-5600")
    assert [device.name for device in edits.add(apu, "RTX 3090").devices] == ["RTX 3090"]
    # Of another machine's card llama.cpp takes no notice.
    joined = edits.add(apu, "over 10GbE with RTX 3090 + 32 GB")
    assert {device.name for device in joined.devices} == {"RTX 3090", "Radeon 780M"}
    today = date(2026, 11, 27)
    usage = Usage()
    cards = list(with_cards(apu, usage, book_of(usage), today))
    assert cards
    assert all(build.kind == "add GPU" for build in cards)
    assert not any(reads_the_ram(device) for build in cards for device in build.rig.devices)
    larger = [b for b in builds(apu, usage, book_of(usage), today) if b.kind == "add RAM"]
    assert larger
    for build in larger:
        # Half of it, as of what is there.
        (device,) = build.rig.devices
        assert build.rig.host.ram_total is not None
        assert device.memory_total == build.rig.host.ram_total // 2 > 32 * GIB
    laptop = parse_rig("Ryzen 7 8845HS + 64 GB DDR5-5600")
    assert not list(with_cards(laptop, usage, book_of(usage), today))


def test_every_processor_of_the_table_has_graphics_of_the_table() -> None:
    within_one = {entry.name for entry in gpu_table().gpus if entry.integrated and entry.laptop}
    names = [name for known in gpu_table().integrated.processors for name in known.names]
    assert len(names) == len(set(names))
    for known in gpu_table().integrated.processors:
        assert known.graphics in within_one
        assert known.source.startswith("https://")
        for name in known.names:
            assert within(f"AMD {name} processor") is known
            (device,) = parse_rig(f"{name} + {known.memory_gib or 32} GB").devices
            assert device.table_id == known.graphics


@pytest.mark.parametrize(
    ("words", "graphics", "ram", "gbs"),
    [
        ("Core Ultra 7 155H + 32 GB DDR5-5600", "Arc (Meteor Lake)", 32, 89.6),
        ("Intel(R) Core(TM) Ultra 7 155H, 64 GB LPDDR5X-7467", "Arc (Meteor Lake)", 64, 119.472),
        ("Ultra 5 125H 16GB DDR5-5600", "Arc 7-core (Meteor Lake)", 16, 89.6),
        ("Core Ultra 7 255H 32GB DDR5-6400", "Arc 140T", 32, 102.4),
        ("Core Ultra X7 358H 64GB LPDDR5X-9600", "Arc B390", 64, 153.6),
        # Lunar Lake carries its memory, which its name tells.
        ("Core Ultra 7 258V", "Arc 140V", 32, 136.5),
        ("Core Ultra 5 226V 16GB", "Arc 130V", 16, 136.5),
    ],
)
def test_intels_processors_bring_theirs(words: str, graphics: str, ram: int, gbs: float) -> None:
    rig = parse_rig(words)
    (device,) = rig.devices
    assert device.name == graphics
    assert device.backend == "vulkan"
    assert rig.host.ram_total == ram * GIB
    assert device.memory_total == int(0.57 * ram * GIB) >> 20 << 20
    assert device.bandwidth_gbs == rig.host.ram_bandwidth_gbs == pytest.approx(gbs)
    assert rig.host.laptop
    model = catalogue().find("meta-llama/Llama-3.1-8B-Instruct").model("Q4_K_M")
    plan = size(model, rig, RunSettings(ctx=4096))
    assert plan.verdict == "fits"
    assert plan.speed.decode_tps is None, "nobody's measurements are among the rows"
    assert any("no measurements of cards like" in note for note in plan.speed.notes)


def test_memory_on_a_processors_package_has_one_size() -> None:
    with pytest.raises(RigError, match="gives two sizes"):
        parse_rig("Core Ultra 7 258V 64GB")


def test_without_the_rams_speed_its_own_is_unknown() -> None:
    (device,) = parse_rig("Radeon 780M 32GB").devices
    assert device.bandwidth_gbs is None
    assert "DDR5-5600" in device.unknown["bandwidth_gbs"]


def test_a_batch_row_says_it_too() -> None:
    spec = {"gpus": [{"name": "Radeon 780M", "memory_gib": 32}], "ram_bandwidth_gbs": 89.6}
    assert rig_from_spec(spec).devices[0].bandwidth_gbs == 89.6


def test_beside_a_card_llama_cpp_leaves_it_out() -> None:
    with pytest.raises(RigError, match="out beside a graphics card"):
        parse_rig("RTX 4060 + Radeon 780M + 32 GB DDR5-5600")


def test_alone_in_a_machine_it_counts_with_carve_out_and_gtt(tmp_path: Path) -> None:
    device = radeon_890m(tmp_path)
    assert device.memory_total == 30 * GIB + GIB // 2
    counted, ignored = set_aside([device])
    assert counted == (device,)
    assert ignored == ()
    rig = with_ram_bandwidth(Rig(name="laptop", devices=counted, hosts=(Host(ram_total=60 * GIB),)))
    assert rig.devices[0].bandwidth_gbs is None
    measured = services.with_bandwidth(
        rig, RamBandwidth(gbs=96.0, threads=8, date="2026-11-27", cpu="a CPU", ram_total=64 * GIB)
    )
    assert measured.devices[0].bandwidth_gbs == 96.0
    limits = [f for f in doctor.examine(measured) if f.code == "memory-limit"]
    assert "30.5 GiB of 60.0 GiB" in limits[0].title
    assert "ttm.pages_limit" in limits[0].advice


def test_beside_a_card_in_a_machine_it_is_set_aside(tmp_path: Path) -> None:
    within = radeon_890m(tmp_path)
    (card,) = parse_rig("RTX 4060 + 64 GB").devices
    counted, ignored = set_aside([within, card])
    assert counted == (card,)
    assert "beside a graphics card" in ignored[0].unknown["use"]


def test_small_ones_stay_with_the_cpu(tmp_path: Path) -> None:
    gtt = {"mem_info_vram_total": str(GIB // 2), "mem_info_gtt_total": str(30 * GIB)}
    counted, ignored = set_aside([detected(tmp_path, device="0x164e", **gtt)])
    assert counted == ()
    assert "no faster than the CPU" in ignored[0].unknown["use"]


def test_its_plan_takes_from_one_memory_and_says_whose_constants_it_has() -> None:
    model = catalogue().find("meta-llama/Llama-3.1-8B-Instruct").model("Q4_K_M")
    rig = parse_rig("Radeon 890M + 64 GB LPDDR5X-7500")
    plan = size(model, rig, RunSettings(ctx=8192))
    assert plan.verdict == "fits"
    assert plan.speed.decode_tps is not None
    assert plan.speed.decode_tps.mid < 120e9 / 4.6e9
    assert any("Radeon" in note and "wide" in note for note in plan.speed.notes)
