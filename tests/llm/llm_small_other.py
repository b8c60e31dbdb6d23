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
_T5: dict[str, Any] = {
    "d_model": 512,
    "d_kv": 64,
    "d_ff": 1024,
    "num_layers": 4,
    "num_heads": 6,
    "vocab_size": 4096,
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
    "talkie": _named("TalkieForCausalLM", head_dim=64, tie_word_embeddings=False),
    "chameleon": _named(
        "ChameleonForConditionalGeneration", vocab_size=16384, tie_word_embeddings=False
    ),
    "chameleon-behind": _named(
        "ChameleonForConditionalGeneration",
        vocab_size=16384,
        swin_norm=True,
        tie_word_embeddings=False,
    ),
    "cogvlm": _named("CogVLMForCausalLM", num_multi_query_heads=8, tie_word_embeddings=False),
    "deepseek2-ocr": {
        "architectures": ["DeepseekOCRForCausalLM"],
        "model_type": "deepseek_vl_v2",
        "language_config": {
            "architectures": ["DeepseekV2ForCausalLM"],
            **_BLOCKS,
            "num_key_value_heads": 8,
            "n_routed_experts": 8,
            "n_shared_experts": 2,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 256,
            "first_k_dense_replace": 1,
            "kv_lora_rank": None,
            "qk_nope_head_dim": 0,
            "qk_rope_head_dim": 0,
            "v_head_dim": 0,
        },
    },
    "minimax-01": {
        "architectures": ["MiniMaxText01ForCausalLM"],
        **_BLOCKS,
        "num_hidden_layers": 10,
        "head_dim": 128,
        "rotary_dim": 64,
        "num_local_experts": 8,
        "num_experts_per_tok": 2,
        "layernorm_mlp_alpha": 3.5565588200778455,
    },
    "plamo2": _named(
        "Plamo2ForCausalLM",
        num_attention_heads=4,
        hidden_size_per_head=128,
        mamba_step=2,
        mamba_num_heads=8,
        mamba_d_state=64,
        tie_word_embeddings=True,
    ),
    "eagle3": _named(
        "LlamaForCausalLMEagle3",
        num_hidden_layers=1,
        draft_vocab_size=2048,
        target_hidden_size=768,
        rope_scaling={"rope_type": "llama3", "factor": 8.0},
    ),
    "eagle3-whole": _named(
        "LlamaForCausalLMEagle3",
        num_hidden_layers=1,
        norm_before_fc=True,
        norm_before_residual=True,
    ),
    "dflash": _named(
        "DFlashDraftModel",
        head_dim=64,
        draft_vocab_size=2048,
        dflash_config={"target_layer_ids": [1, 4, 7]},
        use_sliding_window=True,
        sliding_window=512,
        layer_types=["sliding_attention"] * 3 + ["full_attention"],
    ),
    "gemma4-assistant": {
        "architectures": ["Gemma4AssistantForCausalLM"],
        "backbone_hidden_size": 512,
        "text_config": {
            **_BLOCKS,
            "hidden_size": 256,
            "head_dim": 64,
            "global_head_dim": 128,
            "num_global_key_value_heads": 1,
            "sliding_window": 1024,
            "layer_types": ["sliding_attention"] * 3 + ["full_attention"],
            "num_kv_shared_layers": 4,
        },
    },
    "nanbeige": _named("NanbeigeForCausalLM", num_loops=2, tie_word_embeddings=False),
    "nanbeige-once": _named("NanbeigeForCausalLM"),
    "hrm_text": _named(
        "HrmTextForCausalLM",
        num_layers_per_stack=2,
        H_cycles=2,
        L_cycles=2,
        embedding_scale=22.6,
        tie_word_embeddings=False,
    ),
    "t5": _T5 | {"architectures": ["T5ForConditionalGeneration"], "feed_forward_proj": "relu"},
    "t5-gated": _T5
    | {
        "architectures": ["T5ForConditionalGeneration"],
        "feed_forward_proj": "gated-gelu",
        "tie_word_embeddings": False,
    },
    "t5encoder": _T5 | {"architectures": ["T5EncoderModel"], "feed_forward_proj": "gated-gelu"},
    "graniteswitch": _named(
        "GraniteSwitchForCausalLM",
        num_hidden_layers=5,
        num_adapters=3,
        max_lora_rank=32,
        shared_intermediate_size=1024,
        logits_scaling=8.0,
        residual_multiplier=0.22,
        embedding_multiplier=12.0,
        tie_word_embeddings=True,
    ),
    "rnd1": _named("RND1", **_EXPERTS, moe_intermediate_size=256, head_dim=64),
}
"""By a label that starts with the name of the architecture."""
