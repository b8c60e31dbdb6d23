"""What is said to hold a run back follows from its terms, and a slot changes what goes over it."""

import pytest

from advisor.hardware.compose import parse_rig
from advisor.hardware.rig import Rig
from advisor.llm.catalogue import catalogue
from advisor.llm.model import Model
from advisor.sizing import size
from advisor.sizing.between import explain_traffic
from advisor.sizing.bottleneck import (
    by_place,
    decode_bottleneck,
    explain_place,
    layers_of,
    prefill_bottleneck,
)
from advisor.sizing.plan import Plan
from advisor.sizing.settings import RunSettings
from advisor.sizing.slots import slot_changes, slot_sentences

FIT = {"n_gpu_layers": "fit", "n_cpu_moe": "fit"}


def planned(name: str, rig: str, **update: object) -> tuple[Model, Rig, Plan]:
    model, machine = catalogue().find(name).model("Q4_K_M"), parse_rig(rig)
    asked = RunSettings(ctx=8192).model_copy(update=update)
    return model, machine, size(model, machine, asked)


@pytest.mark.parametrize(
    ("name", "rig", "update", "decode", "prefill"),
    [
        ("Qwen/Qwen3-235B-A22B-Instruct-2507", "RTX 4090 + 256 GB DDR5-6000", FIT, "RAM", "PCIe"),
        ("Qwen/Qwen3-32B", "RTX 4090 + RTX 3060 12GB + 64 GB", {}, "RTX 3060 12GB (CUDA1)", "RTX"),
        ("Qwen/Qwen3-32B", "2x RTX 3090 + 64 GB", {}, "goes to reading weights", "RTX 3090"),
        ("Qwen/Qwen3-8B", "RTX 4090 + 64 GB", {}, "goes to reading weights", "matrices"),
        ("Qwen/Qwen3-32B", "2x RTX 3090", {"split_mode": "tensor"}, "waits for RTX 3090", "RTX"),
    ],
)
def test_the_slowest_is_named(
    name: str, rig: str, update: dict[str, object], decode: str, prefill: str
) -> None:
    _model, _rig, plan = planned(name, rig, **update)

    places = by_place(plan, plan.speed.decode_terms)

    assert decode in decode_bottleneck(plan)
    assert prefill in prefill_bottleneck(plan)
    assert sum(place.share for place in places) == pytest.approx(1)
    assert plan.speed.decode_tps is not None
    assert 1 / sum(p.seconds for p in places) == pytest.approx(plan.speed.decode_tps.mid)
    for place in places:
        found = explain_place(plan, place)
        assert sum(float(t.value or 0) for t in found.terms) == pytest.approx(place.seconds * 1000)
        assert bool(layers_of(plan, place)) == (place.where in range(len(plan.devices)))
        assert bool(found.notes) == (place.where is not None)


def test_without_a_speed_nothing_is_said() -> None:
    plan = planned("Qwen/Qwen3-8B", "16 GB")[2]
    assert (decode_bottleneck(plan), prefill_bottleneck(plan)) == ("", "")


def test_a_narrow_slot_hurts_prompts_where_experts_are_copied() -> None:
    model, rig, plan = planned("Qwen/Qwen3-30B-A3B", "2x RTX 3060 12GB + 64 GB DDR5-6000", **FIT)
    plan = size(model, rig, plan.settings.model_copy(update={"n_cpu_moe": 40}))

    first, second = slot_changes(model, rig, plan)

    assert (first.where, second.where) == (0, 1)
    assert first.prefill is not None
    # Over x16 the processor is the limit, which copies what is mapped from its file.
    assert first.prefill[1] < first.prefill[0] / 1.7
    assert first.decode is not None
    assert first.decode[0] == first.decode[1]
    assert first.matters
    assert not second.matters
    assert "x4 slot instead of PCIe 4.0 x16: prompts" in slot_sentences((first, second))[0]


def test_slots_of_a_layer_split_hardly_matter_and_one_card_has_nothing_to_say() -> None:
    changes = slot_changes(*planned("Qwen/Qwen3-32B", "2x RTX 3090 + 64 GB"))
    assert len(changes) == 2
    assert slot_sentences(changes)[0].startswith("No card's slot matters")
    assert slot_changes(*planned("Qwen/Qwen3-8B", "RTX 4090 + 64 GB")) == ()


def test_traffic_is_the_seed_s_and_independent_of_the_context() -> None:
    entry = catalogue().find("deepseek-ai/DeepSeek-V4-Pro")
    model, rig = entry.model(entry.file_types[0]), parse_rig("2x RTX 4090 + 1024 GB DDR5-6000")
    asked = RunSettings(ctx=1 << 20, n_gpu_layers="fit", n_cpu_moe="fit")
    plan = size(model, rig, asked)

    found = explain_traffic(model, rig, plan)

    assert found is not None
    terms = {term.name.split(",")[0]: term.value for term in found[1].terms}
    assert terms["by tensors (-sm tensor)"] == 2 * 61 * 7168 * 4
    assert terms["by layers (-sm layer)"] == 112 * 1024
    assert terms["PCIe 4.0 x16"] == pytest.approx(31.5, abs=0.1)
    assert explain_traffic(model, parse_rig("RTX 4090"), plan) is None


def test_a_card_that_works_alone_sends_the_others_nothing() -> None:
    model, rig, plan = planned("Qwen/Qwen3-8B", "2x RTX 4090 + 64 GB", n_gpu_layers="fit")
    plan = size(model, rig, plan.settings.model_copy(update={"tensor_split": (1.0, 0.0)}))
    found = explain_traffic(model, rig, plan)
    assert found is not None
    assert found[0] == ("0 KiB", "one card works alone")


def test_what_copies_weights_is_said_to_do_so_where_it_is_most_but_less_than_half() -> None:
    plan = planned("Qwen/Qwen3-30B-A3B", "2x RTX 5090 + 64 GB DDR5-6000", n_cpu_moe=2)[2]
    said = prefill_bottleneck(plan)
    assert said.endswith("% of a prompt's time goes to copying weights from RAM.")
