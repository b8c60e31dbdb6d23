"""GLM-4 dense and the GLM-4.5 to 4.7 mixtures of experts."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures.builder import Block
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.deepseek2 import convert_nextn, read_experts
from advisor.llm.architectures.keys import Keys
from advisor.llm.architectures.transformer import QKV_BIASES, Transformer
from advisor.llm.hyperparameters import Value


class Glm4Moe(Transformer):
    """llama.cpp: src/models/glm4-moe.cpp."""

    names = ("glm4moe",)
    biases = frozenset({"exp_probs_b"})
    possible_biases = frozenset({"attn_output"})
    ffn_norms = ("post_attention_norm",)
    has_nextn = True
    huggingface: ClassVar = {
        "Glm4MoeForCausalLM": "glm4moe",
        "Glm4vMoeForConditionalGeneration": "glm4moe",
        "SolarOpenForCausalLM": "glm4moe",
    }

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        read_experts(keys, hp)

    def attention(self, b: Block) -> None:
        super().attention(b)
        b.optional("attn_q_norm.weight", b.hp.n_embd_head_k)
        b.optional("attn_k_norm.weight", b.hp.n_embd_head_k)

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
            optional |= QKV_BIASES
        if config.flag("use_qk_norm"):
            optional |= {"attn_q_norm.weight", "attn_k_norm.weight"}
        return optional | convert_nextn(config, keys)


class Glm4(Transformer):
    """llama.cpp: src/models/glm4.cpp; gate and up are one matrix."""

    names = ("glm4",)
    ffn_norms = ("post_attention_norm", "ffn_norm")
    gate = "packed"
    last_norms = ("post_ffw_norm",)
    has_nextn = True
    huggingface: ClassVar = dict.fromkeys(
        ("Glm4ForCausalLM", "Glm4vForConditionalGeneration", "GlmOcrForConditionalGeneration"),
        "glm4",
    )

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["rope.dimension_count"] = config.rotary(0.5)
        _sections(config, keys)
        optional = set[str](super().convert(config, keys))
        if config.flag("attention_bias"):
            optional |= QKV_BIASES
        always = config.text("model_type").startswith("glm_ocr")
        return optional | convert_nextn(config, keys, always=always)


def _sections(config: Config, keys: dict[str, Value]) -> None:
    """Positions of pictures (conversion/glm.py): the vision models rotate by time, row, column."""
    sections = config.rope.numbers("mrope_section")
    if sections:
        keys["rope.dimension_sections"] = (*sections, 0)[:4]
