"""Dense families in Llama's manner.

EXAONE 3, InternLM 2, StarCoder 2, Arcee AFM, Apertus, MiniCPM, Nemotron (Minitron).
"""

from collections.abc import Iterable
from typing import ClassVar

from advisor.llm.architectures.base import Architecture
from advisor.llm.architectures.builder import Block, TensorList
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.llama import Llama
from advisor.llm.hyperparameters import Value


class Exaone(Architecture):
    """llama.cpp: src/models/exaone.cpp."""

    names = ("exaone",)
    huggingface: ClassVar = {"ExaoneForCausalLM": "exaone"}

    def build(self, t: TensorList) -> None:
        t.embeddings()
        t.rope_freqs(t.hp.n_rot)
        for il in range(t.hp.n_layer):
            b = t.block(il)
            b.norm("attn_norm")
            b.qkv()
            b.weight("attn_output", t.hp.n_embd_head_k * t.hp.n_head[il], t.hp.n_embd)
            b.norm("ffn_norm")
            b.gated_ffn()

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        optional = set[str](super().convert(config, keys))
        if config.rope.text("rope_type", "type") == "llama3":
            optional.add("rope_freqs.weight")
        return optional


class InternLm2(Architecture):
    """llama.cpp: src/models/internlm2.cpp."""

    names = ("internlm2",)
    huggingface: ClassVar = {"InternLM2ForCausalLM": "internlm2"}

    def build(self, t: TensorList) -> None:
        hp = t.hp
        t.embeddings(output_required=True)
        for il in range(hp.n_layer):
            b = t.block(il)
            b.norm("attn_norm")
            b.qkv(n_q=hp.n_embd)
            b.weight("attn_output", hp.n_embd, hp.n_embd)
            b.norm("ffn_norm")
            b.gated_ffn()

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        del config, keys
        return ("output.weight",)


class StarCoder2(Architecture):
    """llama.cpp: src/models/starcoder2.cpp; every matrix and norm has a bias."""

    names = ("starcoder2",)
    tied_by_default = True
    huggingface: ClassVar = {"Starcoder2ForCausalLM": "starcoder2"}

    def build(self, t: TensorList) -> None:
        hp = t.hp
        t.embeddings()
        t.add("output_norm.bias", hp.n_embd)
        for il in range(hp.n_layer):
            b = t.block(il)
            b.norm("attn_norm")
            b.bias("attn_norm", hp.n_embd)
            b.qkv(n_q=hp.n_embd)
            b.weight("attn_output", hp.n_embd, hp.n_embd)
            b.bias("attn_output", hp.n_embd)
            b.norm("ffn_norm")
            b.bias("ffn_norm", hp.n_embd)
            _plain_ffn(b)
            b.bias("ffn_down", hp.n_embd)
            b.bias("ffn_up", hp.n_ff[il])

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["attention.layer_norm_epsilon"] = config.number("norm_epsilon", default=1e-5)
        biases = {f"attn_{part}.bias" for part in ("q", "k", "v")}
        return set[str](super().convert(config, keys)) | biases


class Arcee(Architecture):
    """llama.cpp: src/models/arcee.cpp; no gate, squared ReLU."""

    names = ("arcee",)
    huggingface: ClassVar = {"ArceeForCausalLM": "arcee"}

    def build(self, t: TensorList) -> None:
        t.embeddings()
        t.rope_freqs(t.hp.n_rot)
        for il in range(t.hp.n_layer):
            b = t.block(il)
            b.norm("attn_norm")
            b.qkv()
            b.weight("attn_output", t.hp.n_embd_head_k * t.hp.n_head[il], t.hp.n_embd)
            b.norm("ffn_norm")
            _plain_ffn(b)


class Apertus(Architecture):
    """llama.cpp: src/models/apertus.cpp; no gate, xIELU."""

    names = ("apertus",)
    huggingface: ClassVar = {"ApertusForCausalLM": "apertus"}

    def infer(self, values: dict[str, Value], names: frozenset[str]) -> None:
        del names
        values |= _XIELU

    def build(self, t: TensorList) -> None:
        t.embeddings(output_required=True)
        t.rope_freqs(t.hp.n_rot)
        for il in range(t.hp.n_layer):
            b = t.block(il)
            b.norm("attn_norm")
            b.qkv()
            b.attention_out(t.hp.n_embd_head_k * t.hp.n_head[il])
            b.norm("ffn_norm")
            _plain_ffn(b)
            b.qk_norm()

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys |= _XIELU
        llama3 = config.rope.text("rope_type", "type") == "llama3"
        return ("output.weight", "rope_freqs.weight") if llama3 else ("output.weight",)


class MiniCpm(Llama):
    """llama.cpp: src/models/minicpm.cpp; Llama's tensors, Granite's scales."""

    names = ("minicpm",)
    huggingface: ClassVar = {"MiniCPMForCausalLM": "minicpm"}

    def infer(self, values: dict[str, Value], names: frozenset[str]) -> None:
        super().infer(values, names)
        # Older files leave out the scales; llama.cpp then takes those of the first release.
        for name in ("embedding_scale", "residual_scale", "logit_scale"):
            values.setdefault(name, 12.0)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        optional = set[str](super().convert(config, keys))
        keys["embedding_scale"] = config.number("scale_emb", default=12.0)
        depth = config.number("scale_depth", default=1.4)
        keys["residual_scale"] = depth / config.integer("num_hidden_layers") ** 0.5
        base = config.number("dim_model_base", default=256.0)
        keys["logit_scale"] = config.integer("hidden_size") / base
        if config.rope.get("long_factor") or config.flag("long_rope"):
            optional |= {"rope_factors_long.weight", "rope_factors_short.weight"}
        return optional


class Nemotron(Architecture):
    """llama.cpp: src/models/nemotron.cpp; squared ReLU without a gate, norms with biases."""

    names = ("nemotron",)
    huggingface: ClassVar = {"NemotronForCausalLM": "nemotron"}

    def build(self, t: TensorList) -> None:
        hp = t.hp
        t.embeddings(output_required=True)
        t.add("output_norm.bias", hp.n_embd)
        for il in range(hp.n_layer):
            b = t.block(il)
            b.norm("attn_norm")
            b.bias("attn_norm", hp.n_embd)
            b.qkv(n_q=hp.n_embd)
            b.attention_out(hp.n_embd)
            b.norm("ffn_norm")
            b.bias("ffn_norm", hp.n_embd)
            _plain_ffn(b)
            b.optional("ffn_down.bias", hp.n_embd)
            b.optional("ffn_up.bias", hp.n_ff[il])

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["attention.layer_norm_epsilon"] = config.number("norm_eps", default=1e-5)
        keys["rope.dimension_count"] = config.rotary(0.5)
        return ("output.weight",)


_XIELU: dict[str, Value] = {f"xielu.{name}": 0.5 for name in ("alpha_n", "alpha_p", "beta", "eps")}
"""xIELU's numbers are trained, which memory does not ask; llama.cpp wants some in the header."""


def _plain_ffn(b: Block) -> None:
    n_embd, n_ff = b.hp.n_embd, b.hp.n_ff[b.il]
    b.weight("ffn_down", n_ff, n_embd)
    b.weight("ffn_up", n_embd, n_ff)
