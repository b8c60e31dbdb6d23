"""XVERSE."""

from typing import ClassVar

from advisor.llm.architectures.transformer import Transformer


class Xverse(Transformer):
    """llama.cpp: src/models/xverse.cpp."""

    names = ("xverse",)
    output = "must"
    square = True
    huggingface: ClassVar = {"XverseForCausalLM": "xverse"}
