"""DBRX."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures.config import Config
from advisor.llm.architectures.keys import Keys
from advisor.llm.architectures.transformer import Transformer
from advisor.llm.hyperparameters import Value


class Dbrx(Transformer):
    """llama.cpp: src/models/dbrx.cpp; clamped Q, K and V, experts only."""

    names = ("dbrx",)
    output = "must"
    layer_norm = True
    square = True
    fused = True
    ffn_norms = ("attn_output_norm",)
    huggingface: ClassVar = {"DbrxForCausalLM": "dbrx"}

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        del keys
        hp["n_ff_exp"] = hp["n_ff"][0]

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        attention, feed = config.part("attn_config"), config.part("ffn_config")
        keys |= {
            "context_length": config.integer("max_seq_len"),
            "feed_forward_length": feed.integer("ffn_hidden_size"),
            "attention.head_count_kv": attention.integer("kv_n_heads"),
            "attention.clamp_kqv": attention.number("clip_qkv", default=8.0),
            "expert_count": feed.integer("moe_num_experts"),
            "expert_used_count": feed.integer("moe_top_k"),
        }
        return super().convert(config, keys)
