"""Kimi Linear and Kimi K3: Kimi Delta Attention (KDA) layers between layers of latent attention."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures.base import Architecture
from advisor.llm.architectures.builder import Block, TensorList
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.deepseek2 import convert_mla, read_experts, read_mla
from advisor.llm.architectures.keys import Keys
from advisor.llm.hyperparameters import Value


def read_kda(keys: Keys, hp: dict[str, Any]) -> None:
    """Sizes of the delta-attention layers, which are those without KV heads."""
    read_mla(keys, hp)
    read_experts(keys, hp)
    hp["ssm_d_conv"] = keys.integer("ssm.conv_kernel")
    hp["n_embd_head_kda"] = keys.integer("kda.head_dim")
    hp["recurrent_layers"] = tuple(n == 0 for n in hp["n_head_kv"])
    hp["n_embd_head_v"] = hp["n_lora_kv"]
    hp["n_ff_shexp"] = hp["n_ff_exp"] * max(hp["n_expert_shared"], 1)


def kda(b: Block) -> None:
    """The tensors that all KDA layers have, up to the gate."""
    hp = b.hp
    head, n_head = hp.n_embd_head_kda, hp.n_head[b.il]
    inner = head * n_head
    for part in ("q", "k", "v"):
        b.weight(f"ssm_conv1d_{part}", hp.ssm_d_conv, 1, inner)
    b.qkv(inner, inner, inner)
    b.weight("ssm_f_a", hp.n_embd, head)
    b.weight("ssm_f_b", head, inner)
    b.weight("ssm_beta", hp.n_embd, n_head)
    b.bias("ssm_dt", inner)
    b.weight("ssm_norm", head)
    b.weight("attn_output", inner, hp.n_embd)


def convert_kda(config: Config, keys: dict[str, Value]) -> None:
    """Latent attention, and which layers are delta attention instead."""
    convert_mla(config, keys)
    linear = config.part("linear_attn_config")
    # Layers are counted from 1 there.
    full = set(linear.numbers("full_attn_layers"))
    n_layer = config.integer("num_hidden_layers")
    keys["attention.head_count_kv"] = tuple(int(il + 1 in full) for il in range(n_layer))
    keys["ssm.conv_kernel"] = linear.integer("short_conv_kernel_size", default=4)
    keys["kda.head_dim"] = linear.integer("head_dim", default=128)
    keys["expert_shared_count"] = config.integer("num_shared_experts", default=1)
    keys["expert_gating_func"] = 2
    # The converter leaves these out where routing has a single group.
    keys.pop("expert_group_count", None)
    keys.pop("expert_group_used_count", None)
    keys.pop("attention.head_count_kv_mla", None)


class KimiLinear(Architecture):
    """llama.cpp: src/models/kimi-linear.cpp."""

    names = ("kimi-linear",)
    huggingface: ClassVar = {
        "KimiLinearForCausalLM": "kimi-linear",
        "KimiLinearModel": "kimi-linear",
    }

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        read_kda(keys, hp)

    def build(self, t: TensorList) -> None:
        hp = t.hp
        t.embeddings(output_required=True)
        for il in range(hp.n_layer):
            b = t.block(il)
            b.norm("attn_norm")
            if hp.is_recurrent(il):
                kda(b)
                b.add("ssm_a", 1, hp.n_head[il])
                b.weight("ssm_g_a", hp.n_embd, hp.n_embd_head_kda)
                b.weight("ssm_g_b", hp.n_embd_head_kda, hp.n_embd_head_kda * hp.n_head[il])
            else:
                b.mla(hp.n_rot)
            b.norm("ffn_norm")
            if il < hp.n_layer_dense_lead:
                b.gated_ffn()
                continue
            b.router()
            b.experts()
            b.shared_expert()
            b.bias("exp_probs_b", hp.n_expert)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        convert_kda(config, keys)
        return ("output.weight",)


class KimiK3(Architecture):
    """llama.cpp: src/models/kimi-k3.cpp; routed experts work in a narrower latent space."""

    names = ("kimi-k3",)
    huggingface: ClassVar = {
        "KimiK3ForConditionalGeneration": "kimi-k3",
        "KimiK3ForCausalLM": "kimi-k3",
    }
    rollback = True

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        read_kda(keys, hp)
        hp["moe_latent_size"] = keys.integer("expert_latent_length", 0)
        hp["attn_res_block_size"] = keys.integer("attn_res.block_size")

    def build(self, t: TensorList) -> None:
        hp = t.hp
        scores = bool(hp.extra["attn_res_block_size"])
        t.embeddings(output_required=True)
        if scores:
            t.add("output_res_score.weight", hp.n_embd)
        for il in range(hp.n_layer):
            b = t.block(il)
            b.norm("attn_norm", "ffn_norm")
            if scores:
                b.norm("attn_res_score", "ffn_res_score")
            if hp.is_recurrent(il):
                kda(b)
                b.add("ssm_a", hp.n_head[il])
                b.weight("ssm_g", hp.n_embd, hp.n_embd_head_kda * hp.n_head[il])
            else:
                b.mla(hp.n_rot)
                b.optional("attn_gate.weight", hp.n_embd, hp.n_head[il] * hp.n_embd_head_v_mla)
            if il < hp.n_layer_dense_lead:
                b.gated_ffn()
            else:
                _latent_experts(b)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        convert_kda(config, keys)
        latent = config.integer("routed_expert_hidden_size", default=0)
        if latent:
            keys["expert_latent_length"] = latent
        keys["attn_res.block_size"] = config.integer("attn_res_block_size", default=0)
        keys["activation.situ_beta"] = config.number("activation_situ_beta", default=1.0)
        keys["activation.situ_linear_beta"] = config.number(
            "activation_situ_linear_beta", default=0.0
        )
        return {"output.weight", "attn_gate.weight", "ffn_routed_norm.weight"}


def _latent_experts(b: Block) -> None:
    hp = b.hp
    width = hp.moe_latent_size or hp.n_embd
    b.router()
    b.bias("exp_probs_b", hp.n_expert)
    b.weight("ffn_gate_exps", width, hp.n_ff_exp, hp.n_expert)
    b.weight("ffn_down_exps", hp.n_ff_exp, width, hp.n_expert)
    b.weight("ffn_up_exps", width, hp.n_ff_exp, hp.n_expert)
    if hp.moe_latent_size:
        b.weight("ffn_routed_down", hp.n_embd, width)
        b.weight("ffn_routed_up", width, hp.n_embd)
        b.optional("ffn_routed_norm.weight", width)
    b.shared_expert()
