"""Heads that draft for another model: EAGLE-3 and DFlash.

They read hidden states of the model they draft for, and borrow its embeddings and output matrix
where the file has none. A head's config.json does not tell the sizes of that model.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Final

from advisor.llm.architectures.base import sliding_window
from advisor.llm.architectures.builder import Block, NamedShape, TensorList
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.keys import Keys
from advisor.llm.architectures.transformer import Transformer
from advisor.llm.caches import MemoryRule
from advisor.llm.gguf_header import LazyValue
from advisor.llm.hyperparameters import Hyperparameters, Value

_OWN_ENDS: Final = ("token_embd.weight", "output.weight", "d2t")


class _Head(Transformer):
    """What the two heads have in common that llama.cpp treats as encoders and decoders."""

    def from_gguf(
        self, metadata: Mapping[str, Any], tensors: Sequence[NamedShape]
    ) -> Hyperparameters:
        arch, shapes = str(metadata["general.architecture"]), dict(tensors)
        named = metadata.get("tokenizer.ggml.tokens")
        found: dict[str, Any] = {}
        if isinstance(named, LazyValue):
            found[f"{arch}.vocab_size"] = named.length
        if shapes.get("d2t"):
            found[f"{arch}.draft_vocab_size"] = shapes["d2t"][0]
        return super().from_gguf({**metadata, **found}, tensors)

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        hp["n_vocab_draft"] = keys.integer("draft_vocab_size", 0) or hp["n_vocab"]

    def memory(self, hp: Hyperparameters) -> MemoryRule:
        return replace(super().memory(hp), every_row=True)

    def shared_ends(self, t: TensorList, n_in: int) -> None:
        """The projection of the other model's states, and ends that may be that model's."""
        hp = t.hp
        drafted = int(hp.extra["n_vocab_draft"])
        t.add("fc.weight", n_in, hp.n_embd)
        t.add("output_norm.weight", hp.n_embd)
        t.optional("token_embd.weight", hp.n_embd, hp.n_vocab)
        t.optional("output.weight", hp.n_embd, drafted)
        t.optional("d2t", drafted)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        drafted = config.integer("draft_vocab_size", default=0)
        if drafted and drafted != keys["vocab_size"]:
            keys["draft_vocab_size"] = drafted
            return _OWN_ENDS
        return _OWN_ENDS[:2]


class Eagle3(_Head):
    """llama.cpp: src/models/eagle3.cpp; one block, which reads two vectors per token."""

    names = ("eagle3",)
    rope_freqs = True
    attention_norms = ("attn_norm", "attn_norm_2")
    huggingface: ClassVar = dict.fromkeys(
        (
            "LlamaForCausalLMEagle3",
            "Eagle3LlamaForCausalLM",
            "Eagle3Speculator",
            "Eagle3DraftModel",
        ),
        "eagle3",
    )

    def ends(self, t: TensorList) -> None:
        width = 3 * Keys(t.hp.metadata).integer("target_hidden_size")
        self.shared_ends(t, width)
        if t.hp.metadata.get("norm_before_fc"):
            t.add("enc.output_norm.weight", width)
        t.rope_freqs(t.hp.n_rot)

    def attention(self, b: Block) -> None:
        hp, il = b.hp, b.il
        n_q = hp.n_embd_head_k * hp.n_head[il]
        for name, width in (("q", n_q), ("k", hp.k_gqa(il)), ("v", hp.v_gqa(il))):
            b.weight(f"attn_{name}", 2 * hp.n_embd, width)
        b.weight("attn_output", n_q, hp.n_embd)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        width = config.integer("hidden_size")
        keys["target_hidden_size"] = config.integer("target_hidden_size", default=width)
        layers = config.numbers("eagle_aux_hidden_state_layer_ids")
        keys["target_layers"] = layers if len(layers) == 3 else (2, 3, 4)
        keys["norm_before_residual"] = config.flag("norm_before_residual")
        keys["norm_before_fc"] = config.flag("norm_before_fc")
        return super().convert(config, keys)


class DFlash(_Head):
    """llama.cpp: src/models/dflash.cpp; a few blocks that denoise several tokens at once."""

    names = ("dflash",)
    head_norms = True
    huggingface: ClassVar = {"DFlashDraftModel": "dflash"}

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        super().read(keys, hp)
        sliding_window(keys, hp, 0)

    def ends(self, t: TensorList) -> None:
        count = len(Keys(t.hp.metadata).numbers("target_layers"))
        self.shared_ends(t, count * t.hp.n_embd)
        t.add("enc.output_norm.weight", t.hp.n_embd)
        t.rope_freqs(t.hp.n_embd_head_k)
        rank = Keys(t.hp.metadata).integer("markov_rank", 0)
        if t.optional("markov_w1.weight", rank, t.hp.n_vocab):
            t.optional("markov_w2.weight", rank, int(t.hp.extra["n_vocab_draft"]))
            t.optional("conf_proj.weight", t.hp.n_embd + rank, 1)
            t.optional("conf_proj.bias", 1)

    def norms(self, b: Block, names: Iterable[str]) -> None:
        super().norms(b, names)
        for name in names:
            behind = {"attn_norm": "post_attention_norm", "ffn_norm": "post_ffw_norm"}[name]
            b.optional(f"{behind}.weight", b.hp.n_embd)

    def feed_forward(self, b: Block) -> None:
        super().feed_forward(b)
        b.optional("attn_sinks.weight", b.hp.n_head[b.il])
        b.optional("layer_output_scale.weight", 1)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        own = config.part("dflash_config")
        layers = own.numbers("target_layer_ids") or config.numbers("target_layer_ids")
        keys["target_layers"] = tuple(il + 1 for il in layers)
        keys["block_size"] = own.integer(
            "block_size", default=config.integer("block_size", default=16)
        )
        window = config.integer("sliding_window", default=0)
        if window and config.flag("use_sliding_window"):
            keys["attention.sliding_window"] = window
            keys["attention.sliding_window_pattern"] = config.sliding
        ends = super().convert(config, keys)
        # Whole vocabularies use the ends of the model that they draft for.
        return ends if "draft_vocab_size" in keys else ()
