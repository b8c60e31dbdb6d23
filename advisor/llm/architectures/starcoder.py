"""StarCoder 1 and 2."""

from collections.abc import Iterable
from typing import ClassVar

from advisor.llm.architectures.config import Config
from advisor.llm.architectures.gptneox import ALL_BIASES
from advisor.llm.architectures.transformer import QKV_BIASES, Transformer
from advisor.llm.hyperparameters import Value


class StarCoder(Transformer):
    """llama.cpp: src/models/starcoder.cpp; learned positions, one head of K and V."""

    names = ("starcoder",)
    positions = "must"
    layer_norm = True
    biases = ALL_BIASES
    square = True
    fused = True
    gate = "none"
    huggingface: ClassVar = {"GPTBigCodeForCausalLM": "starcoder"}

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["feed_forward_length"] = 4 * config.integer("n_embd")
        keys["attention.head_count_kv"] = 1
        return super().convert(config, keys)


class StarCoder2(Transformer):
    """llama.cpp: src/models/starcoder2.cpp; every matrix and norm has a bias."""

    names = ("starcoder2",)
    tied_by_default = True
    layer_norm = True
    biases = ALL_BIASES
    written = QKV_BIASES
    square = True
    gate = "none"
    huggingface: ClassVar = {"Starcoder2ForCausalLM": "starcoder2"}
