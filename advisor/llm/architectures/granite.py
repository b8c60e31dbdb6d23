"""Granite 3 and 4: dense, mixture of experts, sliding windows, and Mamba 2 hybrids."""

from collections.abc import Iterable
from typing import Any, ClassVar, Final

from advisor.llm.architectures import rules
from advisor.llm.architectures.base import mamba_keys, sliding_window
from advisor.llm.architectures.builder import Block, TensorList
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.keys import Keys
from advisor.llm.architectures.llama import Llama
from advisor.llm.caches import MemoryRule
from advisor.llm.hyperparameters import Hyperparameters, Value


def _scales(config: Config, keys: dict[str, Value]) -> None:
    keys.pop("attention.key_length", None)
    keys.pop("attention.value_length", None)
    keys["logit_scale"] = config.number("logits_scaling", default=8.0)
    keys["residual_scale"] = config.number("residual_multiplier", default=1.0)
    keys["embedding_scale"] = config.number("embedding_multiplier", default=1.0)
    keys["attention.scale"] = config.number("attention_multiplier", default=1.0)
    shared = config.integer("shared_intermediate_size", default=0)
    if shared:
        keys["expert_shared_feed_forward_length"] = shared


class Granite(Llama):
    """llama.cpp: src/models/granite.cpp, granite-moe.cpp; Llama's tensors, other scales."""

    names = ("granite", "granitemoe")
    huggingface: ClassVar = {
        "GraniteForCausalLM": "granite",
        "GraniteMoeForCausalLM": "granitemoe",
        "GraniteMoeSharedForCausalLM": "granitemoe",
    }

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        optional = super().convert(config, keys)
        _scales(config, keys)
        return optional


_SWITCHED: Final = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")


class GraniteSwitch(Granite):
    """llama.cpp: src/models/granite-switch.cpp; adapters in the file, chosen token by token.

    A last block without weights keeps in its cache which adapter is on.
    """

    names = ("graniteswitch",)
    huggingface: ClassVar = {"GraniteSwitchForCausalLM": "graniteswitch"}

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        hp["n_slot"] = keys.integer("adapters.count") + 1
        hp["n_rank"] = keys.integer("adapters.lora_rank")
        hp["n_layer_all"] += 1
        hp["n_layer_nextn"] = 1
        hp["n_head"], hp["n_head_kv"] = (*hp["n_head"], 1), (*hp["n_head_kv"], 1)
        hp["n_ff"] = (*hp["n_ff"], 0)

    def build(self, t: TensorList) -> None:
        hp = t.hp
        t.embeddings()
        for il in range(hp.n_layer):
            b = t.block(il)
            q, k, ff = hp.n_embd_head_k * hp.n_head[il], hp.k_gqa(il), hp.n_ff[il]
            b.norm("attn_norm", "ffn_norm")
            b.weight("attn_qkv", hp.n_embd, q + 2 * k)
            b.weight("attn_output", q, hp.n_embd)
            b.gated_ffn()
            widths = ((hp.n_embd, q), (hp.n_embd, k), (hp.n_embd, k), (q, hp.n_embd),
                      (hp.n_embd, ff), (hp.n_embd, ff), (ff, hp.n_embd))  # fmt: skip
            slots, rank = int(hp.extra["n_slot"]), int(hp.extra["n_rank"])
            for name, (n_in, n_out) in zip(_SWITCHED, widths, strict=True):
                b.add(f"{name}.lora_a", n_in, rank, slots)
                b.add(f"{name}.lora_b", rank, n_out, slots)

    def memory(self, hp: Hyperparameters) -> MemoryRule:
        caches = rules.attention(hp, range(hp.n_layer_all))
        return MemoryRule(caches=caches, v_width_max=hp.v_gqa_max)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        optional = super().convert(config, keys)
        count = config.integer("num_adapters")
        shared = config.integer("shared_intermediate_size", "intermediate_size")
        for key in ("expert_count", "expert_used_count", "expert_shared_feed_forward_length"):
            keys.pop(key, None)
        keys |= {
            # One of the config's is what switches (conversion/granite.py).
            "block_count": config.integer("num_hidden_layers") - 1,
            "feed_forward_length": shared,
            "expert_used_count": 0,
            "adapters.count": count,
            "adapters.lora_rank": config.integer("max_lora_rank"),
            "adapters.token_ids_activate": config.numbers("adapter_token_ids") or (0,) * count,
            "adapters.token_ids_substitute": (
                config.numbers("adapter_substitute_token_ids") or (0,) * count
            ),
        }
        return optional


class GraniteHybrid(Granite):
    """llama.cpp: src/models/granite-hybrid.cpp."""

    names = ("granitehybrid",)
    huggingface: ClassVar = {
        "GraniteMoeHybridForCausalLM": "granitehybrid",
        "BambaForCausalLM": "granitehybrid",
    }

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        mamba_keys(keys, hp)
        hp["recurrent_layers"] = tuple(n == 0 for n in hp["n_head_kv"])
        hp["n_ff_exp"] = hp["n_ff"][0] if hp["n_expert"] else 0
        hp["n_ff_shexp"] = keys.integer("expert_shared_feed_forward_length", 0)

    def attention(self, b: Block) -> None:
        if b.hp.is_recurrent(b.il):
            b.mamba2()
        else:
            super().attention(b)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        optional = super().convert(config, keys)
        kinds = config.texts("layer_types", "layers_block_type")
        n_kv = config.integer("num_key_value_heads")
        heads = config.integer("mamba_n_heads")
        inner = config.integer("mamba_expand", default=2) * config.integer("hidden_size")
        keys |= {
            "attention.head_count_kv": tuple(n_kv if kind == "attention" else 0 for kind in kinds),
            "context_length": 1 << 20,
            "ssm.conv_kernel": config.integer("mamba_d_conv", default=4),
            "ssm.state_size": config.integer("mamba_d_state", default=128),
            "ssm.group_count": config.integer("mamba_n_groups", default=1),
            "ssm.time_step_rank": heads,
            "ssm.inner_size": inner,
            "rope.scaling.finetuned": False,
        }
        # Dense hybrids keep their feed-forward in the shared expert.
        if not config.integer("num_local_experts", default=0):
            keys["feed_forward_length"] = config.integer(
                "shared_intermediate_size", "intermediate_size"
            )
            keys.pop("expert_shared_feed_forward_length", None)
            keys.pop("expert_used_count", None)
        return {"ssm_conv1d.bias"}.union(optional)


class GraniteSwa(Granite):
    """llama.cpp: src/models/granite-swa.cpp; attention sinks, gates fused with up."""

    names = ("granite_swa",)
    huggingface: ClassVar = {
        "GraniteSWAForCausalLM": "granite_swa",
        "GraniteMoeSWAForCausalLM": "granite_swa",
    }

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        sliding_window(keys, hp, 4, dense_first=True)
        hp["n_ff_exp"] = hp["n_ff"][0] if hp["n_expert"] else 0
        hp["n_ff_shexp"] = keys.integer("expert_shared_feed_forward_length", 0)

    def attention(self, b: Block) -> None:
        super().attention(b)
        b.weight("attn_sinks", b.hp.n_head[b.il])

    def routed(self, b: Block) -> None:
        hp = b.hp
        b.router()
        b.experts(fusable=True)
        if hp.n_ff_shexp:
            b.weight("ffn_up_shexp", hp.n_embd, 2 * hp.n_ff_shexp)
            b.weight("ffn_down_shexp", hp.n_ff_shexp, hp.n_embd)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        optional = super().convert(config, keys)
        n_layer = config.integer("num_hidden_layers")
        keys["attention.sliding_window"] = config.integer("sliding_window", default=128)
        keys["attention.sliding_window_pattern"] = config.sliding or tuple(
            il % 4 != 0 for il in range(n_layer)
        )
        rotates = config.numbers("no_rope_layers")
        if rotates:
            keys["attention.rope_pattern"] = tuple(bool(flag) for flag in rotates)
        return {"ffn_gate_up_exps.weight"}.union(optional)
