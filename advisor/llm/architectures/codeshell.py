"""CodeShell."""

from collections.abc import Iterable
from typing import ClassVar

from advisor.llm.architectures.config import Config
from advisor.llm.architectures.gpt2 import GptBlock
from advisor.llm.hyperparameters import Value


class CodeShell(GptBlock):
    """llama.cpp: src/models/codeshell.cpp."""

    names = ("codeshell",)
    output = "must"
    written = frozenset({"attn_qkv.weight", "attn_qkv.bias"})
    fused = False
    huggingface: ClassVar = {"CodeShellForCausalLM": "codeshell"}

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["feed_forward_length"] = 4 * config.integer("n_embd")
        keys["attention.head_count_kv"] = config.integer("num_query_groups")
        return super().convert(config, keys)
