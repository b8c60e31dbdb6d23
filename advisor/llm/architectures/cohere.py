"""Cohere: Command R, Command R7B, Command A and North."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures.base import Architecture, sliding_window
from advisor.llm.architectures.builder import TensorList
from advisor.llm.architectures.config import Config, leading
from advisor.llm.architectures.deepseek2 import convert_nextn
from advisor.llm.architectures.keys import Keys
from advisor.llm.hyperparameters import Value


class CommandR(Architecture):
    """llama.cpp: src/models/command-r.cpp; always tied."""

    names = ("command-r",)
    huggingface: ClassVar = {"CohereForCausalLM": "command-r"}

    def build(self, t: TensorList) -> None:
        hp = t.hp
        t.add("token_embd.weight", hp.n_embd, hp.n_vocab)
        t.add("output_norm.weight", hp.n_embd)
        for il in range(hp.n_layer):
            b = t.block(il)
            b.norm("attn_norm")
            if hp.n_layer >= 64:
                b.weight("attn_q_norm", hp.n_embd_head_k, hp.n_head[il])
                b.weight("attn_k_norm", hp.n_embd_head_k, hp.n_head_kv[il])
            b.qkv(n_q=hp.n_embd)
            b.weight("attn_output", hp.n_embd, hp.n_embd)
            b.gated_ffn()

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["attention.layer_norm_epsilon"] = config.number("layer_norm_eps", default=1e-5)
        keys["logit_scale"] = config.number("logit_scale", default=0.0625)
        return ()


class Cohere2(CommandR):
    """llama.cpp: src/models/cohere2.cpp; three of four layers slide."""

    names = ("cohere2",)
    huggingface: ClassVar = {"Cohere2ForCausalLM": "cohere2"}

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        sliding_window(keys, hp, 4)

    def build(self, t: TensorList) -> None:
        hp = t.hp
        t.add("token_embd.weight", hp.n_embd, hp.n_vocab)
        t.add("output_norm.weight", hp.n_embd)
        for il in range(hp.n_layer):
            b = t.block(il)
            b.norm("attn_norm")
            b.qkv(n_q=hp.n_embd)
            b.weight("attn_output", hp.n_embd, hp.n_embd)
            b.gated_ffn()

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["attention.sliding_window"] = config.integer("sliding_window")
        keys["rope.dimension_count"] = config.rotary(1.0)
        return super().convert(config, keys)


class Cohere2Moe(Architecture):
    """llama.cpp: src/models/cohere2moe.cpp; experts read what attention reads."""

    names = ("cohere2moe",)
    tied_by_default = True
    huggingface: ClassVar = {"Cohere2MoeForCausalLM": "cohere2moe"}

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        sliding_window(keys, hp, 4, dense_first=True)
        hp["n_layer_dense_lead"] = keys.integer("leading_dense_block_count")
        hp["n_ff_exp"] = hp["n_ff_exp"] or hp["n_ff"][0]
        n_shared = keys.integer("expert_shared_count", 0)
        shared = keys.integer("expert_shared_feed_forward_length", 0)
        hp["n_ff_shexp"] = (shared or hp["n_ff_exp"] * n_shared) if n_shared else 0

    def build(self, t: TensorList) -> None:
        hp = t.hp
        t.embeddings()
        for il in range(hp.n_layer_all):
            b = t.block(il)
            b.norm("attn_norm")
            b.qkv()
            b.weight("attn_output", hp.n_embd_head_k * hp.n_head[il], hp.n_embd)
            if il < hp.n_layer_dense_lead:
                b.gated_ffn()
                continue
            b.router()
            b.experts(fusable=True)
            if hp.n_ff_shexp:
                b.shared_expert()
            if il >= hp.n_layer:
                b.nextn()

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        width = config.integer("intermediate_size")
        n_shared = config.integer("num_shared_experts", default=0)
        nextn = convert_nextn(config, keys)
        n_nextn = Keys(keys).integer("nextn_predict_layers", 0)
        dense = config.texts("mlp_layer_types")
        keys |= {
            "attention.sliding_window": config.integer("sliding_window"),
            "attention.sliding_window_pattern": config.sliding + (False,) * n_nextn,
            "feed_forward_length": config.integer("prefix_dense_intermediate_size", default=width),
            "expert_feed_forward_length": width,
            "expert_weights_norm": config.flag("norm_topk_prob"),
            "expert_shared_count": n_shared,
            "expert_shared_feed_forward_length": n_shared * width,
            "leading_dense_block_count": leading(dense, "dense")
            if dense
            else config.integer("first_k_dense_replace", default=0),
            "logit_scale": config.number("logit_scale", default=0.0625),
            "rope.scaling.type": "none",
        }
        if config.get("rms_norm_eps", "norm_eps") is None:
            del keys["attention.layer_norm_rms_epsilon"]
            keys["attention.layer_norm_epsilon"] = config.number("layer_norm_eps", default=1e-5)
        return nextn.union(super().convert(config, keys))
