"""Phi-3, Phi-4 and Phi-3.5-MoE."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures.base import Architecture
from advisor.llm.architectures.builder import TensorList
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.keys import Keys
from advisor.llm.hyperparameters import Value

_FACTORS = frozenset({"rope_factors_long.weight", "rope_factors_short.weight"})


# ``long_rope`` is not in config.json: catalogue entries say so instead of listing the factors.
def _rope(config: Config, keys: dict[str, Value]) -> frozenset[str]:
    keys["rope.dimension_count"] = config.rotary(1.0)
    original = config.integer("original_max_position_embeddings", default=0)
    if original:
        keys["rope.scaling.original_context_length"] = original
    return _FACTORS if config.rope.get("long_factor") or config.flag("long_rope") else frozenset()


class Phi3(Architecture):
    """llama.cpp: src/models/phi3.cpp; it ignores the sliding window of the config."""

    names = ("phi3",)
    huggingface: ClassVar = {"Phi3ForCausalLM": "phi3", "Phi4ForCausalLMV": "phi3"}

    def build(self, t: TensorList) -> None:
        hp = t.hp
        t.embeddings()
        t.rope_freqs(hp.n_rot)
        for il in range(hp.n_layer):
            b = t.block(il)
            b.norm("attn_norm")
            b.qkv(n_q=hp.n_embd)
            b.weight("attn_output", hp.n_embd, hp.n_embd)
            b.norm("ffn_norm")
            b.weight("ffn_down", hp.n_ff[il], hp.n_embd)
            b.weight("ffn_up", hp.n_embd, 2 * hp.n_ff[il])

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["attention.sliding_window"] = config.integer("sliding_window", default=0)
        optional = _rope(config, keys) | {"attn_qkv.weight"}
        return optional.union(super().convert(config, keys))


class PhiMoe(Architecture):
    """llama.cpp: src/models/phimoe.cpp; LayerNorm with biases."""

    names = ("phimoe",)
    huggingface: ClassVar = {"PhiMoEForCausalLM": "phimoe", "PhimoeForCausalLM": "phimoe"}

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        del keys
        hp["n_ff_exp"] = hp["n_ff"][0]

    def build(self, t: TensorList) -> None:
        hp = t.hp
        t.embeddings(output_required=True)
        t.add("output_norm.bias", hp.n_embd)
        t.add("output.bias", hp.n_vocab)
        t.rope_freqs(hp.n_embd // hp.n_head[0])
        for il in range(hp.n_layer):
            b = t.block(il)
            b.norm("attn_norm")
            b.bias("attn_norm", hp.n_embd)
            b.qkv(n_q=hp.n_embd)
            b.weight("attn_output", hp.n_embd, hp.n_embd)
            b.bias("attn_output", hp.n_embd)
            b.norm("ffn_norm")
            b.bias("ffn_norm", hp.n_embd)
            b.router()
            b.experts()

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        biases = {f"attn_{part}.bias" for part in ("q", "k", "v")}
        return _rope(config, keys) | biases | {"output.weight"}
