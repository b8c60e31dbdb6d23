"""Gemma 3n: per-layer embeddings, AltUp and LAuReL; later layers share K and V."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures.base import Architecture, sliding_window
from advisor.llm.architectures.builder import TensorList
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.keys import Keys
from advisor.llm.hyperparameters import Value

# llama-hparams.h and gemma3n.cpp:load_arch_hparams: not read from the file.
N_ALTUP = 4
LAUREL_RANK = 64
N_EMBD_PER_LAYER = 256
KV_FROM_START = 20


class Gemma3n(Architecture):
    """llama.cpp: src/models/gemma3n.cpp."""

    names = ("gemma3n",)
    huggingface: ClassVar = {
        "Gemma3nForCausalLM": "gemma3n",
        "Gemma3nForConditionalGeneration": "gemma3n",
    }

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        sliding_window(keys, hp, 5)
        hp["n_layer_kv_from_start"] = KV_FROM_START
        hp["n_embd_per_layer"] = N_EMBD_PER_LAYER

    def build(self, t: TensorList) -> None:
        hp = t.hp
        n_embd, per_layer = hp.n_embd, hp.n_embd_per_layer
        t.embeddings()
        t.add("altup_proj.weight", n_embd, n_embd, N_ALTUP - 1)
        t.add("altup_unembd_proj.weight", n_embd, n_embd, N_ALTUP - 1)
        t.add("per_layer_token_embd.weight", per_layer * hp.n_layer, hp.n_vocab)
        t.add("per_layer_model_proj.weight", n_embd, per_layer * hp.n_layer)
        t.add("per_layer_proj_norm.weight", per_layer)
        for il in range(hp.n_layer):
            b = t.block(il)
            b.norm("attn_norm")
            b.qkv()
            b.weight("attn_output", hp.n_embd_head_k * hp.n_head[il], n_embd)
            b.qk_norm()
            b.norm("post_attention_norm", "ffn_norm")
            b.gated_ffn()
            b.norm("post_ffw_norm")
            b.weight("inp_gate", n_embd, per_layer)
            b.weight("proj", per_layer, n_embd)
            b.norm("post_norm")
            b.weight("altup_correct_coef", N_ALTUP, N_ALTUP)
            b.norm("altup_correct_scale")
            b.weight("altup_predict_coef", N_ALTUP, N_ALTUP * N_ALTUP)
            b.weight("altup_router", n_embd, N_ALTUP)
            b.norm("altup_router_norm")
            b.weight("laurel_l", n_embd, LAUREL_RANK)
            b.weight("laurel_r", LAUREL_RANK, n_embd)
            b.norm("laurel_post_norm")

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        head = config.integer("head_dim", default=256)
        widths = config.numbers("intermediate_size")
        keys["attention.key_length"] = keys["attention.value_length"] = head
        keys["attention.sliding_window"] = config.integer("sliding_window", default=512)
        if widths:
            keys["feed_forward_length"] = widths
        if config.sliding:
            keys["attention.sliding_window_pattern"] = config.sliding
        keys["vocab_size"] = config.integer("vocab_size", default=262400)
        return ()
