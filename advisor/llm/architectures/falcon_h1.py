"""Falcon-H1: attention and Mamba 2 side by side in every layer."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures import rules
from advisor.llm.architectures.base import Architecture, mamba_keys
from advisor.llm.architectures.builder import TensorList
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.keys import Keys
from advisor.llm.caches import MemoryRule
from advisor.llm.hyperparameters import Hyperparameters, Value


class FalconH1(Architecture):
    """llama.cpp: src/models/falcon-h1.cpp."""

    names = ("falcon-h1",)
    huggingface: ClassVar = {"FalconH1ForCausalLM": "falcon-h1"}

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        mamba_keys(keys, hp)
        hp["recurrent_layers"] = (True,) * hp["n_layer_all"]

    def build(self, t: TensorList) -> None:
        hp = t.hp
        t.embeddings()
        t.rope_freqs(hp.n_rot)
        for il in range(hp.n_layer):
            b = t.block(il)
            b.mamba2(norm_required=False)
            b.qkv()
            b.attention_out(hp.n_embd_head_k * hp.n_head[il])
            b.norm("attn_norm")
            # llama.cpp asks for this one without the usual suffix.
            b.add("ffn_norm", hp.n_embd)
            b.gated_ffn(biases=True)

    def memory(self, hp: Hyperparameters) -> MemoryRule:
        layers = range(hp.n_layer)
        return MemoryRule(
            caches=rules.attention(hp, layers),
            states=rules.recurrent(hp, layers),
            v_width_max=hp.v_gqa_max,
        )

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        inner = config.integer("mamba_d_ssm")
        keys["ssm.conv_kernel"] = config.integer("mamba_d_conv", default=4)
        keys["ssm.state_size"] = config.integer("mamba_d_state")
        keys["ssm.group_count"] = config.integer("mamba_n_groups", default=1)
        keys["ssm.inner_size"] = inner
        keys["ssm.time_step_rank"] = inner // config.integer("mamba_d_head", default=64)
        optional = {"ssm_conv1d.bias"}
        if config.flag("mamba_rms_norm"):
            optional.add("ssm_norm.weight")
        return optional.union(super().convert(config, keys))
