"""MiniCPM 1 to 4."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures.builder import Block, TensorList
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.keys import Keys
from advisor.llm.architectures.llama import Llama
from advisor.llm.architectures.transformer import Transformer
from advisor.llm.hyperparameters import Value


class MiniCpm(Llama):
    """llama.cpp: src/models/minicpm.cpp; Llama's tensors, Granite's scales."""

    names = ("minicpm",)
    huggingface: ClassVar = {"MiniCPMForCausalLM": "minicpm"}

    def infer(self, values: dict[str, Value], names: frozenset[str]) -> None:
        super().infer(values, names)
        # Older files leave out the scales; llama.cpp then takes those of the first release.
        for name in ("embedding_scale", "residual_scale", "logit_scale"):
            values.setdefault(name, 12.0)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        optional = set[str](super().convert(config, keys))
        keys["embedding_scale"] = config.number("scale_emb", default=12.0)
        depth = config.number("scale_depth", default=1.4)
        keys["residual_scale"] = depth / config.integer("num_hidden_layers") ** 0.5
        base = config.number("dim_model_base", default=256.0)
        keys["logit_scale"] = config.integer("hidden_size") / base
        return optional | _long_rope(config)


class MiniCpm3(Transformer):
    """llama.cpp: src/models/minicpm3.cpp; latent attention, but full K and V are cached."""

    names = ("minicpm3",)
    huggingface: ClassVar = {"MiniCPM3ForCausalLM": "minicpm3"}

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        hp["n_lora_q"] = keys.integer("attention.q_lora_rank")
        hp["n_lora_kv"] = keys.integer("attention.kv_lora_rank")

    def ends(self, t: TensorList) -> None:
        super().ends(t)
        for name in ("rope_factors_long", "rope_factors_short"):
            t.optional(f"{name}.weight", t.hp.n_rot // 2)

    def attention(self, b: Block) -> None:
        b.mla(b.hp.n_rot)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        rope = config.integer("qk_rope_head_dim")
        keys.pop("attention.value_length", None)
        keys |= {
            "attention.q_lora_rank": config.integer("q_lora_rank"),
            "attention.kv_lora_rank": config.integer("kv_lora_rank"),
            "attention.key_length": config.integer("qk_nope_head_dim") + rope,
            "rope.dimension_count": rope,
        }
        return _long_rope(config).union(super().convert(config, keys))


def _long_rope(config: Config) -> frozenset[str]:
    if config.rope.get("long_factor") or config.flag("long_rope"):
        return frozenset({"rope_factors_long.weight", "rope_factors_short.weight"})
    return frozenset()
