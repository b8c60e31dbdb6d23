"""What is said about another order of the cards is what sizing it so gives."""

from itertools import permutations

import pytest

from advisor.hardware.compose import parse_rig
from advisor.hardware.rig import PcieLink
from advisor.llm.catalogue import catalogue
from advisor.sizing import size
from advisor.sizing.card_order import better_cards, better_order, better_split
from advisor.sizing.plan import Plan
from advisor.sizing.settings import RunSettings


@pytest.mark.parametrize(
    "rig", ["RTX 3060 12GB + RTX 4090 + 64 GB", "RTX 4090 + RTX 3060 12GB + 64 GB"]
)
@pytest.mark.parametrize("file_type", ["Q4_K_M", "Q6_K"])
def test_an_order_that_is_named_is_better(rig: str, file_type: str) -> None:
    model, machine = catalogue().find("Qwen/Qwen3-32B").model(file_type), parse_rig(rig)
    asked = RunSettings(ctx=16384)
    now = size(model, machine, asked)

    found = better_order(model, machine, asked, now)

    if found is not None:
        plan = size(model, found.rig, asked)
        assert plan == found.plan
        assert "-dev CUDA1,CUDA0" in found.sentence
        assert plan.speed.decode_tps is not None
        assert now.speed.decode_tps is not None
        longer = (plan.max_ctx or 0) > (now.max_ctx or 0)
        assert longer or plan.speed.decode_tps.mid > now.speed.decode_tps.mid


def test_a_faster_split_of_unlike_cards_is_named() -> None:
    model = catalogue().find("Qwen/Qwen3.6-27B").model("Q4_K_M")
    rig, asked = parse_rig("RTX 5090 + RTX 3060 12GB + 64 GB DDR5-6000"), RunSettings(ctx=16384)
    now = size(model, rig, asked)

    sentence = better_cards(model, rig, asked, now)

    faster = size(model, rig, RunSettings(ctx=16384, n_gpu_layers="fit", n_cpu_moe="fit"))
    assert now.speed.decode_tps is not None
    assert faster.speed.decode_tps is not None
    gain = faster.speed.decode_tps.mid / now.speed.decode_tps.mid - 1
    assert f"+{gain:.0%} decode speed" in sentence
    assert sentence.startswith("Put all layers on RTX 5090 (-ts 65,0;")

    # A name that several cards have does not tell which of them holds none.
    three = parse_rig("2x RTX 5090 + RTX 3060 12GB + 64 GB DDR5-6000")
    assert better_cards(model, three, asked, size(model, three, asked)).startswith(
        "Put all layers on RTX 5090 (CUDA0) (-ts 65,0,0;"
    )
    assert better_split(model, parse_rig("2x RTX 3090"), asked, now) == ""


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("RTX 5090 + RTX 3060 12GB", ""),
        ("RTX 4090 + RX 7900 XTX", ""),
        ("RX 7900 XTX + RTX 4090", "Vulkan0,CUDA0"),
        ("Ryzen AI Max+ 395 128GB + RTX 5090", "Vulkan0,CUDA0"),
        ("Strix Halo 128GB over 10GbE with RTX 3090", ""),
    ],
)
def test_devices_are_named_where_llama_cpp_would_choose_others(words: str, names: str) -> None:
    model = catalogue().find("Qwen/Qwen3-8B").model("Q4_K_M")
    plan = size(model, parse_rig(words), RunSettings(ctx=4096))

    assert ("-dev" in plan.command) == bool(names)
    if names:
        assert plan.command[plan.command.index("-dev") + 1] == names
        assert any("--list-devices" in note for note in plan.notes)


def test_the_card_in_the_wide_slot_comes_first_where_experts_lie_in_ram() -> None:
    model = catalogue().find("Qwen/Qwen3-30B-A3B").model("Q4_K_M")
    rig = parse_rig("2x RTX 3060 12GB + 64 GB DDR5-6000")
    first, second = rig.devices
    narrow = first.model_copy(update={"pcie": PcieLink(max_generation=4, max_width=4)})
    rig = rig.model_copy(update={"devices": (narrow, second)})
    asked = RunSettings(ctx=16384, n_cpu_moe=40)

    found = better_order(model, rig, asked, size(model, rig, asked))

    assert found is not None
    assert "-dev CUDA1,CUDA0" in found.sentence
    assert "prompt speed" in found.sentence


@pytest.mark.parametrize(
    ("text", "name", "file_type", "widths"),
    [
        # The other order holds more context, with the slow slot first.
        ("RTX 4060 Ti 16GB + RTX 3090 + 64 GB DDR4-3200", "zai-org/GLM-4.5-Air", "Q4_K_M", (16, 4)),
        ("RTX 3060 12GB + RTX 3080 + 64 GB DDR5-6000", "Qwen/Qwen3-30B-A3B", "Q8_0", (4, 16)),
    ],
)
def test_of_all_orders_the_one_that_is_named_costs_nothing(
    text: str, name: str, file_type: str, widths: tuple[int, ...]
) -> None:
    model, rig = catalogue().find(name).model(file_type), parse_rig(text)
    cards = [
        device.model_copy(update={"pcie": PcieLink(max_generation=4, max_width=width)})
        for device, width in zip(rig.devices, widths, strict=True)
    ]
    asked = RunSettings(ctx=16384, n_gpu_layers="fit", n_cpu_moe="fit")
    plans = [
        size(model, rig.model_copy(update={"devices": order}), asked)
        for order in permutations(cards)
    ]
    now = plans[0]

    def gains(plan: Plan) -> tuple[int, float, float]:
        longer = (plan.max_ctx or 0) - (now.max_ctx or 0)
        decode, prefill = plan.speed.decode_tps, plan.speed.prefill_tps
        return (
            longer,
            decode.mid / now.speed.decode_tps.mid,
            (prefill.mid / now.speed.prefill_tps.mid),
        )

    free = [
        (longer, faster * sooner)
        for longer, faster, sooner in map(gains, plans)
        if longer > -1024 and faster > 1 / 1.03 and sooner > 1 / 1.1
        if longer >= 1024 or faster >= 1.03 or sooner >= 1.1
    ]
    found = better_order(model, rig.model_copy(update={"devices": tuple(cards)}), asked, now)
    assert (found is not None) == bool(free)
    if found is not None:
        longer, faster, sooner = gains(found.plan)
        assert (longer, faster * sooner) == max(free)


def test_cards_that_are_alike_have_no_order() -> None:
    model, machine = catalogue().find("Qwen/Qwen3-8B").model("Q4_K_M"), parse_rig("2x RTX 4090")
    asked = RunSettings(ctx=16384)

    assert better_order(model, machine, asked, size(model, machine, asked)) is None
