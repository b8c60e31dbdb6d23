"""Chameleon: Llama's blocks with norms over each head, written for pictures and text alike."""

from collections.abc import Iterable
from typing import ClassVar

from advisor.llm.architectures.builder import Block
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.transformer import Transformer
from advisor.llm.hyperparameters import Value


class Chameleon(Transformer):
    """llama.cpp: src/models/chameleon.cpp; the larger one has its norms behind the parts."""

    names = ("chameleon",)
    square = True
    written = frozenset({"attn_q_norm.bias", "attn_k_norm.bias"})
    huggingface: ClassVar = {
        "ChameleonForConditionalGeneration": "chameleon",
        "ChameleonForCausalLM": "chameleon",
    }

    def attention(self, b: Block) -> None:
        super().attention(b)
        hp, head = b.hp, b.hp.head_k(b.il)
        for name, heads in (("q", hp.n_head[b.il]), ("k", hp.n_head_kv[b.il])):
            b.weight(f"attn_{name}_norm", head, heads)
            b.optional(f"attn_{name}_norm.bias", head, heads)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["swin_norm"] = config.flag("swin_norm")
        return super().convert(config, keys)
