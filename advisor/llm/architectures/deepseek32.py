"""DeepSeek V3.2 and GLM-5: latent attention with a sparse-attention indexer (DSA)."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures import rules
from advisor.llm.architectures.base import Architecture
from advisor.llm.architectures.builder import Block, TensorList
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.deepseek2 import (
    convert_mla,
    convert_nextn,
    mixed_ffn,
    read_experts,
    read_mla,
)
from advisor.llm.architectures.keys import Keys
from advisor.llm.caches import CacheRule, MemoryRule
from advisor.llm.hyperparameters import Hyperparameters, Value

_INDEXER = frozenset(
    {"indexer.k_norm.weight", "indexer.k_norm.bias", "indexer.proj.weight",
     "indexer.attn_k.weight", "indexer.attn_q_b.weight"}
)  # fmt: skip


class DeepSeek32(Architecture):
    """llama.cpp: src/models/deepseek32.cpp, llama-kv-cache-dsa.cpp."""

    names = ("deepseek32",)
    huggingface: ClassVar = {"DeepseekV32ForCausalLM": "deepseek32"}

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        read_mla(keys, hp)
        read_experts(keys, hp)
        read_indexer(keys, hp)

    def build(self, t: TensorList) -> None:
        hp = t.hp
        t.embeddings()
        for il in range(hp.n_layer_all):
            b = t.block(il)
            b.norm("attn_norm")
            b.mla(hp.n_rot)
            b.norm("ffn_norm")
            if il >= hp.n_layer or hp.indexer_layers[il] or hp.extra["indexer_everywhere"]:
                indexer(b)
            mixed_ffn(b)
            if il >= hp.n_layer:
                b.nextn()

    def memory(self, hp: Hyperparameters) -> MemoryRule:
        trunk = range(hp.n_layer)
        nextn = range(hp.n_layer, hp.n_layer_all)
        return MemoryRule(
            caches=(
                rules.cache(hp, "mla", trunk),
                indexer_cache(hp, "lid", tuple(il for il in trunk if hp.indexer_layers[il])),
            ),
            mtp=(rules.cache(hp, "attn", nextn),) if hp.n_layer_nextn else (),
        )

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        convert_mla(config, keys)
        convert_indexer(config, keys)
        optional = set[str](super().convert(config, keys)) | {"exp_probs_b.bias"}
        return optional | _INDEXER | convert_nextn(config, keys)


class GlmDsa(DeepSeek32):
    """llama.cpp: src/models/glm-dsa.cpp; from GLM-5.2 on some layers share an indexer."""

    names = ("glm-dsa",)
    huggingface: ClassVar = {"GlmMoeDsaForCausalLM": "glm-dsa"}

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        super().read(keys, hp)
        if hp["n_ctx_train"] >= 1 << 20 and "attention.indexer.types" not in keys:
            # The pattern of GLM-5.2, for files made before the key existed.
            hp["indexer_layers"] = tuple(
                il < 2 or (il - 2) % 4 == 0 for il in range(hp["n_layer_all"])
            )


def read_indexer(keys: Keys, hp: dict[str, Any]) -> None:
    """Sizes of the indexer and which layers own one."""
    n_layer_all = hp["n_layer_all"]
    hp["n_indexer_head"] = keys.integer("attention.indexer.head_count")
    hp["indexer_head_size"] = keys.integer("attention.indexer.key_length")
    hp["indexer_top_k"] = keys.integer("attention.indexer.top_k")
    n_layer = n_layer_all - hp["n_layer_nextn"]
    types = keys.flags("attention.indexer.types", n_layer)
    hp["indexer_layers"] = (types or (True,) * n_layer) + (True,) * (n_layer_all - n_layer)
    hp["indexer_everywhere"] = bool(keys.integer("attention.indexer.in_all_layers", 0))


def indexer(b: Block) -> None:
    """The tensors of a lightning indexer."""
    hp = b.hp
    size = hp.indexer_head_size
    b.weight("indexer.k_norm", size)
    b.bias("indexer.k_norm", size)
    b.weight("indexer.proj", hp.n_embd, hp.n_indexer_head)
    b.weight("indexer.attn_k", hp.n_embd, size)
    b.weight("indexer.attn_q_b", hp.n_lora_q, hp.n_indexer_head * size)


def indexer_cache(
    hp: Hyperparameters, kind: str, layers: tuple[int, ...], v_width: int = 0
) -> CacheRule:
    """Keys of the indexer: one head per layer, as long as the context."""
    n = len(layers)
    return CacheRule(kind, layers, (hp.indexer_head_size,) * n, (v_width,) * n)


def convert_indexer(config: Config, keys: dict[str, Value]) -> None:
    """The indexer's sizes and which layers own one."""
    keys["attention.indexer.head_count"] = config.integer("index_n_heads")
    keys["attention.indexer.key_length"] = config.integer("index_head_dim")
    keys["attention.indexer.top_k"] = config.integer("index_topk")
    types = config.texts("indexer_types")
    if types:
        keys["attention.indexer.types"] = tuple(kind == "full" for kind in types)
