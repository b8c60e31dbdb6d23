"""BitNet b1.58 as it was first published: ternary weights, a norm before each last matrix."""

from typing import ClassVar

from advisor.llm.architectures.builder import Block
from advisor.llm.architectures.transformer import Transformer


class BitNet(Transformer):
    """llama.cpp: src/models/bitnet.cpp; the output is the embedding, which stays in RAM."""

    names = ("bitnet",)
    output = "never"
    square = True
    huggingface: ClassVar = {"BitnetForCausalLM": "bitnet", "BitNetForCausalLM": "bitnet"}

    def attention(self, b: Block) -> None:
        b.norm("attn_sub_norm")
        super().attention(b)
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            b.optional(f"{name}.scale", 1)

    def feed_forward(self, b: Block) -> None:
        b.weight("ffn_sub_norm", b.hp.n_ff[b.il])
        super().feed_forward(b)
        for name in ("ffn_gate", "ffn_down", "ffn_up"):
            b.optional(f"{name}.scale", 1)
