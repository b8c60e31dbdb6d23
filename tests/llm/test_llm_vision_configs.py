"""A dropped config.json: the projector that its vision_config states."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.llm.catalogue import add_from_config, catalogue, remove
from advisor.llm.companions import with_companions
from advisor.llm.vision_configs import stated
from advisor.sizing.compute import projector_compute

QWEN3 = {
    "depth": 27, "hidden_size": 1152, "intermediate_size": 4304, "num_heads": 16, "patch_size": 16,
    "num_position_embeddings": 2304, "spatial_merge_size": 2, "temporal_patch_size": 2,
}  # fmt: skip
QWEN2 = {
    "depth": 32, "num_heads": 16, "patch_size": 14, "spatial_merge_size": 2,
    "temporal_patch_size": 2,
}  # fmt: skip
PIXTRAL = {
    "model_type": "pixtral", "hidden_size": 1024, "intermediate_size": 4096,
    "num_hidden_layers": 24, "num_attention_heads": 16, "patch_size": 14, "image_size": 1540,
}  # fmt: skip
CONFIGS: dict[str, dict[str, Any]] = {
    "Qwen/Qwen3-VL-8B-Instruct": {
        "architectures": ["Qwen3VLForConditionalGeneration"],
        "vision_config": {
            **QWEN3, "out_hidden_size": 4096, "deepstack_visual_indexes": [8, 16, 24],
        },
    },
    "Qwen/Qwen3.5-35B-A3B": {
        "architectures": ["Qwen3_5MoeForConditionalGeneration"],
        "vision_config": {**QWEN3, "out_hidden_size": 2048, "deepstack_visual_indexes": []},
    },
    "Qwen/Qwen2.5-VL-7B-Instruct": {
        "architectures": ["Qwen2_5_VLForConditionalGeneration"],
        "vision_config": {
            **QWEN2, "hidden_size": 1280, "intermediate_size": 3420, "out_hidden_size": 3584,
            "fullatt_block_indexes": [7, 15, 23, 31],
        },
    },
    "Qwen/Qwen2-VL-2B-Instruct": {
        "architectures": ["Qwen2VLForConditionalGeneration"],
        "vision_config": {**QWEN2, "embed_dim": 1280, "mlp_ratio": 4, "hidden_size": 1536},
    },
    "mistralai/Ministral-3-3B-Instruct-2512": {
        "architectures": ["Mistral3ForConditionalGeneration"],
        "spatial_merge_size": 2,
        "multimodal_projector_bias": False,
        "text_config": {"hidden_size": 3072},
        "vision_config": PIXTRAL,
    },
    "google/gemma-3-4b-it": {
        "architectures": ["Gemma3ForConditionalGeneration"],
        "text_config": {"hidden_size": 2560},
        "vision_config": {
            "hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27,
            "num_attention_heads": 16, "patch_size": 14, "image_size": 896,
        },
    },
    "meta-llama/Llama-4-Scout-17B-16E-Instruct": {
        "architectures": ["Llama4ForConditionalGeneration"],
        "text_config": {"hidden_size": 5120},
        "vision_config": {
            "hidden_size": 1408, "intermediate_size": 5632, "num_hidden_layers": 34,
            "num_attention_heads": 16, "patch_size": 14, "image_size": 336,
            "pixel_shuffle_ratio": 0.5, "projector_input_dim": 4096,
            "projector_output_dim": 4096, "vision_output_dim": 4096,
        },
    },
}  # fmt: skip


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_states_what_the_catalogue_holds(name: str) -> None:
    known = catalogue().find(name).vision
    found = stated(CONFIGS[name])
    assert known is not None
    assert found is not None
    assert found.model_copy(update={"source": known.source}) == known


@pytest.mark.parametrize("name", CONFIGS)
def test_a_number_that_is_missing_or_no_number_leaves_it_unknown(name: str) -> None:
    config = CONFIGS[name]
    for key in set(config["vision_config"]) - {"deepstack_visual_indexes"}:
        vision = {k: v for k, v in config["vision_config"].items() if k != key}
        assert stated({**config, "vision_config": vision}) is None
        assert stated({**config, "vision_config": {**vision, key: -3}}) is None


def test_other_towers_are_not_taken_for_known_ones() -> None:
    config = CONFIGS["mistralai/Ministral-3-3B-Instruct-2512"]
    assert stated({**config, "multimodal_projector_bias": True}) is None
    assert stated({**config, "spatial_merge_size": 1}) is None
    assert stated({**config, "architectures": ["LlavaForConditionalGeneration"]}) is None
    assert stated({"architectures": ["Qwen3ForCausalLM"]}) is None


@given(
    name=st.sampled_from(sorted(CONFIGS)),
    key=st.sampled_from(sorted({key for c in CONFIGS.values() for key in c["vision_config"]})),
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
        max_leaves=5,
    ),
)
def test_any_value_is_read_or_left_unknown(name: str, key: str, value: object) -> None:
    config = CONFIGS[name]
    stated({**config, "vision_config": {**config["vision_config"], key: value}})
    stated({**config, key: value, "text_config": value, "architectures": value})


def test_an_added_model_has_its_projector() -> None:
    text = catalogue().find("Qwen/Qwen2.5-VL-7B-Instruct").config
    assert text is not None
    config = {**text, **CONFIGS["Qwen/Qwen2.5-VL-7B-Instruct"]}
    entry = add_from_config(config, "someone/finetune")
    try:
        found = with_companions(entry.model("Q4_K_M"), draft="", mmproj="someone/finetune:bf16")
        assert found.projector is not None
        assert found.projector.file_type == "BF16"
        assert projector_compute(found.projector, "cuda")
    finally:
        remove(entry)
