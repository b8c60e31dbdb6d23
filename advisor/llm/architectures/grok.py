"""Grok 1 and 2."""

from collections.abc import Iterable
from typing import Any, ClassVar, Final

from advisor.llm.architectures.builder import Block
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.keys import Keys
from advisor.llm.architectures.transformer import Transformer
from advisor.llm.hyperparameters import Value

_DENSE: Final = frozenset({"ffn_gate.weight", "ffn_down.weight", "ffn_up.weight"})


class Grok(Transformer):
    """llama.cpp: src/models/grok.cpp; experts, and a dense network beside them in Grok 2."""

    names = ("grok",)
    square = True
    ffn_norms = ("attn_output_norm", "ffn_norm")
    huggingface: ClassVar = {"GrokForCausalLM": "grok", "Grok1ForCausalLM": "grok"}

    def infer(self, values: dict[str, Value], names: frozenset[str]) -> None:
        del names
        # The first files leave it out; llama.cpp then takes Grok 1's.
        values.setdefault("embedding_scale", 78.38367176906169)

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        del keys
        hp["n_ff_exp"] = hp["n_ff_exp"] or hp["n_ff"][0]

    def feed_forward(self, b: Block) -> None:
        n_embd, n_ff = b.hp.n_embd, b.hp.n_ff[b.il]
        b.optional("ffn_gate.weight", n_embd, n_ff)
        b.optional("ffn_down.weight", n_ff, n_embd)
        b.optional("ffn_up.weight", n_embd, n_ff)
        b.router()
        b.experts()
        if not b.optional("layer_output_norm.weight", n_embd):
            b.norm("post_ffw_norm")

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["embedding_scale"] = config.number("embedding_multiplier_scale", default=1.0)
        keys["logit_scale"] = config.number("output_multiplier_scale", default=1.0)
        cap = config.number("final_logit_softcapping", default=0.0)
        if cap:
            keys["final_logit_softcapping"] = cap
        optional = set[str](super().convert(config, keys))
        return optional | (_DENSE if config.flag("residual_moe") else set())
