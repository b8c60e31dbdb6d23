"""DeepSeek MoE, the first one."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures.config import Config
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
