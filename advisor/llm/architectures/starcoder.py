"""StarCoder 2."""

from typing import ClassVar

from advisor.llm.architectures.transformer import QKV_BIASES, Transformer


class StarCoder2(Transformer):
    """llama.cpp: src/models/starcoder2.cpp; every matrix and norm has a bias."""

    names = ("starcoder2",)
    tied_by_default = True
    layer_norm = True
    biases = frozenset(
        {"output_norm", "attn_norm", "attn_output", "ffn_norm", "ffn_down", "ffn_up"}
    )
    written = QKV_BIASES
    square = True
    gate = "none"
    huggingface: ClassVar = {"Starcoder2ForCausalLM": "starcoder2"}
