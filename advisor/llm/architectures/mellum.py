"""Mellum 2 and Maple: Qwen 3's experts with sliding windows."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures.base import sliding_window
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.keys import Keys
from advisor.llm.architectures.transformer import Transformer
from advisor.llm.hyperparameters import Value


class Mellum(Transformer):
    """llama.cpp: src/models/mellum.cpp."""

    names = ("mellum",)
    output = "must"
    head_norms = True
    huggingface: ClassVar = {"MellumForCausalLM": "mellum"}

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        sliding_window(keys, hp, 4)
        hp["n_ff_exp"] = hp["n_ff_exp"] or hp["n_ff"][0] // hp["n_expert_used"]

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        window = config.integer("sliding_window", default=0)
        if window and config.flag("use_sliding_window", default=True):
            keys["attention.sliding_window"] = window
            keys["attention.sliding_window_pattern"] = config.sliding
        return super().convert(config, keys)


class Maple(Mellum):
    """llama.cpp: src/models/maple.cpp; full attention does not rotate."""

    names = ("maple",)
    huggingface: ClassVar = {"MapleForCausalLM": "maple"}

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["rope.dimension_count"] = config.rotary(1.0)
        keys["swiglu_clamp_exp"] = (7.0,) * config.integer("num_hidden_layers")
        return super().convert(config, keys)
