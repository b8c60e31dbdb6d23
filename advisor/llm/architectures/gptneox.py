"""GPT-NeoX: Pythia, Dolly, RedPajama, the first StableLM."""

from collections.abc import Iterable
from typing import ClassVar

from advisor.llm.architectures.config import Config
from advisor.llm.architectures.gpt2 import GptBlock
from advisor.llm.hyperparameters import Value


class GptNeoX(GptBlock):
    """llama.cpp: src/models/gptneox.cpp; every norm and matrix has a bias."""

    names = ("gptneox",)
    output = "must"
    huggingface: ClassVar = {"GPTNeoXForCausalLM": "gptneox"}

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["rope.dimension_count"] = config.rotary(0.25)
        keys["use_parallel_residual"] = config.flag("use_parallel_residual", default=True)
        return super().convert(config, keys)
