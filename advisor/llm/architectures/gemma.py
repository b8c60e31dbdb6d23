"""Gemma 1, 2 and 3."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures.base import Architecture, sliding_window
from advisor.llm.architectures.builder import TensorList
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.keys import Keys
from advisor.llm.hyperparameters import Value


class Gemma3(Architecture):
    """llama.cpp: src/models/gemma3.cpp; every sixth layer attends to everything."""

    names = ("gemma3",)
    huggingface: ClassVar = {
        "Gemma3ForCausalLM": "gemma3",
        "Gemma3ForConditionalGeneration": "gemma3",
    }

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        sliding_window(keys, hp, 6)

    def build(self, t: TensorList) -> None:
        hp = t.hp
        t.embeddings()
        for il in range(hp.n_layer):
            b = t.block(il)
            b.norm("attn_norm")
            b.qkv()
            b.attention_out(hp.n_embd_head_k * hp.n_head[il])
            b.norm("post_attention_norm")
            b.qk_norm()
            b.norm("ffn_norm")
            b.gated_ffn()
            b.norm("post_ffw_norm")

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["attention.head_count"] = config.integer("num_attention_heads", default=8)
        keys["attention.head_count_kv"] = config.integer("num_key_value_heads", default=4)
        head = config.integer("head_dim", default=256)
        keys["attention.key_length"] = keys["attention.value_length"] = head
        if config.get("vocab_size") is None:
            keys["vocab_size"] = 262208
        if config.get("max_position_embeddings") is None:
            keys["context_length"] = 131072
        if config.integer("sliding_window_pattern", default=6) != 1:
            keys["attention.sliding_window"] = config.integer("sliding_window")
        return ()


class Gemma2(Architecture):
    """llama.cpp: src/models/gemma2.cpp; every other layer attends to everything."""

    names = ("gemma2",)
    huggingface: ClassVar = {"Gemma2ForCausalLM": "gemma2"}

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        sliding_window(keys, hp, 2)

    def build(self, t: TensorList) -> None:
        hp = t.hp
        t.embeddings()
        for il in range(hp.n_layer):
            b = t.block(il)
            b.norm("attn_norm")
            b.qkv()
            b.attention_out(hp.n_embd_head_k * hp.n_head[il])
            b.norm("post_attention_norm", "ffn_norm")
            b.gated_ffn()
            b.norm("post_ffw_norm")

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["attention.sliding_window"] = config.integer("sliding_window", default=4096)
        keys["attn_logit_softcapping"] = config.number("attn_logit_softcapping", default=50.0)
        keys["final_logit_softcapping"] = config.number("final_logit_softcapping", default=30.0)
        return ()


class Gemma(Architecture):
    """llama.cpp: src/models/gemma.cpp; the output is always the embedding."""

    names = ("gemma",)
    huggingface: ClassVar = {"GemmaForCausalLM": "gemma"}

    def build(self, t: TensorList) -> None:
        hp = t.hp
        t.embeddings()
        for il in range(hp.n_layer):
            b = t.block(il)
            b.norm("attn_norm")
            b.qkv()
            b.weight("attn_output", hp.n_embd_head_k * hp.n_head[il], hp.n_embd)
            b.norm("ffn_norm")
            b.gated_ffn()

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        del config, keys
        return ()
