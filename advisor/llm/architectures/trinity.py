"""Trinity (afmoe), Laguna and Muse Glimmer: a gate on what attention returns."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final

from advisor.llm.architectures.base import sliding_window
from advisor.llm.architectures.builder import Block, NamedShape
from advisor.llm.architectures.config import Config, leading
from advisor.llm.architectures.keys import Keys
from advisor.llm.architectures.transformer import Transformer
from advisor.llm.hyperparameters import Hyperparameters, Value


class Trinity(Transformer):
    """llama.cpp: src/models/afmoe.cpp; norms on both sides of attention and feed-forward."""

    names = ("afmoe",)
    biases = frozenset({"exp_probs_b"})
    head_norms = True
    ffn_norms = ("post_attention_norm", "ffn_norm")
    last_norms = ("post_ffw_norm",)
    huggingface: ClassVar = {"AfmoeForCausalLM": "afmoe"}

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        sliding_window(keys, hp, 4)
        hp["n_layer_dense_lead"] = keys.integer("leading_dense_block_count", 0)
        hp["n_ff_shexp"] = hp["n_ff_exp"] * keys.integer("expert_shared_count", 0)

    def attention(self, b: Block) -> None:
        super().attention(b)
        b.weight("attn_gate", b.hp.n_embd, b.hp.n_embd_head_k * b.hp.n_head[b.il])

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        window = config.integer("sliding_window", default=0)
        if window:
            keys["attention.sliding_window"] = window
        keys["expert_shared_count"] = config.integer("num_shared_experts", default=0)
        keys["leading_dense_block_count"] = config.integer("num_dense_layers", default=0)
        keys["expert_weights_norm"] = config.flag("route_norm", default=True)
        keys["expert_weights_scale"] = config.number("route_scale", default=1.0)
        return super().convert(config, keys)


class Laguna(Transformer):
    """llama.cpp: src/models/laguna.cpp; the gate has a number per head, or one per value."""

    names = ("laguna",)
    biases = frozenset({"exp_probs_b"})
    head_norms = True
    huggingface: ClassVar = {"LagunaForCausalLM": "laguna"}

    def from_gguf(
        self, metadata: Mapping[str, Any], tensors: Sequence[NamedShape]
    ) -> Hyperparameters:
        # No key says which gate it is; llama.cpp looks at the tensor.
        gate = dict(tensors).get("blk.0.attn_gate.weight", ())
        if len(gate) == 2:
            first = Keys(metadata).most("laguna.attention.head_count")
            metadata = {**metadata, f"laguna.{_PER_VALUE}": gate[1] > first}
        return super().from_gguf(metadata, tensors)

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        sliding_window(keys, hp, 4, dense_first=True)
        hp["n_layer_dense_lead"] = keys.integer("leading_dense_block_count")
        shared = keys.integer("expert_shared_feed_forward_length", 0)
        hp["n_ff_shexp"] = shared or hp["n_ff_exp"] * keys.integer("expert_shared_count", 1)
        hp["gate_per_value"] = bool(keys.integer(_PER_VALUE, 0))

    def attention(self, b: Block) -> None:
        super().attention(b)
        hp, heads = b.hp, b.hp.n_head[b.il]
        gate = hp.n_embd_head_k * heads if hp.extra["gate_per_value"] else heads
        b.weight("attn_gate", hp.n_embd, gate)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        heads = config.numbers("num_attention_heads_per_layer")
        keys |= {
            "expert_shared_feed_forward_length": config.integer("shared_expert_intermediate_size"),
            "expert_weights_norm": True,
            "expert_weights_scale": config.number("moe_routed_scaling_factor", default=1.0),
            "expert_gating_func": 2,
            "leading_dense_block_count": leading(config.texts("mlp_layer_types"), "dense"),
            "rope.dimension_count": config.rotary(1.0),
            _PER_VALUE: config.text("gating").replace("-", "_") == "per_element",
        }
        if heads:
            keys["attention.head_count"] = heads
        window = config.integer("sliding_window", default=0)
        if window:
            keys["attention.sliding_window"] = window
        return super().convert(config, keys)


class MuseGlimmer(Trinity):
    """llama.cpp: src/models/muse-glimmer.cpp; Trinity without experts."""

    names = ("muse-glimmer",)
    output = "must"
    huggingface: ClassVar = {"MuseGlimmerForConditionalGeneration": "muse-glimmer"}

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        sliding_window(keys, hp, 4)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["attention.sliding_window"] = config.integer("sliding_window")
        if config.sliding:
            keys["attention.sliding_window_pattern"] = config.sliding
        keys["logit_scale"] = config.number("output_multiplier", default=1.0)
        cap = config.number("final_logit_softcapping", default=0.0)
        if cap:
            keys["final_logit_softcapping"] = cap
        return {"output.weight"}


_PER_VALUE: Final = "attention.gate_per_value"
"""Not llama.cpp's: whether Laguna's gate has a number per value; catalogue entries keep it."""
