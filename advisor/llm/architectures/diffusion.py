"""Models that write a text by refining it whole, step by step: Dream, LLaDA, RND1.

They attend both ways within the micro-batch and keep no K and V.
"""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures.config import Config
from advisor.llm.architectures.keys import Keys
from advisor.llm.architectures.transformer import QKV_BIASES, Transformer
from advisor.llm.caches import MemoryRule
from advisor.llm.hyperparameters import Hyperparameters, Value


class Diffusion(Transformer):
    """Nothing is kept between two steps (llama-model.cpp:create_memory)."""

    def memory(self, hp: Hyperparameters) -> MemoryRule:
        del hp
        return MemoryRule(caches=(), diffuses=True)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["attention.causal"] = False
        return super().convert(config, keys)


class Dream(Diffusion):
    """llama.cpp: src/models/dream.cpp; Qwen2's blocks."""

    names = ("dream",)
    possible_biases = frozenset({"output"})
    written = QKV_BIASES
    square = True
    huggingface: ClassVar = {"DreamModel": "dream"}


class Llada(Diffusion):
    """llama.cpp: src/models/llada.cpp; Llama's blocks."""

    names = ("llada",)
    rope_freqs = True
    possible_biases = frozenset({"attn_output", "ffn_gate", "ffn_down", "ffn_up"})
    huggingface: ClassVar = {"LLaDAModelLM": "llada"}

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["feed_forward_length"] = config.integer("mlp_hidden_size", default=12288)
        optional = set[str](super().convert(config, keys))
        return optional - {"output.weight"} if config.flag("weight_tying") else optional


class LladaMoe(Diffusion):
    """llama.cpp: src/models/llada-moe.cpp."""

    names = ("llada-moe",)
    output = "must"
    square = True
    head_norms = True
    huggingface: ClassVar = {"LLaDAMoEModel": "llada-moe", "LLaDAMoEModelLM": "llada-moe"}

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        del keys
        _experts(hp)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        width = config.integer("expert_intermediate_size", default=0)
        if width:
            keys["expert_feed_forward_length"] = width
        return super().convert(config, keys)


class Rnd1(Diffusion):
    """llama.cpp: src/models/rnd1.cpp; Qwen3's experts."""

    names = ("rnd1",)
    head_norms = True
    huggingface: ClassVar = {"RND1": "rnd1"}

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        del keys
        _experts(hp)


def _experts(hp: dict[str, Any]) -> None:
    if not hp["n_ff_exp"] and hp["n_expert_used"]:
        hp["n_ff_exp"] = hp["n_ff"][0] // hp["n_expert_used"]
