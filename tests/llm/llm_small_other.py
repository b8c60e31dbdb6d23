"""Small config.json files of models that are not plain decoders: diffusion, two stacks, drafts."""

from typing import Any

_BLOCKS: dict[str, Any] = {
    "hidden_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "intermediate_size": 1024,
    "vocab_size": 4096,
    "max_position_embeddings": 8192,
}
_EXPERTS: dict[str, Any] = {"num_experts": 8, "num_experts_per_tok": 2}


def _named(name: str, **more: Any) -> dict[str, Any]:
    return {"architectures": [name], **_BLOCKS, **more}


OTHER: dict[str, dict[str, Any]] = {
    "dream": _named("DreamModel", tie_word_embeddings=False),
    "llada": {
        "architectures": ["LLaDAModelLM"],
        "d_model": 512,
        "n_heads": 8,
        "n_kv_heads": 8,
        "n_layers": 4,
        "mlp_hidden_size": 1024,
        "vocab_size": 4096,
        "max_sequence_length": 4096,
        "weight_tying": False,
    },
    "llada-moe": _named("LLaDAMoEModelLM", **_EXPERTS, expert_intermediate_size=256),
    "rnd1": _named("RND1", **_EXPERTS, moe_intermediate_size=256, head_dim=64),
}
"""By a label that starts with the name of the architecture."""
