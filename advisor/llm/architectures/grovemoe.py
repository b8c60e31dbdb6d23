"""GroveMoE: every two experts share a small one beside them."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures.base import Architecture
from advisor.llm.architectures.builder import TensorList
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.keys import Keys
from advisor.llm.hyperparameters import Value


class GroveMoe(Architecture):
    """llama.cpp: src/models/grovemoe.cpp."""

    names = ("grovemoe",)
    huggingface: ClassVar = {"GroveMoeForCausalLM": "grovemoe"}

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        hp["n_ff_exp"] = hp["n_ff_exp"] or hp["n_ff"][0] // hp["n_expert_used"]
        hp["n_ff_chexp"] = keys.integer("expert_chunk_feed_forward_length", hp["n_embd_head_k"])
        hp["n_chunk_expert"] = hp["n_expert"] // keys.integer("experts_per_group")

    def build(self, t: TensorList) -> None:
        hp = t.hp
        width, count = int(hp.extra["n_ff_chexp"]), int(hp.extra["n_chunk_expert"])
        t.embeddings()
        for il in range(hp.n_layer):
            b = t.block(il)
            b.norm("attn_norm")
            b.qkv()
            b.weight("attn_output", hp.n_embd_head_k * hp.n_head[il], hp.n_embd)
            b.qk_norm()
            b.norm("ffn_norm")
            b.router()
            b.experts()
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
