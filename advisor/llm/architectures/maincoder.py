"""Maincoder: Qwen 3's tensors, normalised after the rotation."""

from typing import ClassVar

from advisor.llm.architectures.base import Architecture
from advisor.llm.architectures.builder import TensorList


class Maincoder(Architecture):
    """llama.cpp: src/models/maincoder.cpp."""

    names = ("maincoder",)
    huggingface: ClassVar = {"MaincoderForCausalLM": "maincoder"}

    def build(self, t: TensorList) -> None:
        hp = t.hp
        t.embeddings()
        for il in range(hp.n_layer):
            b = t.block(il)
            b.norm("attn_norm")
            b.qkv()
            b.weight("attn_output", hp.n_embd_head_k * hp.n_head[il], hp.n_embd)
            b.qk_norm()
            b.norm("ffn_norm")
            b.gated_ffn()
