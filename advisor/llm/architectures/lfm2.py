"""LFM2: short convolutions with a few attention layers; dense and mixture of experts."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures.base import Architecture
from advisor.llm.architectures.builder import TensorList
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.keys import Keys
from advisor.llm.hyperparameters import Value


class Lfm2(Architecture):
    """llama.cpp: src/models/lfm2.cpp, lfm2moe.cpp."""

    names = ("lfm2", "lfm2moe")
    huggingface: ClassVar = {
        "Lfm2ForCausalLM": "lfm2",
        "LFM2ForCausalLM": "lfm2",
        "Lfm2VlForConditionalGeneration": "lfm2",
        "Lfm2MoeForCausalLM": "lfm2moe",
    }
    rollback = True

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        hp["n_shortconv_l_cache"] = keys.integer("shortconv.l_cache")
        recurrent = tuple(n == 0 for n in hp["n_head_kv"])
        hp["recurrent_layers"] = recurrent
        hp["n_layer_dense_lead"] = hp["n_layer_all"]
        if hp["arch"] == "lfm2moe":
            hp["n_layer_dense_lead"] = keys.integer("leading_dense_block_count", 0)
        elif keys.integer("attention.sliding_window", 0) > 0:
            hp["n_swa"] = keys.integer("attention.sliding_window")
            hp["swa_type"] = "standard"
            hp["swa_layers"] = tuple(not flag for flag in recurrent)

    def build(self, t: TensorList) -> None:
        hp = t.hp
        n_embd = hp.n_embd
        t.add("token_embd.weight", n_embd, hp.n_vocab)
        t.add("token_embd_norm.weight", n_embd)
        t.optional("output.weight", n_embd, hp.n_vocab)
        for il in range(hp.n_layer):
            b = t.block(il)
            b.norm("ffn_norm")
            if il < hp.n_layer_dense_lead:
                b.gated_ffn()
            else:
                b.router()
                b.experts()
                b.bias("exp_probs_b", hp.n_expert)
            b.norm("attn_norm")
            if hp.is_recurrent(il):
                b.weight("shortconv.conv", hp.n_shortconv_l_cache, n_embd)
                b.weight("shortconv.in_proj", n_embd, 3 * n_embd)
                b.weight("shortconv.out_proj", n_embd, n_embd)
            else:
                b.qk_norm()
                b.qkv(n_q=n_embd)
                b.weight("attn_output", n_embd, n_embd)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        n_kv = config.integer("num_key_value_heads")
        kinds = config.texts("layer_types")
        if not kinds:
            full = set(config.numbers("full_attn_idxs"))
            n_layer = config.integer("num_hidden_layers")
            kinds = tuple("full_attention" if il in full else "conv" for il in range(n_layer))
        keys["attention.head_count_kv"] = tuple(n_kv if kind != "conv" else 0 for kind in kinds)
        keys["shortconv.l_cache"] = config.integer("conv_L_cache", default=3)
        if self.arch_of(config) == "lfm2moe":
            keys["leading_dense_block_count"] = config.integer("num_dense_layers", default=0)
            keys["expert_gating_func"] = 2
        else:
            keys["feed_forward_length"] = _adjusted_width(config)
        return (
            ()
            if config.flag("tie_embedding", "tie_word_embeddings", default=True)
            else ("output.weight",)
        )


def _adjusted_width(config: Config) -> int:
    """The config gives a width that the model adjusts (conversion/lfm2.py)."""
    width = config.integer("block_ff_dim", "intermediate_size")
    if not config.flag("block_auto_adjust_ff_dim"):
        return width
    width = int(config.number("block_ffn_dim_multiplier", default=1.0) * int(2 * width / 3))
    multiple = config.integer("block_multiple_of", default=256)
    return multiple * -(-width // multiple)
