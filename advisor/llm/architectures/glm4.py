"""GLM-4 dense and the GLM-4.5 to 4.7 mixtures of experts."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures.base import Architecture
from advisor.llm.architectures.builder import TensorList
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.deepseek2 import convert_nextn, read_experts
from advisor.llm.architectures.keys import Keys
from advisor.llm.hyperparameters import Value


class Glm4Moe(Architecture):
    """llama.cpp: src/models/glm4-moe.cpp."""

    names = ("glm4moe",)
    huggingface: ClassVar = {
        "Glm4MoeForCausalLM": "glm4moe",
        "Glm4vMoeForConditionalGeneration": "glm4moe",
    }

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        read_experts(keys, hp)

    def build(self, t: TensorList) -> None:
        hp = t.hp
        t.embeddings()
        for il in range(hp.n_layer_all):
            b = t.block(il)
            b.norm("attn_norm")
            b.qkv()
            b.attention_out(hp.n_embd_head_k * hp.n_head[il])
            b.optional("attn_q_norm.weight", hp.n_embd_head_k)
            b.optional("attn_k_norm.weight", hp.n_embd_head_k)
            b.norm("post_attention_norm")
            if il < hp.n_layer_dense_lead:
                b.gated_ffn()
            else:
                b.router()
                b.bias("exp_probs_b", hp.n_expert)
                b.experts()
                if hp.n_ff_shexp:
                    b.shared_expert()
            if il >= hp.n_layer:
                b.nextn()

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["rope.dimension_count"] = config.rotary(0.5)
        keys["leading_dense_block_count"] = config.integer("first_k_dense_replace", default=0)
        keys["expert_shared_count"] = config.integer("n_shared_experts", default=0)
        keys["expert_gating_func"] = 2
        keys["expert_weights_scale"] = config.number("routed_scaling_factor", default=1.0)
        keys["expert_weights_norm"] = config.flag("norm_topk_prob", default=True)
        _sections(config, keys)
        optional = set[str](super().convert(config, keys))
        if config.flag("attention_bias", default=True):
            optional |= {f"attn_{part}.bias" for part in ("q", "k", "v")}
        if config.flag("use_qk_norm"):
            optional |= {"attn_q_norm.weight", "attn_k_norm.weight"}
        return optional | convert_nextn(config, keys)


class Glm4(Architecture):
    """llama.cpp: src/models/glm4.cpp; gate and up are one matrix."""

    names = ("glm4",)
    huggingface: ClassVar = {"Glm4ForCausalLM": "glm4", "Glm4vForConditionalGeneration": "glm4"}

    def build(self, t: TensorList) -> None:
        hp = t.hp
        t.embeddings()
        for il in range(hp.n_layer_all):
            b = t.block(il)
            b.norm("attn_norm")
            b.qkv()
            b.weight("attn_output", hp.n_embd_head_k * hp.n_head[il], hp.n_embd)
            b.norm("post_attention_norm", "ffn_norm")
            b.weight("ffn_down", hp.n_ff[il], hp.n_embd)
            b.weight("ffn_up", hp.n_embd, 2 * hp.n_ff[il])
            b.norm("post_ffw_norm")
            if il >= hp.n_layer:
                b.nextn()

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["rope.dimension_count"] = config.rotary(0.5)
        _sections(config, keys)
        optional = set[str](super().convert(config, keys))
        if config.flag("attention_bias"):
            optional |= {f"attn_{part}.bias" for part in ("q", "k", "v")}
        return optional


def _sections(config: Config, keys: dict[str, Value]) -> None:
    """Positions of pictures (conversion/glm.py): the vision models rotate by time, row, column."""
    sections = config.rope.numbers("mrope_section")
    if sections:
        keys["rope.dimension_sections"] = (*sections, 0)[:4]
