"""Every architecture by its name in GGUF files and by its name in config.json files."""

from collections.abc import Mapping
from typing import Any, Final

from advisor.errors import ModelError
from advisor.llm import unsupported
from advisor.llm.architectures.apertus import Apertus
from advisor.llm.architectures.arcee import Arcee
from advisor.llm.architectures.arctic import Arctic
from advisor.llm.architectures.baichuan import Baichuan
from advisor.llm.architectures.base import Architecture
from advisor.llm.architectures.bert import Bert, JinaBert2, NomicBert
from advisor.llm.architectures.bitnet import BitNet
from advisor.llm.architectures.bloom import Bloom
from advisor.llm.architectures.chameleon import Chameleon
from advisor.llm.architectures.chatglm import ChatGlm
from advisor.llm.architectures.codeshell import CodeShell
from advisor.llm.architectures.cogvlm import CogVlm
from advisor.llm.architectures.cohere import Cohere2, Cohere2Moe, CommandR
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.dbrx import Dbrx
from advisor.llm.architectures.deci import Deci
from advisor.llm.architectures.deepseek import DeepSeek, DeepSeekOcr
from advisor.llm.architectures.deepseek2 import DeepSeek2
from advisor.llm.architectures.deepseek4 import DeepSeek4
from advisor.llm.architectures.deepseek32 import DeepSeek32, GlmDsa
from advisor.llm.architectures.diffusion import Dream, Llada, LladaMoe, Rnd1
from advisor.llm.architectures.drafts import DFlash, Eagle3
from advisor.llm.architectures.ernie import Ernie45
from advisor.llm.architectures.exaone import Exaone, Exaone4
from advisor.llm.architectures.exaone_moe import ExaoneMoe
from advisor.llm.architectures.falcon import Falcon
from advisor.llm.architectures.falcon_h1 import FalconH1
from advisor.llm.architectures.gemma import Gemma, Gemma2, Gemma3, GemmaEmbedding
from advisor.llm.architectures.gemma3n import Gemma3n
from advisor.llm.architectures.gemma4 import Gemma4, Gemma4Assistant
from advisor.llm.architectures.glm4 import Glm4, Glm4Moe
from advisor.llm.architectures.glm5_next import Glm5Next
from advisor.llm.architectures.gpt2 import Gpt2
from advisor.llm.architectures.gpt_oss import GptOss
from advisor.llm.architectures.gptneox import GptNeoX
from advisor.llm.architectures.granite import Granite, GraniteHybrid, GraniteSwa, GraniteSwitch
from advisor.llm.architectures.grok import Grok
from advisor.llm.architectures.grovemoe import GroveMoe
from advisor.llm.architectures.hunyuan import HunyuanDense, HunyuanMoe, HyV3
from advisor.llm.architectures.hy_v4 import HyV4
from advisor.llm.architectures.internlm2 import InternLm2
from advisor.llm.architectures.jais import Jais
from advisor.llm.architectures.jais2 import Jais2
from advisor.llm.architectures.kimi import KimiK3, KimiLinear
from advisor.llm.architectures.lfm2 import Lfm2
from advisor.llm.architectures.ling import BailingMoe, BailingMoe2, Dots1
from advisor.llm.architectures.ling3 import BailingMoe3
from advisor.llm.architectures.llama import Llama
from advisor.llm.architectures.llama4 import Llama4
from advisor.llm.architectures.looped import HrmText, Nanbeige
from advisor.llm.architectures.maincoder import Maincoder
from advisor.llm.architectures.mamba import Jamba, Mamba, Mamba2
from advisor.llm.architectures.mellum import Maple, Mellum
from advisor.llm.architectures.mimo2 import MiMo2
from advisor.llm.architectures.minicpm import MiniCpm, MiniCpm3
from advisor.llm.architectures.minimax import MiniMax01, MiniMaxM2, MiniMaxM3
from advisor.llm.architectures.modern_bert import EuroBert, ModernBert, NeoBert
from advisor.llm.architectures.mpt import Mpt
from advisor.llm.architectures.nemotron import Nemotron
from advisor.llm.architectures.nemotron_h import NemotronH
from advisor.llm.architectures.olmo import Olmo, Olmo2, Olmoe
from advisor.llm.architectures.openelm import OpenElm
from advisor.llm.architectures.orion import Orion
from advisor.llm.architectures.pangu import PanguEmbedded
from advisor.llm.architectures.phi import Phi2, Phi3, PhiMoe
from advisor.llm.architectures.plamo import Plamo, Plamo2, Plamo3
from advisor.llm.architectures.qwen import Qwen
from advisor.llm.architectures.qwen2 import Qwen2, Qwen2Moe
from advisor.llm.architectures.qwen3 import Qwen3, Qwen3Moe
from advisor.llm.architectures.qwen4exp import Qwen4Exp
from advisor.llm.architectures.qwen35 import Qwen3Next, Qwen35, Qwen35Moe
from advisor.llm.architectures.refact import Refact
from advisor.llm.architectures.rwkv6 import Rwkv6, Rwkv6Qwen2
from advisor.llm.architectures.rwkv7 import ARwkv7, Rwkv7
from advisor.llm.architectures.seed_oss import SeedOss
from advisor.llm.architectures.smallthinker import SmallThinker
from advisor.llm.architectures.smollm3 import SmolLm3
from advisor.llm.architectures.spark25 import Spark25
from advisor.llm.architectures.stablelm import StableLm
from advisor.llm.architectures.starcoder import StarCoder, StarCoder2
from advisor.llm.architectures.step35 import Step35
from advisor.llm.architectures.t5 import T5, T5Encoder
from advisor.llm.architectures.talkie import Talkie
from advisor.llm.architectures.trinity import Laguna, MuseGlimmer, Trinity
from advisor.llm.architectures.xverse import Xverse
from advisor.llm.hyperparameters import Hyperparameters

_FAMILIES: Final[tuple[Architecture, ...]] = (
    Llama(), Llama4(), Granite(), GraniteHybrid(), SmolLm3(), SeedOss(), Exaone4(),
    Qwen2(), Qwen2Moe(), Qwen3(), Qwen3Moe(), Qwen3Next(), Qwen35(), Qwen35Moe(), Qwen4Exp(),
    Gemma(), Gemma2(), Gemma3(), Gemma3n(), Gemma4(), GptOss(), Phi3(), PhiMoe(),
    DeepSeek2(), DeepSeek32(), DeepSeek4(), Glm4(), Glm4Moe(), GlmDsa(), Glm5Next(),
    KimiLinear(), KimiK3(), MiniMaxM2(), MiniMaxM3(), NemotronH(), FalconH1(),
    HunyuanDense(), HunyuanMoe(), HyV3(), HyV4(), Ernie45(), Step35(), Lfm2(), MiMo2(),
    Exaone(), InternLm2(), StarCoder2(), Arcee(), Apertus(), BailingMoe2(), BailingMoe3(), Dots1(),
    MiniCpm(), Nemotron(),
    Olmo2(), Olmoe(), CommandR(), Cohere2(), Mamba(), Mamba2(), Jamba(), Rwkv7(),
    Deci(), ExaoneMoe(), Trinity(), Laguna(), MuseGlimmer(), Cohere2Moe(), SmallThinker(),
    GroveMoe(), Mellum(), Maple(), Spark25(), GraniteSwa(), Plamo3(), Maincoder(), Jais2(),
    PanguEmbedded(),
    Phi2(), StableLm(), Falcon(), ChatGlm(), DeepSeek(), BailingMoe(), Olmo(), MiniCpm3(),
    Dbrx(), GptNeoX(), Mpt(), Bloom(), StarCoder(), Refact(), CodeShell(), Baichuan(), Orion(),
    Qwen(), Xverse(), Plamo(), Gpt2(), OpenElm(), Jais(),
    Grok(), Arctic(), BitNet(), Rwkv6(), Rwkv6Qwen2(), ARwkv7(),
    DeepSeekOcr(), MiniMax01(), Plamo2(), CogVlm(), Chameleon(), Talkie(),
    Eagle3(), DFlash(), Gemma4Assistant(), Nanbeige(), HrmText(),
    T5(), T5Encoder(), GraniteSwitch(),
    Dream(), Llada(), LladaMoe(), Rnd1(),
    Bert(), NomicBert(), JinaBert2(), ModernBert(), EuroBert(), NeoBert(), GemmaEmbedding(),
)  # fmt: skip
_BY_NAME: Final = {name: family for family in _FAMILIES for name in family.names}
_BY_CLASS: Final = {name: family for family in _FAMILIES for name in family.huggingface}
_BY_TYPE: Final = {name: family for family in _FAMILIES for name in family.model_types}


def architecture(name: str) -> Architecture | None:
    """The family of a ``general.architecture``, None where we don't know it."""
    return _BY_NAME.get(name)


def names() -> tuple[str, ...]:
    """Every ``general.architecture`` we know."""
    return tuple(_BY_NAME)


def from_config(config: Mapping[str, Any]) -> Hyperparameters:
    """Hyperparameters of a Hugging Face config.json. Raises ModelError where it isn't known."""
    beyond = unsupported.of_type(str(config.get("model_type")))
    if beyond is not None:
        raise ModelError(beyond.sentence)
    wrapped = Config(config)
    by_type = _BY_TYPE.get(wrapped.text("model_type"))
    if by_type is not None:
        return by_type.from_config(config)
    # "modeling_grove_moe.GroveMoeForCausalLM" names the file of its code, too.
    named = (name.rpartition(".")[2] for name in _classes(config) + wrapped.texts("architectures"))
    classes = tuple(dict.fromkeys(named))
    for name in classes or _class_of(wrapped.text("model_type")):
        if name in _BY_CLASS:
            given = name in _classes(config) or name in wrapped.texts("architectures")
            told = config if given else {**config, "architectures": [name]}
            return _BY_CLASS[name].from_config(told)
    shown = " and ".join(classes)
    raise ModelError(
        f"This config.json names {shown}, which Rig Advisor does not know. If there is a GGUF file "
        "of it, open that."
        if classes
        else "This config.json does not say what architecture it is of."
    )


def _class_of(model_type: str) -> tuple[str, ...]:
    """What class a ``model_type`` belongs to, where a config.json names none."""
    plain = model_type.removesuffix("_text").replace("_", "")
    ends = ("ForCausalLM", "ForConditionalGeneration", "Model")
    found = [f"{plain}{end}".lower() for end in ends]
    return tuple(name for name in _BY_CLASS if name.lower().replace("_", "") in found)


def _classes(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Classes that the outer config names; a language part may repeat or replace them."""
    return Config({"architectures": config.get("architectures")}).texts("architectures")
