"""openPangu Embedded: Llama with biases in attention."""

from collections.abc import Iterable
from typing import ClassVar

from advisor.llm.architectures.base import Architecture
from advisor.llm.architectures.builder import TensorList
from advisor.llm.architectures.config import Config
from advisor.llm.hyperparameters import Value


class PanguEmbedded(Architecture):
    """llama.cpp: src/models/pangu-embed.cpp."""

    names = ("pangu-embedded",)
    huggingface: ClassVar = {"PanguEmbeddedForCausalLM": "pangu-embedded"}

    def build(self, t: TensorList) -> None:
        hp = t.hp
        t.embeddings()
        t.rope_freqs(hp.n_rot)
        for il in range(hp.n_layer):
            b = t.block(il)
            b.norm("attn_norm")
            b.qkv()
            b.weight("attn_output", hp.n_embd_head_k * hp.n_head[il], hp.n_embd)
            b.bias("attn_output", hp.n_embd)
            b.norm("ffn_norm")
            b.gated_ffn()

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        biases = {f"attn_{part}.bias" for part in ("q", "k", "v")}
        return set[str](super().convert(config, keys)) | biases
