"""MiniMax: Text-01 and M1 with lightning attention, M2, M3."""

from collections.abc import Iterable
from typing import Any, ClassVar, Final

from advisor.llm.architectures import rules
from advisor.llm.architectures.base import Architecture
from advisor.llm.architectures.builder import TensorList
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.deepseek2 import read_experts
from advisor.llm.architectures.deepseek32 import indexer_cache
from advisor.llm.architectures.keys import Keys, every
from advisor.llm.caches import MemoryRule
from advisor.llm.hyperparameters import Hyperparameters, Value

_LIGHTNING_PERIOD: Final = 8
"""Every eighth block attends by softmax (minimax-01.cpp, where the header says nothing)."""


class MiniMax01(Architecture):
    """llama.cpp: src/models/minimax-01.cpp; Text-01 and M1."""

    names = ("minimax-01",)
    huggingface: ClassVar = {
        "MiniMaxText01ForCausalLM": "minimax-01",
        "MiniMaxM1ForCausalLM": "minimax-01",
    }

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        n_layer = hp["n_layer_all"]
        period = keys.integer("full_attention_interval", _LIGHTNING_PERIOD)
        listed = keys.flags("attention.recurrent_layers", n_layer)
        hp["recurrent_layers"] = listed or every(n_layer, n_layer, period)
        hp["n_embd_head_la"] = hp["n_embd_head_k"]

    def build(self, t: TensorList) -> None:
        hp = t.hp
        t.embeddings()
        for il in range(hp.n_layer):
            b = t.block(il)
            width = hp.n_embd_head_k * hp.n_head[il]
            b.norm("attn_norm")
            if hp.is_recurrent(il):
                b.weight("attn_norm_2", width)
                b.weight("attn_qkv", hp.n_embd, 3 * width)
                b.weight("attn_gate", hp.n_embd, width)
            else:
                b.weight("attn_q", hp.n_embd, width)
                b.weight("attn_k", hp.n_embd, hp.k_gqa(il))
                b.weight("attn_v", hp.n_embd, hp.v_gqa(il))
            b.weight("attn_output", width, hp.n_embd)
            b.norm("ffn_norm")
            b.router()
            b.experts(hp.n_ff[il])

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["residual_scale"] = config.number("layernorm_mlp_alpha", default=1.0)
        keys["rope.dimension_count"] = config.integer("rotary_dim", default=64)
        return super().convert(config, keys)


class MiniMaxM2(Architecture):
    """llama.cpp: src/models/minimax-m2.cpp; Q and K norms span all heads."""

    names = ("minimax-m2",)
    huggingface: ClassVar = {"MiniMaxM2ForCausalLM": "minimax-m2"}

    def build(self, t: TensorList) -> None:
        hp = t.hp
        t.embeddings(output_required=True)
        for il in range(hp.n_layer):
            b = t.block(il)
            b.qkv()
            b.weight("attn_output", hp.n_embd_head_k * hp.n_head[il], hp.n_embd)
            b.norm("attn_norm")
            b.qk_norm(hp.n_embd_head_k * hp.n_head[il], hp.k_gqa(il))
            b.norm("ffn_norm")
            b.router()
            b.experts(hp.n_ff[il])
            b.bias("exp_probs_b", hp.n_expert)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["expert_feed_forward_length"] = config.integer("intermediate_size")
        keys["rope.dimension_count"] = config.integer("rotary_dim", default=64)
        keys["expert_gating_func"] = 2
        return ("output.weight",)


class MiniMaxM3(Architecture):
    """llama.cpp: src/models/minimax-m3.cpp, llama-kv-cache-msa.cpp; block-sparse attention."""

    names = ("minimax-m3",)
    huggingface: ClassVar = {
        "MiniMaxM3SparseForCausalLM": "minimax-m3",
        "MiniMaxM3SparseForConditionalGeneration": "minimax-m3",
    }

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        read_experts(keys, hp)
        hp["n_indexer_head"] = keys.integer("attention.indexer.head_count")
        hp["indexer_head_size"] = keys.integer("attention.indexer.key_length")
        hp["indexer_top_k"] = keys.integer("attention.indexer.top_k")

    def build(self, t: TensorList) -> None:
        hp = t.hp
        t.embeddings(output_required=True)
        for il in range(hp.n_layer):
            b = t.block(il)
            b.qkv()
            b.weight("attn_output", hp.n_embd_head_k * hp.n_head[il], hp.n_embd)
            b.norm("attn_norm")
            b.qk_norm()
            b.norm("ffn_norm")
            if il < hp.n_layer_dense_lead:
                b.gated_ffn()
                continue
            b.router()
            b.bias("exp_probs_b", hp.n_expert)
            b.experts()
            b.shared_expert()
            size = hp.indexer_head_size
            b.weight("indexer.q_proj", hp.n_embd, hp.n_indexer_head * size)
            b.weight("indexer.k_proj", hp.n_embd, size)
            b.weight("indexer.q_norm", size)
            b.weight("indexer.k_norm", size)

    def memory(self, hp: Hyperparameters) -> MemoryRule:
        sparse = tuple(range(hp.n_layer_dense_lead, hp.n_layer))
        # The indexer's cache is an ordinary one with a single head: it has a V that nobody reads.
        return MemoryRule(
            caches=(
                rules.cache(hp, "attn", range(hp.n_layer)),
                indexer_cache(hp, "idx", sparse, v_width=hp.n_embd_head_v),
            ),
            v_width_max=0,
        )

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        sparse = config.part("sparse_attention_config")
        lead = 0
        for step in config.numbers("moe_layer_freq"):
            if step:
                break
            lead += 1
        keys |= {
            "expert_feed_forward_length": config.integer("intermediate_size"),
            "feed_forward_length": config.integer("dense_intermediate_size", "intermediate_size"),
            "rope.dimension_count": config.integer("rotary_dim", default=64),
            "leading_dense_block_count": lead,
            "expert_shared_count": config.integer("n_shared_experts", default=1),
            "expert_weights_scale": config.number("routed_scaling_factor", default=1.0),
            "expert_weights_norm": True,
            "expert_gating_func": 2,
            "attention.indexer.head_count": sparse.integer("sparse_num_index_heads"),
            "attention.indexer.key_length": sparse.integer("sparse_index_dim"),
            "attention.indexer.top_k": sparse.integer("sparse_topk_blocks"),
            "attention.indexer.block_size": sparse.integer("sparse_block_size"),
            "attention.indexer.local_blocks": sparse.integer("sparse_local_block"),
        }
        return ("output.weight",)
