"""OLMo 1, 2 and 3, and OLMoE."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures.base import sliding_window
from advisor.llm.architectures.builder import Block, TensorList
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.keys import Keys
from advisor.llm.architectures.transformer import Transformer
from advisor.llm.hyperparameters import Value


class Olmo(Transformer):
    """llama.cpp: src/models/olmo.cpp; norms without weights."""

    names = ("olmo",)
    layer_norm = True
    attention_norms = ()
    square = True
    ffn_norms = ()
    huggingface: ClassVar = {"OlmoForCausalLM": "olmo", "OLMoForCausalLM": "olmo"}

    def ends(self, t: TensorList) -> None:
        t.add("token_embd.weight", t.hp.n_embd, t.hp.n_vocab)
        t.optional("output.weight", t.hp.n_embd, t.hp.n_vocab)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        clip = config.number("clip_qkv", default=0.0)
        if clip:
            keys["attention.clamp_kqv"] = clip
        return super().convert(config, keys)


class Olmo2(Transformer):
    """llama.cpp: src/models/olmo2.cpp; norms after attention and feed-forward."""

    names = ("olmo2",)
    output = "must"
    attention_norms = ()
    square = True
    ffn_norms = ("post_attention_norm",)
    last_norms = ("post_ffw_norm",)
    huggingface: ClassVar = {"Olmo2ForCausalLM": "olmo2", "Olmo3ForCausalLM": "olmo2"}

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        sliding_window(keys, hp, 4)

    def attention(self, b: Block) -> None:
        super().attention(b)
        hp = b.hp
        b.qk_norm(hp.n_embd, hp.n_head_kv[b.il] * (hp.n_embd // hp.n_head[b.il]))

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        window = config.integer("sliding_window", default=0)
        if window:
            keys["attention.sliding_window"] = window
            n_layer = config.integer("num_hidden_layers")
            keys["attention.sliding_window_pattern"] = config.sliding or tuple(
                (il + 1) % 4 != 0 for il in range(n_layer)
            )
        return super().convert(config, keys)


class Olmoe(Transformer):
    """llama.cpp: src/models/olmoe.cpp."""

    names = ("olmoe",)
    output = "must"
    square = True
    huggingface: ClassVar = {"OlmoeForCausalLM": "olmoe"}

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        del keys
        hp["n_ff_exp"] = hp["n_ff"][0]

    def attention(self, b: Block) -> None:
        super().attention(b)
        b.qk_norm(b.hp.n_embd, b.hp.n_embd)
