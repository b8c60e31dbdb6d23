"""Llama and what shares its graph: Mistral, Mixtral, Mistral 3, and many small models."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures.config import Config
from advisor.llm.architectures.keys import Keys
from advisor.llm.architectures.transformer import QKV_BIASES, Transformer
from advisor.llm.hyperparameters import Value


class Llama(Transformer):
    """llama.cpp: src/models/llama.cpp and mistral3.cpp, which load the same tensors."""

    names = ("llama", "mistral3", "llama-embed")
    rope_freqs = True
    possible_biases = frozenset({"attn_output", "ffn_gate", "ffn_down", "ffn_up"})
    huggingface: ClassVar = {
        "LlamaForCausalLM": "llama",
        "MistralForCausalLM": "llama",
        "MixtralForCausalLM": "llama",
        "Ministral3ForCausalLM": "mistral3",
        "Mistral3ForConditionalGeneration": "mistral3",
        "InternLM3ForCausalLM": "llama",
        "IQuestCoderForCausalLM": "llama",
        "JanusForConditionalGeneration": "llama",
        "LlavaForConditionalGeneration": "llama",
        "VoxtralForConditionalGeneration": "llama",
        "VLlama3ForCausalLM": "llama",
        "Sarashina2VisionForCausalLM": "llama",
        "LlamaModel": "llama",
        "LlamaBidirectionalModel": "llama-embed",
    }

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        hp["n_ff_exp"] = hp["n_ff"][0] if hp["n_expert"] else 0
        hp["n_ff_shexp"] = keys.integer("expert_shared_feed_forward_length", 0)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["rope.dimension_count"] = config.head
        optional = set[str](super().convert(config, keys))
        if config.flag("attention_bias"):
            optional |= QKV_BIASES | {"attn_output.bias"}
        if config.flag("mlp_bias"):
            optional |= {f"ffn_{part}.bias" for part in ("gate", "down", "up")}
        return optional
