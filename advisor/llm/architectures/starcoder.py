"""StarCoder 1 and 2."""

from collections.abc import Iterable
from typing import ClassVar

from advisor.llm.architectures.config import Config
from advisor.llm.architectures.gpt2 import GptBlock
from advisor.llm.architectures.transformer import QKV_BIASES
from advisor.llm.hyperparameters import Value


class StarCoder(GptBlock):
    """llama.cpp: src/models/starcoder.cpp; learned positions, one head of K and V."""

    names = ("starcoder",)
    positions = "must"
    huggingface: ClassVar = {"GPTBigCodeForCausalLM": "starcoder"}

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["feed_forward_length"] = 4 * config.integer("n_embd")
        keys["attention.head_count_kv"] = 1
        return super().convert(config, keys)


class StarCoder2(GptBlock):
    """llama.cpp: src/models/starcoder2.cpp; every matrix and norm has a bias."""

    names = ("starcoder2",)
    tied_by_default = True
    written = QKV_BIASES
    fused = False
    huggingface: ClassVar = {"Starcoder2ForCausalLM": "starcoder2"}
