"""Hy4: gated latent attention with an indexer, experts, hyper-connections without mixing."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures import rules
from advisor.llm.architectures.base import Architecture
from advisor.llm.architectures.builder import Block, TensorList
from advisor.llm.architectures.config import Config, leading
from advisor.llm.architectures.deepseek2 import convert_mla, mixed_ffn, read_experts, read_mla
from advisor.llm.architectures.deepseek32 import indexer, indexer_cache, read_indexer
from advisor.llm.architectures.keys import Keys
from advisor.llm.caches import MemoryRule
from advisor.llm.hyperparameters import Hyperparameters, Value

_SPARSE = frozenset({"sparse_attention", "deepseek_sparse_attention"})


class HyV4(Architecture):
    """llama.cpp: src/models/hy-v4.cpp; its converter leaves the NextN layers out."""

    names = ("hy_v4",)
    huggingface: ClassVar = {"HYV4ForCausalLM": "hy_v4"}

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        read_mla(keys, hp)
        read_experts(keys, hp)
        hp["n_hyper_connections"] = keys.integer("hyper_connection.count")
        if keys.integer("attention.indexer.top_k", 0):
            read_indexer(keys, hp)

    def build(self, t: TensorList) -> None:
        hp = t.hp
        hc, n_embd = hp.n_hyper_connections, hp.n_embd
        t.embeddings(output_required=True)
        t.add("output_hc_fn.weight", hc * n_embd, hc)
        t.add("output_hc_base.weight", hc)
        t.add("output_hc_scale.weight", 1)
        for il in range(hp.n_layer):
            b = t.block(il)
            b.norm("attn_norm", "ffn_norm")
            b.weight("attn_sinks", hp.n_head[il])
            b.mla(hp.n_rot)
            b.weight("attn_gate", n_embd, hp.n_head[il] * hp.n_embd_head_v_mla)
            if hp.indexer_top_k and hp.indexer_layers[il]:
                indexer(b)
            _hyper_connections(b)
            mixed_ffn(b)

    def memory(self, hp: Hyperparameters) -> MemoryRule:
        trunk = range(hp.n_layer)
        if not hp.indexer_top_k:
            return MemoryRule(caches=(rules.cache(hp, "attn", trunk),))
        owners = tuple(il for il in trunk if hp.indexer_layers[il])
        return MemoryRule(caches=(rules.cache(hp, "mla", trunk), indexer_cache(hp, "lid", owners)))

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        convert_mla(config, keys)
        keys["expert_gating_func"] = 2
        kinds = config.texts("mlp_layer_types")
        if kinds:
            keys["leading_dense_block_count"] = leading(kinds, "dense")
        keys["hyper_connection.count"] = config.integer("hc_mult")
        keys["hyper_connection.epsilon"] = config.number("hc_eps", default=1e-6)
        keys["hyper_connection.magnitude"] = config.number("hc_magnitude", default=2.0)
        limit = config.number("swiglu_limit", default=0.0)
        if limit > 0:
            keys["swiglu_clamp_exp"] = (limit,) * config.integer("num_hidden_layers")
        owners = tuple(kind == "full" for kind in config.texts("indexer_types"))
        if not owners:
            sparse = tuple(kind in _SPARSE for kind in config.texts("layer_types"))
            owners = sparse if any(sparse) else ()
        if owners:
            keys["attention.indexer.head_count"] = config.integer("index_n_heads")
            keys["attention.indexer.key_length"] = config.integer("index_head_dim")
            keys["attention.indexer.top_k"] = config.integer("index_topk")
            keys["attention.indexer.types"] = owners
        return {"output.weight", "exp_probs_b.bias"}


def _hyper_connections(b: Block) -> None:
    hc = b.hp.n_hyper_connections
    for part in ("attn", "ffn"):
        b.weight(f"hc_{part}_fn", hc * b.hp.n_embd, 2 * hc)
        b.weight(f"hc_{part}_base", 2 * hc)
        b.weight(f"hc_{part}_scale", 2)
