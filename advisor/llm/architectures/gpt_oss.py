"""gpt-oss: a mixture of experts with biases everywhere, every other layer on a sliding window."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures.base import Architecture, sliding_window
from advisor.llm.architectures.builder import TensorList
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.keys import Keys
from advisor.llm.hyperparameters import Value


class GptOss(Architecture):
    """llama.cpp: src/models/openai-moe.cpp."""

    names = ("gpt-oss",)
    huggingface: ClassVar = {"GptOssForCausalLM": "gpt-oss"}

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        sliding_window(keys, hp, 2)

    def build(self, t: TensorList) -> None:
        hp = t.hp
        t.embeddings(output_required=True)
        for il in range(hp.n_layer):
            b = t.block(il)
            n_head, n_head_kv = hp.n_head[il], hp.n_head_kv[il]
            b.norm("attn_norm", "post_attention_norm")
            b.qkv(n_head * hp.n_rot, n_head_kv * hp.n_rot, n_head_kv * hp.n_rot)
            b.attention_out(n_head * hp.n_rot)
            b.weight("attn_sinks", n_head)
            b.router()
            b.experts()
            b.bias("ffn_gate_inp", hp.n_expert)
            b.bias("ffn_gate_exps", hp.n_ff_exp, hp.n_expert)
            b.bias("ffn_down_exps", hp.n_embd, hp.n_expert)
            b.bias("ffn_up_exps", hp.n_ff_exp, hp.n_expert)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["attention.sliding_window"] = config.integer("sliding_window", default=128)
        keys["expert_feed_forward_length"] = config.integer("intermediate_size")
        keys["rope.dimension_count"] = config.integer("head_dim", default=64)
        return {"output.weight"} | {f"attn_{part}.bias" for part in ("q", "k", "v", "output")}
