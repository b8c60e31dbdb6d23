"""What is said about another order of the cards is what sizing it so gives."""

import pytest

from advisor.hardware.compose import parse_rig
from advisor.hardware.rig import PcieLink
from advisor.llm.catalogue import catalogue
from advisor.sizing import size
from advisor.sizing.card_order import better_order
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


def test_cards_that_are_alike_have_no_order() -> None:
    model, machine = catalogue().find("Qwen/Qwen3-8B").model("Q4_K_M"), parse_rig("2x RTX 4090")
    asked = RunSettings(ctx=16384)

    assert better_order(model, machine, asked, size(model, machine, asked)) is None
