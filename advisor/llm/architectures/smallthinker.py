"""SmallThinker: the router reads the block's input, before attention."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures.base import sliding_window
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.keys import Keys
from advisor.llm.architectures.transformer import Transformer
from advisor.llm.hyperparameters import Value


class SmallThinker(Transformer):
    """llama.cpp: src/models/smallthinker.cpp."""

    names = ("smallthinker",)
    huggingface: ClassVar = {"SmallThinkerForCausalLM": "smallthinker"}

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        sliding_window(keys, hp, 4, dense_first=True)
        if hp.get("n_swa"):
            hp["n_swa"] = 4096  # whatever the header says

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        width = config.integer("moe_ffn_hidden_size")
        keys |= {
            "expert_count": config.integer("moe_num_primary_experts"),
            "expert_used_count": config.integer("moe_num_active_primary_experts"),
            "expert_feed_forward_length": width,
            "feed_forward_length": width,
            "expert_gating_func": 1 if config.flag("moe_primary_router_apply_softmax") else 2,
        }
        window = config.integer("sliding_window_size", default=0)
        if window and any(config.numbers("sliding_window_layout")):
            keys["attention.sliding_window"] = window
        return super().convert(config, keys)
