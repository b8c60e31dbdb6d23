"""K-EXAONE: EXAONE 4's attention with experts."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures.base import sliding_window
from advisor.llm.architectures.builder import Block
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.exaone import Exaone4
from advisor.llm.architectures.keys import Keys
from advisor.llm.hyperparameters import Value


class ExaoneMoe(Exaone4):
    """llama.cpp: src/models/exaone-moe.cpp; NextN layers are never loaded."""

    names = ("exaone-moe",)
    output = "must"
    possible_biases = frozenset({"exp_probs_b"})
    attention_norms = ("attn_norm",)
    square = False
    ffn_norms = ("ffn_norm",)
    last_norms = ()
    huggingface: ClassVar = {
        "ExaoneMoEForCausalLM": "exaone-moe",
        "ExaoneMoeForCausalLM": "exaone-moe",
    }

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        sliding_window(keys, hp, 4)
        hp["n_layer_dense_lead"] = keys.integer("leading_dense_block_count", 0)
        shared = keys.integer("expert_shared_feed_forward_length", 0)
        hp["n_ff_shexp"] = shared or hp["n_ff_exp"]

    def feed_forward(self, b: Block) -> None:
        if b.il < b.hp.n_layer:
            super().feed_forward(b)
        else:
            self.dense(b, b.hp.n_ff[b.il])

    def nextn(self, b: Block) -> None:
        b.nextn()

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        optional = set[str](super().convert(config, keys))
        n_layer = config.integer("num_hidden_layers")
        n_nextn = config.integer("num_nextn_predict_layers", default=0)
        n_shared = config.integer("num_shared_experts", default=1)
        keys |= {
            "block_count": n_layer + n_nextn,
            "nextn_predict_layers": n_nextn,
            "expert_shared_count": n_shared,
            "expert_shared_feed_forward_length": n_shared * config.integer("moe_intermediate_size"),
            "expert_weights_scale": config.number("routed_scaling_factor", default=1.0),
            "expert_weights_norm": config.flag("norm_topk_prob", default=True),
            "leading_dense_block_count": config.integer(
                "first_k_dense_replace", "first_last_k_dense_replace", default=0
            ),
            "rope.scaling.type": "none",
        }
        keys.setdefault("expert_gating_func", 2)
        pattern = keys.get("attention.sliding_window_pattern")
        if isinstance(pattern, tuple):
            keys["attention.sliding_window_pattern"] = pattern + (False,) * n_nextn
        if n_nextn:
            optional.add("nextn.shared_head_norm.weight")
        return optional | {"output.weight", "exp_probs_b.bias"}
