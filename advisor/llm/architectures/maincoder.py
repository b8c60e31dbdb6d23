"""Maincoder: Qwen 3's tensors, normalised after the rotation."""

from typing import ClassVar

from advisor.llm.architectures.transformer import Transformer


class Maincoder(Transformer):
    """llama.cpp: src/models/maincoder.cpp."""

    names = ("maincoder",)
    head_norms = True
    huggingface: ClassVar = {"MaincoderForCausalLM": "maincoder"}
