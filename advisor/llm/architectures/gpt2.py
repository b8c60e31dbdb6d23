"""GPT-2, whose block BLOOM, CodeShell, GPT-NeoX and StarCoder have as well."""

from collections.abc import Iterable
from typing import ClassVar

from advisor.llm.architectures.config import Config
from advisor.llm.architectures.transformer import Transformer
from advisor.llm.hyperparameters import Value

ALL_BIASES = frozenset(
    {"output_norm", "attn_norm", "attn_qkv", "attn_output", "ffn_norm", "ffn_down", "ffn_up"}
)


class GptBlock(Transformer):
    """Norms that subtract the mean, biases everywhere, no gate."""

    layer_norm = True
    biases = ALL_BIASES
    square = True
    fused = True
    gate = "none"


class Gpt2(GptBlock):
    """llama.cpp: src/models/gpt2.cpp; learned positions."""

    names = ("gpt2",)
    tied_by_default = True
    positions = "must"
    huggingface: ClassVar = {"GPT2LMHeadModel": "gpt2"}

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["feed_forward_length"] = 4 * config.integer("n_embd")
        return super().convert(config, keys)
