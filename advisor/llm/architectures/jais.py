"""Jais: ALiBi, biases everywhere, a gate."""

from typing import ClassVar

from advisor.llm.architectures.gpt2 import ALL_BIASES
from advisor.llm.architectures.transformer import Transformer


class Jais(Transformer):
    """llama.cpp: src/models/jais.cpp."""

    names = ("jais",)
    output = "must"
    layer_norm = True
    biases = ALL_BIASES | {"ffn_gate"}
    square = True
    fused = True
    huggingface: ClassVar = {"JAISLMHeadModel": "jais"}
