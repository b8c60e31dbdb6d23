"""PLaMo 1; 2 and 3: fused QKV, norms on both sides, gate and up in one matrix."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures.base import Architecture, mamba_keys, sliding_window
from advisor.llm.architectures.builder import Block, TensorList
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.keys import Keys
from advisor.llm.architectures.transformer import Transformer
from advisor.llm.hyperparameters import Value


class Plamo(Transformer):
    """llama.cpp: src/models/plamo.cpp; attention and feed-forward read the same norm."""

    names = ("plamo",)
    output = "must"
    square = True
    ffn_norms = ()
    huggingface: ClassVar = {"PlamoForCausalLM": "plamo"}

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["context_length"] = 4096
        keys["attention.head_count_kv"] = 5  # the config.json is wrong (conversion/plamo.py)
        return super().convert(config, keys)


class Plamo2(Architecture):
    """llama.cpp: src/models/plamo2.cpp; blocks of attention and of Mamba."""

    names = ("plamo2",)
    huggingface: ClassVar = {"Plamo2ForCausalLM": "plamo2", "PLaMo2ForCausalLM": "plamo2"}

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        mamba_keys(keys, hp)
        hp["n_embd_head_k"] = keys.integer("attention.key_length")
        hp["n_embd_head_v"] = keys.integer("attention.value_length")
        hp["n_rot"] = keys.integer("rope.dimension_count", hp["n_embd_head_k"])
        hp["recurrent_layers"] = tuple(heads == 0 for heads in hp["n_head_kv"])

    def build(self, t: TensorList) -> None:
        hp = t.hp
        t.embeddings()
        for il in range(hp.n_layer):
            b = t.block(il)
            b.norm("attn_norm")
            if hp.is_recurrent(il):
                _mamba(b)
            else:
                _attention(b)
                b.weight("attn_q_norm", hp.n_embd_head_k, hp.n_head[il])
                b.weight("attn_k_norm", hp.n_embd_head_k, hp.n_head_kv[il])
            _feed(b)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        n_layer = config.integer("num_hidden_layers")
        step = config.integer("mamba_step", default=2)
        # conversion/plamo.py: where there is no whole step, the last block attends.
        at = step // 2 if n_layer > step // 2 else n_layer - 1
        attends = [il % step == at if n_layer > step // 2 else il == at for il in range(n_layer)]
        heads = config.integer("num_attention_heads", default=32)
        heads_kv = config.integer("num_key_value_heads", default=4)
        head = config.integer("hidden_size_per_head", default=128)
        scanning = config.integer("mamba_num_heads", default=64)
        keys |= {
            "attention.head_count": tuple(heads * flag for flag in attends),
            "attention.head_count_kv": tuple(heads_kv * flag for flag in attends),
            "attention.key_length": head,
            "attention.value_length": head,
            "ssm.state_size": config.integer("mamba_d_state", default=64),
            "ssm.conv_kernel": config.integer("mamba_d_conv", default=4),
            "ssm.time_step_rank": scanning,
            "ssm.inner_size": scanning * head,
            "ssm.group_count": 0,
        }
        return super().convert(config, keys)


class Plamo3(Architecture):
    """llama.cpp: src/models/plamo3.cpp."""

    names = ("plamo3",)
    huggingface: ClassVar = {"Plamo3ForCausalLM": "plamo3", "PLaMo3ForCausalLM": "plamo3"}

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        sliding_window(keys, hp, 8)

    def build(self, t: TensorList) -> None:
        hp = t.hp
        t.embeddings()
        for il in range(hp.n_layer):
            b = t.block(il)
            b.norm("attn_norm")
            _attention(b)
            b.qk_norm()
            _feed(b)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        window = config.integer("window_size", "sliding_window", default=0)
        if window:
            keys["attention.sliding_window"] = window
            flags = config.get("sliding_window_pattern")
            if isinstance(flags, int):
                keys["attention.sliding_window_pattern"] = flags
            else:
                keys["attention.sliding_window_pattern"] = tuple(
                    bool(flag) for flag in config.numbers("sliding_window_pattern")
                )
        return super().convert(config, keys)


def _attention(b: Block) -> None:
    hp = b.hp
    heads = hp.n_head[b.il]
    width = hp.n_embd_head_k * heads + hp.k_gqa(b.il) + hp.v_gqa(b.il)
    b.weight("attn_qkv", hp.n_embd, width)
    b.weight("attn_output", hp.n_embd_head_v * heads, hp.n_embd)


def _mamba(b: Block) -> None:
    """Mamba's first form with heads; B, C and the time step are normalised."""
    hp = b.hp
    inner, d_state, heads = hp.ssm_d_inner, hp.ssm_d_state, hp.ssm_dt_rank
    rank = max(64, hp.n_embd // 16)
    b.weight("ssm_in", hp.n_embd, 2 * inner)
    b.weight("ssm_conv1d", hp.ssm_d_conv, inner)
    b.weight("ssm_x", inner, rank + 2 * d_state)
    b.weight("ssm_dt", rank, heads)
    b.bias("ssm_dt", heads)
    b.add("ssm_a", heads)
    b.add("ssm_d", heads)
    b.weight("ssm_out", inner, hp.n_embd)
    b.add("ssm_dt_norm", rank)
    b.add("ssm_b_norm", d_state)
    b.add("ssm_c_norm", d_state)


def _feed(b: Block) -> None:
    """The two norms behind a part are named without ``.weight``."""
    n_embd, n_ff = b.hp.n_embd, b.hp.n_ff[b.il]
    b.add("post_attention_norm", n_embd)
    b.norm("ffn_norm")
    b.add("post_ffw_norm", n_embd)
    b.weight("ffn_up", n_embd, 2 * n_ff)
    b.weight("ffn_down", n_ff, n_embd)
