"""Small config.json files of models with latent attention, or with layers that keep a state."""

from typing import Any

from tests.llm.llm_small_parts import GQA, MOE, ROUTED, named

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
_QSA: dict[str, Any] = {
    "hc_count": 4,
    "hc_lowrank": 64,
    "indexer_n_heads": 4,
    "indexer_head_dim": 128,
    "indexer_budget": 256,
    "indexer_compress_ratio": 16,
    "layer_types": (["linear_attention"] * 3 + ["full_attention"]) * 2,
}
_QWEN4: dict[str, Any] = {
    **MOE,
    **_DELTA,
    **_QSA,
    "head_dim": 128,
    "num_hidden_layers": 8,
    "shared_expert_intermediate_size": 256,
}
_KDA: dict[str, Any] = {
    "linear_attn_config": {
        "full_attn_layers": [4],
        "short_conv_kernel_size": 4,
        "head_dim": 64,
        "num_heads": 8,
    },
    "num_shared_experts": 1,
}
_LING3: dict[str, Any] = {
    **MOE,
    **_MLA,
    "num_hidden_layers": 8,
    "layer_group_size": 4,
    "first_k_dense_replace": 1,
    "num_shared_experts": 1,
    "moe_shared_expert_intermediate_size": 256,
    "norm_topk_prob": True,
    "routed_scaling_factor": 2.5,
}
_NEMOTRON: dict[str, Any] = {
    "mamba_num_heads": 16,
    "mamba_head_dim": 64,
    "ssm_state_size": 128,
    "n_groups": 4,
    "conv_kernel": 4,
}

LATENT: dict[str, dict[str, Any]] = {
    "granitehybrid": named(
        "GraniteMoeHybridForCausalLM",
        num_local_experts=8,
        num_experts_per_tok=2,
        shared_intermediate_size=512,
        layer_types=["mamba", "mamba", "attention", "mamba"],
        mamba_n_heads=16,
        mamba_n_groups=1,
        tie_word_embeddings=True,
    ),
    "granitehybrid-dense": named(
        "GraniteMoeHybridForCausalLM",
        num_local_experts=0,
        shared_intermediate_size=2048,
        layer_types=["mamba", "mamba", "attention", "mamba"],
        mamba_n_heads=16,
        tie_word_embeddings=True,
    ),
    "qwen3next": named(
        "Qwen3NextForCausalLM", MOE, _DELTA, head_dim=128, shared_expert_intermediate_size=256
    ),
    "qwen35": named("Qwen3_5ForConditionalGeneration", _DELTA, head_dim=128),
    "qwen35-mtp": named(
        "Qwen3_5ForConditionalGeneration",
        _DELTA,
        head_dim=128,
        mtp_num_hidden_layers=1,
        keep_nextn=True,
    ),
    "qwen35moe": named(
        "Qwen3_5MoeForConditionalGeneration",
        MOE,
        _DELTA,
        head_dim=128,
        shared_expert_intermediate_size=256,
    ),
    "qwen35moe-mtp": named(
        "Qwen3_5MoeForConditionalGeneration",
        MOE,
        _DELTA,
        head_dim=128,
        shared_expert_intermediate_size=256,
        mtp_num_hidden_layers=1,
        keep_nextn=True,
    ),
    "qwen4exp": named(
        "Qwen4ExpForConditionalGeneration",
        _QWEN4,
    ),
    "qwen4exp-tables": named(
        "Qwen4ExpForCausalLM",
        _QWEN4,
        mtp_num_hidden_layers=1,
        keep_nextn=True,
        ple_layer_ids=[3],
        ngram_size=3,
        heads_per_ngram=4,
        ngram_vocab_size_base=4096,
        ple_conv_kernel_size=4,
        ple_embed_dim=512,
    ),
    "deepseek2": named("DeepseekV3ForCausalLM", ROUTED, _MLA),
    "deepseek2-lite": named(
        "DeepseekV2ForCausalLM", ROUTED, _MLA, num_hidden_layers=27, q_lora_rank=None
    ),
    "deepseek2-mtp": named(
        "Glm4MoeLiteForCausalLM", ROUTED, _MLA, num_nextn_predict_layers=1, keep_nextn=True
    ),
    "mistral4": named(
        "Mistral3ForConditionalGeneration",
        text_config={
            **GQA,
            **ROUTED,
            **_MLA,
            "model_type": "mistral4",
            "scoring_func": "softmax",
            "topk_method": None,
        },
    ),
    "deepseek32": named("DeepseekV32ForCausalLM", ROUTED, _MLA, _DSA),
    "deepseek32-mtp": named(
        "DeepseekV32ForCausalLM", ROUTED, _MLA, _DSA, num_nextn_predict_layers=1, keep_nextn=True
    ),
    "glm-dsa": named(
        "GlmMoeDsaForCausalLM",
        ROUTED,
        _MLA,
        _DSA,
        indexer_types=["full", "full", "shared", "shared"],
    ),
    "deepseek4": named(
        "DeepseekV4ForCausalLM",
        ROUTED,
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
    "glm5-next": named(
        "Glm5NextForConditionalGeneration",
        ROUTED,
        _MLA,
        _DSA,
        _KDA,
        qk_rope_head_dim=0,
        layer_types=["linear_attention"] * 3 + ["full_attention"],
        index_kpool=4,
        num_nextn_predict_layers=1,
        keep_nextn=True,
    ),
    "hy_v4": named(
        "HYV4ForCausalLM",
        ROUTED,
        _MLA,
        hc_mult=4,
        hc_eps=1e-6,
        hc_magnitude=2.0,
        mlp_layer_types=["dense", "sparse", "sparse", "sparse"],
    ),
    "hy_v4-sparse": named(
        "HYV4ForCausalLM",
        ROUTED,
        _MLA,
        _DSA,
        hc_mult=4,
        swiglu_limit=7.0,
        indexer_types=["full", "shared", "full", "shared"],
    ),
    "bailingmoe3": named("BailingMoeV3ForCausalLM", _LING3, tie_word_embeddings=True),
    "bailingmoe3-limited": named(
        "BailingMoeV3VLForConditionalGeneration",
        _LING3,
        q_lora_rank=None,
        n_group=4,
        topk_group=2,
        expert_swiglu_limit_list=[0, 0, 0, 4, 4, 4, 4, 4],
        share_expert_swiglu_limit_list=[0, 0, 0, 0, 0, 5, 5, 7],
        mrope_section=[8, 12, 12],
        num_nextn_predict_layers=1,
        keep_nextn=True,
    ),
    "kimi-linear": named(
        "KimiLinearForCausalLM", MOE, _MLA, _KDA, first_k_dense_replace=1, q_lora_rank=None
    ),
    "kimi-k3": named(
        "KimiK3ForConditionalGeneration",
        MOE,
        _MLA,
        _KDA,
        first_k_dense_replace=1,
        routed_expert_hidden_size=256,
        attn_res_block_size=2,
    ),
    "nemotron_h": named("NemotronHForCausalLM", _NEMOTRON, hybrid_override_pattern="M-M*-"),
    "nemotron_h_moe": named(
        "NemotronHForCausalLM",
        _NEMOTRON,
        ROUTED,
        hybrid_override_pattern="MEM*E",
        moe_shared_expert_intermediate_size=512,
    ),
    "nemotron_h_moe-latent": named(
        "NemotronHForCausalLM",
        _NEMOTRON,
        ROUTED,
        hybrid_override_pattern="MEM*E",
        moe_shared_expert_intermediate_size=512,
        moe_latent_size=256,
    ),
    "falcon-h1": named(
        "FalconH1ForCausalLM", mamba_d_ssm=768, mamba_d_state=128, mamba_d_head=64, mamba_n_groups=1
    ),
    "lfm2": named(
        "Lfm2ForCausalLM",
        layer_types=["conv", "conv", "full_attention", "conv"],
        conv_L_cache=3,
    ),
    "lfm2moe": named(
        "Lfm2MoeForCausalLM",
        MOE,
        layer_types=["conv", "conv", "full_attention", "conv"],
        conv_L_cache=3,
        num_dense_layers=2,
    ),
    "mamba": named("MambaForCausalLM", intermediate_size=1024),
    "mamba2": named("Mamba2ForCausalLM", expand=2, head_dim=64, n_groups=4),
    "jamba": named(
        "JambaForCausalLM",
        num_experts=4,
        num_experts_per_tok=2,
        attn_layer_offset=2,
        attn_layer_period=4,
        mamba_expand=2,
        tie_word_embeddings=True,
    ),
    "rwkv7": named("RWKV7ForCausalLM"),
}
