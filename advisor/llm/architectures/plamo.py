"""PLaMo 1, and 3: fused QKV, norms on both sides, gate and up in one matrix."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures.base import Architecture, sliding_window
from advisor.llm.architectures.builder import Block, TensorList
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.keys import Keys
from advisor.llm.architectures.transformer import Transformer
from advisor.llm.hyperparameters import Value


class Plamo(Transformer):
    """llama.cpp: src/models/plamo.cpp; attention and feed-forward read the same norm."""

    names = ("plamo",)
    output = "must"
    square = True
    ffn_norms = ()
    huggingface: ClassVar = {"PlamoForCausalLM": "plamo"}

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["context_length"] = 4096
        keys["attention.head_count_kv"] = 5  # the config.json is wrong (conversion/plamo.py)
        return super().convert(config, keys)


class Plamo3(Architecture):
    """llama.cpp: src/models/plamo3.cpp."""

    names = ("plamo3",)
    huggingface: ClassVar = {"Plamo3ForCausalLM": "plamo3", "PLaMo3ForCausalLM": "plamo3"}

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        sliding_window(keys, hp, 8)

    def build(self, t: TensorList) -> None:
        hp = t.hp
        t.embeddings()
        for il in range(hp.n_layer):
            b = t.block(il)
            b.norm("attn_norm")
            _attention(b)
            b.qk_norm()
            _feed(b)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        window = config.integer("window_size", "sliding_window", default=0)
        if window:
            keys["attention.sliding_window"] = window
            flags = config.get("sliding_window_pattern")
            if isinstance(flags, int):
                keys["attention.sliding_window_pattern"] = flags
            else:
                keys["attention.sliding_window_pattern"] = tuple(
                    bool(flag) for flag in config.numbers("sliding_window_pattern")
                )
        return super().convert(config, keys)


def _attention(b: Block) -> None:
    hp = b.hp
    heads = hp.n_head[b.il]
    width = hp.n_embd_head_k * heads + hp.k_gqa(b.il) + hp.v_gqa(b.il)
    b.weight("attn_qkv", hp.n_embd, width)
    b.weight("attn_output", hp.n_embd_head_v * heads, hp.n_embd)


def _feed(b: Block) -> None:
    """The two norms behind a part are named without ``.weight``."""
    n_embd, n_ff = b.hp.n_embd, b.hp.n_ff[b.il]
    b.add("post_attention_norm", n_embd)
    b.norm("ffn_norm")
    b.add("post_ffw_norm", n_embd)
    b.weight("ffn_up", n_embd, 2 * n_ff)
    b.weight("ffn_down", n_ff, n_embd)
