"""Jais 2: norms with biases, squared ReLU without a gate."""

from collections.abc import Iterable
from typing import ClassVar

from advisor.llm.architectures.config import Config
from advisor.llm.architectures.transformer import QKV_BIASES, Transformer
from advisor.llm.hyperparameters import Value


class Jais2(Transformer):
    """llama.cpp: src/models/jais2.cpp; every matrix has a bias."""

    names = ("jais2",)
    layer_norm = True
    biases = frozenset(
        {"output_norm", "attn_norm", "attn_output", "ffn_norm", "ffn_up", "ffn_down"}
    )
    gate = "none"
    huggingface: ClassVar = {"Jais2ForCausalLM": "jais2"}

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        biased = config.flag("attention_bias", default=True)
        return set[str](super().convert(config, keys)) | (QKV_BIASES if biased else set())
