"""openPangu Embedded: Llama with biases in attention."""

from typing import ClassVar

from advisor.llm.architectures.transformer import QKV_BIASES, Transformer


class PanguEmbedded(Transformer):
    """llama.cpp: src/models/pangu-embed.cpp."""

    names = ("pangu-embedded",)
    rope_freqs = True
    biases = frozenset({"attn_output"})
    written = QKV_BIASES
    huggingface: ClassVar = {"PanguEmbeddedForCausalLM": "pangu-embedded"}
