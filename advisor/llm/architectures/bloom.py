"""BLOOM and BLOOMZ."""

from collections.abc import Iterable
from typing import ClassVar

from advisor.llm.architectures.builder import TensorList
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.gpt2 import GptBlock
from advisor.llm.hyperparameters import Value


class Bloom(GptBlock):
    """llama.cpp: src/models/bloom.cpp; ALiBi in place of a rotation, normalised embeddings."""

    names = ("bloom",)
    tied_by_default = True
    huggingface: ClassVar = {"BloomForCausalLM": "bloom", "BloomModel": "bloom"}

    def ends(self, t: TensorList) -> None:
        super().ends(t)
        t.add("token_embd_norm.weight", t.hp.n_embd)
        t.add("token_embd_norm.bias", t.hp.n_embd)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        width = config.integer("hidden_size", "n_embed")
        keys["context_length"] = config.integer("seq_length", default=width)
        keys["feed_forward_length"] = 4 * width
        return super().convert(config, keys)
