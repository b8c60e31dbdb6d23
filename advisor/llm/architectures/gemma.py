"""Gemma 1, 2 and 3, EmbeddingGemma."""

from collections.abc import Iterable
from typing import Any, ClassVar, Final

from advisor.llm.architectures.base import sliding_window
from advisor.llm.architectures.builder import TensorList
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.keys import Keys
from advisor.llm.architectures.transformer import Encoder, Transformer
from advisor.llm.hyperparameters import Value

_GEMMA2_WINDOW: Final = 4096
"""gemma2.cpp:load_arch_hparams."""


class Gemma3(Transformer):
    """llama.cpp: src/models/gemma3.cpp; every sixth layer attends to everything."""

    names = ("gemma3",)
    possible_biases = frozenset({"attn_output"})
    head_norms = True
    ffn_norms = ("post_attention_norm", "ffn_norm")
    last_norms = ("post_ffw_norm",)
    huggingface: ClassVar = {
        "Gemma3ForCausalLM": "gemma3",
        "Gemma3ForConditionalGeneration": "gemma3",
    }

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        sliding_window(keys, hp, 6)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["attention.head_count"] = config.integer("num_attention_heads", default=8)
        keys["attention.head_count_kv"] = config.integer("num_key_value_heads", default=4)
        head = config.integer("head_dim", default=256)
        keys["attention.key_length"] = keys["attention.value_length"] = head
        if config.get("vocab_size") is None:
            keys["vocab_size"] = 262208
        if config.get("max_position_embeddings") is None:
            keys["context_length"] = 131072
        if config.integer("sliding_window_pattern", default=6) != 1:
            keys["attention.sliding_window"] = config.integer("sliding_window")
        return ()


class GemmaEmbedding(Encoder, Gemma3):
    """llama.cpp: src/models/gemma-embedding.cpp; Gemma 3 that sees both sides and keeps nothing."""

    names = ("gemma-embedding",)
    output = "may"
    possible_biases = frozenset[str]()
    huggingface: ClassVar = {"Gemma3TextModel": "gemma-embedding"}

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        sliding_window(keys, hp, 6, kind="symmetric")

    def ends(self, t: TensorList) -> None:
        super().ends(t)
        keys = Keys(t.hp.metadata)
        t.optional("dense_2.weight", t.hp.n_embd, keys.integer("dense_2_feat_out", 0))
        t.optional("dense_3.weight", keys.integer("dense_3_feat_in", 0), t.hp.n_embd)


class Gemma2(Transformer):
    """llama.cpp: src/models/gemma2.cpp; every other layer attends to everything."""

    names = ("gemma2",)
    possible_biases = frozenset({"attn_output"})
    ffn_norms = ("post_attention_norm", "ffn_norm")
    last_norms = ("post_ffw_norm",)
    huggingface: ClassVar = {"Gemma2ForCausalLM": "gemma2"}

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        # The first files of Gemma 2, of June 2024, do not state the window.
        sliding_window(keys, hp, 2, default=_GEMMA2_WINDOW)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["attention.sliding_window"] = config.integer("sliding_window", default=_GEMMA2_WINDOW)
        keys["attn_logit_softcapping"] = config.number("attn_logit_softcapping", default=50.0)
        keys["final_logit_softcapping"] = config.number("final_logit_softcapping", default=30.0)
        return ()


class Gemma(Transformer):
    """llama.cpp: src/models/gemma.cpp; the output is always the embedding."""

    names = ("gemma",)
    huggingface: ClassVar = {"GemmaForCausalLM": "gemma"}

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        del config, keys
        return ()
