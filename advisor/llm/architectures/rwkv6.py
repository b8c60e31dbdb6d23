"""RWKV 6, and QRWKV 6: Qwen 2 with its attention replaced."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures.base import Architecture
from advisor.llm.architectures.builder import Block, TensorList
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.keys import Keys
from advisor.llm.hyperparameters import Value


class Rwkv6(Architecture):
    """llama.cpp: src/models/rwkv6.cpp."""

    names = ("rwkv6",)
    huggingface: ClassVar = {"Rwkv6ForCausalLM": "rwkv6"}

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        hp["wkv_head_size"] = keys.integer("wkv.head_size")
        hp["token_shift_count"] = keys.integer("token_shift_count", 2)
        hp["recurrent_layers"] = (True,) * hp["n_layer_all"]
        for name in ("time_mix_extra_dim", "time_decay_extra_dim"):
            hp[name] = keys.integer(name)

    def build(self, t: TensorList) -> None:
        hp = t.hp
        t.add("token_embd_norm.weight", hp.n_embd)
        t.add("token_embd_norm.bias", hp.n_embd)
        t.embeddings(output_required=True)
        t.add("output_norm.bias", hp.n_embd)
        for il in range(hp.n_layer):
            b = t.block(il)
            for norm in ("attn_norm", "attn_norm_2", "time_mix_ln"):
                b.norm(norm)
                b.bias(norm, hp.n_embd)
            time_mix(b)
            b.weight("time_mix_first", hp.wkv_head_size, hp.n_embd // hp.wkv_head_size)
            for part in ("key", "value", "receptance", "gate"):
                b.weight(f"time_mix_{part}", hp.n_embd, hp.n_embd)
            b.weight("channel_mix_lerp_k", hp.n_embd, 1, 1)
            b.weight("channel_mix_lerp_r", hp.n_embd, 1, 1)
            b.weight("channel_mix_key", hp.n_embd, hp.n_ff[il])
            b.weight("channel_mix_value", hp.n_ff[il], hp.n_embd)
            b.weight("channel_mix_receptance", hp.n_embd, hp.n_embd)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        width = config.integer("hidden_size")
        wide = width == 4096
        keys |= {
            "context_length": 1 << 20,
            "attention.head_count": 0,
            "attention.layer_norm_epsilon": config.number("layer_norm_epsilon", default=1e-5),
            "wkv.head_size": config.integer("head_size", default=64),
            "feed_forward_length": config.integer(
                "intermediate_size", default=int(width * 3.5) // 32 * 32
            ),
            "time_mix_extra_dim": 64 if wide else 32,
            "time_decay_extra_dim": 128 if wide else 64,
            "rescale_every_n_layers": config.integer("rescale_every", default=6),
        }
        _without_heads(keys)
        return ("output.weight",)


class Rwkv6Qwen2(Rwkv6):
    """llama.cpp: src/models/rwkv6qwen2.cpp."""

    names = ("rwkv6qwen2",)
    huggingface: ClassVar = {"RWKV6Qwen2ForCausalLM": "rwkv6qwen2"}

    def build(self, t: TensorList) -> None:
        hp = t.hp
        n_embd = hp.n_embd
        t.embeddings(output_required=True)
        t.optional("output_norm.bias", n_embd)
        n_kv = (hp.n_head_kv[0] if hp.n_head_kv else 0) * hp.wkv_head_size or n_embd
        for il in range(hp.n_layer):
            b = t.block(il)
            b.norm("attn_norm")
            time_mix(b)
            b.optional("time_mix_first.weight", hp.wkv_head_size, n_embd // hp.wkv_head_size)
            for part, width in (("key", n_kv), ("value", n_kv), ("receptance", n_embd)):
                b.weight(f"time_mix_{part}", n_embd, width)
                b.optional(f"time_mix_{part}.bias", width)
            b.weight("time_mix_gate", n_embd, n_embd)
            b.norm("ffn_norm")
            b.gated_ffn()

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        width, n_head = config.integer("hidden_size"), config.integer("num_attention_heads")
        wide = width >= 4096
        _without_heads(keys)
        keys |= {
            "context_length": 1 << 20,
            "attention.head_count": 0,
            "attention.head_count_kv": config.integer("num_key_value_heads", default=n_head),
            "wkv.head_size": width // n_head,
            "token_shift_count": 1,
            "time_mix_extra_dim": config.integer("lora_rank_tokenshift", default=32 << wide),
            "time_decay_extra_dim": config.integer("lora_rank_decay", default=64 << wide),
        }
        biases = {f"time_mix_{part}.bias" for part in ("key", "value", "receptance")}
        return biases | {"output.weight"}


def time_mix(b: Block) -> None:
    """The time-mixing tensors that both have."""
    n_embd = b.hp.n_embd
    extra = int(b.hp.extra["time_mix_extra_dim"])
    decay = int(b.hp.extra["time_decay_extra_dim"])
    b.weight("time_mix_w1", n_embd, extra * 5)
    b.weight("time_mix_w2", extra, n_embd, 5)
    b.weight("time_mix_lerp_x", n_embd, 1, 1)
    b.weight("time_mix_lerp_fused", n_embd, 1, 1, 5)
    b.weight("time_mix_decay", n_embd)
    b.weight("time_mix_decay_w1", n_embd, decay)
    b.weight("time_mix_decay_w2", decay, n_embd)
    b.weight("time_mix_output", n_embd, n_embd)


def _without_heads(keys: dict[str, Value]) -> None:
    for name in ("head_count_kv", "key_length", "value_length"):
        keys.pop(f"attention.{name}", None)
