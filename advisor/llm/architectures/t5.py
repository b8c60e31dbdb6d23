"""T5 and Flan-T5: an encoder and a decoder that attends to it; and encoders alone."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, ClassVar

from advisor.llm.architectures.base import Architecture
from advisor.llm.architectures.builder import TensorList
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.keys import Keys
from advisor.llm.caches import MemoryRule
from advisor.llm.hyperparameters import Hyperparameters, Value


class T5(Architecture):
    """llama.cpp: src/models/t5.cpp."""

    names = ("t5",)
    tied_by_default = True
    huggingface: ClassVar = dict.fromkeys(
        ("T5ForConditionalGeneration", "T5WithLMHeadModel", "MT5ForConditionalGeneration",
         "UMT5ForConditionalGeneration", "UMT5Model"), "t5",
    )  # fmt: skip
    parts: ClassVar[tuple[str, ...]] = ("enc", "dec")

    def infer(self, values: dict[str, Value], names: frozenset[str]) -> None:
        for part in self.parts:
            values[f"{part}_gated"] = f"{part}.blk.0.ffn_gate.weight" in names
            bias = (f"{part}.blk.{il}.attn_rel_b.weight" for il in range(1, 64))
            values[f"{part}_bias_everywhere"] = any(name in names for name in bias)

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        hp["n_bucket"] = keys.integer("attention.relative_buckets_count")
        for part in ("enc", "dec"):
            for flag in ("gated", "bias_everywhere"):
                hp[f"{part}_{flag}"] = bool(keys.integer(f"{part}_{flag}", 0))

    def build(self, t: TensorList) -> None:
        hp = t.hp
        t.add("token_embd.weight", hp.n_embd, hp.n_vocab)
        for part in self.parts:
            t.add(f"{part}.output_norm.weight", hp.n_embd)
        t.optional("output.weight", hp.n_embd, hp.n_vocab)
        for part in self.parts:
            for il in range(hp.n_layer):
                self.block(t, part, il)

    def block(self, t: TensorList, part: str, il: int) -> None:
        """One block of the encoder or the decoder."""
        hp = t.hp
        prefix, n_ff = f"{part}.blk.{il}.", hp.n_ff[il]
        for which in ("", "cross_") if part == "dec" else ("",):
            t.add(f"{prefix}{which}attn_norm.weight", hp.n_embd)
            for name, width in (("q", hp.k_gqa(il)), ("k", hp.k_gqa(il)), ("v", hp.v_gqa(il))):
                t.add(f"{prefix}{which}attn_{name}.weight", hp.n_embd, width)
            t.add(f"{prefix}{which}attn_o.weight", hp.v_gqa(il), hp.n_embd)
        if il == 0 or hp.extra[f"{part}_bias_everywhere"]:
            t.add(f"{prefix}attn_rel_b.weight", hp.n_head[il], int(hp.extra["n_bucket"]))
        t.add(f"{prefix}ffn_norm.weight", hp.n_embd)
        if hp.extra[f"{part}_gated"]:
            t.add(f"{prefix}ffn_gate.weight", hp.n_embd, n_ff)
        t.add(f"{prefix}ffn_down.weight", n_ff, hp.n_embd)
        t.add(f"{prefix}ffn_up.weight", hp.n_embd, n_ff)

    def memory(self, hp: Hyperparameters) -> MemoryRule:
        return replace(super().memory(hp), every_row=True)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        heads, size = config.integer("num_heads"), config.integer("d_kv")
        keys |= {
            "context_length": config.integer("n_positions", default=512),
            "feed_forward_length": config.integer("d_ff"),
            "attention.head_count": heads,
            "attention.key_length": size,
            "attention.value_length": size,
            "attention.layer_norm_epsilon": config.number("layer_norm_epsilon", default=1e-6),
            "attention.relative_buckets_count": config.integer(
                "relative_attention_num_buckets", default=32
            ),
            "decoder_block_count": config.integer(
                "num_decoder_layers", default=config.integer("num_layers")
            ),
            "decoder_start_token_id": config.integer("decoder_start_token_id", default=0),
        }
        keys.pop("attention.head_count_kv", None)
        gated = "gated" in config.text("feed_forward_proj", default="relu")
        everywhere = config.text("model_type") == "umt5"
        for part in self.parts:
            keys[f"{part}_gated"] = gated
            keys[f"{part}_bias_everywhere"] = everywhere
        return super().convert(config, keys)


class T5Encoder(T5):
    """llama.cpp: src/models/t5encoder.cpp; it has a cache that nothing is written to."""

    names = ("t5encoder",)
    huggingface: ClassVar = {"T5EncoderModel": "t5encoder", "UMT5EncoderModel": "t5encoder"}
    parts = ("enc",)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        return set(super().convert(config, keys)) - {"output.weight"}  # It ends in vectors.
