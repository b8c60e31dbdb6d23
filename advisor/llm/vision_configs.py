"""A dropped config.json: what its ``vision_config`` states of the model's projector."""

from collections.abc import Callable, Mapping
from math import isqrt
from typing import Any, Final

from pydantic import ValidationError

from advisor.llm.projectors import ProjectorFacts

_Numbers = Mapping[str, Any]
_SOURCE: Final = ("config.json",)
_QWEN2_IMAGE: Final = 560
"""Pixels a side that conversion/qwenvl.py:Qwen2VLVisionModel writes whatever the config says."""


def stated(config: Mapping[str, Any]) -> ProjectorFacts | None:
    """The projector's numbers; None for a kind that we don't know, or where one is missing."""
    try:
        read, vision = _READERS[config["architectures"][0]], config["vision_config"]
        return ProjectorFacts.model_validate({"source": _SOURCE, **read(config, vision)})
    except (LookupError, TypeError, ValueError, ArithmeticError, ValidationError):
        return None


def _must(*agreed: bool) -> None:
    """Raise ValueError where the config departs from what the layouts take for granted."""
    if not all(agreed):
        raise ValueError(agreed)


def _siglip(vision: _Numbers) -> dict[str, Any]:
    """Names that most makers give."""
    return {
        "width": vision["hidden_size"],
        "feed_forward": vision["intermediate_size"],
        "layers": vision["num_hidden_layers"],
        "heads": vision["num_attention_heads"],
        "patch": vision["patch_size"],
        "image": vision["image_size"],
    }


def _out(config: _Numbers) -> int:
    return config.get("text_config", config)["hidden_size"]


def _gemma3(config: _Numbers, vision: _Numbers) -> dict[str, Any]:
    return {"kind": "gemma3", "out": _out(config), **_siglip(vision)}


def _idefics3(config: _Numbers, vision: _Numbers) -> dict[str, Any]:
    merge = config.get("scale_factor", 2)
    return {"kind": "idefics3", "out": _out(config), "merge": merge, **_siglip(vision)}


def _internvl(config: _Numbers, vision: _Numbers) -> dict[str, Any]:
    _must(
        config["downsample_ratio"] == 0.5,
        vision["hidden_act"] == "gelu",
        vision["norm_type"] == "layer_norm",
    )
    return {"kind": "internvl", "out": config["llm_config"]["hidden_size"], **_siglip(vision)}


def _mistral3(config: _Numbers, vision: _Numbers) -> dict[str, Any]:
    _must(
        vision["model_type"] == "pixtral",
        config["spatial_merge_size"] == 2,
        not config.get("multimodal_projector_bias"),
    )
    return {"kind": "pixtral", "out": _out(config), **_siglip(vision)}


def _llama4(config: _Numbers, vision: _Numbers) -> dict[str, Any]:
    _must(vision["pixel_shuffle_ratio"] == 0.5, not vision.get("multi_modal_projector_bias"))
    between = vision["projector_output_dim"]
    _must(vision["projector_input_dim"] == between == vision["vision_output_dim"])
    return {"kind": "llama4", "out": _out(config), "between": between, **_siglip(vision)}


def _qwen(vision: _Numbers) -> dict[str, Any]:
    _must(vision["spatial_merge_size"] == 2, vision["temporal_patch_size"] == 2)
    return {"layers": vision["depth"], "heads": vision["num_heads"], "patch": vision["patch_size"]}


def _qwen2vl(_config: _Numbers, vision: _Numbers) -> dict[str, Any]:
    width = vision["embed_dim"]
    return {
        **_qwen(vision),
        "kind": "qwen2vl_merger",
        "width": width,
        "feed_forward": width * vision["mlp_ratio"],
        "image": _QWEN2_IMAGE,
        "out": vision["hidden_size"],
    }


def _qwen25vl(_config: _Numbers, vision: _Numbers) -> dict[str, Any]:
    return {
        **_qwen(vision),
        "kind": "qwen2.5vl_merger",
        "width": vision["hidden_size"],
        "feed_forward": vision["intermediate_size"],
        "image": _QWEN2_IMAGE,
        "out": vision["out_hidden_size"],
        "window_pattern": vision["fullatt_block_indexes"][0] + 1,
    }


def _qwen3vl(_config: _Numbers, vision: _Numbers) -> dict[str, Any]:
    positions = vision["num_position_embeddings"]
    _must(isqrt(positions) ** 2 == positions)
    return {
        **_qwen(vision),
        "kind": "qwen3vl_merger",
        "width": vision["hidden_size"],
        "feed_forward": vision["intermediate_size"],
        "image": isqrt(positions) * vision["patch_size"],
        "out": vision["out_hidden_size"],
        "deepstack": vision.get("deepstack_visual_indexes", ()),
    }


_READERS: Final[Mapping[str, Callable[[_Numbers, _Numbers], dict[str, Any]]]] = {
    "Gemma3ForConditionalGeneration": _gemma3,
    "Idefics3ForConditionalGeneration": _idefics3,
    "SmolVLMForConditionalGeneration": _idefics3,
    "InternVLChatModel": _internvl,
    "Mistral3ForConditionalGeneration": _mistral3,
    "Llama4ForConditionalGeneration": _llama4,
    "Qwen2VLForConditionalGeneration": _qwen2vl,
    "Qwen2_5_VLForConditionalGeneration": _qwen25vl,
    "Qwen3VLForConditionalGeneration": _qwen3vl,
    "Qwen3VLMoeForConditionalGeneration": _qwen3vl,
    "Qwen3_5ForConditionalGeneration": _qwen3vl,
    "Qwen3_5MoeForConditionalGeneration": _qwen3vl,
}
"""By architecture, as conversion/ registers its vision models."""
