"""CogVLM: every block has two sets of weights, one for text and one for pictures."""

from collections.abc import Iterable
from typing import ClassVar

from advisor.llm.architectures.builder import Block
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.transformer import Transformer
from advisor.llm.hyperparameters import Value


class CogVlm(Transformer):
    """llama.cpp: src/models/cogvlm.cpp."""

    names = ("cogvlm",)
    fused = True
    rope_freqs = True
    huggingface: ClassVar = {"CogVLMForCausalLM": "cogvlm"}

    def attention(self, b: Block) -> None:
        super().attention(b)
        width = b.hp.n_embd_head_k * b.hp.n_head[b.il]
        b.weight("vis_attn_qkv", b.hp.n_embd, 3 * width)
        b.weight("vis_attn_output", width, b.hp.n_embd)

    def feed_forward(self, b: Block) -> None:
        super().feed_forward(b)
        n_embd, n_ff = b.hp.n_embd, b.hp.n_ff[b.il]
        b.weight("vis_gate", n_embd, n_ff)
        b.weight("vis_down", n_ff, n_embd)
        b.weight("vis_up", n_embd, n_ff)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys.pop("attention.head_count_kv", None)
        return super().convert(config, keys)
