"""OpenELM: heads and widths that grow from block to block."""

from collections.abc import Iterable
from typing import ClassVar

from advisor.llm.architectures.config import Config
from advisor.llm.architectures.transformer import Transformer
from advisor.llm.hyperparameters import Value


class OpenElm(Transformer):
    """llama.cpp: src/models/openelm.cpp; the output is always the embedding."""

    names = ("openelm",)
    output = "never"
    fused = True
    head_norms = True
    huggingface: ClassVar = {"OpenELMForCausalLM": "openelm"}

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        step = config.integer("ffn_dim_divisor", default=256)
        width = config.integer("model_dim")
        keys |= {
            "context_length": config.integer("max_context_length", default=2048),
            "feed_forward_length": tuple(
                _divisible(multiplier * width, step)
                for multiplier in config.limits(
                    "ffn_multipliers", config.integer("num_transformer_layers")
                )
            ),
            "attention.head_count": config.numbers("num_query_heads"),
            "attention.head_count_kv": config.numbers("num_kv_heads"),
            "rope.dimension_count": config.integer("head_dim"),
        }
        return super().convert(config, keys)


def _divisible(width: float, step: int) -> int:
    """The nearest multiple, not under nine tenths of the width (conversion/openelm.py)."""
    nearest = max(step, int(width + step / 2) // step * step)
    return nearest + step if nearest < 0.9 * width else nearest
