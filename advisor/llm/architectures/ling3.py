"""Ling 3.0: delta attention, gated latent attention in between, experts with a shared one."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, ClassVar

from advisor.llm.architectures import rules
from advisor.llm.architectures.base import Architecture
from advisor.llm.architectures.builder import Block, TensorList
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.deepseek2 import convert_mla, convert_nextn
from advisor.llm.architectures.keys import Keys
from advisor.llm.architectures.kimi import read_kda
from advisor.llm.caches import MemoryRule
from advisor.llm.hyperparameters import Hyperparameters, Value


class BailingMoe3(Architecture):
    """llama.cpp: src/models/bailingmoe3.cpp."""

    names = ("bailingmoe3",)
    huggingface: ClassVar = {
        "BailingMoeV3ForCausalLM": "bailingmoe3",
        "BailingMoeV3VLForConditionalGeneration": "bailingmoe3",
    }
    rollback = True

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        read_kda(keys, hp)
        shared = keys.integer("expert_shared_feed_forward_length", 0)
        hp["n_ff_shexp"] = shared or hp["n_ff_shexp"]

    def build(self, t: TensorList) -> None:
        hp = t.hp
        t.embeddings()
        for il in range(hp.n_layer_all):
            b = t.block(il)
            b.norm("attn_norm", "ffn_norm")
            if hp.is_recurrent(il):
                _delta_attention(b)
            else:
                b.mla(hp.n_rot)
                b.weight("attn_gate", hp.n_embd, hp.n_head[il])
            if il < hp.n_layer_dense_lead:
                b.gated_ffn()
            else:
                b.router()
                b.bias("exp_probs_b", hp.n_expert)
                b.experts()
                b.shared_expert()
            if il >= hp.n_layer:
                b.weight("nextn.eh_proj", 2 * hp.n_embd, hp.n_embd)
                b.norm("nextn.enorm", "nextn.hnorm", "layer_output_norm")

    def memory(self, hp: Hyperparameters) -> MemoryRule:
        # llama-model.cpp:create_memory filters nothing here: the trunk's context has cells for the
        # NextN layers too.
        attending = (il for il in range(hp.n_layer_all) if not hp.is_recurrent(il))
        return replace(super().memory(hp), caches=(rules.cache(hp, "attn", attending),))

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        optional = set[str](super().convert(config, keys))
        convert_mla(config, keys)
        convert_nextn(config, keys)
        n_layer, group = config.integer("num_hidden_layers"), config.integer("layer_group_size")
        n_layer_all = Keys(keys).integer("block_count")
        keys["attention.head_count_kv"] = tuple(
            int((il + 1) % group == 0 or il >= n_layer // group * group)
            for il in range(n_layer_all)
        )
        keys["ssm.conv_kernel"] = config.integer("short_conv_kernel_size", default=4)
        keys["kda.head_dim"] = config.integer("head_dim")
        keys["kda.gate_lower_bound"] = config.number("kda_lower_bound", default=-5.0)
        keys["expert_shared_count"] = config.integer("num_shared_experts", default=1)
        keys["expert_shared_feed_forward_length"] = config.integer(
            "moe_shared_expert_intermediate_size", "moe_intermediate_size"
        )
        keys["expert_gating_func"] = 2
        for key, name in (
            ("exp", "expert_swiglu_limit_list"),
            ("shexp", "share_expert_swiglu_limit_list"),
        ):
            limits = config.limits(name, n_layer_all)
            if limits:
                keys[f"swiglu_clamp_{key}"] = limits
        sections = config.numbers("mrope_section")[:3]
        if sections:
            keys["rope.dimension_sections"] = (*sections, 0)
        return optional


def _delta_attention(b: Block) -> None:
    hp = b.hp
    head, n_head = hp.n_embd_head_kda, hp.n_head[b.il]
    inner = head * n_head
    for part in ("q", "k", "v"):
        b.weight(f"ssm_conv1d_{part}", hp.ssm_d_conv, 1, inner)
    b.qkv(inner, inner, inner)
    b.weight("ssm_f_a", hp.n_embd, inner)
    b.weight("ssm_beta", hp.n_embd, n_head)
    b.add("ssm_a", 1, n_head)
    b.bias("ssm_dt", inner)
    b.weight("ssm_g_a", hp.n_embd, inner)
    b.weight("ssm_norm", head)
    b.weight("attn_output", inner, hp.n_embd)
