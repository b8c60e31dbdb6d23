"""Refact."""

from collections.abc import Iterable
from typing import ClassVar

from advisor.llm.architectures.config import Config
from advisor.llm.architectures.llama import Llama
from advisor.llm.hyperparameters import Value


class Refact(Llama):
    """llama.cpp: src/models/refact.cpp; ALiBi, one head of K and V."""

    names = ("refact",)
    huggingface: ClassVar = {"GPTRefactForCausalLM": "refact"}

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        width = config.integer("n_embd")
        # Two thirds of four times the width, in whole 256s (conversion/refact.py).
        keys["feed_forward_length"] = -(-int(2 * 4 * width / 3) // 256) * 256
        keys["attention.head_count_kv"] = 1
        return {"output.weight"}
