"""Ling and Ring 1 and 2.0, dots.llm1: experts with a shared one."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures.base import infer_dense_lead
from advisor.llm.architectures.builder import Block
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.keys import Keys
from advisor.llm.architectures.transformer import Transformer
from advisor.llm.hyperparameters import Value


class BailingMoe(Transformer):
    """llama.cpp: src/models/bailingmoe.cpp."""

    names = ("bailingmoe",)
    output = "must"
    huggingface: ClassVar = {"BailingMoeForCausalLM": "bailingmoe"}

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        hp["n_ff_shexp"] = hp["n_ff_exp"] * keys.integer("expert_shared_count")

    def attention(self, b: Block) -> None:
        hp, il = b.hp, b.il
        n_q, n_kv = hp.n_head[il] * hp.n_rot, hp.n_head_kv[il] * hp.n_rot
        b.qkv(n_q, n_kv, n_kv)
        b.weight("attn_output", n_q, hp.n_embd)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["rope.dimension_count"] = config.head
        keys["leading_dense_block_count"] = config.integer("first_k_dense_replace", default=0)
        keys["expert_shared_count"] = config.integer("num_shared_experts")
        keys["expert_weights_scale"] = 1.0
        keys["expert_weights_norm"] = config.flag("norm_topk_prob", default=True)
        return super().convert(config, keys)


class BailingMoe2(Transformer):
    """llama.cpp: src/models/bailingmoe2.cpp; NextN layers are never loaded."""

    names = ("bailingmoe2",)
    output = "must"
    possible_biases = frozenset({"exp_probs_b"})
    fused = True
    head_norms = True
    has_nextn = True
    huggingface: ClassVar = {
        "BailingMoeV2ForCausalLM": "bailingmoe2",
        "SarvamMoEForCausalLM": "bailingmoe2",
    }

    def infer(self, values: dict[str, Value], names: frozenset[str]) -> None:
        infer_dense_lead(values, names)

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        hp["n_layer_dense_lead"] = keys.integer("leading_dense_block_count", 0)
        shared = keys.integer("expert_shared_feed_forward_length", 0) or hp["n_ff_exp"]
        hp["n_ff_shexp"] = shared * keys.integer("expert_shared_count", 0)

    def nextn(self, b: Block) -> None:
        super().nextn(b)
        b.norm("layer_output_norm")

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        # Sarvam rotates whole heads (conversion/bailingmoe.py:SarvamMoEModel).
        whole = "SarvamMoEForCausalLM" in config.texts("architectures")
        keys["rope.dimension_count"] = config.head if whole else config.rotary(0.5)
        keys["leading_dense_block_count"] = config.integer("first_k_dense_replace", default=0)
        n_shared = config.integer("num_shared_experts", default=0)
        keys["expert_shared_count"] = n_shared
        shared = config.integer("moe_shared_expert_intermediate_size", default=0)
        keys["expert_shared_feed_forward_length"] = (
            shared or config.integer("moe_intermediate_size") * n_shared
        )
        keys["expert_weights_scale"] = config.number("routed_scaling_factor", default=1.0)
        keys["expert_weights_norm"] = config.flag("norm_topk_prob", default=True)
        keys.setdefault("expert_gating_func", 2)
        biased = config.flag("moe_router_enable_expert_bias", default=True)
        return ("output.weight", "exp_probs_b.bias") if biased else ("output.weight",)


class Dots1(Transformer):
    """llama.cpp: src/models/dots1.cpp."""

    names = ("dots1",)
    output = "must"
    possible_biases = frozenset({"exp_probs_b"})
    huggingface: ClassVar = {"Dots1ForCausalLM": "dots1"}

    def infer(self, values: dict[str, Value], names: frozenset[str]) -> None:
        infer_dense_lead(values, names)

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        hp["n_layer_dense_lead"] = keys.integer("leading_dense_block_count", 0)
        hp["n_ff_shexp"] = hp["n_ff_exp"] * keys.integer("expert_shared_count", 0)

    def attention(self, b: Block) -> None:
        width = b.hp.n_embd_head_k * b.hp.n_head[b.il]
        b.qkv(width, width, width)
        b.weight("attn_output", width, b.hp.n_embd)
        b.qk_norm()

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["leading_dense_block_count"] = config.integer("first_k_dense_replace", default=0)
        keys["expert_shared_count"] = config.integer("n_shared_experts", default=0)
        keys["expert_weights_scale"] = config.number("routed_scaling_factor", default=1.0)
        keys["expert_weights_norm"] = config.flag("norm_topk_prob", default=True)
        keys.setdefault("expert_gating_func", 2)
        return ("output.weight", "exp_probs_b.bias")
