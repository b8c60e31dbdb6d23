"""Borders between devices: the solver's against every possible one."""

from itertools import combinations_with_replacement

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.hardware.compose import parse_rig
from advisor.llm.catalogue import catalogue
from advisor.sizing import size
from advisor.sizing.settings import RunSettings
from advisor.sizing.solver import packs, split

SIZES = st.lists(st.integers(0, 20), min_size=1, max_size=7)
DEVICES = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)), min_size=1, max_size=4)


def every_split(n_layers: int, n_devices: int) -> list[list[int]]:
    borders = combinations_with_replacement(range(n_layers + 1), n_devices - 1)
    return [
        [b - a for a, b in zip((0, *inner), (*inner, n_layers), strict=True)] for inner in borders
    ]


def loads(sizes: list[int], counts: list[int]) -> list[int]:
    rest = iter(sizes)
    return [sum(next(rest) for _ in range(count)) for count in counts]


@given(SIZES, DEVICES)
def test_no_other_split_is_cheaper(sizes: list[int], devices: list[tuple[int, int]]) -> None:
    room = [capacity for capacity, _ in devices]
    price = [float(cost) for _, cost in devices]
    fitting = [
        loads(sizes, counts)
        for counts in every_split(len(sizes), len(devices))
        if all(a <= b for a, b in zip(loads(sizes, counts), room, strict=True))
    ]

    counts = split(sizes, room, price)

    assert packs(sizes, room) == bool(fitting) == (counts is not None)
    if counts is not None:
        assert loads(sizes, counts) in fitting
        cheapest = min(sum(a * p for a, p in zip(x, price, strict=True)) for x in fitting)
        got = sum(a * p for a, p in zip(loads(sizes, counts), price, strict=True))
        assert got == cheapest


FIT = RunSettings(ctx=16384, n_gpu_layers="fit", n_cpu_moe="fit")


@pytest.mark.parametrize(
    ("name", "file_type", "rig"),
    [
        ("Qwen/Qwen3-30B-A3B", "Q8_0", "RTX 4090 + 64 GB DDR5-6000"),
        ("Qwen/Qwen3-30B-A3B", "Q4_K_M", "RTX 3060 12GB + 64 GB DDR5-6000"),
        ("openai/gpt-oss-120b", "MXFP4_MOE", "RTX 5090 + RTX 3060 12GB + 128 GB DDR5-6000"),
    ],
)
def test_one_block_of_experts_less_in_ram_would_not_fit(
    name: str, file_type: str, rig: str
) -> None:
    model, machine = catalogue().find(name).model(file_type), parse_rig(rig)

    plan = size(model, machine, FIT)

    assert plan.verdict == "offload"
    assert plan.headroom is not None
    assert plan.headroom >= FIT.margin
    moved = plan.settings.n_cpu_moe
    assert isinstance(moved, int)
    assert moved > 0
    less = FIT.model_copy(update={"n_gpu_layers": "all", "n_cpu_moe": moved - 1})
    splits = [less] + [
        less.model_copy(update={"tensor_split": tuple(float(n) for n in counts)})
        for counts in every_split(model.hp.n_layer_all + 1, len(machine.devices))
        if len(machine.devices) > 1
    ]
    for settings in splits:
        headroom = size(model, machine, settings).headroom
        assert headroom is not None
        assert headroom < FIT.margin


@pytest.mark.parametrize("rig", ["RTX 4090 + 64 GB", "RTX 3090 + RTX 3060 12GB + 64 GB"])
def test_one_layer_more_on_the_devices_would_not_fit(rig: str) -> None:
    model, machine = catalogue().find("Qwen/Qwen3-32B").model("Q8_0"), parse_rig(rig)

    plan = size(model, machine, FIT)

    layers = plan.settings.n_gpu_layers
    assert isinstance(layers, int)
    assert plan.headroom is not None
    assert plan.headroom >= FIT.margin
    for counts in every_split(layers + 1, len(machine.devices)):
        more = FIT.model_copy(
            update={
                "n_gpu_layers": layers + 1,
                "n_cpu_moe": 0,
                "tensor_split": tuple(float(n) for n in counts),
            }
        )
        headroom = size(model, machine, more).headroom
        assert headroom is not None
        assert headroom < FIT.margin


def test_what_fits_stays_whole() -> None:
    model = catalogue().find("Qwen/Qwen3-8B").model("Q4_K_M")

    plan = size(model, parse_rig("RTX 4090 + 64 GB DDR5-6000"), FIT)

    assert plan.settings.n_gpu_layers == "all"
    assert plan.settings.n_cpu_moe == 0
    assert plan.verdict == "fits"
