"""Models small enough to run in a test: real architectures, a few layers."""

from advisor.llm import architectures, filetypes
from advisor.llm.model import Model

DENSE = {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "vocab_size": 4096,
    "hidden_size": 512,
    "intermediate_size": 1024,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "max_position_embeddings": 8192,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1_000_000,
    "tie_word_embeddings": False,
}
MOE = {
    **DENSE,
    "architectures": ["Qwen3MoeForCausalLM"],
    "model_type": "qwen3_moe",
    "num_experts": 32,
    "num_experts_per_tok": 4,
    "moe_intermediate_size": 256,
    "norm_topk_prob": True,
}


def tiny(config: dict, file_type: str = "Q8_0") -> Model:
    """A model of a Hugging Face config, in memory only."""
    hp = architectures.from_config(config)
    shapes = architectures.architecture(hp.arch).tensors(hp)
    tensors = filetypes.assign(hp, shapes, file_type)
    return Model(
        id=f"tiny-{hp.arch}",
        name=f"Tiny {hp.arch}",
        file_type=file_type,
        source="catalogue",
        tensors=tuple(tensors),
        hp=hp,
        memory=architectures.architecture(hp.arch).memory(hp),
    )


def dense(file_type: str = "Q8_0") -> Model:
    return tiny(DENSE, file_type)


def moe(file_type: str = "Q8_0") -> Model:
    return tiny(MOE, file_type)
