"""GPT-2."""

from collections.abc import Iterable
from typing import ClassVar

from advisor.llm.architectures.config import Config
from advisor.llm.architectures.gptneox import ALL_BIASES
from advisor.llm.architectures.transformer import Transformer
from advisor.llm.hyperparameters import Value


class Gpt2(Transformer):
    """llama.cpp: src/models/gpt2.cpp; learned positions."""

    names = ("gpt2",)
    tied_by_default = True
    positions = "must"
    layer_norm = True
    biases = ALL_BIASES
    square = True
    fused = True
    gate = "none"
    huggingface: ClassVar = {"GPT2LMHeadModel": "gpt2"}

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["feed_forward_length"] = 4 * config.integer("n_embd")
        return super().convert(config, keys)
