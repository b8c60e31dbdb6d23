"""Every architecture by its name in GGUF files and by its name in config.json files."""

from collections.abc import Mapping
from typing import Any, Final

from advisor.errors import ModelError
from advisor.llm.architectures.base import Architecture
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.deepseek2 import DeepSeek2
from advisor.llm.architectures.deepseek4 import DeepSeek4
from advisor.llm.architectures.gemma import Gemma2, Gemma3
from advisor.llm.architectures.glm4 import Glm4, Glm4Moe
from advisor.llm.architectures.gpt_oss import GptOss
from advisor.llm.architectures.llama import Llama
from advisor.llm.architectures.nemotron_h import NemotronH
from advisor.llm.architectures.qwen3 import Qwen3, Qwen3Moe
from advisor.llm.architectures.qwen35 import Qwen3Next, Qwen35, Qwen35Moe
from advisor.llm.hyperparameters import Hyperparameters

_FAMILIES: Final[tuple[Architecture, ...]] = (
    Llama(),
    Qwen3(),
    Qwen3Moe(),
    Qwen3Next(),
    Qwen35(),
    Qwen35Moe(),
    Gemma2(),
    Gemma3(),
    GptOss(),
    DeepSeek2(),
    DeepSeek4(),
    Glm4(),
    Glm4Moe(),
    NemotronH(),
)
_BY_NAME: Final = {name: family for family in _FAMILIES for name in family.names}
_BY_CLASS: Final = {name: family for family in _FAMILIES for name in family.huggingface}


def architecture(name: str) -> Architecture | None:
    """The family of a ``general.architecture``, None where we don't know it."""
    return _BY_NAME.get(name)


def names() -> tuple[str, ...]:
    """Every ``general.architecture`` we know."""
    return tuple(_BY_NAME)


def from_config(config: Mapping[str, Any]) -> Hyperparameters:
    """Hyperparameters of a Hugging Face config.json. Raises ModelError where it isn't known."""
    wrapped = Config(config)
    classes = Config(wrapped.top).texts("architectures") + wrapped.texts("architectures")
    for name in classes:
        if name in _BY_CLASS:
            return _BY_CLASS[name].from_config(config)
    shown = ", ".join(classes) or "no architecture"
    raise ModelError(f"This config.json names {shown}, which Rig Advisor does not know yet.")
