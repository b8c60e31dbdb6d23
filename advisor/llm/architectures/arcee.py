"""Arcee AFM."""

from typing import ClassVar

from advisor.llm.architectures.transformer import Transformer


class Arcee(Transformer):
    """llama.cpp: src/models/arcee.cpp; no gate, squared ReLU."""

    names = ("arcee",)
    rope_freqs = True
    gate = "none"
    huggingface: ClassVar = {"ArceeForCausalLM": "arcee"}
