"""The compute buffer of a multimodal projector, which llama-server reserves when it starts."""

from collections.abc import Mapping
from functools import lru_cache
from math import isqrt
from typing import Final

from advisor.llm.model import Projector
from advisor.sizing.compute.backends import device_supports, rules_of
from advisor.sizing.compute.graphs_vision import GRAPHS
from advisor.sizing.compute.replay import peaks
from advisor.sizing.compute.scheduler import Scheduler
from advisor.sizing.compute.tower import Tower, whole
from advisor.sizing.compute.traces import CONTRADICTIONS

_MAX_SIDE: Final = 1 << 14
"""Pixels along a side beyond which a header is not believed."""
_MAX_LAYERS: Final = 512
"""clip.cpp:clip_model_loader keeps whole graphs within 8192 nodes."""

_SIDES: Final[Mapping[str, int]] = {
    "lfm2": 16, "phi4": 16, "pixtral": 16, "lightonocr": 16, "kimivl": 16, "gemma4v": 16,
    "gemma4uv": 16, "minimax_m3": 16, "qwen2vl_merger": 46, "qwen2.5vl_merger": 46,
    "qwen3vl_merger": 46, "glm4v": 46, "glm5v": 46, "kimik25": 64,
}  # fmt: skip
"""Image tokens along a side of the picture that memory is reserved for; the others take the
header's image size (clip.cpp:clip_model_loader::load_hparams, set_warmup_n_tokens)."""

_MERGES: Final[Mapping[str, tuple[str, int]]] = {
    "gemma3": ("projector.scale_factor", 4),
    "gemma4v": ("projector.scale_factor", 3),
    "gemma4uv": ("projector.scale_factor", 3),
    "qwen2vl_merger": ("spatial_merge_size", 2),
    "qwen2.5vl_merger": ("spatial_merge_size", 2),
    "qwen3vl_merger": ("spatial_merge_size", 2),
    "glm4v": ("spatial_merge_size", 2),
    "glm5v": ("spatial_merge_size", 2),
    "minimax_m3": ("spatial_merge_size", 2),
    "pixtral": ("spatial_merge_size", 1),
    "lightonocr": ("spatial_merge_size", 1),
}
"""Where a header says how many patches a side become one token, and the default."""

PREFIX: Final = "clip.vision."


@lru_cache(maxsize=64)
def projector_compute(projector: Projector, backend: str) -> tuple[int, int] | None:
    """Bytes on the device and on the host; None where the projector's graph is not known.

    ``backend`` of the device ("cuda" …); empty: everything on the CPU. Reserved is one picture of
    ``picture_side`` pixels a side; a larger one, or sound, takes more when it comes.
    Source: tools/mtmd/clip.cpp:clip_model_loader::warmup.
    """
    graph = GRAPHS.get(projector.kind)
    names = {tensor.name for tensor in projector.tensors}
    # Sound has an encoder of its own; LLaVA of Yi has another projector.
    if graph is None or any(name.startswith(("a.", "mm.a.")) for name in names):
        return None
    if projector.kind == "mlp" and "mm.3.weight" in names:
        return None
    try:
        return _measured(projector, backend)
    except CONTRADICTIONS:
        return None


def picture_side(projector: Projector) -> int | None:
    """Pixels a side of the picture that memory is reserved for; None where it is not known."""
    try:
        return int(str(_numbers(projector)["picture"]))
    except CONTRADICTIONS:
        return None


def _measured(projector: Projector, backend: str) -> tuple[int, int] | None:
    sizes = _reserve(projector, backend, flash=True)
    if sizes is not None:
        return sizes
    # Without the kernel it is reserved again without; a buffer never shrinks
    # (ggml-alloc.c:ggml_gallocr_reserve_n).
    tried = _reserve(projector, backend, flash=True, checked=False)
    plain = _reserve(projector, backend, flash=False)
    if tried is None or plain is None:
        return None
    return max(tried[0], plain[0]), max(tried[1], plain[1])


def _reserve(
    projector: Projector, backend: str, *, flash: bool, checked: bool = True
) -> tuple[int, int] | None:
    """One graph, measured; None where flash attention was asked for and has no kernel."""
    rules = (rules_of(backend),) if backend else ()
    tensors = {tensor.name: tensor for tensor in projector.tensors}
    tower = Tower(projector.kind, _numbers(projector), tensors, home=0, flash=flash)
    GRAPHS[projector.kind](tower)
    if checked and not all(device_supports(a, rules[0]) for a in tower.attentions if rules):
        return None
    made = Scheduler(rules).trace(tower.nodes, tower.leafs, frozenset())
    sizes = peaks(made.events, (), len(rules) + 1)
    return (sizes[0], sizes[-1]) if rules else (0, sizes[-1])


def _numbers(projector: Projector) -> dict[str, object]:
    """The header's numbers, with the merging, the picture and the activation that follow."""
    kind = projector.kind
    found: dict[str, object] = {
        name.removeprefix(PREFIX): value
        for name, value in projector.metadata.items()
        if name.startswith(PREFIX)
    }
    key, default = _MERGES.get(kind, ("projector.scale_factor", 1))
    merge = 1 if kind == "phi4" else whole(found.get(key, default), key)
    patch, size = whole(found["patch_size"], "patch_size"), whole(found["image_size"], "image_size")
    if kind == "gemma4uv":
        # Patches are merged by the convolution.
        patch, merge = patch * merge, 1
    if kind in _SIDES:
        size = _SIDES[kind] * patch * merge
    low, high = (whole(found.get(f"image_{end}_pixels", 0), end) for end in ("min", "max"))
    if kind == "kimik25" and low > 0 and high > 0:
        size = isqrt(high)
    if not 0 < patch <= size <= _MAX_SIDE or merge < 1:
        raise ValueError(size)
    if not 0 <= whole(found["block_count"], "block_count") <= _MAX_LAYERS:
        raise ValueError(found["block_count"])
    gelu, silu = (projector.metadata.get(f"clip.use_{name}") for name in ("gelu", "silu"))
    activation = "gelu" if gelu else "swiglu" if silu else "gelu_quick"
    return found | {
        "merge": merge, "patch_size": patch, "picture": size, "activation": activation,
    }  # fmt: skip
