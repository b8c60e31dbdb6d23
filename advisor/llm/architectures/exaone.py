"""EXAONE 3 and 4."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures.base import sliding_window
from advisor.llm.architectures.builder import Block
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.keys import Keys
from advisor.llm.architectures.transformer import Transformer
from advisor.llm.hyperparameters import Value


class Exaone(Transformer):
    """llama.cpp: src/models/exaone.cpp."""

    names = ("exaone",)
    rope_freqs = True
    huggingface: ClassVar = {"ExaoneForCausalLM": "exaone"}


class Exaone4(Transformer):
    """llama.cpp: src/models/exaone4.cpp; only the 64-layer model slides."""

    names = ("exaone4",)
    rope_freqs = True
    attention_norms = ()
    square = True
    head_norms = True
    ffn_norms = ("post_attention_norm",)
    last_norms = ("post_ffw_norm",)
    has_nextn = True
    huggingface: ClassVar = {
        "Exaone4ForCausalLM": "exaone4",
        "Exaone4_5_ForConditionalGeneration": "exaone4",
    }

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        if hp["n_layer_all"] - hp["n_layer_nextn"] == 64:
            values = {"attention.sliding_window": 4096, **keys.values}
            sliding_window(Keys(values), hp, 4)

    def nextn(self, b: Block) -> None:
        b.weight("nextn.eh_proj", 2 * b.hp.n_embd, b.hp.n_embd)
        b.norm("nextn.enorm", "nextn.hnorm")
        b.optional("nextn.shared_head_norm.weight", b.hp.n_embd)

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
        return super().convert(config, keys)
