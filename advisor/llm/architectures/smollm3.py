"""SmolLM3."""

from typing import ClassVar

from advisor.llm.architectures.transformer import Transformer


class SmolLm3(Transformer):
    """llama.cpp: src/models/smollm3.cpp; every fourth layer does not rotate."""

    names = ("smollm3",)
    tied_by_default = True
    huggingface: ClassVar = {"SmolLM3ForCausalLM": "smollm3"}
