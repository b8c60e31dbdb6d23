"""Qwen3, dense and mixture of experts, and their vision variants' language part."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures.base import Architecture
from advisor.llm.architectures.builder import TensorList
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.keys import Keys
from advisor.llm.hyperparameters import Value


class Qwen3(Architecture):
    """llama.cpp: src/models/qwen3.cpp, qwen3vl.cpp."""

    names = ("qwen3", "qwen3vl")
    huggingface: ClassVar = {
        "Qwen3ForCausalLM": "qwen3",
        "Qwen3VLForConditionalGeneration": "qwen3vl",
    }

    def build(self, t: TensorList) -> None:
        hp = t.hp
        t.embeddings()
        t.optional("cls.output.weight", hp.n_embd, 1)
        for il in range(hp.n_layer):
            b = t.block(il)
            b.norm("attn_norm")
            b.qkv()
            b.attention_out(hp.n_embd_head_k * hp.n_head[il])
            b.qk_norm()
            b.norm("ffn_norm")
            b.gated_ffn()

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        _vision(self.arch_of(config), config, keys)
        return super().convert(config, keys)


class Qwen3Moe(Architecture):
    """llama.cpp: src/models/qwen3moe.cpp, qwen3vlmoe.cpp."""

    names = ("qwen3moe", "qwen3vlmoe")
    huggingface: ClassVar = {
        "Qwen3MoeForCausalLM": "qwen3moe",
        "Qwen3VLMoeForConditionalGeneration": "qwen3vlmoe",
    }

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        del keys
        if not hp["n_ff_exp"] and hp["n_expert_used"]:
            hp["n_ff_exp"] = hp["n_ff"][0] // hp["n_expert_used"]

    def build(self, t: TensorList) -> None:
        hp = t.hp
        t.embeddings()
        for il in range(hp.n_layer):
            b = t.block(il)
            b.norm("attn_norm")
            b.qkv()
            b.attention_out(hp.n_embd_head_k * hp.n_head[il])
            b.qk_norm()
            b.norm("ffn_norm")
            b.router()
            b.experts()

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        _vision(self.arch_of(config), config, keys)
        return super().convert(config, keys)


def _vision(arch: str, config: Config, keys: dict[str, Value]) -> None:
    if arch in {"qwen3vl", "qwen3vlmoe"}:
        sections = config.rope.numbers("mrope_section") or (24, 20, 20)
        keys["rope.dimension_sections"] = (*sections, 0)
        vision = Config(config.top).part("vision_config")
        keys["n_deepstack_layers"] = len(vision.numbers("deepstack_visual_indexes"))
