"""MiMo V2: sliding-window layers with more KV heads, K wider than V."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures.base import Architecture, infer_dense_lead, sliding_window
from advisor.llm.architectures.builder import TensorList
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.keys import Keys
from advisor.llm.hyperparameters import Value

N_NEXTN = 3
"""NextN layers of every released model (conversion/mimo.py)."""


class MiMo2(Architecture):
    """llama.cpp: src/models/mimo2.cpp."""

    names = ("mimo2",)
    huggingface: ClassVar = {"MiMoV2FlashForCausalLM": "mimo2", "MiMoV2ForCausalLM": "mimo2"}

    def infer(self, values: dict[str, Value], names: frozenset[str]) -> None:
        infer_dense_lead(values, names)
        keys = Keys(values)
        sinks = {f"blk.{il}.attn_sinks.weight" in names for il in _full(keys)}
        values.setdefault("attention.sinks_in_full_layers", True in sinks)

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        sliding_window(keys, hp, 6)
        hp["n_layer_dense_lead"] = keys.integer("leading_dense_block_count", 0)
        hp["sinks_everywhere"] = bool(keys.integer("attention.sinks_in_full_layers", 0))

    def build(self, t: TensorList) -> None:
        hp = t.hp
        t.embeddings(output_required=True)
        for il in range(hp.n_layer_all):
            b = t.block(il)
            n_head = hp.n_head[il]
            b.qkv()
            b.weight("attn_output", hp.n_embd_head_v * n_head, hp.n_embd)
            b.norm("attn_norm")
            if hp.is_swa(il) or hp.extra["sinks_everywhere"]:
                b.optional("attn_sinks.weight", n_head)
            b.norm("ffn_norm")
            if il < hp.n_layer_dense_lead or il >= hp.n_layer:
                b.gated_ffn()
            else:
                b.router()
                b.experts()
                b.optional("exp_probs_b.bias", hp.n_expert)
            if il >= hp.n_layer:
                b.nextn()
                b.optional("layer_output_norm.weight", hp.n_embd)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        n_nextn = N_NEXTN if config.flag("keep_nextn") else 0
        pattern = config.numbers("hybrid_layer_pattern") + (1,) * n_nextn
        n_kv = config.integer("num_key_value_heads")
        n_kv_swa = config.integer("swa_num_key_value_heads", default=n_kv)
        dense = 0
        for step in config.numbers("moe_layer_freq"):
            if step:
                break
            dense += 1
        keys |= {
            "block_count": config.integer("num_hidden_layers") + n_nextn,
            "attention.head_count_kv": tuple(n_kv_swa if swa else n_kv for swa in pattern),
            "attention.sliding_window": config.integer("sliding_window", default=128),
            "attention.sliding_window_pattern": tuple(bool(swa) for swa in pattern),
            "attention.value_length": config.integer("v_head_dim"),
            "rope.dimension_count": config.rotary(1.0 / 3),
            "attention.layer_norm_rms_epsilon": config.number("layernorm_epsilon", default=1e-5),
            "leading_dense_block_count": dense,
            "expert_gating_func": 2,
        }
        optional = {"output.weight", "attn_sinks.weight", "exp_probs_b.bias"}
        if n_nextn:
            keys["nextn_predict_layers"] = n_nextn
            optional.add("layer_output_norm.weight")
        return optional


def _full(keys: Keys) -> tuple[int, ...]:
    """Layers of full attention."""
    flags = keys.flags("attention.sliding_window_pattern", keys.integer("block_count")) or ()
    return tuple(il for il, swa in enumerate(flags) if not swa)
