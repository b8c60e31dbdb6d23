"""ModernBERT, EuroBERT and NeoBERT: encoders built like today's decoders."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.errors import BadModelFile
from advisor.llm.architectures.base import sliding_window
from advisor.llm.architectures.builder import TensorList
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.keys import Keys
from advisor.llm.architectures.transformer import Encoder
from advisor.llm.hyperparameters import Value


class ModernBert(Encoder):
    """llama.cpp: src/models/modern-bert.cpp; two of three layers see a window on both sides."""

    names = ("modern-bert",)
    layer_norm = True
    square = True
    fused = True
    gate = "packed"
    huggingface: ClassVar = {
        "ModernBertModel": "modern-bert",
        "ModernBertForMaskedLM": "modern-bert",
        "ModernBertForSequenceClassification": "modern-bert",
    }

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        sliding_window(keys, hp, 3, kind="symmetric", dense_first=True)
        if keys.integer("decision.block_count", 0):
            raise BadModelFile("The model's header describes a head that is not known here.")

    def build(self, t: TensorList) -> None:
        super().build(t)
        # The first block reads the normalised embeddings as they are.
        t.items = [item for item in t.items if item[0] != "blk.0.attn_norm.weight"]

    def ends(self, t: TensorList) -> None:
        hp = t.hp
        t.add("token_embd.weight", hp.n_embd, hp.n_vocab)
        t.add("token_embd_norm.weight", hp.n_embd)
        t.add("output_norm.weight", hp.n_embd)
        t.optional("cls.weight", hp.n_embd, hp.n_embd)
        t.optional("cls.norm.weight", hp.n_embd)
        t.optional("cls.output.weight", hp.n_embd, 1)
        t.optional("cls.output.bias", 1)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["attention.sliding_window"] = config.integer("local_attention")
        period = config.integer("global_attn_every_n_layers", default=0)
        if period:
            keys["attention.sliding_window_pattern"] = period
        return super().convert(config, keys)


class EuroBert(Encoder):
    """llama.cpp: src/models/eurobert.cpp."""

    names = ("eurobert",)
    output = "never"
    square = True
    huggingface: ClassVar = {"EuroBertModel": "eurobert", "JinaEmbeddingsV5Model": "eurobert"}


class NeoBert(Encoder):
    """llama.cpp: src/models/neo-bert.cpp; gate and up are one matrix."""

    names = ("neo-bert",)
    square = True
    fused = True
    gate = "packed"
    huggingface: ClassVar = dict.fromkeys(
        ("NeoBERT", "NeoBERTLMHead", "NeoBERTForSequenceClassification"), "neo-bert"
    )

    def ends(self, t: TensorList) -> None:
        hp = t.hp
        t.add("token_embd.weight", hp.n_embd, hp.n_vocab)
        t.add("enc.output_norm.weight", hp.n_embd)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["feed_forward_length"] = 2 * config.integer("intermediate_size") // 3
        return super().convert(config, keys)
