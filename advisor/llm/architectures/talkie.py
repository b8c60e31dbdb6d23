"""Talkie: norms without weights, a gain per head, and the embeddings added again in every block."""

from collections.abc import Iterable
from typing import ClassVar

from advisor.llm.architectures.builder import Block, TensorList
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.transformer import Transformer
from advisor.llm.hyperparameters import Value


class Talkie(Transformer):
    """llama.cpp: src/models/talkie.cpp; gains of whole matrices are ``.scale`` tensors."""

    names = ("talkie",)
    output = "must"
    attention_norms = ()
    ffn_norms = ()
    written = frozenset({"attn_output.scale", "ffn_down.scale"})
    huggingface: ClassVar = {"TalkieForCausalLM": "talkie"}

    def ends(self, t: TensorList) -> None:
        t.add("token_embd.weight", t.hp.n_embd, t.hp.n_vocab)
        t.add("output.weight", t.hp.n_embd, t.hp.n_vocab)

    def attention(self, b: Block) -> None:
        super().attention(b)
        b.optional("attn_output.scale", 1)
        b.weight("attn_q_norm", 1, b.hp.n_head[b.il])

    def feed_forward(self, b: Block) -> None:
        super().feed_forward(b)
        b.optional("ffn_down.scale", 1)
        b.weight("layer_output_scale", 1)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["logit_scale"] = 1.0  # a tensor of the checkpoint (conversion/talkie.py)
        return super().convert(config, keys)
