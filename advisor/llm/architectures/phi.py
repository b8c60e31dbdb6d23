"""Phi-1.5, Phi-2, Phi-3, Phi-4 and Phi-3.5-MoE."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures.builder import TensorList
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.keys import Keys
from advisor.llm.architectures.transformer import QKV_BIASES, Transformer
from advisor.llm.hyperparameters import Value

_FACTORS = frozenset({"rope_factors_long.weight", "rope_factors_short.weight"})


# ``long_rope`` is not in config.json: catalogue entries say so instead of listing the factors.
def _rope(config: Config, keys: dict[str, Value]) -> frozenset[str]:
    keys["rope.dimension_count"] = config.rotary(1.0)
    original = config.integer("original_max_position_embeddings", default=0)
    if original:
        keys["rope.scaling.original_context_length"] = original
    return _FACTORS if config.rope.get("long_factor") or config.flag("long_rope") else frozenset()


class Phi2(Transformer):
    """llama.cpp: src/models/phi2.cpp; attention and feed-forward read the same norm."""

    names = ("phi2",)
    output = "must"
    layer_norm = True
    biases = frozenset({"output_norm", "output", "attn_norm", "attn_output", "ffn_down", "ffn_up"})
    written = QKV_BIASES
    square = True
    ffn_norms = ()
    gate = "none"
    huggingface: ClassVar = {"PhiForCausalLM": "phi2"}

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["feed_forward_length"] = 4 * config.integer("hidden_size", "n_embd")
        keys["rope.dimension_count"] = config.rotary(0.5)
        return super().convert(config, keys)


class Phi3(Transformer):
    """llama.cpp: src/models/phi3.cpp; it ignores the sliding window of the config."""

    names = ("phi3",)
    rope_freqs = True
    written = frozenset({"attn_qkv.weight"})
    square = True
    gate = "packed"
    huggingface: ClassVar = {"Phi3ForCausalLM": "phi3", "Phi4ForCausalLMV": "phi3"}

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["attention.sliding_window"] = config.integer("sliding_window", default=0)
        return _rope(config, keys).union(super().convert(config, keys))


class PhiMoe(Transformer):
    """llama.cpp: src/models/phimoe.cpp; LayerNorm with biases."""

    names = ("phimoe",)
    output = "must"
    biases = frozenset({"output_norm", "output", "attn_norm", "attn_output", "ffn_norm"})
    written = QKV_BIASES
    square = True
    huggingface: ClassVar = {"PhiMoEForCausalLM": "phimoe", "PhimoeForCausalLM": "phimoe"}

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        del keys
        hp["n_ff_exp"] = hp["n_ff"][0]

    def ends(self, t: TensorList) -> None:
        super().ends(t)
        t.rope_freqs(t.hp.n_embd // t.hp.n_head[0])

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        return _rope(config, keys).union(super().convert(config, keys))
