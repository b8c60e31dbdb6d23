"""DeepSeek V2 and V3, R1, Kimi K2, GLM-4.7-Flash, Mistral 4: multi-head latent attention."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures.base import Architecture
from advisor.llm.architectures.builder import Block, TensorList
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.keys import Keys
from advisor.llm.hyperparameters import Value


class DeepSeek2(Architecture):
    """llama.cpp: src/models/deepseek2.cpp, mistral4.cpp (same tensors)."""

    names = ("deepseek2", "mistral4")
    huggingface: ClassVar = {
        "DeepseekV2ForCausalLM": "deepseek2",
        "DeepseekV3ForCausalLM": "deepseek2",
        "KimiK2ForCausalLM": "deepseek2",
        "KimiK25ForConditionalGeneration": "deepseek2",
        "KimiVLForConditionalGeneration": "deepseek2",
        "Glm4MoeLiteForCausalLM": "deepseek2",
        "YoutuForCausalLM": "deepseek2",
        "YoutuVLForConditionalGeneration": "deepseek2",
        "Mistral4ForCausalLM": "mistral4",
    }
    model_types: ClassVar = {"mistral4": "mistral4"}

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        read_mla(keys, hp)
        read_experts(keys, hp)

    def build(self, t: TensorList) -> None:
        hp = t.hp
        t.embeddings()
        for il in range(hp.n_layer_all):
            b = t.block(il)
            b.norm("attn_norm")
            b.mla(hp.n_rot)
            b.norm("ffn_norm")
            mixed_ffn(b)
            if il >= hp.n_layer:
                b.nextn()

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        convert_mla(config, keys)
        optional = set[str](super().convert(config, keys))
        older = "DeepseekV2ForCausalLM" in config.texts("architectures")
        if not older and self.arch_of(config) == "deepseek2":
            optional.add("exp_probs_b.bias")
        return optional | convert_nextn(config, keys)


def read_mla(keys: Keys, hp: dict[str, Any]) -> None:
    """Ranks and head sizes of latent attention."""
    hp["n_lora_q"] = keys.integer("attention.q_lora_rank", 0)
    hp["n_lora_kv"] = keys.integer("attention.kv_lora_rank")
    hp["n_embd_head_k_mla"] = keys.integer("attention.key_length_mla", 0)
    hp["n_embd_head_v_mla"] = keys.integer("attention.value_length_mla", 0)


def read_experts(keys: Keys, hp: dict[str, Any]) -> None:
    """Leading dense layers and shared experts as wide as the routed ones."""
    hp["n_layer_dense_lead"] = keys.integer("leading_dense_block_count", 0)
    hp["n_expert_shared"] = keys.integer("expert_shared_count", 0)
    hp["n_ff_shexp"] = hp["n_ff_exp"] * hp["n_expert_shared"]


def mixed_ffn(b: Block) -> None:
    """Dense in the leading layers, then experts with a shared one (deepseek2.cpp)."""
    hp = b.hp
    if b.il < hp.n_layer_dense_lead:
        b.gated_ffn()
        return
    b.router()
    b.optional("exp_probs_b.bias", hp.n_expert)
    b.experts(fusable=True)
    if hp.n_ff_shexp:
        b.shared_expert()


def convert_mla(config: Config, keys: dict[str, Value]) -> None:
    """Latent attention becomes attention with one wide KV head (conversion/deepseek.py).

    ``kv_b_whole`` is not in config.json: files from before llama.cpp's pull request 12801 of April
    2025 keep K and V of every head, in the cache too.
    """
    rope = config.integer("qk_rope_head_dim")
    kv_rank = config.integer("kv_lora_rank", default=512)
    q_rank = config.integer("q_lora_rank", default=0)
    head_k, head_v = config.integer("qk_nope_head_dim") + rope, config.integer("v_head_dim")
    if q_rank:
        keys["attention.q_lora_rank"] = q_rank
    keys["attention.kv_lora_rank"] = kv_rank
    if config.flag("kv_b_whole"):
        keys["attention.key_length"] = head_k
        keys["attention.value_length"] = head_v
    else:
        keys["attention.head_count_kv"] = 1
        keys["attention.key_length"] = kv_rank + rope
        keys["attention.value_length"] = kv_rank
        keys["attention.key_length_mla"] = head_k
        keys["attention.value_length_mla"] = head_v
    keys["rope.dimension_count"] = rope
    moe = config.get("n_routed_experts") is not None
    keys["leading_dense_block_count"] = config.integer(
        "first_k_dense_replace", default=0 if moe else config.integer("num_hidden_layers")
    )
    keys["expert_shared_count"] = config.integer("n_shared_experts", default=0)
    keys["expert_feed_forward_length"] = config.integer(
        "moe_intermediate_size", "intermediate_size"
    )
    keys["expert_weights_scale"] = config.number("routed_scaling_factor", default=1.0)
    keys["expert_weights_norm"] = config.flag("norm_topk_prob")
    keys.setdefault("expert_gating_func", 1)
    if "rope.scaling.type" in keys:
        keys["rope.scaling.yarn_log_multiplier"] = 0.1 * config.rope.number(
            "mscale_all_dim", default=1.0
        )


NEXTN_OPTIONAL = frozenset(
    f"nextn.{name}.weight" for name in ("embed_tokens", "shared_head_head", "shared_head_norm")
)


def convert_nextn(
    config: Config, keys: dict[str, Value], *, always: bool = False
) -> frozenset[str]:
    """Add the NextN blocks where ``keep_nextn`` says that the converted files carry them.

    ``keep_nextn`` and ``nextn_shares_embeddings`` are not in config.json: catalogue entries add
    them from what the published GGUF files hold.
    """
    nextn = config.integer("num_nextn_predict_layers", "mtp_num_hidden_layers", default=0)
    if not nextn or not (always or config.flag("keep_nextn")):
        return frozenset()
    keys["block_count"] = config.integer("num_hidden_layers") + nextn
    keys["nextn_predict_layers"] = nextn
    if config.flag("nextn_shares_embeddings"):
        return frozenset({"nextn.shared_head_norm.weight"})
    return NEXTN_OPTIONAL
