"""Gemma 4: wider heads in the layers of full attention, shared K and V, per-layer embeddings."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, ClassVar

from advisor.llm.architectures import rules
from advisor.llm.architectures.base import Architecture, sliding_window
from advisor.llm.architectures.builder import Block, TensorList
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.keys import Keys
from advisor.llm.caches import MemoryRule
from advisor.llm.hyperparameters import Hyperparameters, Value

_K_IS_V = "attention.key_is_value"
"""Our own key: full-attention layers have no V matrix, V is K before its norm."""


class Gemma4(Architecture):
    """llama.cpp: src/models/gemma4.cpp."""

    names = ("gemma4",)
    huggingface: ClassVar = {
        "Gemma4ForConditionalGeneration": "gemma4",
        "Gemma4ForCausalLM": "gemma4",
        "Gemma4UnifiedForConditionalGeneration": "gemma4",
    }

    def infer(self, values: dict[str, Value], names: frozenset[str]) -> None:
        layers = range(Keys(values).integer("block_count"))
        has_k = [f"blk.{il}.attn_k.weight" in names for il in layers]
        has_v = [f"blk.{il}.attn_v.weight" in names for il in layers]
        values.setdefault(_K_IS_V, any(k and not v for k, v in zip(has_k, has_v, strict=True)))
        if any(has_k):
            values.setdefault("attention.key_in_all_layers", all(has_k))

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        sliding_window(keys, hp, 6)
        hp["n_layer_kv_from_start"] = hp["n_layer_all"] - keys.integer(
            "attention.shared_kv_layers", 0
        )
        hp["n_embd_per_layer"] = keys.integer("embedding_length_per_layer_input", 0)
        hp["k_is_v"] = bool(keys.integer(_K_IS_V, 0))
        hp["k_everywhere"] = bool(keys.integer("attention.key_in_all_layers", 0))

    def build(self, t: TensorList) -> None:
        hp = t.hp
        per_layer = hp.n_embd_per_layer
        t.embeddings()
        t.add("rope_freqs.weight", hp.n_embd_head_k // 2)
        if per_layer:
            t.add("per_layer_token_embd.weight", per_layer * hp.n_layer, hp.n_vocab)
            t.add("per_layer_model_proj.weight", hp.n_embd, per_layer * hp.n_layer)
            t.add("per_layer_proj_norm.weight", per_layer)
        for il in range(hp.n_layer):
            b = t.block(il)
            b.norm("attn_norm")
            _attention(b)
            b.norm("post_attention_norm")
            b.optional("layer_output_scale.weight", 1)
            b.norm("ffn_norm")
            b.gated_ffn()
            b.norm("post_ffw_norm")
            if hp.n_expert:
                _experts(b)
            if per_layer:
                b.weight("inp_gate", hp.n_embd, per_layer)
                b.weight("proj", per_layer, hp.n_embd)
                b.norm("post_norm")

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        head = config.integer("head_dim", default=256)
        full = config.integer("global_head_dim", default=512)
        shared = config.integer("num_kv_shared_layers", default=0)
        sliding = config.sliding
        keys |= {
            "attention.sliding_window": config.integer("sliding_window", default=1024),
            "attention.sliding_window_pattern": sliding,
            "attention.key_length": full,
            "attention.value_length": full,
            "attention.key_length_swa": head,
            "attention.value_length_swa": head,
            "attention.shared_kv_layers": shared,
            "embedding_length_per_layer_input": config.integer(
                "hidden_size_per_layer_input", default=0
            ),
            "rope.dimension_count": full,
            "rope.dimension_count_swa": head,
            _K_IS_V: config.flag("attention_k_eq_v"),
            # Layers that share K and V have their own matrices in the checkpoint all the same.
            "attention.key_in_all_layers": True,
            "vocab_size": config.integer("vocab_size", default=262144),
        }
        wide = config.integer("num_global_key_value_heads", default=0)
        narrow = config.integer("num_key_value_heads")
        if wide:
            keys["attention.head_count_kv"] = tuple(narrow if swa else wide for swa in sliding)
        if config.flag("use_double_wide_mlp"):
            n_layer, n_ff = config.integer("num_hidden_layers"), config.integer("intermediate_size")
            keys["feed_forward_length"] = tuple(
                n_ff if il < n_layer - shared else 2 * n_ff for il in range(n_layer)
            )
        experts = config.integer("moe_intermediate_size", "expert_intermediate_size", default=0)
        if experts and "expert_count" in keys:
            keys["expert_feed_forward_length"] = experts
        return {"layer_output_scale.weight", "ffn_gate_up_exps.weight", "ffn_down_exps.scale"}


class Gemma4Assistant(Gemma4):
    """llama.cpp: src/models/gemma4-assistant.cpp; drafts with the main model's caches.

    All its blocks are NextN layers to llama.cpp; here they are its trunk.
    """

    names = ("gemma4-assistant",)
    huggingface: ClassVar = dict.fromkeys(
        ("Gemma4AssistantForCausalLM", "Gemma4UnifiedAssistantForCausalLM"), "gemma4-assistant"
    )

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        hp["n_layer_nextn"], hp["n_layer_kv_from_start"] = 0, 0
        sliding_window(keys, hp, 6)
        hp["n_embd_backbone"] = keys.integer("embedding_length_out")

    def build(self, t: TensorList) -> None:
        hp = t.hp
        outer = int(hp.extra["n_embd_backbone"])
        t.add("token_embd.weight", hp.n_embd, hp.n_vocab)
        t.add("output_norm.weight", hp.n_embd)
        t.add("nextn.pre_projection.weight", 2 * outer, hp.n_embd)
        t.add("nextn.post_projection.weight", hp.n_embd, outer)
        if not all(hp.swa_layers):
            t.add("rope_freqs.weight", hp.n_embd_head_k // 2)
        for il in range(hp.n_layer):
            b = t.block(il)
            width = hp.head_k(il) * hp.n_head[il]
            b.norm("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm")
            b.weight("attn_q", hp.n_embd, width)
            b.weight("attn_output", width, hp.n_embd)
            b.weight("attn_q_norm", hp.head_k(il))
            b.weight("layer_output_scale", 1)
            b.gated_ffn()

    def memory(self, hp: Hyperparameters) -> MemoryRule:
        lent = tuple(replace(c, lent=True) for c in rules.attention(hp, range(hp.n_layer)))
        return MemoryRule(caches=lent, v_width_max=hp.v_gqa_max)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        super().convert(config, keys)
        keys["embedding_length_out"] = config.integer("backbone_hidden_size")
        keys["nextn_predict_layers"] = config.integer("num_hidden_layers")
        return ()


def _attention(b: Block) -> None:
    hp, il = b.hp, b.il
    head = hp.head_k(il)
    b.weight("attn_q", hp.n_embd, head * hp.n_head[il])
    with_k = hp.has_kv(il) or bool(hp.extra["k_everywhere"])
    if with_k:
        b.weight("attn_k", hp.n_embd, hp.k_gqa(il))
        if hp.is_swa(il) or not hp.extra["k_is_v"]:
            b.weight("attn_v", hp.n_embd, hp.v_gqa(il))
    b.weight("attn_output", head * hp.n_head[il], hp.n_embd)
    b.weight("attn_q_norm", head)
    if with_k:
        b.weight("attn_k_norm", head)


def _experts(b: Block) -> None:
    b.router()
    b.add("ffn_gate_inp.scale", b.hp.n_embd)
    b.norm("pre_ffw_norm_2", "post_ffw_norm_1", "post_ffw_norm_2")
    b.experts(fusable=True)
    b.optional("ffn_down_exps.scale", b.hp.n_expert)
