"""Spark X2.5: sliding windows, and a gate per head on what attention returns."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures.base import sliding_window
from advisor.llm.architectures.builder import Block
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.keys import Keys
from advisor.llm.architectures.transformer import Transformer
from advisor.llm.hyperparameters import Value


class Spark25(Transformer):
    """llama.cpp: src/models/spark2-5.cpp."""

    names = ("spark2_5",)
    written = frozenset({"attn_qkv.weight"})
    huggingface: ClassVar = {"Spark2_5ForCausalLM": "spark2_5"}

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        sliding_window(keys, hp, 4)

    def attention(self, b: Block) -> None:
        super().attention(b)
        b.weight("attn_gate", b.hp.n_embd, b.hp.n_head[b.il])

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        sliding = config.part("rope_parameters").part("sliding_attention")
        keys |= {
            "attention.sliding_window": config.integer("sliding_window"),
            "attention.sliding_window_pattern": config.sliding,
            "rope.dimension_count": config.rotary(1.0),
            "rope.dimension_count_swa": int(
                config.head * sliding.number("partial_rotary_factor", default=1.0)
            ),
        }
        return super().convert(config, keys)
