"""Cohere: Command R, Command R7B and Command A."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures.base import Architecture, sliding_window
from advisor.llm.architectures.builder import TensorList
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.keys import Keys
from advisor.llm.hyperparameters import Value


class CommandR(Architecture):
    """llama.cpp: src/models/command-r.cpp; always tied."""

    names = ("command-r",)
    huggingface: ClassVar = {"CohereForCausalLM": "command-r"}

    def build(self, t: TensorList) -> None:
        hp = t.hp
        t.add("token_embd.weight", hp.n_embd, hp.n_vocab)
        t.add("output_norm.weight", hp.n_embd)
        for il in range(hp.n_layer):
            b = t.block(il)
            b.norm("attn_norm")
            if hp.n_layer >= 64:
                b.weight("attn_q_norm", hp.n_embd_head_k, hp.n_head[il])
                b.weight("attn_k_norm", hp.n_embd_head_k, hp.n_head_kv[il])
            b.qkv(n_q=hp.n_embd)
            b.weight("attn_output", hp.n_embd, hp.n_embd)
            b.gated_ffn()

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["attention.layer_norm_epsilon"] = config.number("layer_norm_eps", default=1e-5)
        keys["logit_scale"] = config.number("logit_scale", default=0.0625)
        return ()


class Cohere2(CommandR):
    """llama.cpp: src/models/cohere2.cpp; three of four layers slide."""

    names = ("cohere2",)
    huggingface: ClassVar = {"Cohere2ForCausalLM": "cohere2"}

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        sliding_window(keys, hp, 4)

    def build(self, t: TensorList) -> None:
        hp = t.hp
        t.add("token_embd.weight", hp.n_embd, hp.n_vocab)
        t.add("output_norm.weight", hp.n_embd)
        for il in range(hp.n_layer):
            b = t.block(il)
            b.norm("attn_norm")
            b.qkv(n_q=hp.n_embd)
            b.weight("attn_output", hp.n_embd, hp.n_embd)
            b.gated_ffn()

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["attention.sliding_window"] = config.integer("sliding_window")
        keys["rope.dimension_count"] = config.rotary(1.0)
        return super().convert(config, keys)
