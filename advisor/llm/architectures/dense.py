"""Smaller dense families: Seed-OSS, EXAONE 4, SmolLM3."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures.base import Architecture, sliding_window
from advisor.llm.architectures.builder import TensorList
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.keys import Keys
from advisor.llm.hyperparameters import Value


class SeedOss(Architecture):
    """llama.cpp: src/models/seed-oss.cpp."""

    names = ("seed_oss",)
    huggingface: ClassVar = {"SeedOssForCausalLM": "seed_oss"}

    def build(self, t: TensorList) -> None:
        hp = t.hp
        t.embeddings()
        for il in range(hp.n_layer):
            b = t.block(il)
            b.qkv()
            b.weight("attn_output", hp.n_embd_head_k * hp.n_head[il], hp.n_embd)
            b.norm("attn_norm", "post_attention_norm")
            b.gated_ffn()

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        optional = set[str](super().convert(config, keys))
        if config.flag("attention_bias", default=True):
            optional |= {f"attn_{part}.bias" for part in ("q", "k", "v")}
        return optional


class Exaone4(Architecture):
    """llama.cpp: src/models/exaone4.cpp; only the 64-layer model slides."""

    names = ("exaone4",)
    huggingface: ClassVar = {
        "Exaone4ForCausalLM": "exaone4",
        "Exaone4_5_ForConditionalGeneration": "exaone4",
    }

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        if hp["n_layer_all"] - hp["n_layer_nextn"] == 64:
            values = {"attention.sliding_window": 4096, **keys.values}
            sliding_window(Keys(values), hp, 4)

    def build(self, t: TensorList) -> None:
        hp = t.hp
        t.embeddings()
        t.rope_freqs(hp.n_rot)
        for il in range(hp.n_layer_all):
            b = t.block(il)
            b.qkv()
            b.weight("attn_output", hp.n_embd, hp.n_embd)
            b.norm("post_attention_norm")
            b.qk_norm()
            b.gated_ffn()
            b.norm("post_ffw_norm")
            if il >= hp.n_layer:
                b.weight("nextn.eh_proj", 2 * hp.n_embd, hp.n_embd)
                b.norm("nextn.enorm", "nextn.hnorm")
                b.optional("nextn.shared_head_norm.weight", hp.n_embd)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        window = config.integer("sliding_window", default=0)
        if window:
            keys["attention.sliding_window"] = window
            pattern = config.text("sliding_window_pattern")
            n_layer = config.integer("num_hidden_layers")
            if config.sliding:
                keys["attention.sliding_window_pattern"] = config.sliding
            elif pattern:
                keys["attention.sliding_window_pattern"] = tuple(
                    pattern[il % len(pattern)] == "L" for il in range(n_layer)
                )
        optional = set[str](super().convert(config, keys))
        if config.rope.text("rope_type", "type") == "llama3":
            optional.add("rope_freqs.weight")
        return optional


class SmolLm3(Architecture):
    """llama.cpp: src/models/smollm3.cpp."""

    names = ("smollm3",)
    tied_by_default = True
    huggingface: ClassVar = {"SmolLM3ForCausalLM": "smollm3"}

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
