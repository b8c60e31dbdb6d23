"""OLMo 2 and 3, and OLMoE."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures.base import Architecture, sliding_window
from advisor.llm.architectures.builder import TensorList
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.keys import Keys
from advisor.llm.hyperparameters import Value


class Olmo2(Architecture):
    """llama.cpp: src/models/olmo2.cpp; norms after attention and feed-forward."""

    names = ("olmo2",)
    huggingface: ClassVar = {"Olmo2ForCausalLM": "olmo2", "Olmo3ForCausalLM": "olmo2"}

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        sliding_window(keys, hp, 4)

    def build(self, t: TensorList) -> None:
        hp = t.hp
        t.embeddings(output_required=True)
        for il in range(hp.n_layer):
            b = t.block(il)
            b.qkv(n_q=hp.n_embd)
            b.weight("attn_output", hp.n_embd, hp.n_embd)
            b.qk_norm(hp.n_embd, hp.n_head_kv[il] * (hp.n_embd // hp.n_head[il]))
            b.norm("post_attention_norm")
            b.gated_ffn()
            b.norm("post_ffw_norm")

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        window = config.integer("sliding_window", default=0)
        if window:
            keys["attention.sliding_window"] = window
            n_layer = config.integer("num_hidden_layers")
            keys["attention.sliding_window_pattern"] = config.sliding or tuple(
                (il + 1) % 4 != 0 for il in range(n_layer)
            )
        return ("output.weight",)


class Olmoe(Architecture):
    """llama.cpp: src/models/olmoe.cpp."""

    names = ("olmoe",)
    huggingface: ClassVar = {"OlmoeForCausalLM": "olmoe"}

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        del keys
        hp["n_ff_exp"] = hp["n_ff"][0]

    def build(self, t: TensorList) -> None:
        hp = t.hp
        t.embeddings(output_required=True)
        for il in range(hp.n_layer):
            b = t.block(il)
            b.norm("attn_norm")
            b.qkv(n_q=hp.n_embd)
            b.weight("attn_output", hp.n_embd, hp.n_embd)
            b.qk_norm(hp.n_embd, hp.n_embd)
            b.norm("ffn_norm")
            b.router()
            b.experts()

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        del config, keys
        return ("output.weight",)
