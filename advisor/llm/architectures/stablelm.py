"""StableLM 3B, 2 and Zephyr."""

from collections.abc import Iterable
from typing import ClassVar

from advisor.llm.architectures.builder import Block
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.transformer import QKV_BIASES, Transformer
from advisor.llm.hyperparameters import Value


class StableLm(Transformer):
    """llama.cpp: src/models/stablelm.cpp; the 12B normalises heads and has no second norm."""

    names = ("stablelm",)
    output = "must"
    layer_norm = True
    biases = frozenset({"output_norm", "attn_norm"})
    square = True
    ffn_norms = ()
    huggingface: ClassVar = {
        "StableLmForCausalLM": "stablelm",
        "StableLMEpochForCausalLM": "stablelm",
        "LlavaStableLMEpochForCausalLM": "stablelm",
    }

    def attention(self, b: Block) -> None:
        super().attention(b)
        hp, il = b.hp, b.il
        b.optional("attn_q_norm.weight", hp.n_embd_head_k, hp.n_head[il])
        b.optional("attn_k_norm.weight", hp.n_embd_head_k, hp.n_head_kv[il])
        b.optional("ffn_norm.weight", hp.n_embd)
        b.optional("ffn_norm.bias", hp.n_embd)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["rope.dimension_count"] = config.rotary(config.number("rope_pct", default=0.25))
        optional = set[str](super().convert(config, keys))
        if not config.flag("use_parallel_residual"):
            optional |= {"ffn_norm.weight", "ffn_norm.bias"}
        if config.flag("qk_layernorm"):
            optional |= {"attn_q_norm.weight", "attn_k_norm.weight"}
        return optional | (QKV_BIASES if config.flag("use_qkv_bias") else set())
