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

# Keys whose presence means that the context is not plain K and V for every layer.
_SPECIAL: Final = (
    "ssm.", "kda.", "wkv.", "shortconv.", "hyper_connection.", "ple.",
    "attention.sliding_window", "attention.kv_lora_rank", "attention.indexer.",
    "attention.compress", "attention.recurrent_layers", "attention.shared_kv_layers",
    "attention.causal", "full_attention_interval", "decoder_block_count", "nextn_predict_layers",
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


def memory(hp: Hyperparameters) -> MemoryRule | None:
    """Plain K and V for every layer, None where the keys speak of anything else."""
    if any(key.startswith(_SPECIAL) for key in hp.metadata):
        return None
    per_token = [(hp.k_gqa(il), hp.v_gqa(il)) for il in range(hp.n_layer)]
    if not all(k > 0 and v > 0 for k, v in per_token):
        return None
    return rules.standard(hp)
