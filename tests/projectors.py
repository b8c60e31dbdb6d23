"""Headers of vision projectors as their publishers' files have them, and what llama.cpp reserves.

The figures: llama.cpp b11434 itself (mtmd_get_memory_usage, no weights loaded) with a simulated
CUDA device, less the weights. Shapes are those of the models named.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from advisor.llm.model import Projector
from advisor.llm.tensor import TYPES, Tensor

Shapes = dict[str, tuple[int, ...]]


def _two(a: int, middle: int, b: int, first: str, second: str, *, bias: bool = True) -> Shapes:
    """Two matrices of a projector."""
    found: Shapes = {f"{first}.weight": (a, middle), f"{second}.weight": (middle, b)}
    if bias:
        found |= {f"{first}.bias": (middle,), f"{second}.bias": (b,)}
    return found


def _block(n_embd: int, n_ff: int, parts: str) -> Shapes:
    """One block. parts: fused, bias, ff_bias, ln_bias, gate, scales, post, q_norm …, in words."""
    words = set(parts.split())
    found: Shapes = {}
    if "fused" in words:
        products = {"attn_qkv": (n_embd, 3 * n_embd)}
    else:
        products = {f"attn_{name}": (n_embd, n_embd) for name in "qkv"}
    products["attn_out"] = (n_embd, n_embd)
    forward = {"ffn_up": (n_embd, n_ff), "ffn_down": (n_ff, n_embd)}
    if "gate" in words:
        forward["ffn_gate"] = (n_embd, n_ff)
    for name, shape in (products | forward).items():
        found[f"{name}.weight"] = shape
        if "bias" in words or ("ff_bias" in words and name in forward):
            found[f"{name}.bias"] = shape[1:]
    for name in ("ln1", "ln2"):
        found[f"{name}.weight"] = (n_embd,)
        if "ln_bias" in words:
            found[f"{name}.bias"] = (n_embd,)
    for word, names in {
        "scales": ("ls1", "ls2"),
        "post": ("attn_post_norm", "ffn_post_norm"),
        "norms": ("attn_q_norm", "attn_k_norm"),
    }.items():
        if word in words:
            found |= {f"{name}.weight": (n_embd,) for name in names}
    for word in words:
        if word.startswith("head_norms_"):
            width = int(word.removeprefix("head_norms_"))
            found |= {f"attn_{name}_norm.weight": (width,) for name in "qk"}
    return found


def projector(
    kind: str,
    sizes: tuple[int, int, int, int, int, int],
    parts: str,
    other: Shapes,
    keys: Mapping[str, Any],
) -> Projector:
    """A header. sizes: width, feed-forward, blocks, heads, patch, picture."""
    n_embd, n_ff, n_layer, n_head, patch, image = sizes
    shapes = {"v.patch_embd.weight": (patch, patch, 3, n_embd)} | other
    if "v.patch_embd.weight.1" in shapes:
        shapes["v.patch_embd.weight.1"] = shapes["v.patch_embd.weight"]
    block = _block(n_embd, n_ff, parts)
    for il in range(n_layer):
        shapes |= {f"v.blk.{il}.{name}": shape for name, shape in block.items()}
    plain = {"v.class_embd", "v.position_embd.weight", "v.token_embd.img_break"}
    tensors = tuple(
        Tensor(name, shape, TYPES["F32" if len(shape) == 1 or name in plain else "F16"])
        for name, shape in shapes.items()
    )
    names = {
        "image_size": image, "patch_size": patch, "embedding_length": n_embd,
        "feed_forward_length": n_ff, "block_count": n_layer, "attention.head_count": n_head,
        **{key: value for key, value in keys.items() if not key.startswith("use_")},
    }  # fmt: skip
    metadata = {f"clip.vision.{key}": value for key, value in names.items()}
    metadata |= {f"clip.{key}": value for key, value in keys.items() if key.startswith("use_")}
    return Projector(Path("mmproj.gguf"), kind, tensors, metadata)


def _norms(width: int, *names: str) -> Shapes:
    return {f"{name}.{part}": (width,) for name in names for part in ("weight", "bias")}


def _only(width: int, *names: str) -> Shapes:
    return {f"{name}.weight": (width,) for name in names}


_PAIR: Shapes = {"v.patch_embd.weight.1": ()}
_GELU, _SILU = {"use_gelu": True}, {"use_silu": True}
_BOTH = "bias ln_bias"


def _learned(width: int, *count: int) -> Shapes:
    return {"v.patch_embd.bias": (width,), "v.position_embd.weight": (width, *count)}


def _glm(width: int, out: int, n_ff: int) -> Shapes:
    return {
        "mm.patch_merger.weight": (2, 2, width, out), "mm.patch_merger.bias": (out,),
        "mm.model.fc.weight": (out, out), **_norms(out, "mm.post_norm"),
        "mm.up.weight": (out, n_ff), "mm.gate.weight": (out, n_ff), "mm.down.weight": (n_ff, out),
    }  # fmt: skip


def _deep(width: int, out: int, blocks: tuple[int, ...]) -> Shapes:
    found: Shapes = {}
    for il in blocks:
        at = f"v.deepstack.{il}"
        found |= {
            **_norms(width, f"{at}.norm"),
            **_two(width, width, out, f"{at}.fc1", f"{at}.fc2"),
        }
    return found


CASES: dict[str, tuple[Projector, tuple[int, int], int]] = {
    "Gemma 3": (
        projector("gemma3", (1152, 4304, 27, 16, 14, 896), _BOTH, {
            **_learned(1152, 4096), **_norms(1152, "v.post_ln"),
            "mm.input_projection.weight": (2560, 1152), "mm.soft_emb_norm.weight": (1152,),
        }, _GELU), (127139840, 9633792), 127139840,
    ),
    "SmolVLM": (
        projector("idefics3", (768, 3072, 12, 12, 16, 512), _BOTH, {
            **_learned(768, 1024), **_norms(768, "v.post_ln"), "mm.model.fc.weight": (12288, 960),
        }, {**_GELU, "projector.scale_factor": 4}), (22020096, 3145728), 22020096,
    ),
    "LFM2 VL": (
        projector("lfm2", (768, 3072, 12, 12, 16, 256), _BOTH, {
            **_learned(768, 256), **_norms(768, "v.post_ln"), **_norms(3072, "mm.input_norm"),
            **_two(3072, 2560, 2048, "mm.1", "mm.2"),
        }, {**_GELU, "projector.scale_factor": 2}), (22020096, 3145728), 22020096,
    ),
    "LLaVA 1.5": (
        projector("mlp", (1024, 4096, 23, 16, 14, 336), _BOTH, {
            "v.class_embd": (1024,), "v.position_embd.weight": (1024, 577),
            **_norms(1024, "v.pre_ln"), **_two(1024, 4096, 4096, "mm.0", "mm.2"),
        }, {}), (22593152, 1359392), 22593056,
    ),
    "Qwen2 VL": (
        projector("qwen2vl_merger", (1280, 5120, 32, 16, 14, 560), _BOTH, {
            **_PAIR, **_norms(1280, "v.post_ln"), **_two(5120, 5120, 1536, "mm.0", "mm.2"),
        }, {"n_wa_pattern": 0}), (280056832, 20042752), 280056832,
    ),
    "Qwen2.5 VL": (
        projector("qwen2.5vl_merger", (1280, 3420, 32, 16, 14, 560), "bias gate", {
            **_PAIR, **_only(1280, "v.post_ln"), **_two(5120, 5120, 3584, "mm.0", "mm.2"),
        }, {**_SILU, "n_wa_pattern": 8}), (739025920, 306616896), 739025728,
    ),
    "Qwen3 VL 8B": (
        projector("qwen3vl_merger", (1152, 4304, 27, 16, 16, 768), f"fused {_BOTH}", {
            **_PAIR, **_learned(1152, 2304), **_norms(1152, "v.post_ln"),
            **_two(4608, 4608, 4096, "mm.0", "mm.2"), **_deep(4608, 4096, (8, 16, 24)),
        }, {**_GELU, "spatial_merge_size": 2}), (390156544, 26136832), 390156544,
    ),
    "Pixtral": (
        projector("pixtral", (1024, 4096, 24, 16, 16, 1024), "gate", {
            **_only(1024, "v.pre_ln"), **_two(1024, 5120, 5120, "mm.1", "mm.2"),
            "v.token_embd.img_break": (5120,),
        }, _SILU), (17369088, 788480), 17369088,
    ),
    "Mistral Small 3.2": (
        projector("pixtral", (1024, 4096, 24, 16, 14, 1540), "gate", {
            **_only(1024, "v.pre_ln", "mm.input_norm"),
            **_two(1024, 5120, 5120, "mm.1", "mm.2", bias=False),
            "v.token_embd.img_break": (5120,), "mm.patch_merger.weight": (4096, 1024),
        }, {**_SILU, "spatial_merge_size": 2}), (67756032, 8388640), 67756032,
    ),
    "Llama 4": (
        projector("llama4", (1408, 5632, 34, 16, 14, 336), _BOTH, {
            "v.patch_embd.weight": (588, 1408), "v.class_embd": (1408,),
            "v.position_embd.weight": (1408, 577), **_norms(1408, "v.pre_ln", "v.post_ln"),
            "mm.model.mlp.1.weight": (5632, 4096), "mm.model.mlp.2.weight": (4096, 4096),
            "mm.model.fc.weight": (4096, 5120),
        }, {**_GELU, "projector.scale_factor": 2}), (38915456, 9748992), 20857408,
    ),
    "InternVL 3 8B": (
        projector("internvl", (1024, 4096, 24, 16, 14, 448), f"scales {_BOTH}", {
            "v.class_embd": (1024,), **_learned(1024, 1025), **_norms(4096, "mm.model.mlp.0"),
            **_two(4096, 3584, 3584, "mm.model.mlp.1", "mm.model.mlp.3"),
        }, {**_GELU, "projector.scale_factor": 2}), (29388800, 2408448), 29388800,
    ),
    "InternVL 3 38B": (
        projector("internvl", (3200, 12800, 45, 25, 14, 448), "scales ff_bias norms", {
            "v.class_embd": (3200,), **_learned(3200, 1025), **_norms(12800, "mm.model.mlp.0"),
            **_two(12800, 5120, 5120, "mm.model.mlp.1", "mm.model.mlp.3"),
        }, {**_GELU, "projector.scale_factor": 2}), (91840000, 2408448), 91840000,
    ),
    "GLM 4.1V": (
        projector("glm4v", (1536, 4096, 24, 12, 14, 336), "fused gate", {
            **_PAIR, **_learned(1536, 576), **_only(1536, "v.post_ln", "v.norm_embd"),
            **_glm(1536, 4096, 10944),
        }, _SILU), (540070912, 20042752), 540070912,
    ),
    "GLM OCR": (
        projector("glm4v", (1024, 4096, 24, 16, 14, 336), "fused bias gate head_norms_64", {
            **_PAIR, "v.patch_embd.bias": (1024,), **_only(1024, "v.post_ln"),
            **_glm(1024, 1536, 4608),
        }, _SILU), (505402368, 20042752), 505402368,
    ),
    "Kimi VL": (
        projector("kimivl", (1152, 4304, 27, 16, 14, 896), _BOTH, {
            **_learned(1152, 4096), **_norms(1152, "v.post_ln", "mm.input_norm"),
            **_two(4608, 4608, 2048, "mm.1", "mm.2"),
        }, {**_GELU, "projector.scale_factor": 2}), (36560896, 2416640), 36560896,
    ),
    "Kimi K2.5": (
        projector("kimik25", (1152, 4304, 27, 16, 14, 896), f"fused {_BOTH}", {
            **_learned(1152, 64, 64), **_norms(1152, "v.post_ln", "mm.input_norm"),
            **_two(4608, 4608, 7168, "mm.1", "mm.2"),
        }, {
            **_GELU, "projector.scale_factor": 2, "image_min_pixels": 3136,
            "image_max_pixels": 3211264,
        }), (491651072, 38666240), 491651072,
    ),
    "Gemma 4 31B": (
        projector("gemma4v", (1152, 4304, 27, 16, 16, 224), "gate post head_norms_72", {
            "v.position_embd.weight": (1152, 10240, 2), "v.std_bias": (1152,),
            "v.std_scale": (1152,), "mm.input_projection.weight": (1152, 5376),
        }, _GELU), (157943808, 7096320), 157943808,
    ),
    "MiniMax M3": (
        projector("minimax_m3", (1280, 5120, 32, 16, 14, 672), _BOTH, {
            **_PAIR, **_norms(1280, "v.pre_ln"), **_two(1280, 6144, 6144, "mm.1", "mm.2"),
            **_two(24576, 6144, 6144, "mm.merger.fc1", "mm.merger.fc2"),
        }, _GELU), (55574528, 2416640), 55574528,
    ),
}  # fmt: skip
"""By model: its header; bytes on a CUDA device and beside it on the host; bytes without devices."""
