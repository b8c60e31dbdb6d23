"""Snowflake Arctic: a dense network, and experts that read the block's input beside it."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures.builder import Block
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.keys import Keys
from advisor.llm.architectures.transformer import Transformer
from advisor.llm.hyperparameters import Value


class Arctic(Transformer):
    """llama.cpp: src/models/arctic.cpp."""

    names = ("arctic",)
    square = True
    huggingface: ClassVar = {"ArcticForCausalLM": "arctic"}

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        del keys
        hp["n_ff_exp"] = hp["n_ff"][0]

    def feed_forward(self, b: Block) -> None:
        self.dense(b, b.hp.n_embd)
        b.router()
        b.norm("ffn_norm_exps")
        b.experts()

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["rope.dimension_count"] = config.head
        return super().convert(config, keys)
