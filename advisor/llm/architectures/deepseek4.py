"""DeepSeek V4: compressed caches, an indexer, hyper-connections, hashed routing."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures.base import Architecture
from advisor.llm.architectures.builder import Block, TensorList
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.keys import Keys, every
from advisor.llm.caches import CacheRule, Cells, MemoryRule, StateRule
from advisor.llm.hyperparameters import Hyperparameters, Value

CSA, HCA = 4, 128
"""Positions per cell of the compressed caches (src/models/deepseek4.cpp)."""


class DeepSeek4(Architecture):
    """llama.cpp: src/models/deepseek4.cpp, llama-kv-cache-dsv4.cpp."""

    names = ("deepseek4",)
    huggingface: ClassVar = {"DeepseekV4ForCausalLM": "deepseek4"}
    rollback = True

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        n_layer_all = hp["n_layer_all"]
        hp["n_lora_q"] = keys.integer("attention.q_lora_rank")
        hp["n_swa"] = keys.integer("attention.sliding_window")
        hp["swa_type"] = "standard"
        hp["swa_layers"] = every(n_layer_all, n_layer_all, 0)
        hp["n_expert_shared"] = keys.integer("expert_shared_count")
        hp["n_ff_shexp"] = hp["n_ff_exp"] * hp["n_expert_shared"]
        hp["n_indexer_head"] = keys.integer("attention.indexer.head_count")
        hp["indexer_head_size"] = keys.integer("attention.indexer.key_length")
        hp["indexer_top_k"] = keys.integer("attention.indexer.top_k")
        hp["n_o_groups"] = keys.integer("attention.output_group_count")
        hp["n_lora_o"] = keys.integer("attention.output_lora_rank")
        hp["n_hyper_connections"] = keys.integer("hyper_connection.count")
        hp["n_hash_layers"] = keys.integer("hash_layer_count")
        hp["compress_ratios"] = keys.per_layer("attention.compress_ratios", n_layer_all)

    def build(self, t: TensorList) -> None:
        hp = t.hp
        hc = hp.n_hyper_connections
        t.embeddings(output_required=True)
        t.add("output_hc_fn.weight", hc * hp.n_embd, hc)
        t.add("output_hc_base.weight", hc)
        t.add("output_hc_scale.weight", 1)
        for il in range(hp.n_layer_all):
            b = t.block(il)
            _attention(b)
            _hyper_connections(b)
            _compressors(b)
            b.router()
            if il < hp.n_hash_layers:
                b.weight("ffn_gate_tid2eid", hp.n_expert_used, hp.n_vocab)
            else:
                b.bias("exp_probs_b", hp.n_expert)
            b.optional("exp_probs_b_vl.bias", hp.n_expert)
            b.norm("ffn_norm")
            b.experts()
            b.shared_expert()
            if il >= hp.n_layer:
                b.nextn()

    def memory(self, hp: Hyperparameters) -> MemoryRule:
        head = hp.n_embd_head_k
        trunk = range(hp.n_layer)
        csa = tuple(il for il in trunk if hp.compress_ratios[il] == CSA)
        hca = tuple(il for il in trunk if hp.compress_ratios[il] == HCA)
        caches = (
            _k_only("raw_base", (), head),
            _k_only("raw_swa", tuple(trunk), head, cells="window", span=hp.n_swa),
            _k_only("csa", csa, head, cells="compressed", span=CSA),
            _k_only("hca", hca, head, cells="compressed", span=HCA),
            _k_only("lid", csa, hp.indexer_head_size, cells="compressed", span=CSA),
        )
        # K and score of the positions that are still being gathered; two windows where ratio is 4
        # (llama-kv-cache-dsv4.cpp:llama_dsv4_comp_state).
        states = (
            _gathering("csa", csa, 2 * CSA, 2 * head),
            _gathering("hca", hca, HCA, head),
            _gathering("lid", csa, 2 * CSA, 2 * hp.indexer_head_size),
        )
        nextn = tuple(range(hp.n_layer, hp.n_layer_all))
        return MemoryRule(
            caches=caches,
            states=states,
            mtp=(_k_only("swa", nextn, head, cells="window", span=hp.n_swa),) if nextn else (),
            rollback=self.rollback,
        )

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        head = config.integer("head_dim", default=512)
        keys |= {
            "attention.head_count_kv": config.integer("num_key_value_heads", default=1),
            "attention.key_length": head,
            "attention.value_length": head,
            "rope.dimension_count": config.integer("qk_rope_head_dim", default=64),
            "attention.q_lora_rank": config.integer("q_lora_rank"),
            "attention.sliding_window": config.integer("sliding_window", default=128),
            "expert_shared_count": config.integer("n_shared_experts", default=1),
            "expert_weights_scale": config.number("routed_scaling_factor", default=1.5),
            "expert_weights_norm": config.flag("norm_topk_prob", default=True),
            "expert_gating_func": 4,
            "swiglu_clamp_exp": (config.number("swiglu_limit", default=10.0),)
            * config.integer("num_hidden_layers"),
            "attention.indexer.head_count": config.integer("index_n_heads"),
            "attention.indexer.key_length": config.integer("index_head_dim"),
            "attention.indexer.top_k": config.integer("index_topk"),
            "attention.output_group_count": config.integer("o_groups"),
            "attention.output_lora_rank": config.integer("o_lora_rank"),
            "attention.compress_ratios": config.numbers("compress_ratios"),
            "attention.compress_rope_freq_base": config.number("compress_rope_theta", default=16e4),
            "hyper_connection.count": config.integer("hc_mult", default=4),
            "hyper_connection.sinkhorn_iterations": config.integer("hc_sinkhorn_iters", default=20),
            "hyper_connection.epsilon": config.number("hc_eps", default=1e-6),
            "hash_layer_count": config.integer("num_hash_layers", default=0),
            "embedding_length_out": config.integer("hidden_size")
            * config.integer("hc_mult", default=4),
        }
        keys.pop("feed_forward_length", None)
        keys.pop("expert_group_count", None)
        keys.pop("expert_group_used_count", None)
        return ("output.weight",)


def _k_only(
    kind: str, layers: tuple[int, ...], width: int, *, cells: Cells = "full", span: int = 0
) -> CacheRule:
    n = len(layers)
    return CacheRule(
        kind=kind,
        layers=layers,
        k_width=(width,) * n,
        v_width=(0,) * n,
        cells=cells,
        span=span,
        always_per_sequence=True,
    )


def _gathering(kind: str, layers: tuple[int, ...], rows: int, width: int) -> StateRule:
    return StateRule(kind, layers, (2 * rows * width,) * len(layers))


def _attention(b: Block) -> None:
    hp = b.hp
    head, n_head = hp.n_embd_head_k, hp.n_head[b.il]
    b.norm("attn_norm")
    b.weight("attn_sinks", n_head)
    b.weight("attn_q_a", hp.n_embd, hp.n_lora_q)
    b.weight("attn_q_a_norm", hp.n_lora_q)
    b.weight("attn_q_b", hp.n_lora_q, n_head * head)
    b.weight("attn_kv", hp.n_embd, head)
    b.weight("attn_kv_a_norm", head)
    b.weight("attn_output_a", n_head * head // hp.n_o_groups, hp.n_lora_o * hp.n_o_groups)
    b.weight("attn_output_b", hp.n_o_groups * hp.n_lora_o, hp.n_embd)


def _hyper_connections(b: Block) -> None:
    hc = b.hp.n_hyper_connections
    for part in ("attn", "ffn"):
        b.weight(f"hc_{part}_fn", hc * b.hp.n_embd, (2 + hc) * hc)
        b.weight(f"hc_{part}_base", (2 + hc) * hc)
        b.weight(f"hc_{part}_scale", 3)


def _compressors(b: Block) -> None:
    hp = b.hp
    ratio = hp.compress_ratios[b.il]
    if not ratio:
        return
    width = (2 if ratio == CSA else 1) * hp.n_embd_head_k
    b.weight("attn_compressor_kv", hp.n_embd, width)
    b.weight("attn_compressor_gate", hp.n_embd, width)
    b.weight("attn_compressor_ape", width, ratio)
    b.weight("attn_compressor_norm", hp.n_embd_head_k)
    if ratio != CSA:
        return
    b.weight("indexer.proj", hp.n_embd, hp.n_indexer_head)
    b.weight("indexer.attn_q_b", hp.n_lora_q, hp.n_indexer_head * hp.indexer_head_size)
    b.weight("indexer_compressor_kv", hp.n_embd, 2 * hp.indexer_head_size)
    b.weight("indexer_compressor_gate", hp.n_embd, 2 * hp.indexer_head_size)
    b.weight("indexer_compressor_ape", 2 * hp.indexer_head_size, ratio)
    b.weight("indexer_compressor_norm", hp.indexer_head_size)
