"""Hunyuan: dense, A13B mixture of experts, and Hy3."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures.base import infer_dense_lead
from advisor.llm.architectures.builder import Block
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.deepseek2 import convert_nextn
from advisor.llm.architectures.keys import Keys
from advisor.llm.architectures.transformer import Transformer
from advisor.llm.hyperparameters import Value


class HunyuanMoe(Transformer):
    """llama.cpp: src/models/hunyuan-moe.cpp."""

    names = ("hunyuan-moe",)
    head_norms = True
    tied_by_default = True
    huggingface: ClassVar = {"HunYuanMoEV1ForCausalLM": "hunyuan-moe"}

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        hp["n_ff_shexp"] = keys.integer("expert_shared_feed_forward_length", 0) or hp["n_ff"][0]
        hp["n_expert_shared"] = keys.integer("expert_shared_count", 1)

    def routed(self, b: Block) -> None:
        b.router()
        b.experts(b.hp.n_ff[b.il])
        b.shared_expert()

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        # Per-layer lists of one repeated number in this family's config.
        for key, name in (
            ("expert_feed_forward_length", "moe_intermediate_size"),
            ("expert_used_count", "moe_topk"),
            ("expert_shared_count", "num_shared_expert"),
        ):
            values = config.numbers(name)
            keys[key] = values[0] if values else config.integer(name)
        keys["expert_shared_feed_forward_length"] = config.integer("intermediate_size")
        if config.rope.text("rope_type", "type") == "dynamic":
            keys["context_length"] = 1 << 18
        return super().convert(config, keys)


class HunyuanDense(Transformer):
    """llama.cpp: src/models/hunyuan-vl.cpp, which the dense model shares."""

    names = ("hunyuan-dense", "hunyuan_vl")
    head_norms = True
    tied_by_default = True
    huggingface: ClassVar = {
        "HunYuanDenseV1ForCausalLM": "hunyuan-dense",
        "HunYuanVLForConditionalGeneration": "hunyuan_vl",
    }

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys.pop("expert_count", None)
        keys.pop("expert_used_count", None)
        return super().convert(config, keys)


class HyV3(Transformer):
    """llama.cpp: src/models/hy-v3.cpp."""

    names = ("hy_v3",)
    head_norms = True
    has_nextn = True
    huggingface: ClassVar = {"HYV3ForCausalLM": "hy_v3"}

    def infer(self, values: dict[str, Value], names: frozenset[str]) -> None:
        infer_dense_lead(values, names)

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        hp["n_layer_dense_lead"] = keys.integer("leading_dense_block_count", 0)
        hp["n_ff_shexp"] = keys.integer("expert_shared_feed_forward_length", 0) or hp["n_ff_exp"]
        hp["n_expert_shared"] = 1

    def routed(self, b: Block) -> None:
        b.router()
        # llama.cpp asks for this one without a suffix.
        b.optional("exp_probs_b", b.hp.n_expert)
        b.experts(fusable=True)
        b.shared_expert()

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        width = config.integer("moe_intermediate_size", "expert_hidden_dim")
        shared = config.integer("num_shared_experts", default=1)
        keys["leading_dense_block_count"] = config.integer("first_k_dense_replace", default=1)
        keys["expert_feed_forward_length"] = width
        keys["expert_shared_feed_forward_length"] = width * shared
        keys["expert_gating_func"] = 2
        keys["expert_weights_norm"] = config.flag("route_norm", default=True)
        keys["expert_weights_scale"] = config.number("router_scaling_factor", default=1.0)
        optional = set[str](super().convert(config, keys)) | {"exp_probs_b"}
        return optional | convert_nextn(config, keys)
