"""DeepSeek MoE, the first one, and DeepSeek-OCR, whose decoder is like it."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures.builder import Block
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.deepseek2 import read_experts
from advisor.llm.architectures.keys import Keys
from advisor.llm.architectures.transformer import Transformer
from advisor.llm.hyperparameters import Value


class DeepSeek(Transformer):
    """llama.cpp: src/models/deepseek.cpp; plain attention, many small experts."""

    names = ("deepseek",)
    square = True
    huggingface: ClassVar = {"DeepseekForCausalLM": "deepseek"}

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        hp["n_layer_dense_lead"] = keys.integer("leading_dense_block_count", 0)
        hp["n_ff_shexp"] = hp["n_ff_exp"] * keys.integer("expert_shared_count")

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["leading_dense_block_count"] = config.integer("first_k_dense_replace", default=0)
        keys["expert_shared_count"] = config.integer("n_shared_experts", "num_shared_experts")
        keys["expert_weights_scale"] = 1.0
        return super().convert(config, keys)


class DeepSeekOcr(Transformer):
    """llama.cpp: src/models/deepseek2ocr.cpp; its converter asks for V2's keys."""

    names = ("deepseek2-ocr",)
    square = True
    huggingface: ClassVar = dict.fromkeys(
        ("DeepseekOCRForCausalLM", "DeepseekOCR2ForCausalLM", "UnlimitedOCRForCausalLM"),
        "deepseek2-ocr",
    )

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        read_experts(keys, hp)

    def routed(self, b: Block) -> None:
        b.router()
        b.optional("exp_probs_b.bias", b.hp.n_expert)
        b.experts(fusable=True)
        b.shared_expert()

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["leading_dense_block_count"] = config.integer("first_k_dense_replace", default=0)
        keys["expert_shared_count"] = config.integer("n_shared_experts", default=0)
        keys["expert_weights_scale"] = config.number("routed_scaling_factor", default=1.0)
        keys["expert_weights_norm"] = config.flag("norm_topk_prob")
        keys["rope.dimension_count"] = config.integer("qk_rope_head_dim", default=0)
        return super().convert(config, keys)
