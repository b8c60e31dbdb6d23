"""Nemotron Super and Ultra, and DeciLM: blocks that a search thinned out."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final, cast

from advisor.errors import ModelError
from advisor.llm.architectures.base import Architecture
from advisor.llm.architectures.builder import TensorList
from advisor.llm.architectures.config import Config
from advisor.llm.hyperparameters import Value


class Deci(Architecture):
    """llama.cpp: src/models/deci.cpp.

    A block may attend with its own number of KV heads, replace attention by one matrix (heads but
    no KV heads), or leave out attention or its feed-forward network.
    """

    names = ("deci",)
    huggingface: ClassVar = {"DeciLMForCausalLM": "deci"}

    def build(self, t: TensorList) -> None:
        hp = t.hp
        t.embeddings()
        t.rope_freqs(hp.n_rot)
        for il in range(hp.n_layer):
            b = t.block(il)
            if hp.n_head[il]:
                b.norm("attn_norm")
            if hp.n_head_kv[il]:
                b.qkv()
                b.attention_out(hp.n_embd_head_k * hp.n_head[il])
            elif hp.n_head[il]:
                b.attention_out(hp.n_embd)
            if hp.n_ff[il]:
                b.norm("ffn_norm")
                b.gated_ffn(biases=True)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        head = config.head
        blocks = _objects(config.get("block_configs"))
        if blocks:
            n_head, n_embd = config.integer("num_attention_heads"), config.integer("hidden_size")
            kept = [_heads(block.part("attention"), n_head) for block in blocks]
            keys |= {
                "attention.head_count": tuple(heads for heads, _ in kept),
                "attention.head_count_kv": tuple(kv for _, kv in kept),
                "feed_forward_length": tuple(_ffn(b.part("ffn"), n_embd) for b in blocks),
                "attention.key_length": head,
                "attention.value_length": head,
            }
        elif per_layer := config.numbers("num_key_value_heads_per_layer"):
            keys["attention.head_count_kv"] = per_layer
        keys["rope.dimension_count"] = head
        optional = set[str](super().convert(config, keys))
        if config.rope.text("rope_type", "type") == "llama3":
            optional.add("rope_freqs.weight")
        return optional


_WHOLE: Final = 256
"""Widths of feed-forward networks are multiples of it (conversion/deci.py)."""


def _heads(attention: Config, n_head: int) -> tuple[int, int]:
    """Query heads and KV heads of a block."""
    group = attention.integer("n_heads_in_group", default=0)
    if group:
        return n_head, n_head // group
    return (n_head if attention.flag("replace_with_linear") else 0), 0


def _ffn(network: Config, n_embd: int) -> int:
    """Width of a block's feed-forward network, 0 for none."""
    width = int(2 * network.number("ffn_mult", default=0.0) * n_embd / 3)
    return -(-width // _WHOLE) * _WHOLE


def _objects(value: object) -> list[Config]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return []
    blocks = cast("Sequence[object]", value)
    if not all(isinstance(block, Mapping) for block in blocks):
        raise ModelError("The config's block_configs are not objects.")
    return [Config(cast("Mapping[str, Any]", block)) for block in blocks]
