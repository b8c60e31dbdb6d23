"""MiniCPM 1 to 4."""

from collections.abc import Iterable
from typing import ClassVar

from advisor.llm.architectures.config import Config
from advisor.llm.architectures.llama import Llama
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
        if config.rope.get("long_factor") or config.flag("long_rope"):
            optional |= {"rope_factors_long.weight", "rope_factors_short.weight"}
        return optional
