"""Nemotron-H and Nemotron 3: Mamba 2, attention and feed-forward layers, one kind per block."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.errors import ModelError
from advisor.llm.architectures import rules
from advisor.llm.architectures.base import Architecture, mamba_keys
from advisor.llm.architectures.builder import Block, TensorList
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.keys import Keys
from advisor.llm.caches import MemoryRule
from advisor.llm.hyperparameters import Hyperparameters, Value


class NemotronH(Architecture):
    """llama.cpp: src/models/nemotron-h.cpp, nemotron-h-moe.cpp."""

    names = ("nemotron_h_moe", "nemotron_h")
    huggingface: ClassVar = {"NemotronHForCausalLM": "nemotron_h"}
    rollback = True

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        mamba_keys(keys, hp)
        n_layer = hp["n_layer_all"] - hp["n_layer_nextn"]
        hp["recurrent_layers"] = tuple(
            il < n_layer and hp["n_head_kv"][il] == 0 and hp["n_ff"][il] == 0
            for il in range(hp["n_layer_all"])
        )
        hp["n_ff_shexp"] = keys.integer("expert_shared_feed_forward_length", 0)
        hp["n_expert_shared"] = keys.integer("expert_shared_count", 0)
        hp["moe_latent_size"] = keys.integer("moe_latent_size", 0)

    def build(self, t: TensorList) -> None:
        hp = t.hp
        t.embeddings()
        for il in range(hp.n_layer_all):
            b = t.block(il)
            if il >= hp.n_layer:
                b.norm("nextn.enorm", "nextn.hnorm")
                b.weight("nextn.eh_proj", 2 * hp.n_embd, hp.n_embd)
                b.norm("nextn.shared_head_norm")
            b.norm("attn_norm")
            if hp.is_recurrent(il):
                b.mamba2()
            elif il >= hp.n_layer or hp.n_ff[il] == 0:
                b.qkv()
                b.attention_out(hp.n_embd_head_k * hp.n_head[il])
                if il >= hp.n_layer:
                    b.norm("post_attention_norm")
                    self.experts(b)
            elif hp.n_expert:
                self.experts(b)
            else:
                b.weight("ffn_down", hp.n_ff[il], hp.n_embd)
                b.weight("ffn_up", hp.n_embd, hp.n_ff[il])
                b.optional("ffn_down.bias", hp.n_embd)
                b.optional("ffn_up.bias", hp.n_ff[il])

    def experts(self, b: Block) -> None:
        """Experts without a gate matrix, on a narrower projection where the model has one."""
        hp = b.hp
        width = hp.moe_latent_size or hp.n_embd
        n_ff = Keys(hp.metadata).per_layer("expert_feed_forward_length", hp.n_layer_all)[b.il]
        n_ff = n_ff or hp.n_ff[b.il] // max(hp.n_expert_used, 1)
        b.router()
        b.bias("exp_probs_b", hp.n_expert)
        b.optional("ffn_latent_down.weight", hp.n_embd, width)
        b.optional("ffn_latent_up.weight", width, hp.n_embd)
        b.weight("ffn_down_exps", n_ff, width, hp.n_expert)
        b.weight("ffn_up_exps", width, n_ff, hp.n_expert)
        b.weight("ffn_down_shexp", hp.n_ff_shexp, hp.n_embd)
        b.weight("ffn_up_shexp", hp.n_embd, hp.n_ff_shexp)

    def memory(self, hp: Hyperparameters) -> MemoryRule:
        trunk = range(hp.n_layer)
        attending = (il for il in trunk if not hp.is_recurrent(il) and hp.n_ff[il] == 0)
        return MemoryRule(
            caches=rules.attention(hp, attending),
            states=rules.recurrent(hp, (il for il in trunk if hp.is_recurrent(il))),
            v_width_max=hp.v_gqa_max,
            mtp=rules.attention(hp, range(hp.n_layer, hp.n_layer_all)) if hp.n_layer_nextn else (),
            rollback=self.rollback,
        )

    def arch_of(self, config: Config) -> str:
        moe = config.get("num_experts_per_tok") is not None
        return "nemotron_h_moe" if moe else "nemotron_h"

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        moe = self.arch_of(config) == "nemotron_h_moe"
        kinds = _block_kinds(config)
        feed, attention = ("E" if moe else "-"), "*"
        n_head = config.integer("num_attention_heads")
        head = config.integer("head_dim", "attention_head_dim", default=128)
        n_ssm_head = config.integer("mamba_num_heads", "num_heads")
        n_ff = config.integer("moe_intermediate_size" if moe else "intermediate_size")
        keys |= {
            "block_count": len(kinds),
            "attention.head_count": (n_head,) * len(kinds),
            "attention.head_count_kv": tuple(
                config.integer("num_key_value_heads") if kind == attention else 0 for kind in kinds
            ),
            "attention.key_length": head,
            "attention.value_length": head,
            "attention.layer_norm_epsilon": config.number(
                "layer_norm_epsilon", "norm_eps", default=1e-5
            ),
            "feed_forward_length": tuple(n_ff if kind == feed else 0 for kind in kinds),
            "ssm.conv_kernel": config.integer("conv_kernel", default=4),
            "ssm.state_size": config.integer("ssm_state_size", default=128),
            "ssm.group_count": config.integer("n_groups", default=8),
            "ssm.time_step_rank": n_ssm_head,
            "ssm.inner_size": n_ssm_head * config.integer("mamba_head_dim", default=64),
        }
        optional = set[str](super().convert(config, keys)) | {"ssm_conv1d.bias"}
        if moe:
            latent = config.integer("moe_latent_size", default=0)
            keys |= {
                "expert_feed_forward_length": n_ff,
                "expert_shared_feed_forward_length": config.integer(
                    "moe_shared_expert_intermediate_size"
                ),
                "expert_shared_count": config.integer("n_shared_experts", default=1),
                "expert_weights_norm": config.flag("norm_topk_prob", default=True),
                "expert_weights_scale": config.number("routed_scaling_factor", default=1.0),
            }
            if latent:
                keys["moe_latent_size"] = latent
                optional |= {"ffn_latent_down.weight", "ffn_latent_up.weight"}
        return optional


def _block_kinds(config: Config) -> str:
    pattern = config.text("hybrid_override_pattern")
    if pattern:
        return pattern
    letters = {"mamba": "M", "linear_attention": "M", "moe": "E", "mlp": "-"}
    kinds = config.texts("layers_block_type")
    if not kinds:
        raise ModelError("The config names no block types.")
    return "".join(letters.get(kind, "*") for kind in kinds)
