"""Qwen2 and Qwen2.5, dense and mixture of experts."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures.builder import Block
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.keys import Keys
from advisor.llm.architectures.transformer import QKV_BIASES, Transformer
from advisor.llm.hyperparameters import Value


class Qwen2(Transformer):
    """llama.cpp: src/models/qwen2.cpp, qwen2vl.cpp."""

    names = ("qwen2", "qwen2vl")
    possible_biases = frozenset({"output"})
    written = QKV_BIASES
    square = True
    huggingface: ClassVar = {
        "Qwen2ForCausalLM": "qwen2",
        "Qwen2AudioForConditionalGeneration": "qwen2",
        "DotsOCRForCausalLM": "qwen2",
        "KORMoForCausalLM": "qwen2",
        "AudioFlamingo3ForConditionalGeneration": "qwen2",
        "Qwen2Model": "qwen2",
        "Qwen2VLForConditionalGeneration": "qwen2vl",
        "Qwen2_5_VLForConditionalGeneration": "qwen2vl",
        "Qwen2_5OmniModel": "qwen2vl",
        "Qwen2VLModel": "qwen2vl",
    }

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        if self.arch_of(config) == "qwen2vl":
            sections = config.rope.numbers("mrope_section") or (16, 24, 24)
            keys["rope.dimension_sections"] = (*sections, 0)[:4]
        return super().convert(config, keys)


class Qwen2Moe(Transformer):
    """llama.cpp: src/models/qwen2moe.cpp; a gated shared expert."""

    names = ("qwen2moe",)
    output = "must"
    written = QKV_BIASES
    square = True
    huggingface: ClassVar = {"Qwen2MoeForCausalLM": "qwen2moe"}

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        hp["n_ff_shexp"] = keys.integer("expert_shared_feed_forward_length", 0) or hp["n_ff"][0]
        hp["n_ff_exp"] = hp["n_ff_exp"] or hp["n_ff"][0] // max(hp["n_expert_used"], 1)

    def routed(self, b: Block) -> None:
        super().routed(b)
        b.weight("ffn_gate_inp_shexp", b.hp.n_embd)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        shared = config.integer("shared_expert_intermediate_size", default=0)
        if shared:
            keys["expert_shared_feed_forward_length"] = shared
        return super().convert(config, keys)
