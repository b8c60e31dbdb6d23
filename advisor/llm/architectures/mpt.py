"""MPT."""

from collections.abc import Iterable
from typing import ClassVar

from advisor.llm.architectures.builder import Block
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.gpt2 import ALL_BIASES
from advisor.llm.architectures.transformer import Transformer
from advisor.llm.hyperparameters import Value


class Mpt(Transformer):
    """llama.cpp: src/models/mpt.cpp; ALiBi or learned positions, biases or none."""

    names = ("mpt",)
    tied_by_default = True
    positions = "may"
    layer_norm = True
    possible_biases = ALL_BIASES
    square = True
    fused = True
    gate = "none"
    huggingface: ClassVar = {"MPTForCausalLM": "mpt"}

    def attention(self, b: Block) -> None:
        super().attention(b)
        for name in ("attn_q_norm", "attn_k_norm"):
            b.optional(f"{name}.weight", b.hp.n_embd)
            b.optional(f"{name}.bias", b.hp.n_embd)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        attention = config.part("attn_config")
        keys["context_length"] = config.integer("max_seq_len", default=2048)
        keys["feed_forward_length"] = 4 * config.integer("d_model")
        n_head = config.integer("n_heads")
        keys["attention.head_count_kv"] = attention.integer("kv_n_heads", default=n_head)
        keys["attention.clamp_kqv"] = attention.number("clip_qkv", default=0.0)
        alibi = attention.flag("alibi")
        keys["attention.max_alibi_bias"] = (
            attention.number("alibi_bias_max", default=8.0) if alibi else 0.0
        )
        optional = set[str](super().convert(config, keys))
        if not config.flag("no_bias", default=True):
            optional |= {f"{name}.bias" for name in ALL_BIASES}
        if not alibi:
            optional.add("position_embd.weight")
        return optional
