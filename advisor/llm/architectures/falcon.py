"""Falcon 1 and 2."""

from collections.abc import Iterable
from typing import ClassVar

from advisor.llm.architectures.builder import Block
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.transformer import Transformer
from advisor.llm.hyperparameters import Value


class Falcon(Transformer):
    """llama.cpp: src/models/falcon.cpp; attention and feed-forward in parallel."""

    names = ("falcon",)
    layer_norm = True
    biases = frozenset({"output_norm", "attn_norm"})
    square = True
    fused = True
    ffn_norms = ()
    gate = "none"
    huggingface: ClassVar = {"FalconForCausalLM": "falcon", "RWForCausalLM": "falcon"}

    def attention(self, b: Block) -> None:
        # Of its own in the 40B and 180B, where attention and feed-forward read two norms.
        b.optional("attn_norm_2.weight", b.hp.n_embd)
        b.optional("attn_norm_2.bias", b.hp.n_embd)
        super().attention(b)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["context_length"] = 2048
        keys["feed_forward_length"] = 4 * config.integer("hidden_size")
        keys["attention.head_count_kv"] = config.integer("num_kv_heads", "n_head_kv", default=1)
        optional = set[str](super().convert(config, keys))
        two = config.integer("num_ln_in_parallel_attn", default=2) == 2
        if config.flag("new_decoder_architecture") and two:
            optional |= {"attn_norm_2.weight", "attn_norm_2.bias"}
        return optional
