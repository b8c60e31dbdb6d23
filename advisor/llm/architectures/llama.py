"""Llama and what shares its graph: Mistral, Mixtral, Mistral 3, and many small models."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures.base import Architecture
from advisor.llm.architectures.builder import TensorList
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.keys import Keys
from advisor.llm.hyperparameters import Value


class Llama(Architecture):
    """llama.cpp: src/models/llama.cpp and mistral3.cpp, which load the same tensors."""

    names = ("llama", "mistral3", "llama-embed")
    huggingface: ClassVar = {
        "LlamaForCausalLM": "llama",
        "MistralForCausalLM": "llama",
        "MixtralForCausalLM": "llama",
        "Ministral3ForCausalLM": "mistral3",
        "Mistral3ForConditionalGeneration": "mistral3",
    }

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        hp["n_ff_exp"] = hp["n_ff"][0] if hp["n_expert"] else 0
        hp["n_ff_shexp"] = keys.integer("expert_shared_feed_forward_length", 0)

    def build(self, t: TensorList) -> None:
        hp = t.hp
        t.embeddings()
        t.rope_freqs(hp.n_rot)
        for il in range(hp.n_layer):
            b = t.block(il)
            b.norm("attn_norm")
            b.qkv()
            b.attention_out(hp.n_embd_head_k * hp.n_head[il])
            b.norm("ffn_norm")
            if not hp.n_expert:
                b.gated_ffn(biases=True)
                continue
            b.router()
            b.experts(hp.n_ff[il])
            if hp.n_ff_shexp:
                b.shared_expert()

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["rope.dimension_count"] = config.head
        optional = set[str](super().convert(config, keys))
        if config.rope.text("rope_type", "type") == "llama3":
            optional.add("rope_freqs.weight")
        if config.flag("attention_bias"):
            optional |= {f"attn_{part}.bias" for part in ("q", "k", "v", "output")}
        if config.flag("mlp_bias"):
            optional |= {f"ffn_{part}.bias" for part in ("gate", "down", "up")}
        return optional
