"""GLM-5.3-Flash: delta attention, latent attention with a pooled indexer, hyper-connections."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures import rules
from advisor.llm.architectures.base import Architecture
from advisor.llm.architectures.builder import Block, TensorList
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.deepseek2 import convert_mla, convert_nextn
from advisor.llm.architectures.deepseek32 import convert_indexer, indexer, read_indexer
from advisor.llm.architectures.keys import Keys
from advisor.llm.architectures.kimi import kda, read_kda
from advisor.llm.caches import CacheRule, MemoryRule
from advisor.llm.hyperparameters import Hyperparameters, Value

POOL_ROW = 3
"""Head-size slots of a cached indexer row: key, gate, pooled key (llama-hparams.h)."""


class Glm5Next(Architecture):
    """llama.cpp: src/models/glm5-next.cpp, llama-memory-hybrid-idx.cpp."""

    names = ("glm5-next",)
    huggingface: ClassVar = {
        "Glm5NextForConditionalGeneration": "glm5-next",
        "Glm5NextForCausalLM": "glm5-next",
    }
    rollback = True

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        read_kda(keys, hp)
        read_indexer(keys, hp)
        hp["n_ff_shexp"] = hp["n_ff_exp"] * hp["n_expert_shared"]
        hp["n_hyper_connections"] = keys.integer("hyper_connection.count")
        hp["kpool"] = keys.integer("attention.indexer.kpool")

    def build(self, t: TensorList) -> None:
        hp = t.hp
        t.embeddings(output_required=True)
        for il in range(hp.n_layer_all):
            b = t.block(il)
            b.norm("attn_norm", "ffn_norm")
            if il < hp.n_layer:
                _hyper_connections(b)
            if hp.is_recurrent(il):
                kda(b)
                b.add("ssm_a", hp.n_head[il])
                b.weight("ssm_g_a", hp.n_embd, hp.n_embd_head_kda)
                b.weight("ssm_g_b", hp.n_embd_head_kda, hp.n_embd_head_kda * hp.n_head[il])
            else:
                b.mla(hp.n_rot)
                if il >= hp.n_layer or hp.indexer_layers[il]:
                    indexer(b)
                    b.weight("indexer_compressor_gate", hp.n_embd, hp.indexer_head_size)
                    b.weight("indexer_compressor_ape", hp.indexer_head_size, int(hp.extra["kpool"]))
            if il < hp.n_layer_dense_lead:
                b.gated_ffn()
            else:
                b.router()
                b.bias("exp_probs_b", hp.n_expert)
                b.experts()
                b.shared_expert()
            if il >= hp.n_layer:
                b.nextn()

    def memory(self, hp: Hyperparameters) -> MemoryRule:
        def caches(layers: range) -> tuple[CacheRule, ...]:
            attending = tuple(il for il in layers if not hp.is_recurrent(il))
            owners = tuple(il for il in attending if hp.indexer_layers[il])
            width = POOL_ROW * hp.indexer_head_size
            n = len(owners)
            return (
                rules.cache(hp, "attn", attending),
                CacheRule("idx", owners, (width,) * n, (0,) * n),
            )

        trunk = range(hp.n_layer)
        return MemoryRule(
            caches=caches(trunk),
            states=rules.recurrent(hp, (il for il in trunk if hp.is_recurrent(il))),
            mtp=caches(range(hp.n_layer, hp.n_layer_all)) if hp.n_layer_nextn else (),
            rollback=self.rollback,
        )

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        convert_mla(config, keys)
        convert_indexer(config, keys)
        linear = config.part("linear_attn_config")
        nextn = convert_nextn(config, keys)
        kinds = config.texts("layer_types")
        n_nextn = keys.get("nextn_predict_layers", 0)
        kv_heads = tuple(int(kind != "linear_attention") for kind in kinds)
        keys["attention.head_count_kv"] = kv_heads + (1,) * (
            n_nextn if isinstance(n_nextn, int) else 0
        )
        keys["attention.layer_norm_epsilon"] = 1e-6
        keys["ssm.conv_kernel"] = linear.integer("short_conv_kernel_size", default=4)
        keys["kda.head_dim"] = linear.integer("head_dim", default=128)
        keys["attention.indexer.kpool"] = config.integer("index_kpool")
        keys["attention.indexer.kpool_select_tail"] = config.flag(
            "index_kpool_always_select_tail", default=True
        )
        bound = linear.number("gate_lower_bound", default=0.0)
        if bound:
            keys["kda.gate_lower_bound"] = bound
        keys["hyper_connection.count"] = config.integer("hc_mult", default=4)
        keys["hyper_connection.sinkhorn_iterations"] = config.integer(
            "hc_sinkhorn_iters", default=20
        )
        keys["hyper_connection.epsilon"] = config.number("hc_eps", default=1e-6)
        return nextn | {"output.weight"}


def _hyper_connections(b: Block) -> None:
    hc = b.hp.n_hyper_connections
    for part in ("attn", "ffn"):
        b.weight(f"hc_{part}_fn", hc * b.hp.n_embd, (2 + hc) * hc)
        b.weight(f"hc_{part}_base", (2 + hc) * hc)
        b.weight(f"hc_{part}_scale", 3)
