"""GroveMoE: every two experts share a small one beside them."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures.builder import Block
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.keys import Keys
from advisor.llm.architectures.transformer import Transformer
from advisor.llm.hyperparameters import Value


class GroveMoe(Transformer):
    """llama.cpp: src/models/grovemoe.cpp."""

    names = ("grovemoe",)
    head_norms = True
    huggingface: ClassVar = {"GroveMoeForCausalLM": "grovemoe"}

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        hp["n_ff_exp"] = hp["n_ff_exp"] or hp["n_ff"][0] // hp["n_expert_used"]
        hp["n_ff_chexp"] = keys.integer("expert_chunk_feed_forward_length", hp["n_embd_head_k"])
        hp["n_chunk_expert"] = hp["n_expert"] // keys.integer("experts_per_group")

    def routed(self, b: Block) -> None:
        super().routed(b)
        hp = b.hp
        width, count = int(hp.extra["n_ff_chexp"]), int(hp.extra["n_chunk_expert"])
        b.weight("ffn_gate_chexps", hp.n_embd, width, count)
        b.weight("ffn_down_chexps", width, hp.n_embd, count)
        b.weight("ffn_up_chexps", hp.n_embd, width, count)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        # conversion/grovemoe.py writes these three as they are in the model's own code.
        keys |= {
            "expert_chunk_feed_forward_length": config.integer("head_dim", default=128),
            "experts_per_group": 2,
            "expert_group_scale": 0.05,
        }
        return super().convert(config, keys)
