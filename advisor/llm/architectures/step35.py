"""Step 3.5 and 3.7 Flash: more query heads in the sliding-window layers."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures.base import Architecture, infer_dense_lead, sliding_window
from advisor.llm.architectures.builder import TensorList
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.deepseek2 import convert_nextn
from advisor.llm.architectures.keys import Keys
from advisor.llm.hyperparameters import Value


class Step35(Architecture):
    """llama.cpp: src/models/step35.cpp."""

    names = ("step35",)
    huggingface: ClassVar = {
        "Step3p5ForCausalLM": "step35",
        "Step3p7ForConditionalGeneration": "step35",
        "Step3p7ForCausalLM": "step35",
    }

    def infer(self, values: dict[str, Value], names: frozenset[str]) -> None:
        infer_dense_lead(values, names)

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        sliding_window(keys, hp, 4)
        hp["n_layer_dense_lead"] = keys.integer("leading_dense_block_count", 0)
        hp["n_ff_shexp"] = keys.integer("expert_shared_feed_forward_length", 0)
        hp["n_expert_shared"] = 1

    def build(self, t: TensorList) -> None:
        hp = t.hp
        t.embeddings(output_required=True)
        t.rope_freqs(hp.n_rot)
        for il in range(hp.n_layer_all):
            b = t.block(il)
            n_head = hp.n_head[il]
            b.norm("attn_norm")
            b.optional("attn_q_norm.weight", hp.n_embd_head_k)
            b.optional("attn_k_norm.weight", hp.n_embd_head_k)
            b.qkv()
            b.weight("attn_output", hp.n_embd_head_v * n_head, hp.n_embd)
            b.optional("attn_gate.weight", hp.n_embd, n_head)
            b.norm("ffn_norm")
            if il < hp.n_layer_dense_lead or il >= hp.n_layer:
                b.gated_ffn()
            else:
                b.router()
                b.experts()
                b.optional("exp_probs_b.bias", hp.n_expert)
                b.shared_expert()
            if il >= hp.n_layer:
                b.nextn()

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        other = config.part("attention_other_setting")
        n_head = config.integer("num_attention_heads")
        n_kv = config.integer("num_attention_groups", "num_key_value_heads")
        n_head_swa = other.integer("num_attention_heads", default=n_head)
        n_kv_swa = other.integer("num_attention_groups", default=n_kv)
        nextn = convert_nextn(config, keys)
        n_nextn = keys.get("nextn_predict_layers", 0)
        n_layer = config.integer("num_hidden_layers")
        sliding = config.sliding[:n_layer] + (False,) * (n_nextn if isinstance(n_nextn, int) else 0)
        first = config.text("moe_layers_enum").partition(",")[0].strip()
        keys |= {
            "attention.head_count": tuple(n_head_swa if swa else n_head for swa in sliding),
            "attention.head_count_kv": tuple(n_kv_swa if swa else n_kv for swa in sliding),
            "attention.sliding_window": config.integer("sliding_window"),
            "attention.sliding_window_pattern": sliding,
            "attention.value_length": config.integer("head_dim", default=128),
            "expert_count": config.integer("moe_num_experts"),
            "expert_used_count": config.integer("moe_top_k"),
            "expert_shared_feed_forward_length": config.integer("share_expert_dim"),
            "leading_dense_block_count": int(first) if first.isdigit() else 3,
            "expert_gating_func": 2,
            "expert_weights_scale": config.number("moe_router_scaling_factor", default=1.0),
            "expert_weights_norm": config.flag("norm_expert_weight", default=True),
        }
        for key, name in (("exp", "swiglu_limits"), ("shexp", "swiglu_limits_shared")):
            limits = config.limits(name, len(sliding))
            if limits:
                keys[f"swiglu_clamp_{key}"] = limits
        optional = {f"attn_{part}.weight" for part in ("q_norm", "k_norm", "gate")} | nextn
        if config.rope.text("rope_type", "type") == "llama3":
            optional.add("rope_freqs.weight")
        return optional | {"output.weight", "exp_probs_b.bias"}
