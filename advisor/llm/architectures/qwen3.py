"""Qwen3, dense and mixture of experts, and their vision variants' language part."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures import rules
from advisor.llm.architectures.builder import TensorList
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.keys import Keys
from advisor.llm.architectures.transformer import Transformer
from advisor.llm.hyperparameters import Value


class Qwen3(Transformer):
    """llama.cpp: src/models/qwen3.cpp, qwen3vl.cpp."""

    names = ("qwen3", "qwen3vl")
    possible_biases = frozenset({"attn_output"})
    head_norms = True
    huggingface: ClassVar = {
        "Qwen3ForCausalLM": "qwen3",
        "Qwen3VLForConditionalGeneration": "qwen3vl",
        "Qwen3ASRForConditionalGeneration": "qwen3vl",
        "StepVLForConditionalGeneration": "qwen3",
        "Qwen3Model": "qwen3",
    }

    def ends(self, t: TensorList) -> None:
        super().ends(t)
        t.optional("cls.output.weight", t.hp.n_embd, rules.labels(t.hp))

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        _vision(self.arch_of(config), config, keys)
        optional = set[str](super().convert(config, keys))
        if config.text("pooling_type") == "rank":
            # Rows of the output matrix are all that is kept of it (conversion/qwen.py).
            keys["classifier.output_labels"] = ("yes", "no")
            optional = {"cls.output.weight"}
        return optional


class Qwen3Moe(Transformer):
    """llama.cpp: src/models/qwen3moe.cpp, qwen3vlmoe.cpp."""

    names = ("qwen3moe", "qwen3vlmoe")
    possible_biases = frozenset({"attn_output"})
    head_norms = True
    huggingface: ClassVar = {
        "Qwen3MoeForCausalLM": "qwen3moe",
        "Qwen3VLMoeForConditionalGeneration": "qwen3vlmoe",
        "Qwen3OmniMoeForConditionalGeneration": "qwen3vlmoe",
    }

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        del keys
        if not hp["n_ff_exp"] and hp["n_expert_used"]:
            hp["n_ff_exp"] = hp["n_ff"][0] // hp["n_expert_used"]

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        _vision(self.arch_of(config), config, keys)
        return super().convert(config, keys)


def _vision(arch: str, config: Config, keys: dict[str, Value]) -> None:
    if arch in {"qwen3vl", "qwen3vlmoe"}:
        sections = config.rope.numbers("mrope_section") or (24, 20, 20)
        keys["rope.dimension_sections"] = (*sections, 0)
        vision = Config(config.top).part("vision_config")
        keys["n_deepstack_layers"] = len(vision.numbers("deepstack_visual_indexes"))
