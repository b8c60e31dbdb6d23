"""Parts that the small config.json files of the tests share."""

from typing import Any

GQA: dict[str, Any] = {
    "hidden_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "intermediate_size": 1024,
    "vocab_size": 4096,
    "max_position_embeddings": 131072,
}
MOE: dict[str, Any] = {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 256}
ROUTED: dict[str, Any] = {
    "n_routed_experts": 8,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 256,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
}
SLIDE = ["sliding_attention", "sliding_attention", "sliding_attention", "full_attention"]


def named(name: str, *parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    merged: dict[str, Any] = {"architectures": [name], **GQA}
    for part in parts:
        merged |= part
    merged |= more
    return {key: value for key, value in merged.items() if value is not None}
