"""Seed-OSS."""

from collections.abc import Iterable
from typing import ClassVar

from advisor.llm.architectures.config import Config
from advisor.llm.architectures.transformer import QKV_BIASES, Transformer
from advisor.llm.hyperparameters import Value


class SeedOss(Transformer):
    """llama.cpp: src/models/seed-oss.cpp."""

    names = ("seed_oss",)
    ffn_norms = ("post_attention_norm",)
    huggingface: ClassVar = {"SeedOssForCausalLM": "seed_oss"}

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        biased = config.flag("attention_bias", default=True)
        return set[str](super().convert(config, keys)) | (QKV_BIASES if biased else set())
