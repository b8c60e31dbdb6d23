"""How fast prompts are read: kernels, attention, and several cards at once."""

import math

import numpy as np
import pytest

from advisor.hardware.compose import parse_rig
from advisor.llm.catalogue import catalogue
from advisor.sizing import size
from advisor.sizing import speed_sums as sums
from advisor.sizing.calibration import IDENTITY
from advisor.sizing.placement import Placement
from advisor.sizing.settings import RunSettings
from advisor.sizing.speed_load import attention_along
from advisor.sizing.speed_machine import machine
from advisor.sizing.speed_prefill import constants, type_group
from advisor.sizing.speed_terms import FLOPS, SCORES, attention_effort
from tests.sizing.speed_cases import model, speed


def test_prefill_kernels_by_type() -> None:
    assert [type_group(t) for t in ("Q4_K_M", "Q8_0", "Q4_0", "IQ4_XS", "MXFP4_MOE", "BF16")] == [
        "", "q8", "q4_legacy", "k_or_i", "fp4", "",
    ]  # fmt: skip


def test_attention_costs_more_far_along_and_less_where_heads_share() -> None:
    box = machine(parse_rig("Strix Halo"), Placement(layer_device=(0,)), IDENTITY)
    assert not isinstance(box, str)
    k = constants(box.devices[0], model("Qwen/Qwen3-8B"), 1.0)
    near, far, shared, narrow, camped = (
        float(attention_effort(k, np.array(work)))
        for work in (
            [1e9, 0.0, 0.0, 0.0, 0.0],
            [1e9, 1e9, 0.0, 0.0, 0.0],
            [1e9, 0.0, 1e9 * math.log(2), 0.0, 0.0],
            [1e9, 0.0, 0.0, 1e6, 0.0],
            [1e9, 0.0, 0.0, 0.0, 1e9 * math.log(2)],
        )
    )
    assert near == pytest.approx(1e9)
    assert far == pytest.approx(1e9 * (1 + k.bend))
    assert shared == pytest.approx(1e9 * 2 ** -float(k.sharing))
    assert narrow == pytest.approx(1e9 + 1e6 * float(k.score))
    assert camped == pytest.approx(1e9 * 2 ** float(k.camping))
    assert shared < near < min(far, narrow, camped)


def test_heads_half_as_wide_have_twice_the_scores_for_the_same_arithmetic() -> None:
    found: list[sums.Floats] = []
    for name in ("Qwen/Qwen3-8B", "openai/gpt-oss-20b"):
        known = sums.model_sums(model(name))
        assert known is not None
        full = next(cache for cache in known.caches if cache.rule.cells == "full")
        found.append(attention_along(full, 1000.0).sum(axis=0))
    wide, narrow = found
    assert narrow[SCORES] / narrow[FLOPS] == pytest.approx(2 * wide[SCORES] / wide[FLOPS])


def test_cards_work_on_a_prompt_at_once_only_where_llama_cpp_lets_them() -> None:
    rig = parse_rig("2x RTX 4090 + 64 GB DDR5-6000")
    of = model("Qwen/Qwen3-8B")
    at_once = speed(of, rig, n_prompt=4096)
    in_turn = speed(of, rig, n_prompt=4096, override_tensor="no-such-tensor=CPU")
    assert at_once.prefill_tps is not None
    assert in_turn.prefill_tps is not None
    assert at_once.prefill_tps.mid > 1.3 * in_turn.prefill_tps.mid
    assert at_once.decode_tps == in_turn.decode_tps
    assert sum(t.seconds for t in at_once.prefill_terms) == pytest.approx(
        1 / at_once.prefill_tps.mid
    )


@pytest.mark.parametrize(
    ("rig", "backend", "in_f32"),
    [
        ("Ryzen AI Max+ 395 (Strix Halo, 128GB)", "vulkan", True),
        ("Radeon AI PRO R9700", "vulkan", False),
        ("RTX 3090", "cuda", False),
    ],
)
def test_bf16_is_multiplied_in_f32_where_a_device_lacks_it(
    rig: str, backend: str, in_f32: bool
) -> None:
    of, found = model("Qwen/Qwen3-8B", "BF16"), parse_rig(rig)
    device = found.devices[0].model_copy(update={"backend": backend})
    box = machine(
        found.model_copy(update={"devices": (device,)}), Placement(layer_device=(0,)), IDENTITY
    )
    assert not isinstance(box, str)
    assert (constants(box.devices[0], of, 1.0).bf16 < 1) == in_f32


def test_experts_in_ram_are_the_first_cards_arithmetic_and_stop_the_pipeline():
    of = catalogue().find("Qwen/Qwen3-30B-A3B").model("Q4_K_M")
    rig = parse_rig("2x RTX 4090 + 64 GB DDR5-6000")
    asked = RunSettings(ctx=8192, n_prompt=4096, tensor_split=(24.0, 25.0))

    def experts(n_cpu_moe: int | str) -> tuple[list[float], float]:
        """Seconds of arithmetic by card, and everything else's share of a layer's work."""
        plan = size(of, rig, asked.model_copy(update={"n_cpu_moe": n_cpu_moe}))
        terms = plan.speed.prefill_terms
        by_card = [
            sum(t.seconds for t in terms if t.where == card and t.name.endswith(": experts"))
            for card in (0, 1)
        ]
        matrices = sum(t.seconds for t in terms if t.name.endswith(": matrices"))
        return by_card, matrices

    (here, there), piped = experts(0)
    (first, second), alone = experts("all")
    assert here > 0 < there
    assert second == 0
    # Eight micro-batches pass two cards like a pipeline; with experts moved they do not.
    assert alone > 1.3 * piped
    assert first == pytest.approx((here + there) * alone / piped, rel=1e-6)
