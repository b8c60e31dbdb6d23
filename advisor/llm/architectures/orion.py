"""Orion."""

from typing import ClassVar

from advisor.llm.architectures.transformer import Transformer


class Orion(Transformer):
    """llama.cpp: src/models/orion.cpp; Llama with norms that subtract the mean."""

    names = ("orion",)
    output = "must"
    layer_norm = True
    biases = frozenset({"output_norm", "attn_norm", "ffn_norm"})
    square = True
    huggingface: ClassVar = {"OrionForCausalLM": "orion"}
