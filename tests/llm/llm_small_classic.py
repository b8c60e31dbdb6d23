"""Small config.json files of older architectures, in the words of their time."""

from typing import Any

_GPT: dict[str, Any] = {
    "n_embd": 512,
    "n_layer": 4,
    "n_head": 8,
    "n_inner": 2048,
    "vocab_size": 4096,
    "n_positions": 8192,
}
_LLAMA: dict[str, Any] = {
    "hidden_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "intermediate_size": 1024,
    "vocab_size": 4096,
    "max_position_embeddings": 8192,
}
_GQA: dict[str, Any] = {**_LLAMA, "num_key_value_heads": 2}


def _named(name: str, base: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"architectures": [name], **base, **more}


CLASSIC: dict[str, dict[str, Any]] = {
    "phi2": _named("PhiForCausalLM", _LLAMA, partial_rotary_factor=0.5, tie_word_embeddings=False),
    "stablelm": _named("StableLmForCausalLM", _GQA, use_qkv_bias=True),
    "stablelm-parallel": _named(
        "StableLmForCausalLM", _GQA, use_parallel_residual=True, qk_layernorm=True
    ),
    "falcon": _named("FalconForCausalLM", _LLAMA),
    "falcon-two-norms": _named(
        "FalconForCausalLM", _LLAMA, num_kv_heads=2, new_decoder_architecture=True
    ),
    "chatglm": _named(
        "ChatGLMModel",
        {
            "hidden_size": 512,
            "num_layers": 4,
            "num_attention_heads": 8,
            "ffn_hidden_size": 1376,
            "padded_vocab_size": 4096,
            "seq_length": 8192,
            "multi_query_group_num": 2,
        },
    ),
    "deepseek": _named(
        "DeepseekForCausalLM",
        _LLAMA,
        n_routed_experts=8,
        num_experts_per_tok=2,
        moe_intermediate_size=256,
        n_shared_experts=2,
        first_k_dense_replace=1,
    ),
    "bailingmoe": _named(
        "BailingMoeForCausalLM",
        _GQA,
        head_dim=64,
        num_experts=8,
        num_experts_per_tok=2,
        moe_intermediate_size=256,
        num_shared_experts=2,
        norm_topk_prob=True,
    ),
    "olmo": _named("OlmoForCausalLM", _LLAMA, clip_qkv=8.0),
    "minicpm3": _named(
        "MiniCPM3ForCausalLM",
        _LLAMA,
        q_lora_rank=192,
        kv_lora_rank=256,
        qk_nope_head_dim=64,
        qk_rope_head_dim=32,
        tie_word_embeddings=True,
    ),
    "dbrx": _named(
        "DbrxForCausalLM",
        {"d_model": 512, "n_layers": 4, "n_heads": 8, "vocab_size": 4096, "max_seq_len": 8192},
        attn_config={"kv_n_heads": 2, "clip_qkv": 8, "rope_theta": 500000},
        ffn_config={"ffn_hidden_size": 512, "moe_num_experts": 8, "moe_top_k": 2},
    ),
    "gptneox": _named("GPTNeoXForCausalLM", _LLAMA, rotary_pct=0.25),
    "gptneox-serial": _named(
        "GPTNeoXForCausalLM", _LLAMA, rotary_pct=1.0, use_parallel_residual=False
    ),
    "mpt": _named(
        "MPTForCausalLM",
        {"d_model": 512, "n_layers": 4, "n_heads": 8, "vocab_size": 4096, "max_seq_len": 8192},
        attn_config={"alibi": True, "alibi_bias_max": 8, "clip_qkv": None},
    ),
    "bloom": _named("BloomForCausalLM", {**_GPT, "n_embd": None, "n_inner": None}, n_embed=512),
    "starcoder": _named("GPTBigCodeForCausalLM", _GPT),
    "refact": _named("GPTRefactForCausalLM", _GPT),
    "codeshell": _named("CodeShellForCausalLM", _GPT, num_query_groups=2),
    "baichuan": _named("BaichuanForCausalLM", _LLAMA, num_hidden_layers=32),
    "baichuan-alibi": _named("BaichuanForCausalLM", _LLAMA, num_hidden_layers=40),
    "orion": _named("OrionForCausalLM", _GQA),
    "qwen": _named("QWenLMHeadModel", {**_LLAMA, "intermediate_size": 2048}),
    "xverse": _named("XverseForCausalLM", _LLAMA),
    "plamo": _named("PlamoForCausalLM", {**_LLAMA, "hidden_size": 640, "num_attention_heads": 10}),
    "gpt2": _named("GPT2LMHeadModel", _GPT),
    "openelm": _named(
        "OpenELMForCausalLM",
        {
            "model_dim": 512,
            "num_transformer_layers": 4,
            "head_dim": 64,
            "vocab_size": 4096,
            "max_context_length": 8192,
            "ffn_dim_divisor": 256,
            "ffn_multipliers": [0.5, 1.5, 3.0, 4.0],
            "num_query_heads": [4, 8, 8, 12],
            "num_kv_heads": [1, 2, 2, 3],
        },
    ),
    "jais": _named("JAISLMHeadModel", {**_GPT, "n_inner": 1376}),
    "grok": _named("Grok1ForCausalLM", _GQA, num_local_experts=8, num_experts_per_tok=2),
    "grok-dense": _named(
        "Grok1ForCausalLM",
        _GQA,
        num_local_experts=8,
        num_experts_per_tok=2,
        moe_intermediate_size=512,
        residual_moe=True,
        final_logit_softcapping=50.0,
    ),
    "arctic": _named("ArcticForCausalLM", _GQA, num_local_experts=8, num_experts_per_tok=2),
    "bitnet": _named("BitnetForCausalLM", _LLAMA, tie_word_embeddings=True),
    "rwkv6": _named("Rwkv6ForCausalLM", _LLAMA, rescale_every=2),
    "rwkv6qwen2": _named("RWKV6Qwen2ForCausalLM", _GQA),
    "arwkv7": _named("RwkvHybridForCausalLM", _LLAMA, head_size=64, wkv_has_gate=False),
    "arwkv7-gate": _named("RwkvHybridForCausalLM", _LLAMA, head_size=64, wkv_has_gate=True),
    "bert": _named("BertModel", _LLAMA, type_vocab_size=2),
    "bert-reranker": _named(
        "XLMRobertaForSequenceClassification",
        {**_LLAMA, "max_position_embeddings": 8194},
        type_vocab_size=1,
        pad_token_id=1,
    ),
    "bert-distil": {
        "architectures": ["DistilBertModel"],
        "dim": 512,
        "n_layers": 4,
        "n_heads": 8,
        "hidden_dim": 1024,
        "vocab_size": 4096,
        "max_position_embeddings": 512,
    },
    "nomic-bert": _named(
        "NomicBertModel", {**_GPT, "n_inner": 1024}, type_vocab_size=2, moe_every_n_layers=0
    ),
    "nomic-bert-moe": _named(
        "NomicBertModel",
        {**_GPT, "n_inner": 1024, "n_positions": 2048},
        type_vocab_size=1,
        moe_every_n_layers=2,
        moe_top_k=2,
        num_experts=8,
    ),
    "jina-bert-v2": _named("JinaBertModel", _LLAMA, type_vocab_size=2),
    "jina-bert-v3": _named(
        "XLMRobertaModel",
        {**_LLAMA, "max_position_embeddings": 8194},
        type_vocab_size=1,
        pad_token_id=1,
        lora_adaptations=["retrieval.query"],
    ),
    "modern-bert": _named(
        "ModernBertModel", _LLAMA, local_attention=128, global_attn_every_n_layers=3
    ),
    "eurobert": _named("EuroBertModel", _GQA),
    "neo-bert": _named("NeoBERT", {**_LLAMA, "intermediate_size": 1536}),
    "gemma-embedding": _named(
        "Gemma3TextModel", _GQA, num_hidden_layers=6, head_dim=64, sliding_window=512
    ),
}
"""By a label that starts with the name of the architecture."""
