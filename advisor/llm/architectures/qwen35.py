"""Qwen3-Next, Qwen3.5 and 3.6: three layers of linear attention, then one of full attention."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures.base import Architecture, mamba_keys
from advisor.llm.architectures.builder import Block, TensorList
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.deepseek2 import convert_nextn
from advisor.llm.architectures.keys import Keys, every
from advisor.llm.hyperparameters import Value


class _GatedDeltaNet(Architecture):
    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        mamba_keys(keys, hp)
        hp["n_ff_shexp"] = keys.integer("expert_shared_feed_forward_length", 0)
        if hp["n_expert_used"]:
            hp["n_ff_exp"] = hp["n_ff_exp"] or hp["n_ff"][0] // hp["n_expert_used"]
            hp["n_ff_shexp"] = hp["n_ff_shexp"] or hp["n_ff"][0]
        n_layer_all = hp["n_layer_all"]
        n_layer = n_layer_all - hp["n_layer_nextn"]
        interval = keys.integer("full_attention_interval", 4)
        hp["recurrent_layers"] = keys.flags("attention.recurrent_layers", n_layer_all) or every(
            n_layer, n_layer_all, interval
        )

    def build(self, t: TensorList) -> None:
        hp = t.hp
        t.embeddings()
        for il in range(hp.n_layer_all):
            b = t.block(il)
            b.norm("attn_norm", "post_attention_norm")
            if hp.is_recurrent(il):
                self.linear_attention(b)
            else:
                # Q carries the output gate beside it, hence twice the width.
                for part, width in (
                    ("q", 2 * hp.n_embd_head_k * hp.n_head[il]),
                    ("k", hp.k_gqa(il)),
                    ("v", hp.v_gqa(il)),
                ):
                    b.weight(f"attn_{part}", hp.n_embd, width)
                b.weight("attn_output", hp.n_embd_head_k * hp.n_head[il], hp.n_embd)
                b.qk_norm()
            self.ffn(b)
            if il >= hp.n_layer:
                b.nextn()

    def linear_attention(self, b: Block) -> None:
        """The tensors of a gated delta net."""
        hp = b.hp
        n_v_head = hp.ssm_dt_rank
        value = hp.ssm_d_state * n_v_head
        conv = 2 * hp.ssm_d_state * hp.ssm_n_group + value
        b.weight("attn_qkv", hp.n_embd, conv)
        b.weight("attn_gate", hp.n_embd, value)
        b.weight("ssm_conv1d", hp.ssm_d_conv, conv)
        b.bias("ssm_dt", n_v_head)
        b.add("ssm_a", n_v_head)
        self.gates(b, n_v_head)
        b.weight("ssm_norm", hp.ssm_d_state)
        b.weight("ssm_out", value, hp.n_embd)

    def gates(self, b: Block, n_v_head: int) -> None:
        """Beta and alpha, apart."""
        b.weight("ssm_beta", b.hp.n_embd, n_v_head)
        b.weight("ssm_alpha", b.hp.n_embd, n_v_head)

    def ffn(self, b: Block) -> None:
        """Routed experts and a gated shared one."""
        b.router()
        b.experts(fusable=True)
        b.weight("ffn_gate_inp_shexp", b.hp.n_embd)
        b.shared_expert()

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        n_v_head = config.integer("linear_num_value_heads")
        head = config.integer("head_dim", default=256)
        keys["attention.key_length"] = keys["attention.value_length"] = head
        keys["rope.dimension_count"] = config.rotary(0.25)
        keys["ssm.conv_kernel"] = config.integer("linear_conv_kernel_dim", default=4)
        keys["ssm.state_size"] = config.integer("linear_key_head_dim", default=128)
        keys["ssm.group_count"] = config.integer("linear_num_key_heads", default=16)
        keys["ssm.time_step_rank"] = n_v_head
        keys["ssm.inner_size"] = config.integer("linear_value_head_dim", default=128) * n_v_head
        keys["full_attention_interval"] = config.integer("full_attention_interval", default=4)
        shared = config.integer("shared_expert_intermediate_size", default=0)
        if shared:
            keys["expert_shared_feed_forward_length"] = shared
        optional = set[str](super().convert(config, keys))
        # The head that predicts further tokens shares the trunk's embedding and output.
        return optional | convert_nextn(config, keys) & {"nextn.shared_head_norm.weight"}


class Qwen35Moe(_GatedDeltaNet):
    """llama.cpp: src/models/qwen35moe.cpp."""

    names = ("qwen35moe",)
    huggingface: ClassVar = {
        "Qwen3_5MoeForConditionalGeneration": "qwen35moe",
        "Qwen3_5MoeForCausalLM": "qwen35moe",
    }
    rollback = True

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["rope.dimension_sections"] = (11, 11, 10, 0)
        return super().convert(config, keys)


class Qwen35(Qwen35Moe):
    """llama.cpp: src/models/qwen35.cpp, the dense one."""

    names = ("qwen35",)
    huggingface: ClassVar = {
        "Qwen3_5ForConditionalGeneration": "qwen35",
        "Qwen3_5ForCausalLM": "qwen35",
        "MiniCPMV4_6ForConditionalGeneration": "qwen35",
        "OpenJevModel": "qwen35",
    }

    def ffn(self, b: Block) -> None:
        b.gated_ffn()


class Qwen3Next(_GatedDeltaNet):
    """llama.cpp: src/models/qwen3next.cpp; beta and alpha are one matrix."""

    names = ("qwen3next",)
    huggingface: ClassVar = {"Qwen3NextForCausalLM": "qwen3next"}

    def gates(self, b: Block, n_v_head: int) -> None:
        b.weight("ssm_ba", b.hp.n_embd, 2 * n_v_head)
