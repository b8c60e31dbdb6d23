"""Spark X2.5: sliding windows, and a gate per head on what attention returns."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures.base import Architecture, sliding_window
from advisor.llm.architectures.builder import TensorList
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.keys import Keys
from advisor.llm.hyperparameters import Value


class Spark25(Architecture):
    """llama.cpp: src/models/spark2-5.cpp."""

    names = ("spark2_5",)
    huggingface: ClassVar = {"Spark2_5ForCausalLM": "spark2_5"}

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        sliding_window(keys, hp, 4)

    def build(self, t: TensorList) -> None:
        hp = t.hp
        t.embeddings()
        for il in range(hp.n_layer):
            b = t.block(il)
            b.norm("attn_norm")
            b.qkv()
            b.weight("attn_gate", hp.n_embd, hp.n_head[il])
            b.weight("attn_output", hp.head_k(il) * hp.n_head[il], hp.n_embd)
            b.norm("ffn_norm")
            b.gated_ffn()

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
        return {"attn_qkv.weight"}.union(super().convert(config, keys))
