"""Qwen, the first one."""

from typing import ClassVar

from advisor.llm.architectures.builder import Block
from advisor.llm.architectures.transformer import Transformer


class Qwen(Transformer):
    """llama.cpp: src/models/qwen.cpp; the header gives twice the feed-forward's width."""

    names = ("qwen",)
    output = "must"
    biases = frozenset({"attn_qkv"})
    square = True
    fused = True
    huggingface: ClassVar = {"QWenLMHeadModel": "qwen"}

    def feed_forward(self, b: Block) -> None:
        self.dense(b, b.hp.n_ff[b.il] // 2)
