"""Models small enough to run in a test: real architectures, a few layers."""

from pathlib import Path

from advisor.llm import architectures, filetypes
from advisor.llm.gguf_writer import layout
from advisor.llm.model import Model
from advisor.llm.tensor import TYPES, Tensor

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
    family = architectures.architecture(hp.arch)
    assert family is not None
    shapes = family.tensors(hp)
    tensors = filetypes.assign(hp, shapes, file_type)
    return Model(
        id=f"tiny-{hp.arch}",
        name=f"Tiny {hp.arch}",
        file_type=file_type,
        source="catalogue",
        tensors=tuple(tensors),
        hp=hp,
        memory=family.memory(hp),
    )


def dense(file_type: str = "Q8_0") -> Model:
    return tiny(DENSE, file_type)


def moe(file_type: str = "Q8_0") -> Model:
    return tiny(MOE, file_type)


def projector(folder: Path, n_embd: int = 512) -> Path:
    """A multimodal projector that llama.cpp loads: LLaVA's, two blocks, all weights zero."""
    wide, deep, patch = 64, 128, 14
    shapes: dict[str, tuple[int, ...]] = {
        "v.patch_embd.weight": (patch, patch, 3, wide),
        "v.class_embd": (wide,),
        "v.position_embd.weight": (wide, 17),
        "v.pre_ln.weight": (wide,),
        "v.pre_ln.bias": (wide,),
        "mm.0.weight": (wide, n_embd),
        "mm.0.bias": (n_embd,),
        "mm.2.weight": (n_embd, n_embd),
        "mm.2.bias": (n_embd,),
    }
    for block in range(2):
        for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
            shapes[f"v.blk.{block}.{name}.weight"] = (wide, wide)
            shapes[f"v.blk.{block}.{name}.bias"] = (wide,)
        for name in ("ln1", "ln2"):
            shapes[f"v.blk.{block}.{name}.weight"] = (wide,)
            shapes[f"v.blk.{block}.{name}.bias"] = (wide,)
        shapes[f"v.blk.{block}.ffn_up.weight"] = (wide, deep)
        shapes[f"v.blk.{block}.ffn_up.bias"] = (deep,)
        shapes[f"v.blk.{block}.ffn_down.weight"] = (deep, wide)
        shapes[f"v.blk.{block}.ffn_down.bias"] = (wide,)
    tensors = [
        Tensor(name, shape, TYPES["F32" if len(shape) == 1 or "embd" in name else "F16"])
        for name, shape in shapes.items()
    ]
    made = layout(
        {
            "general.architecture": "clip",
            "general.file_type": 1,
            "clip.has_vision_encoder": True,
            "clip.projector_type": "mlp",
            "clip.vision.image_size": 56,
            "clip.vision.patch_size": patch,
            "clip.vision.embedding_length": wide,
            "clip.vision.feed_forward_length": deep,
            "clip.vision.projection_dim": n_embd,
            "clip.vision.block_count": 2,
            "clip.vision.attention.head_count": 4,
            "clip.vision.attention.layer_norm_epsilon": 1e-5,
            "clip.vision.image_mean": [0.5] * 3,
            "clip.vision.image_std": [0.5] * 3,
            "clip.use_gelu": True,
        },
        tensors,
    )
    path = folder / "mmproj.gguf"
    with path.open("wb") as file:
        file.write(made.header)
        file.truncate(made.total)
    return path
