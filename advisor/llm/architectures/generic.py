"""Architectures that we don't know: what the common metadata keys say about them, if enough."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from advisor.errors import BadModelFile
from advisor.llm.architectures import rules
from advisor.llm.architectures.base import common_hyperparameters
from advisor.llm.architectures.builder import NamedShape, bare_names
from advisor.llm.architectures.keys import Keys
from advisor.llm.caches import MemoryRule
from advisor.llm.hyperparameters import Hyperparameters, Scalar, Value

# Keys that change nothing in what a context keeps. Any other may: loops, windows, states, adapters.
_PLAIN: Final = frozenset(
    {
        "block_count", "context_length", "embedding_length", "vocab_size", "feed_forward_length",
        "attention.head_count", "attention.head_count_kv", "attention.key_length",
        "attention.value_length", "attention.scale", "attention.clamp_kqv",
        "attention.max_alibi_bias", "attn_logit_softcapping", "final_logit_softcapping",
        "logit_scale", "residual_scale", "embedding_scale", "leading_dense_block_count",
        "use_parallel_residual", "tensor_data_layout", "pooling_type", "n_deepstack_layers",
    }
)  # fmt: skip
_PLAIN_KINDS: Final = ("attention.layer_norm_", "attention.group_norm_", "expert_", "rope.")
# Tensors of blocks that keep something else, or attend in another way.
_OTHER_KINDS: Final = (
    "ssm_", "kda_", "time_mix_", "shortconv.", "attn_kv_a", "attn_kv_b", "attn_k_b", "attn_kv.",
    "indexer.", "hc_", "cross_attn_", "nextn.",
)  # fmt: skip


def hyperparameters(
    metadata: Mapping[str, Any], tensors: Sequence[NamedShape]
) -> Hyperparameters | None:
    """The common hyperparameters, None where the header lacks them."""
    arch = str(metadata.get("general.architecture", ""))
    values: dict[str, Value] = {
        key.removeprefix(arch + "."): value
        for key, value in metadata.items()
        if key.startswith(arch + ".") and isinstance(value, Scalar | tuple | list)
    }
    needed = ("block_count", "embedding_length", "attention.head_count")
    if not arch or any(key not in values for key in needed):
        return None
    embedding = dict(tensors).get("token_embd.weight", ())
    if len(embedding) == 2:
        values["vocab_size"] = embedding[1]
    try:
        hp = common_hyperparameters(arch, Keys(values))
    except BadModelFile:
        return None
    return Hyperparameters(**hp, optional=bare_names(tensors), metadata=values)


def memory(hp: Hyperparameters, tensors: Sequence[NamedShape]) -> MemoryRule | None:
    """Plain K and V for every layer, None where keys or tensors speak of anything else."""
    if not all(_says_nothing(key) for key in hp.metadata):
        return None
    if any(name.startswith(_OTHER_KINDS) for name in hp.optional):
        return None
    shapes = dict(tensors)
    for il in range(hp.n_layer):
        k, v = hp.k_gqa(il), hp.v_gqa(il)
        if k <= 0 or v <= 0:
            return None
        q = hp.head_k(il) * hp.n_head[il]
        for name, width in (("attn_k", k), ("attn_v", v), ("attn_qkv", q + k + v)):
            shape = shapes.get(f"blk.{il}.{name}.weight", ())
            if len(shape) == 2 and shape[1] != width:
                return None
    return rules.standard(hp)


def _says_nothing(key: str) -> bool:
    """Whether a key changes nothing in what a context keeps; one of windows (``…_swa``) does."""
    return key in _PLAIN or (key.startswith(_PLAIN_KINDS) and not key.endswith("_swa"))
