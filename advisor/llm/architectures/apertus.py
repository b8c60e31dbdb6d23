"""Apertus."""

from collections.abc import Iterable
from typing import ClassVar

from advisor.llm.architectures.config import Config
from advisor.llm.architectures.transformer import Transformer
from advisor.llm.hyperparameters import Value

_XIELU: dict[str, Value] = {f"xielu.{name}": 0.5 for name in ("alpha_n", "alpha_p", "beta", "eps")}
"""xIELU's numbers are trained, which memory does not ask; llama.cpp wants some in the header."""


class Apertus(Transformer):
    """llama.cpp: src/models/apertus.cpp; no gate, xIELU."""

    names = ("apertus",)
    output = "must"
    rope_freqs = True
    possible_biases = frozenset({"attn_output"})
    head_norms = True
    gate = "none"
    huggingface: ClassVar = {"ApertusForCausalLM": "apertus"}

    def infer(self, values: dict[str, Value], names: frozenset[str]) -> None:
        del names
        values |= _XIELU

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys |= _XIELU
        return super().convert(config, keys)
