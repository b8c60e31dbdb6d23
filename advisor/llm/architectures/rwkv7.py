"""RWKV 7 and its hybrids with a transformer's feed-forward (ARWKV)."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures.base import Architecture
from advisor.llm.architectures.builder import Block, TensorList
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.keys import Keys
from advisor.llm.hyperparameters import Value

_RANKS = ("decay", "iclr", "value_residual_mix", "gate")


class Rwkv7(Architecture):
    """llama.cpp: src/models/rwkv7.cpp."""

    names = ("rwkv7",)
    huggingface: ClassVar = {"Rwkv7ForCausalLM": "rwkv7", "RWKV7ForCausalLM": "rwkv7"}

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        hp["wkv_head_size"] = keys.integer("wkv.head_size")
        hp["token_shift_count"] = keys.integer("token_shift_count", 2)
        hp["recurrent_layers"] = (True,) * hp["n_layer_all"]
        for rank in _RANKS:
            hp[f"n_lora_{rank}"] = keys.integer(f"attention.{rank}_lora_rank", 0)

    def build(self, t: TensorList) -> None:
        hp = t.hp
        t.add("token_embd.weight", hp.n_embd, hp.n_vocab)
        t.add("token_embd_norm.weight", hp.n_embd)
        t.add("token_embd_norm.bias", hp.n_embd)
        t.add("output_norm.weight", hp.n_embd)
        t.add("output_norm.bias", hp.n_embd)
        t.asked.add("output.weight")
        t.add("output.weight", hp.n_embd, hp.n_vocab)
        for il in range(hp.n_layer):
            b = t.block(il)
            for norm in ("attn_norm", "attn_norm_2"):
                b.norm(norm)
                b.bias(norm, hp.n_embd)
            time_mix(b, gate=True)
            b.norm("time_mix_ln")
            b.bias("time_mix_ln", hp.n_embd)
            b.weight("time_mix_output", hp.n_embd, hp.n_embd)
            b.weight("channel_mix_lerp_k", hp.n_embd, 1, 1)
            b.weight("channel_mix_key", hp.n_embd, hp.n_ff[il])
            b.weight("channel_mix_value", hp.n_ff[il], hp.n_embd)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        width = config.integer("hidden_size")
        keys |= {
            "context_length": 1 << 20,
            "attention.head_count": 0,
            "attention.layer_norm_epsilon": config.number(
                "layer_norm_epsilon", "norm_eps", default=1e-5
            ),
            "wkv.head_size": config.integer("head_size", "head_dim", default=64),
            "feed_forward_length": config.integer("intermediate_size", default=4 * width),
        }
        for name in ("head_count_kv", "key_length", "value_length"):
            keys.pop(f"attention.{name}", None)
        for rank, other, exponent, factor in (
            ("decay", "decay_low_rank_dim", 0.5, 1.8),
            ("iclr", "a_low_rank_dim", 0.5, 1.8),
            ("value_residual_mix", "v_low_rank_dim", 0.5, 1.3),
            ("gate", "gate_low_rank_dim", 0.8, 0.6),
        ):
            # conversion/rwkv.py:calc_lora_rank
            usual = max(1, round(width**exponent * factor / 32)) * 32
            keys[f"attention.{rank}_lora_rank"] = config.integer(
                f"lora_rank_{rank}", other, default=usual
            )
        return ("output.weight",)


class ARwkv7(Rwkv7):
    """llama.cpp: src/models/arwkv7.cpp; a transformer's feed-forward."""

    names = ("arwkv7",)
    huggingface: ClassVar = {"RwkvHybridForCausalLM": "arwkv7"}

    def build(self, t: TensorList) -> None:
        hp = t.hp
        t.embeddings(output_required=True)
        for il in range(hp.n_layer):
            b = t.block(il)
            b.norm("attn_norm")
            time_mix(b, gate=bool(hp.extra["n_lora_gate"]))
            b.optional("time_mix_ln.weight", hp.n_embd)
            b.optional("time_mix_ln.bias", hp.n_embd)
            b.weight("time_mix_output", hp.n_embd, hp.n_embd)
            b.norm("ffn_norm")
            b.gated_ffn()

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        optional = super().convert(config, keys)
        keys |= {
            "token_shift_count": 1,
            "attention.decay_lora_rank": 64,
            "attention.iclr_lora_rank": 64,
            "attention.value_residual_mix_lora_rank": 32,
            "attention.gate_lora_rank": 128 if config.flag("wkv_has_gate") else 0,
        }
        return optional


def time_mix(b: Block, *, gate: bool) -> None:
    """The time-mixing tensors."""
    hp = b.hp
    n_embd = hp.n_embd
    ranks = {rank: int(hp.extra[f"n_lora_{rank}"]) for rank in _RANKS}
    # The first layer has no value residual to mix; its tensors have the other rank's size.
    mix = ranks["iclr"] if b.il == 0 else ranks["value_residual_mix"]
    for letter, rank in (("w", ranks["decay"]), ("a", ranks["iclr"]), ("v", mix)):
        b.weight(f"time_mix_{letter}0", n_embd)
        b.weight(f"time_mix_{letter}1", n_embd, rank)
        b.weight(f"time_mix_{letter}2", rank, n_embd)
    if gate:
        b.weight("time_mix_g1", n_embd, ranks["gate"])
        b.weight("time_mix_g2", ranks["gate"], n_embd)
    b.weight("time_mix_lerp_fused", n_embd, 1, 1, 6 if gate else 5)
    b.norm("time_mix_k_k", "time_mix_k_a", "time_mix_r_k")
    for part in ("key", "value", "receptance"):
        b.weight(f"time_mix_{part}", n_embd, n_embd)
