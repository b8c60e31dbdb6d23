"""One small config.json per architecture: few layers and narrow, but every kind of layer in it."""

from typing import Any

_GQA: dict[str, Any] = {
    "hidden_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "intermediate_size": 1024,
    "vocab_size": 4096,
    "max_position_embeddings": 131072,
}
_MOE: dict[str, Any] = {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 256}
_ROUTED: dict[str, Any] = {
    "n_routed_experts": 8,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 256,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
}
_MLA: dict[str, Any] = {
    "q_lora_rank": 256,
    "kv_lora_rank": 512,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "scoring_func": "sigmoid",
    "topk_method": "noaux_tc",
}
_DSA: dict[str, Any] = {"index_n_heads": 8, "index_head_dim": 128, "index_topk": 256}
_DELTA: dict[str, Any] = {
    "linear_num_value_heads": 8,
    "linear_num_key_heads": 4,
    "linear_key_head_dim": 128,
    "linear_value_head_dim": 128,
    "linear_conv_kernel_dim": 4,
    "full_attention_interval": 4,
}
_SLIDE = ["sliding_attention", "sliding_attention", "sliding_attention", "full_attention"]
_KDA: dict[str, Any] = {
    "linear_attn_config": {
        "full_attn_layers": [4],
        "short_conv_kernel_size": 4,
        "head_dim": 64,
        "num_heads": 8,
    },
    "num_shared_experts": 1,
}


def _named(name: str, *parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    merged: dict[str, Any] = {"architectures": [name], **_GQA}
    for part in parts:
        merged |= part
    merged |= more
    return {key: value for key, value in merged.items() if value is not None}


_NEMOTRON: dict[str, Any] = {
    "mamba_num_heads": 16,
    "mamba_head_dim": 64,
    "ssm_state_size": 128,
    "n_groups": 4,
    "conv_kernel": 4,
}

SMALL: dict[str, dict[str, Any]] = {
    "llama": _named("LlamaForCausalLM", rope_scaling={"rope_type": "llama3", "factor": 8.0}),
    "llama-moe": _named("MixtralForCausalLM", num_local_experts=4, num_experts_per_tok=2),
    "llama-biased": _named("LlamaForCausalLM", attention_bias=True, mlp_bias=True),
    "mistral3": _named(
        "Ministral3ForCausalLM",
        rope_parameters={
            "rope_type": "yarn",
            "factor": 16.0,
            "original_max_position_embeddings": 8192,
        },
    ),
    "llama4": _named(
        "Llama4ForCausalLM",
        num_local_experts=4,
        num_experts_per_tok=1,
        intermediate_size_mlp=2048,
        interleave_moe_layer_step=2,
    ),
    "granite": _named("GraniteForCausalLM", tie_word_embeddings=True, logits_scaling=16.0),
    "granitemoe": _named(
        "GraniteMoeSharedForCausalLM",
        num_local_experts=8,
        num_experts_per_tok=2,
        shared_intermediate_size=512,
    ),
    "granitehybrid": _named(
        "GraniteMoeHybridForCausalLM",
        num_local_experts=8,
        num_experts_per_tok=2,
        shared_intermediate_size=512,
        layer_types=["mamba", "mamba", "attention", "mamba"],
        mamba_n_heads=16,
        mamba_n_groups=1,
        tie_word_embeddings=True,
    ),
    "granitehybrid-dense": _named(
        "GraniteMoeHybridForCausalLM",
        num_local_experts=0,
        shared_intermediate_size=2048,
        layer_types=["mamba", "mamba", "attention", "mamba"],
        mamba_n_heads=16,
        tie_word_embeddings=True,
    ),
    "smollm3": _named("SmolLM3ForCausalLM", tie_word_embeddings=True),
    "seed_oss": _named("SeedOssForCausalLM"),
    "exaone4": _named(
        "Exaone4ForCausalLM",
        num_hidden_layers=64,
        sliding_window=4096,
        sliding_window_pattern="LLLG",
        rope_scaling={"rope_type": "llama3", "factor": 16.0},
    ),
    "qwen2": _named("Qwen2ForCausalLM"),
    "qwen2vl": _named("Qwen2VLForConditionalGeneration"),
    "qwen2moe": _named("Qwen2MoeForCausalLM", _MOE, shared_expert_intermediate_size=512),
    "qwen3": _named("Qwen3ForCausalLM", tie_word_embeddings=True),
    "qwen3vl": _named(
        "Qwen3VLForConditionalGeneration", vision_config={"deepstack_visual_indexes": [5, 11, 17]}
    ),
    "qwen3moe": _named("Qwen3MoeForCausalLM", _MOE),
    "qwen3vlmoe": _named("Qwen3VLMoeForConditionalGeneration", _MOE),
    "qwen3next": _named(
        "Qwen3NextForCausalLM", _MOE, _DELTA, head_dim=128, shared_expert_intermediate_size=256
    ),
    "qwen35": _named("Qwen3_5ForConditionalGeneration", _DELTA, head_dim=128),
    "qwen35-mtp": _named(
        "Qwen3_5ForConditionalGeneration",
        _DELTA,
        head_dim=128,
        mtp_num_hidden_layers=1,
        keep_nextn=True,
    ),
    "qwen35moe": _named(
        "Qwen3_5MoeForConditionalGeneration",
        _MOE,
        _DELTA,
        head_dim=128,
        shared_expert_intermediate_size=256,
    ),
    "qwen35moe-mtp": _named(
        "Qwen3_5MoeForConditionalGeneration",
        _MOE,
        _DELTA,
        head_dim=128,
        shared_expert_intermediate_size=256,
        mtp_num_hidden_layers=1,
        keep_nextn=True,
    ),
    "gemma2": _named("Gemma2ForCausalLM", sliding_window=1024),
    "gemma3": _named("Gemma3ForCausalLM", num_hidden_layers=7, sliding_window=1024),
    "gemma3n": _named(
        "Gemma3nForCausalLM",
        num_hidden_layers=25,
        intermediate_size=[1024] * 25,
        sliding_window=512,
        layer_types=(["sliding_attention"] * 4 + ["full_attention"]) * 5,
    ),
    "gemma4": _named(
        "Gemma4ForConditionalGeneration",
        num_hidden_layers=4,
        layer_types=_SLIDE,
        sliding_window=1024,
        global_head_dim=128,
        num_global_key_value_heads=1,
        attention_k_eq_v=True,
    ),
    "gemma4-moe": _named(
        "Gemma4ForConditionalGeneration",
        _MOE,
        layer_types=_SLIDE,
        sliding_window=1024,
        global_head_dim=128,
        num_global_key_value_heads=1,
        attention_k_eq_v=True,
    ),
    "gemma4-small": _named(
        "Gemma4ForConditionalGeneration",
        num_hidden_layers=8,
        layer_types=_SLIDE * 2,
        sliding_window=512,
        global_head_dim=128,
        hidden_size_per_layer_input=256,
        num_kv_shared_layers=4,
        use_double_wide_mlp=True,
    ),
    "gpt-oss": _named(
        "GptOssForCausalLM",
        num_local_experts=8,
        num_experts_per_tok=2,
        rope_scaling={
            "rope_type": "yarn",
            "factor": 32.0,
            "original_max_position_embeddings": 4096,
        },
    ),
    "phi3": _named(
        "Phi3ForCausalLM",
        long_rope=True,
        original_max_position_embeddings=4096,
        rope_scaling={"rope_type": "longrope"},
        sliding_window=2047,
    ),
    "phimoe": _named(
        "PhiMoEForCausalLM",
        num_local_experts=4,
        num_experts_per_tok=2,
        original_max_position_embeddings=4096,
        long_rope=True,
        rope_scaling={"rope_type": "longrope"},
    ),
    "deepseek2": _named("DeepseekV3ForCausalLM", _ROUTED, _MLA),
    "deepseek2-lite": _named(
        "DeepseekV2ForCausalLM", _ROUTED, _MLA, num_hidden_layers=27, q_lora_rank=None
    ),
    "deepseek2-mtp": _named(
        "Glm4MoeLiteForCausalLM", _ROUTED, _MLA, num_nextn_predict_layers=1, keep_nextn=True
    ),
    "mistral4": _named(
        "Mistral3ForConditionalGeneration",
        text_config={
            **_GQA,
            **_ROUTED,
            **_MLA,
            "model_type": "mistral4",
            "scoring_func": "softmax",
            "topk_method": None,
        },
    ),
    "deepseek32": _named("DeepseekV32ForCausalLM", _ROUTED, _MLA, _DSA),
    "deepseek32-mtp": _named(
        "DeepseekV32ForCausalLM", _ROUTED, _MLA, _DSA, num_nextn_predict_layers=1, keep_nextn=True
    ),
    "glm-dsa": _named(
        "GlmMoeDsaForCausalLM",
        _ROUTED,
        _MLA,
        _DSA,
        indexer_types=["full", "full", "shared", "shared"],
    ),
    "deepseek4": _named(
        "DeepseekV4ForCausalLM",
        _ROUTED,
        head_dim=512,
        num_key_value_heads=1,
        q_lora_rank=256,
        o_lora_rank=128,
        o_groups=2,
        index_n_heads=8,
        index_head_dim=128,
        index_topk=256,
        compress_ratios=[0, 4, 128, 4],
        num_hash_layers=1,
        rope_scaling={"type": "yarn", "factor": 16, "original_max_position_embeddings": 65536},
    ),
    "glm4": _named("Glm4ForCausalLM", attention_bias=True),
    "glm4moe": _named(
        "Glm4MoeForCausalLM",
        _ROUTED,
        attention_bias=True,
        use_qk_norm=True,
        num_nextn_predict_layers=1,
        keep_nextn=True,
    ),
    "glm5-next": _named(
        "Glm5NextForConditionalGeneration",
        _ROUTED,
        _MLA,
        _DSA,
        _KDA,
        qk_rope_head_dim=0,
        layer_types=["linear_attention"] * 3 + ["full_attention"],
        index_kpool=4,
        num_nextn_predict_layers=1,
        keep_nextn=True,
    ),
    "kimi-linear": _named(
        "KimiLinearForCausalLM", _MOE, _MLA, _KDA, first_k_dense_replace=1, q_lora_rank=None
    ),
    "kimi-k3": _named(
        "KimiK3ForConditionalGeneration",
        _MOE,
        _MLA,
        _KDA,
        first_k_dense_replace=1,
        routed_expert_hidden_size=256,
        attn_res_block_size=2,
    ),
    "minimax-m2": _named(
        "MiniMaxM2ForCausalLM", num_local_experts=8, num_experts_per_tok=2, rotary_dim=32
    ),
    "minimax-m3": _named(
        "MiniMaxM3SparseForCausalLM",
        num_local_experts=8,
        num_experts_per_tok=2,
        n_shared_experts=1,
        dense_intermediate_size=2048,
        rotary_dim=32,
        moe_layer_freq=[0, 1, 1, 1],
        sparse_attention_config={
            "sparse_num_index_heads": 2,
            "sparse_index_dim": 64,
            "sparse_topk_blocks": 16,
            "sparse_block_size": 64,
            "sparse_local_block": 1,
        },
    ),
    "nemotron_h": _named("NemotronHForCausalLM", _NEMOTRON, hybrid_override_pattern="M-M*-"),
    "nemotron_h_moe": _named(
        "NemotronHForCausalLM",
        _NEMOTRON,
        _ROUTED,
        hybrid_override_pattern="MEM*E",
        moe_shared_expert_intermediate_size=512,
    ),
    "nemotron_h_moe-latent": _named(
        "NemotronHForCausalLM",
        _NEMOTRON,
        _ROUTED,
        hybrid_override_pattern="MEM*E",
        moe_shared_expert_intermediate_size=512,
        moe_latent_size=256,
    ),
    "falcon-h1": _named(
        "FalconH1ForCausalLM", mamba_d_ssm=768, mamba_d_state=128, mamba_d_head=64, mamba_n_groups=1
    ),
    "hunyuan-dense": _named("HunYuanDenseV1ForCausalLM", num_experts=1, tie_word_embeddings=True),
    "hunyuan-moe": _named(
        "HunYuanMoEV1ForCausalLM",
        num_experts=8,
        moe_topk=[2, 2, 2, 2],
        moe_intermediate_size=[1024] * 4,
        num_shared_expert=[1, 1, 1, 1],
        tie_word_embeddings=True,
    ),
    "hy_v3": _named(
        "HYV3ForCausalLM",
        _MOE,
        first_k_dense_replace=1,
        num_nextn_predict_layers=1,
        keep_nextn=True,
    ),
    "ernie4_5": _named("Ernie4_5ForCausalLM", tie_word_embeddings=True),
    "ernie4_5-moe": _named(
        "Ernie4_5_MoeForCausalLM",
        moe_num_experts=8,
        moe_k=2,
        moe_intermediate_size=256,
        moe_num_shared_experts=2,
        moe_layer_start_index=1,
        tie_word_embeddings=True,
    ),
    "step35": _named(
        "Step3p5ForCausalLM",
        layer_types=["full_attention", *_SLIDE[:3]],
        sliding_window=512,
        attention_other_setting={"num_attention_heads": 12, "num_attention_groups": 2},
        num_attention_groups=2,
        moe_num_experts=8,
        moe_top_k=2,
        moe_intermediate_size=256,
        share_expert_dim=256,
        moe_layers_enum="1,2,3",
        num_nextn_predict_layers=1,
        keep_nextn=True,
        rope_scaling={"rope_type": "llama3", "factor": 2.0},
    ),
    "lfm2": _named(
        "Lfm2ForCausalLM",
        layer_types=["conv", "conv", "full_attention", "conv"],
        conv_L_cache=3,
    ),
    "lfm2moe": _named(
        "Lfm2MoeForCausalLM",
        _MOE,
        layer_types=["conv", "conv", "full_attention", "conv"],
        conv_L_cache=3,
        num_dense_layers=2,
    ),
    "mimo2": _named(
        "MiMoV2FlashForCausalLM",
        _ROUTED,
        head_dim=192,
        v_head_dim=128,
        swa_num_key_value_heads=4,
        hybrid_layer_pattern=[0, 1, 1, 1],
        moe_layer_freq=[0, 1, 1, 1],
        sliding_window=128,
        keep_nextn=True,
    ),
    "gemma": _named("GemmaForCausalLM"),
    "exaone": _named("ExaoneForCausalLM", rope_scaling={"rope_type": "llama3", "factor": 8.0}),
    "internlm2": _named("InternLM2ForCausalLM"),
    "starcoder2": _named("Starcoder2ForCausalLM"),
    "arcee": _named("ArceeForCausalLM"),
    "apertus": _named("ApertusForCausalLM", rope_scaling={"rope_type": "llama3", "factor": 8.0}),
    "minicpm": _named("MiniCPMForCausalLM", scale_emb=12.0, scale_depth=1.4, dim_model_base=256),
    "nemotron": _named("NemotronForCausalLM"),
    "bailingmoe2": _named(
        "BailingMoeV2ForCausalLM", _MOE, num_shared_experts=1, first_k_dense_replace=1
    ),
    "dots1": _named("Dots1ForCausalLM", _ROUTED, num_key_value_heads=8),
    "olmo2": _named("Olmo2ForCausalLM"),
    "olmo3": _named("Olmo3ForCausalLM", sliding_window=4096),
    "olmoe": _named(
        "OlmoeForCausalLM", num_experts=8, num_experts_per_tok=2, num_key_value_heads=8
    ),
    "command-r": _named("CohereForCausalLM", tie_word_embeddings=True),
    "cohere2": _named("Cohere2ForCausalLM", sliding_window=4096, rotary_pct=1.0),
    "mamba": _named("MambaForCausalLM", intermediate_size=1024),
    "mamba2": _named("Mamba2ForCausalLM", expand=2, head_dim=64, n_groups=4),
    "jamba": _named(
        "JambaForCausalLM",
        num_experts=4,
        num_experts_per_tok=2,
        attn_layer_offset=2,
        attn_layer_period=4,
        mamba_expand=2,
        tie_word_embeddings=True,
    ),
    "rwkv7": _named("RWKV7ForCausalLM"),
}
"""By a label that starts with the name of the architecture."""
