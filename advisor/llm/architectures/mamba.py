"""Mamba, Mamba 2 and Jamba: state-space models, and their mix with attention and experts."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures.base import Architecture, mamba_keys
from advisor.llm.architectures.builder import Block, TensorList
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.keys import Keys
from advisor.llm.hyperparameters import Value

_MOE_PERIOD = "moe_layer_period"
_MOE_OFFSET = "moe_layer_offset"


def mamba1(b: Block, *, norms: bool) -> None:
    """A Mamba 1 mixer (mamba.cpp); Jamba adds norms."""
    hp = b.hp
    inner, state, rank = hp.ssm_d_inner, hp.ssm_d_state, hp.ssm_dt_rank
    b.weight("ssm_in", hp.n_embd, 2 * inner)
    b.weight("ssm_conv1d", hp.ssm_d_conv, inner)
    b.bias("ssm_conv1d", inner)
    b.weight("ssm_x", inner, rank + 2 * state)
    if norms:
        b.weight("ssm_dt_norm", rank)
    b.weight("ssm_dt", rank, inner)
    b.bias("ssm_dt", inner)
    if norms:
        b.weight("ssm_b_norm", state)
        b.weight("ssm_c_norm", state)
    b.add("ssm_a", state, inner)
    b.add("ssm_d", inner)
    b.weight("ssm_out", inner, hp.n_embd)


class Mamba(Architecture):
    """llama.cpp: src/models/mamba.cpp."""

    names = ("mamba",)
    huggingface: ClassVar = {
        "MambaForCausalLM": "mamba",
        "FalconMambaForCausalLM": "mamba",
        "MambaLMHeadModel": "mamba",
    }

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        mamba_keys(keys, hp)
        hp["recurrent_layers"] = (True,) * hp["n_layer_all"]

    def build(self, t: TensorList) -> None:
        t.embeddings()
        for il in range(t.hp.n_layer):
            b = t.block(il)
            b.norm("attn_norm")
            mamba1(b, norms=False)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        width = config.integer("hidden_size", "d_model")
        _without_attention(keys)
        keys |= {
            "embedding_length": width,
            "ssm.conv_kernel": config.integer("conv_kernel", "d_conv", default=4),
            "ssm.inner_size": config.integer("intermediate_size", "d_inner", default=2 * width),
            "ssm.state_size": config.integer("state_size", "d_state", default=16),
            "ssm.time_step_rank": config.integer(
                "time_step_rank", "dt_rank", default=-(width // -16)
            ),
            "ssm.dt_b_c_rms": config.text("model_type") == "falcon_mamba",
        }
        return () if config.flag("tie_word_embeddings", default=True) else ("output.weight",)


class Mamba2(Mamba):
    """llama.cpp: src/models/mamba2.cpp."""

    names = ("mamba2",)
    huggingface: ClassVar = {"Mamba2ForCausalLM": "mamba2"}

    def build(self, t: TensorList) -> None:
        t.embeddings()
        for il in range(t.hp.n_layer):
            b = t.block(il)
            b.norm("attn_norm")
            b.mamba2()

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        width = config.integer("hidden_size", "d_model", "dim")
        inner = config.integer("expand", default=2) * width
        head = config.integer("head_dim", default=64)
        _without_attention(keys)
        keys |= {
            "embedding_length": width,
            "ssm.conv_kernel": config.integer("conv_kernel", "d_conv", default=4),
            "ssm.inner_size": inner,
            "ssm.state_size": config.integer("state_size", "d_state", default=128),
            "ssm.time_step_rank": inner // head,
            "ssm.group_count": config.integer("n_groups", default=1),
        }
        optional = {"ssm_conv1d.bias"}
        tied = config.flag("tie_word_embeddings")
        return optional if tied else optional | {"output.weight"}


class Jamba(Architecture):
    """llama.cpp: src/models/jamba.cpp."""

    names = ("jamba",)
    huggingface: ClassVar = {"JambaForCausalLM": "jamba"}

    def infer(self, values: dict[str, Value], names: frozenset[str]) -> None:
        layers = range(Keys(values).integer("block_count"))
        routed = [il for il in layers if f"blk.{il}.ffn_gate_inp.weight" in names]
        if routed:
            values.setdefault(_MOE_OFFSET, routed[0])
            values.setdefault(_MOE_PERIOD, routed[1] - routed[0] if len(routed) > 1 else 1)

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        mamba_keys(keys, hp)
        hp["recurrent_layers"] = tuple(n == 0 for n in hp["n_head_kv"])
        hp["n_ff_exp"] = hp["n_ff"][0] if hp["n_expert"] else 0
        hp["moe_period"] = keys.integer(_MOE_PERIOD, 0)
        hp["moe_offset"] = keys.integer(_MOE_OFFSET, 0)

    def build(self, t: TensorList) -> None:
        hp = t.hp
        period, offset = int(hp.extra["moe_period"]), int(hp.extra["moe_offset"])
        t.embeddings()
        for il in range(hp.n_layer):
            b = t.block(il)
            b.norm("attn_norm")
            if hp.is_recurrent(il):
                mamba1(b, norms=True)
            else:
                b.qkv(n_q=hp.n_embd)
                b.weight("attn_output", hp.n_embd, hp.n_embd)
            b.norm("ffn_norm")
            if period and il >= offset and (il - offset) % period == 0:
                b.router()
                b.experts()
            else:
                b.gated_ffn()

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        width = config.integer("hidden_size")
        n_kv = config.integer("num_key_value_heads")
        offset = config.integer("attn_layer_offset")
        period = config.integer("attn_layer_period")
        n_layer = config.integer("num_hidden_layers")
        keys |= {
            "attention.head_count_kv": tuple(
                n_kv if il >= offset and (il - offset) % period == 0 else 0 for il in range(n_layer)
            ),
            "ssm.conv_kernel": config.integer("mamba_d_conv", default=4),
            "ssm.inner_size": config.integer("mamba_expand", default=2) * width,
            "ssm.state_size": config.integer("mamba_d_state", default=16),
            "ssm.time_step_rank": config.integer("mamba_dt_rank", default=-(width // -16)),
        }
        if config.integer("num_experts", default=1) > 1:
            keys[_MOE_PERIOD] = config.integer("expert_layer_period", default=2)
            keys[_MOE_OFFSET] = config.integer("expert_layer_offset", default=1)
        else:
            keys.pop("expert_count", None)
            keys.pop("expert_used_count", None)
        return super().convert(config, keys)


def _without_attention(keys: dict[str, Value]) -> None:
    for name in ("head_count_kv", "key_length", "value_length"):
        keys.pop(f"attention.{name}", None)
    keys["attention.head_count"] = 0
    keys["feed_forward_length"] = 0
    keys["context_length"] = 1 << 20
