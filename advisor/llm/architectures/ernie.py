"""ERNIE 4.5, dense and mixture of experts, and PaddleOCR's language part."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures.config import Config
from advisor.llm.architectures.keys import Keys
from advisor.llm.architectures.transformer import Transformer
from advisor.llm.hyperparameters import Value


class Ernie45(Transformer):
    """llama.cpp: src/models/ernie4-5.cpp, ernie4-5-moe.cpp, paddleocr.cpp."""

    names = ("ernie4_5", "ernie4_5-moe", "paddleocr")
    tied_by_default = True
    possible_biases = frozenset({"attn_output", "exp_probs_b"})
    huggingface: ClassVar = {
        "Ernie4_5_ForCausalLM": "ernie4_5",
        "Ernie4_5ForCausalLM": "ernie4_5",
        "Ernie4_5_MoeForCausalLM": "ernie4_5-moe",
        "PaddleOCRVLForConditionalGeneration": "paddleocr",
    }

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        if hp["n_expert"]:
            hp["n_layer_dense_lead"] = keys.integer("leading_dense_block_count", 0)
            hp["n_ff_shexp"] = keys.integer("expert_shared_feed_forward_length", 0)
            hp["n_expert_shared"] = keys.integer("expert_shared_count", 0)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        optional = set[str](super().convert(config, keys))
        sections = config.rope.numbers("mrope_section")
        if sections:
            keys["rope.dimension_sections"] = (*sections, 0)[:4]
        if self.arch_of(config) != "ernie4_5-moe":
            return optional
        shared = config.integer("moe_num_shared_experts", default=0)
        keys["expert_count"] = config.integer("moe_num_experts")
        keys["expert_used_count"] = config.integer("moe_k")
        keys["interleave_moe_layer_step"] = config.integer("moe_layer_interval", default=1)
        keys["leading_dense_block_count"] = config.integer("moe_layer_start_index", default=1)
        if shared:
            keys["expert_shared_count"] = shared
            # The converter's own rule (conversion/ernie.py), right for the released models.
            keys["expert_shared_feed_forward_length"] = config.integer(
                "intermediate_size"
            ) // config.integer("num_key_value_heads")
        return optional | {"exp_probs_b.bias"}
