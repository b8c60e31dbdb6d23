"""Llama 4: experts in every n-th layer, three of four layers attend to chunks only."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures.builder import Block
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.keys import Keys
from advisor.llm.architectures.transformer import Transformer
from advisor.llm.hyperparameters import Value

CHUNK = 8192
"""Positions of a chunk: fixed in llama4.cpp:load_arch_hparams."""


class Llama4(Transformer):
    """llama.cpp: src/models/llama4.cpp."""

    names = ("llama4",)
    rope_freqs = True
    huggingface: ClassVar = {
        "Llama4ForConditionalGeneration": "llama4",
        "Llama4ForCausalLM": "llama4",
    }

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        hp["moe_step"] = keys.integer("interleave_moe_layer_step")
        hp["n_ff_shexp"] = hp["n_ff_exp"]
        hp["n_expert_shared"] = 1
        if keys.integer("attention.sliding_window", CHUNK) > 0:
            n_layer_all = hp["n_layer_all"]
            hp["n_swa"] = CHUNK
            hp["swa_type"] = "chunked"
            hp["swa_layers"] = keys.swa_pattern(n_layer_all, n_layer_all, 4)

    def feed_forward(self, b: Block) -> None:
        step = int(b.hp.extra["moe_step"])
        if step and (b.il + 1) % step == 0:
            self.routed(b)
        else:
            self.dense(b, b.hp.n_ff[b.il])

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["rope.dimension_count"] = config.head
        keys["interleave_moe_layer_step"] = config.integer("interleave_moe_layer_step", default=1)
        keys["expert_feed_forward_length"] = config.integer("intermediate_size")
        keys["feed_forward_length"] = config.integer("intermediate_size_mlp", default=16384)
        return super().convert(config, keys)
