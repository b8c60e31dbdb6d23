"""BERT and its kin, which turn texts into vectors: XLM-R, Nomic, Jina."""

from collections.abc import Iterable, Mapping
from typing import ClassVar, Final

from advisor.llm.architectures import rules
from advisor.llm.architectures.builder import Block, TensorList
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.keys import Keys
from advisor.llm.architectures.transformer import QKV_BIASES, Encoder
from advisor.llm.hyperparameters import Value

_FFN_BIASES: Final = frozenset({"ffn_up.bias", "ffn_down.bias"})
_CLASSIFIER: Final[Mapping[str, tuple[str, ...]]] = {
    "ForSequenceClassification": ("cls.weight", "cls.bias", "cls.output.weight", "cls.output.bias"),
}


class Bert(Encoder):
    """llama.cpp: src/models/bert.cpp; norms behind attention and feed-forward."""

    names = ("bert", "jina-bert-v3")
    biases = frozenset({"attn_output_norm", "layer_output_norm"})
    possible_biases = frozenset({"attn_output", "ffn_down", "ffn_up"})
    written = QKV_BIASES | _FFN_BIASES | {"attn_output.bias", "token_types.weight"}
    layer_norm = True
    attention_norms = ()
    square = True
    ffn_norms = ("attn_output_norm",)
    gate = "none"
    last_norms = ("layer_output_norm",)
    huggingface: ClassVar = {
        "BertModel": "bert",
        "BertForMaskedLM": "bert",
        "BertForSequenceClassification": "bert",
        "DistilBertModel": "bert",
        "DistilBertForMaskedLM": "bert",
        "DistilBertForSequenceClassification": "bert",
        "RobertaModel": "bert",
        "RobertaForSequenceClassification": "bert",
        "CamembertModel": "bert",
        "XLMRobertaModel": "bert",
        "XLMRobertaForSequenceClassification": "bert",
    }

    def ends(self, t: TensorList) -> None:
        hp = t.hp
        t.add("token_embd.weight", hp.n_embd, hp.n_vocab)
        types = Keys(hp.metadata).integer("token_type_count", 1)
        t.optional("token_types.weight", hp.n_embd, types)
        if hp.arch == "bert":  # the others rotate, or weigh by distance
            t.add("position_embd.weight", hp.n_embd, hp.n_ctx_train)
        t.add("token_embd_norm.weight", hp.n_embd)
        t.add("token_embd_norm.bias", hp.n_embd)
        t.optional("cls.weight", hp.n_embd, hp.n_embd)
        t.optional("cls.bias", hp.n_embd)
        t.optional("cls.output.weight", hp.n_embd, rules.labels(hp))
        t.optional("cls.output.bias", rules.labels(hp))

    def arch_of(self, config: Config) -> str:
        return "jina-bert-v3" if config.get("lora_adaptations") else self.names[0]

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        optional = set[str](super().convert(config, keys))
        keys["token_type_count"] = config.integer("type_vocab_size", default=1)
        kind = next(iter(config.texts("architectures")), "")
        if kind.startswith("DistilBert"):
            optional.discard("token_types.weight")
        if "Roberta" in kind and config.get("pad_token_id") is not None:
            # Positions count from behind the padding token (conversion/bert.py).
            keys["context_length"] = (
                config.integer("max_position_embeddings") - config.integer("pad_token_id") - 1
            )
        for end, names in _CLASSIFIER.items():
            if kind.endswith(end):
                optional.update(names)
        return optional


class NomicBert(Bert):
    """llama.cpp: src/models/nomic-bert.cpp; rotated positions and a gate."""

    names = ("nomic-bert", "nomic-bert-moe")
    written = frozenset({"token_types.weight"})
    huggingface: ClassVar = {"NomicBertModel": "nomic-bert"}

    def arch_of(self, config: Config) -> str:
        return (
            "nomic-bert-moe" if config.integer("moe_every_n_layers", default=0) else self.names[0]
        )

    def feed_forward(self, b: Block) -> None:
        hp = b.hp
        n_embd, n_ff = hp.n_embd, hp.n_ff[b.il]
        if not hp.n_expert:
            b.weight("ffn_gate", n_embd, n_ff)
        elif b.il % Keys(hp.metadata).integer("moe_every_n_layers") == 1:
            b.router()
            b.weight("ffn_up_exps", n_embd, n_ff, hp.n_expert)
            b.weight("ffn_down_exps", n_ff, n_embd, hp.n_expert)
            return
        self.dense(b, n_ff)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        optional = set[str](super().convert(config, keys))
        # Half of what the published files say was trained (conversion/bert.py:NomicBertModel).
        keys["context_length"] = 2048 if config.integer("n_positions") == 8192 else 512
        every = config.integer("moe_every_n_layers", default=0)
        if every:
            keys["moe_every_n_layers"] = every
            keys["expert_used_count"] = config.integer("moe_top_k")
            optional |= QKV_BIASES | _FFN_BIASES | {"attn_output.bias"}
        return optional


class JinaBert2(Bert):
    """llama.cpp: src/models/jina-bert-v2.cpp; ALiBi, gate and up in one matrix or in two."""

    names = ("jina-bert-v2",)
    possible_biases = frozenset({"attn_output", "ffn_down", "ffn_up"})
    huggingface: ClassVar = {"JinaBertModel": "jina-bert-v2", "JinaBertForMaskedLM": "jina-bert-v2"}

    def ends(self, t: TensorList) -> None:
        super().ends(t)
        t.items = [item for item in t.items if not item[0].startswith("cls.")]
        t.optional("cls.weight", t.hp.n_embd, 1)
        t.optional("cls.bias", 1)

    def attention(self, b: Block) -> None:
        super().attention(b)
        # Of the models for code: norms over all heads, and a second norm behind attention.
        for name in ("attn_q_norm", "attn_k_norm", "attn_norm_2"):
            b.optional(f"{name}.weight", b.hp.n_embd)
            b.optional(f"{name}.bias", b.hp.n_embd)

    def feed_forward(self, b: Block) -> None:
        n_embd, n_ff = b.hp.n_embd, b.hp.n_ff[b.il]
        apart = b.optional("ffn_gate.weight", n_embd, n_ff)
        self.matrix(b, "ffn_up", n_embd, n_ff if apart else 2 * n_ff)
        self.matrix(b, "ffn_down", n_ff, n_embd)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        return set[str](super().convert(config, keys)) - {"ffn_up.bias"}
