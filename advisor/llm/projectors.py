"""The projector of a model without a file, from what the maker's ``vision_config`` states.

A projector is published beside a model, as an ``mmproj-….gguf``. The tensors are those that
llama.cpp's converter writes: conversion/base.py:MmprojModel, and the family's own class.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from advisor.errors import ModelError
from advisor.llm.model import Projector
from advisor.llm.tensor import TYPES, Tensor

Shapes = dict[str, tuple[int, ...]]

FILE_TYPES: Final = ("F16", "BF16", "Q8_0", "F32")
"""What convert_hf_to_gguf.py ``--mmproj`` writes; publishers mostly offer the first two."""

_MERGE: Final = 2
"""Patches a side that become one token (``spatial_merge_size``, ``pixel_shuffle_ratio`` 0.5) of
every kind here but Gemma 3, whose default of 4 no header states."""
_MERGED: Final = _MERGE**2
_GELU: Final = frozenset(
    {"gemma3", "gemma4v", "idefics3", "internvl", "kimik25", "kimivl", "llama4", "qwen3vl_merger"}
)
_EMBEDDINGS_F32: Final = frozenset({"gemma3", "idefics3"})
"""Kinds that keep all of ".embeddings." in F32 (conversion/gemma.py, smolvlm.py)."""
_PATCHES_F32: Final = _EMBEDDINGS_F32 | {"gemma4uv"}
"""And Gemma 4 12B's, whose published file has its patches so."""


_MELS: Final = 128
"""Bands of sound that Gemma 4 hears, halved twice by convolutions."""
_SOUND_HEAD: Final = 128
"""Width of its heads for sound."""


class Sound(BaseModel):
    """The encoder of sound beside the tower, of which the weights alone are known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int = Field(gt=0, le=1 << 16)
    """Of its layers; without layers, samples of sound that become one token."""
    layers: int = Field(default=0, ge=0, le=512)
    kernel: int = Field(default=0, ge=0, le=1 << 10)
    """Of the convolution in each layer."""
    out: int = Field(default=0, ge=0, le=1 << 16)
    """Width of what the layers give (``output_proj_dims``)."""


class ProjectorFacts(BaseModel):
    """What sets the shapes of a projector: numbers of a ``vision_config``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal[
        "gemma3", "gemma4uv", "gemma4v", "glm4v", "idefics3", "internvl", "kimik25", "kimivl",
        "llama4", "pixtral", "qwen2vl_merger", "qwen2.5vl_merger", "qwen3vl_merger",
    ]  # fmt: skip
    """``clip.projector_type``."""
    width: int = Field(gt=0, le=1 << 16)
    feed_forward: int = Field(ge=0, le=1 << 20)
    layers: int = Field(ge=0, le=512)
    """None, and no heads, where patches go to the language model as they are (Gemma 4 12B)."""
    heads: int = Field(ge=0, le=1024)
    patch: int = Field(gt=0, le=256)
    """Pixels along a side."""
    image: int = Field(gt=0, le=1 << 14)
    """Pixels along a side of the picture that positions were learned for."""
    out: int = Field(gt=0, le=1 << 20)
    """Width of a token of the language model."""
    between: int = Field(default=0, ge=0, le=1 << 20)
    """Width between tower and language model (Llama 4's ``projector_output_dim``), or inside GLM's
    merger (``intermediate_size``)."""
    positions: int = Field(default=0, ge=0, le=1 << 16)
    """Learned positions of each side, where they do not follow from the picture (Gemma 4)."""
    merge: int = Field(default=_MERGE, gt=0, le=16)
    """Patches a side that become one token, where the kind leaves that open."""
    sound: Sound | None = None
    """None: it does not hear."""
    window_pattern: int = Field(default=0, ge=0, le=512)
    """Of so many layers, one attends to the whole picture; 0: all do."""
    deepstack: tuple[int, ...] = ()
    """Layers whose output goes to the language model as well."""
    source: tuple[str, ...] = Field(min_length=1)
    """Where the numbers were read."""


def projector(facts: ProjectorFacts, file_type: str) -> Projector:
    """The projector in a file type. Raises ModelError for one that none is published in."""
    wanted = file_type.upper()
    if wanted not in FILE_TYPES:
        message = f"A projector is {', '.join(FILE_TYPES)}, not “{file_type}”."
        raise ModelError(message)
    shapes = _LAYOUTS[facts.kind](facts)
    tensors = tuple(
        Tensor(name, shape, TYPES[_stored(name, shape, wanted, facts.kind)])
        for name, shape in shapes.items()
    )
    return Projector(
        path=None, kind=facts.kind, tensors=tensors, metadata=_metadata(facts), file_type=wanted
    )


def _stored(name: str, shape: tuple[int, ...], wanted: str, kind: str) -> str:
    """The type that the converter gives a tensor (conversion/base.py:prepare_tensors).

    Of rows that are not whole blocks it makes F16.
    """
    convolved = name.startswith(("a.conv1d.", "a.input_projection")) or ".conv_dw." in name
    if len(shape) == 1 or ".position_embd." in name or convolved:
        return "F32"
    if ".patch_embd.weight" in name or ".patch_merger.weight" in name:
        # Each converter decides for itself.
        return "F16" if wanted == "F16" and kind not in _PATCHES_F32 else "F32"
    if kind == "gemma3" and "input_projection" in name:
        return "F16"
    return "F16" if shape[0] % TYPES[wanted].block else wanted


def _metadata(facts: ProjectorFacts) -> Mapping[str, Any]:
    """The header's ``clip.…`` keys that its graph depends on."""
    found: dict[str, Any] = {
        "clip.vision.image_size": facts.image,
        "clip.vision.patch_size": facts.patch,
        "clip.vision.embedding_length": facts.width,
        "clip.vision.feed_forward_length": facts.feed_forward,
        "clip.vision.block_count": facts.layers,
        "clip.vision.attention.head_count": facts.heads,
    }
    if facts.kind in _GELU:
        found["clip.use_gelu"] = True
    if facts.kind in {"glm4v", "pixtral", "qwen2.5vl_merger"}:
        found["clip.use_silu"] = True
    if facts.kind in {"idefics3", "internvl", "kimik25", "kimivl", "llama4"}:
        found["clip.vision.projector.scale_factor"] = facts.merge
    if facts.kind == "pixtral":
        found["clip.vision.spatial_merge_size"] = facts.merge
    if facts.kind.startswith("qwen2"):
        found["clip.vision.n_wa_pattern"] = facts.window_pattern
    return found


def _linear(name: str, rows: int, columns: int) -> Shapes:
    return {f"{name}.weight": (rows, columns), f"{name}.bias": (columns,)}


def _norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _blocks(
    facts: ProjectorFacts, *, fused: bool = False, gated: bool = False, rms: bool = False
) -> Shapes:
    """Every block: attention and feed-forward, all with biases."""
    width, wide = facts.width, facts.feed_forward
    if fused:
        block = _linear("attn_qkv", width, 3 * width)
    else:
        block = {k: v for name in "qkv" for k, v in _linear(f"attn_{name}", width, width).items()}
    block |= _linear("attn_out", width, width)
    block |= _linear("ffn_up", width, wide) | _linear("ffn_down", wide, width)
    if gated:
        block |= _linear("ffn_gate", width, wide)
    norms = _norm("ln1", width) | _norm("ln2", width)
    block |= {name: shape for name, shape in norms.items() if not (rms and name.endswith("bias"))}
    return {
        f"v.blk.{il}.{name}": shape for il in range(facts.layers) for name, shape in block.items()
    }


def _patches(facts: ProjectorFacts, *, frames: int = 1) -> Shapes:
    shape = (facts.patch, facts.patch, 3, facts.width)
    names = ("v.patch_embd.weight", "v.patch_embd.weight.1")[:frames]
    return dict.fromkeys(names, shape)


def _learned(facts: ProjectorFacts) -> Shapes:
    count = (facts.image // facts.patch) ** 2
    return {"v.patch_embd.bias": (facts.width,), "v.position_embd.weight": (facts.width, count)}


def _merger(facts: ProjectorFacts) -> Shapes:
    wide = facts.width * _MERGED
    return _linear("mm.0", wide, wide) | _linear("mm.2", wide, facts.out)


def _gemma3(facts: ProjectorFacts) -> Shapes:
    """conversion/gemma.py:Gemma3VisionModel."""
    return {
        **_patches(facts),
        **_learned(facts),
        **_blocks(facts),
        **_norm("v.post_ln", facts.width),
        "mm.input_projection.weight": (facts.out, facts.width),
        "mm.soft_emb_norm.weight": (facts.width,),
    }


def _idefics3(facts: ProjectorFacts) -> Shapes:
    """conversion/smolvlm.py:SmolVLMModel."""
    return {
        **_patches(facts),
        **_learned(facts),
        **_blocks(facts),
        **_norm("v.post_ln", facts.width),
        "mm.model.fc.weight": (facts.width * facts.merge**2, facts.out),
    }


def _internvl(facts: ProjectorFacts) -> Shapes:
    """conversion/internvl.py:InternVisionModel, of the tower with 300 million parameters."""
    width, wide = facts.width, facts.width * facts.merge**2
    count = (facts.image // facts.patch) ** 2 + 1
    scales = {f"v.blk.{il}.ls{n}.weight": (width,) for il in range(facts.layers) for n in (1, 2)}
    return {
        **_patches(facts),
        "v.patch_embd.bias": (width,),
        "v.class_embd": (width,),
        "v.position_embd.weight": (width, count),
        **_blocks(facts),
        **scales,
        **_norm("mm.model.mlp.0", wide),
        **_linear("mm.model.mlp.1", wide, facts.out),
        **_linear("mm.model.mlp.3", facts.out, facts.out),
    }


def _kimivl(facts: ProjectorFacts) -> Shapes:
    """conversion/kimivl.py:KimiVLModel, and KimiK25Model with positions in two dimensions."""
    wide, side = facts.width * facts.merge**2, facts.image // facts.patch
    newer = facts.kind == "kimik25"
    grid: Shapes = {"v.position_embd.weight": (facts.width, side, side)} if newer else {}
    return {
        **_patches(facts),
        **_learned(facts),
        **grid,
        **_blocks(facts, fused=newer),
        **_norm("v.post_ln", facts.width),
        **_norm("mm.input_norm", facts.width),
        **_linear("mm.1", wide, wide),
        **_linear("mm.2", wide, facts.out),
    }


def _glm4v(facts: ProjectorFacts) -> Shapes:
    """conversion/qwen3vl.py:Glm4VVisionModel."""
    blocks = _blocks(facts, fused=True, gated=True, rms=True)
    out, wide = facts.out, facts.between
    return {
        **_patches(facts, frames=2),
        **_learned(facts),
        **{name: shape for name, shape in blocks.items() if not name.endswith(".bias")},
        "v.norm_embd.weight": (facts.width,),
        "v.post_ln.weight": (facts.width,),
        "mm.patch_merger.weight": (_MERGE, _MERGE, facts.width, out),
        "mm.patch_merger.bias": (out,),
        "mm.model.fc.weight": (out, out),
        **_norm("mm.post_norm", out),
        "mm.up.weight": (out, wide),
        "mm.gate.weight": (out, wide),
        "mm.down.weight": (wide, out),
    }


def _gemma4v(facts: ProjectorFacts) -> Shapes:
    """conversion/gemma.py:Gemma4VisionAudioModel. Those that hear clip what linear layers take."""
    width, head = facts.width, facts.width // facts.heads
    blocks = _blocks(facts, gated=True, rms=True)
    linear = {name: shape for name, shape in blocks.items() if not name.endswith(".bias")}
    norms = {
        f"v.blk.{il}.{name}.weight": (size,)
        for il in range(facts.layers)
        for name, size in (
            *(("attn_post_norm", width), ("ffn_post_norm", width)),
            *(("attn_q_norm", head), ("attn_k_norm", head)),
        )
    }
    if facts.sound is None:
        ends: Shapes = {"v.std_bias": (width,), "v.std_scale": (width,)}
    else:
        ends = _clipped(linear) | _hearing(facts)
    return {
        **_patches(facts),
        "v.position_embd.weight": (width, facts.positions, 2),
        **linear,
        **norms,
        **ends,
        "mm.input_projection.weight": (width, facts.out),
    }


def _clipped(linear: Shapes) -> Shapes:
    """Four bounds of every matrix (modeling_gemma4.py:Gemma4ClippableLinear)."""
    bounds = (f"{side}_{end}" for side in ("input", "output") for end in ("min", "max"))
    return {
        name.replace("weight", bound): (1,)
        for bound in bounds
        for name, shape in linear.items()
        if len(shape) > 1
    }


def _hearing(facts: ProjectorFacts) -> Shapes:
    """Gemma 4's conformer, and the matrix between sound and language model."""
    sound = facts.sound
    if sound is None:
        return {}
    if not sound.layers:
        return {"mm.a.input_projection.weight": (sound.width, facts.out)}
    width, channels = sound.width, (128, 32)
    square, wide = (width, width), (width, 4 * width)
    block: Shapes = {
        f"{name}.weight": square for name in ("attn_q", "attn_k", "attn_v", "attn_out")
    }
    for end in ("", "_1"):
        block |= {f"ffn_up{end}.weight": wide, f"ffn_down{end}.weight": wide[::-1]}
    block |= {"conv_pw1.weight": (width, 2 * width), "conv_pw2.weight": square}
    bounds = _clipped(block)
    block |= {"attn_k_rel.weight": square, "conv_dw.weight": (sound.kernel, width)}
    for name in (
        *("ln1", "ln2", "attn_pre_norm", "ffn_norm", "ffn_post_norm", "ffn_norm_1"),
        *("ffn_post_norm_1", "conv_norm", "norm_conv"),
    ):
        block[f"{name}.weight"] = (width,)
    block["per_dim_scale.weight"] = (_SOUND_HEAD,)
    layers = {
        f"a.blk.{il}.{name}": shape
        for il in range(sound.layers)
        for name, shape in (block | bounds).items()
    }
    return {
        "a.conv1d.0.weight": (3, 3, 1, channels[0]),
        "a.conv1d.0.norm.weight": channels[:1],
        "a.conv1d.1.weight": (3, 3, *channels),
        "a.conv1d.1.norm.weight": channels[1:],
        "a.input_projection.weight": (channels[1] * _MELS // 4, width),
        **layers,
        **_linear("a.pre_encode.out", width, sound.out),
        "mm.a.input_projection.weight": (sound.out, facts.out),
    }


def _gemma4uv(facts: ProjectorFacts) -> Shapes:
    """conversion/gemma.py:Gemma4UnifiedVisionAudioModel: three norms, no transformer."""
    pixels = (facts.patch * facts.merge) ** 2 * 3
    norms = _norm("v.patch_norm.1", pixels)
    for n in (2, 3):
        norms |= _norm(f"v.patch_norm.{n}", facts.width)
    return {
        **_linear("v.patch_embd", pixels, facts.width),
        **norms,
        "v.position_embd.weight": (facts.width, facts.positions, 2),
        "mm.input_projection.weight": (facts.width, facts.out),
        **_hearing(facts),
    }


def _qwen2vl(facts: ProjectorFacts) -> Shapes:
    """conversion/qwenvl.py:Qwen2VLVisionModel."""
    ends = _norm("v.post_ln", facts.width)
    return {**_patches(facts, frames=2), **_blocks(facts), **ends, **_merger(facts)}


def _qwen25vl(facts: ProjectorFacts) -> Shapes:
    """conversion/qwenvl.py:Qwen2VLVisionModel: gated, and with RMS norms."""
    return {
        **_patches(facts, frames=2),
        **_blocks(facts, gated=True, rms=True),
        "v.post_ln.weight": (facts.width,),
        **_merger(facts),
    }


def _qwen3vl(facts: ProjectorFacts) -> Shapes:
    """conversion/qwen3vl.py:Qwen3VLVisionModel."""
    found = _patches(facts, frames=2) | _learned(facts) | _blocks(facts, fused=True)
    found |= _norm("v.post_ln", facts.width) | _merger(facts)
    wide = facts.width * _MERGED
    for il in facts.deepstack:
        at = f"v.deepstack.{il}"
        found |= _norm(f"{at}.norm", wide)
        found |= _linear(f"{at}.fc1", wide, wide) | _linear(f"{at}.fc2", wide, facts.out)
    return found


def _pixtral(facts: ProjectorFacts) -> Shapes:
    """conversion/llava.py:LlavaVisionModel: Pixtral; Mistral Small 3.1 and later merge patches."""
    blocks = _blocks(facts, gated=True, rms=True)
    ends: Shapes = {
        **_patches(facts),
        **{name: shape for name, shape in blocks.items() if not name.endswith(".bias")},
        "v.pre_ln.weight": (facts.width,),
        "v.token_embd.img_break": (facts.out,),
    }
    if facts.merge == 1:
        first, second = _linear("mm.1", facts.width, facts.out), _linear("mm.2", *[facts.out] * 2)
        return ends | first | second
    return {
        **ends,
        "mm.input_norm.weight": (facts.width,),
        "mm.patch_merger.weight": (facts.width * facts.merge**2, facts.width),
        "mm.1.weight": (facts.width, facts.out),
        "mm.2.weight": (facts.out, facts.out),
    }


def _llama4(facts: ProjectorFacts) -> Shapes:
    """conversion/llama4.py:Llama4VisionModel: a linear layer cuts the patches out."""
    count = (facts.image // facts.patch) ** 2 + 1
    return {
        "v.patch_embd.weight": (facts.patch**2 * 3, facts.width),
        "v.class_embd": (facts.width,),
        "v.position_embd.weight": (facts.width, count),
        **_norm("v.pre_ln", facts.width),
        **_norm("v.post_ln", facts.width),
        **_blocks(facts),
        "mm.model.mlp.1.weight": (facts.width * _MERGED, facts.between),
        "mm.model.mlp.2.weight": (facts.between, facts.between),
        "mm.model.fc.weight": (facts.between, facts.out),
    }


_LAYOUTS: Final[Mapping[str, Callable[[ProjectorFacts], Shapes]]] = {
    "gemma3": _gemma3,
    "gemma4uv": _gemma4uv,
    "gemma4v": _gemma4v,
    "glm4v": _glm4v,
    "idefics3": _idefics3,
    "internvl": _internvl,
    "kimik25": _kimivl,
    "kimivl": _kimivl,
    "llama4": _llama4,
    "pixtral": _pixtral,
    "qwen2vl_merger": _qwen2vl,
    "qwen2.5vl_merger": _qwen25vl,
    "qwen3vl_merger": _qwen3vl,
}
