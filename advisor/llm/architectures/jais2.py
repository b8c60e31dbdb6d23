"""Jais 2: norms with biases, squared ReLU without a gate."""

from collections.abc import Iterable
from typing import ClassVar

from advisor.llm.architectures.base import Architecture
from advisor.llm.architectures.builder import TensorList
from advisor.llm.architectures.config import Config
from advisor.llm.hyperparameters import Value


class Jais2(Architecture):
    """llama.cpp: src/models/jais2.cpp; every matrix has a bias."""

    names = ("jais2",)
    huggingface: ClassVar = {"Jais2ForCausalLM": "jais2"}

    def build(self, t: TensorList) -> None:
        hp = t.hp
        t.embeddings()
        t.add("output_norm.bias", hp.n_embd)
        for il in range(hp.n_layer):
            b = t.block(il)
            b.norm("attn_norm")
            b.bias("attn_norm", hp.n_embd)
            b.qkv()
            b.weight("attn_output", hp.n_embd_head_k * hp.n_head[il], hp.n_embd)
            b.bias("attn_output", hp.n_embd)
            b.norm("ffn_norm")
            b.bias("ffn_norm", hp.n_embd)
            b.weight("ffn_up", hp.n_embd, hp.n_ff[il])
            b.bias("ffn_up", hp.n_ff[il])
            b.weight("ffn_down", hp.n_ff[il], hp.n_embd)
            b.bias("ffn_down", hp.n_embd)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["attention.layer_norm_epsilon"] = config.number("layer_norm_eps", default=1e-5)
        optional = set[str](super().convert(config, keys))
        if config.flag("attention_bias", default=True):
            optional |= {f"attn_{part}.bias" for part in ("q", "k", "v")}
        return optional
