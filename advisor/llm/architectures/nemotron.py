"""Nemotron 3 and 4, Minitron."""

from collections.abc import Iterable
from typing import ClassVar

from advisor.llm.architectures.config import Config
from advisor.llm.architectures.transformer import Transformer
from advisor.llm.hyperparameters import Value


class Nemotron(Transformer):
    """llama.cpp: src/models/nemotron.cpp; squared ReLU without a gate, norms with biases."""

    names = ("nemotron",)
    output = "must"
    layer_norm = True
    biases = frozenset({"output_norm", "attn_norm", "ffn_norm"})
    possible_biases = frozenset({"attn_output", "ffn_down", "ffn_up"})
    square = True
    gate = "none"
    huggingface: ClassVar = {"NemotronForCausalLM": "nemotron"}

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["rope.dimension_count"] = config.rotary(0.5)
        return super().convert(config, keys)
