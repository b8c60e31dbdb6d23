"""``-sm tensor``: which slice of every matrix and cache each device holds.

llama.cpp joins the devices into one (ggml-backend-meta.cpp), asks llama-model.cpp:
llama_meta_device_get_split_state how a tensor is cut, and gives every device its slice; what no
rule names is held by all of them. Shares are equal unless ``-ts`` says otherwise: free memory does
not count.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from advisor.errors import SettingsError
from advisor.llm.caches import MemoryRule
from advisor.llm.hyperparameters import Hyperparameters
from advisor.llm.model import Model
from advisor.llm.tensor import TYPES, Tensor
from advisor.sizing import memory
from advisor.sizing.memory import ContextBytes, Part
from advisor.sizing.placement import HOST, Placement
from advisor.sizing.plan import KvCache
from advisor.sizing.settings import RunSettings
from advisor.sizing.tables import PerModel
from advisor.sizing.tensor_cuts import REFUSES, Cutter
from advisor.sizing.weights import align, alignment, allocated, device_tensors, row_padding

REFUSED: Final = frozenset(
    {
        "grok", "mpt", "plamo2", "minicpm3", "gemma3n", "mamba", "mamba2", "jamba", "falcon-h1",
        "olmo2", "olmoe", "deepseek2", "deepseek32", "hy_v4", "dots3note", "glm-dsa", "bitnet",
        "t5", "nemotron_h", "nemotron_h_moe", "granitehybrid", "minimax-01", "minimax-m2",
        "minimax-m3", "mistral4", "kimi-linear", "bailingmoe3", "kimi-k3", "glm5-next", "qwen3tts",
    }
)  # fmt: skip
"""llama-arch.cpp:llm_arch_supports_sm_tensor: llama.cpp does not load these with -sm tensor."""

_ABORTS: Final = frozenset({"rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7"})
"""Recurrent models without an attention block, on which llama.cpp b11434 aborts (an assertion in
llama_meta_device_get_split_state)."""

_Key = tuple[Placement, str, bool, tuple[float, ...], int]


def _cut_weights(model: Model, key: _Key) -> tuple[int, ...]:
    placement, backend, load_mtp, given, n = key
    hp = model.hp
    if hp is None:
        raise AssertionError("an architecture that is not known is not cut")
    cutter = Cutter(model, hp, n, given)
    totals = [0] * n
    for tensor in device_tensors(model, placement, backend, load_mtp=load_mtp):
        shape = cutter.shape(tensor)
        cut = cutter.weight(tensor.name, shape)
        if cut is None:
            size = allocated(tensor, backend)
            totals = [total + size for total in totals]
            continue
        axis, lengths = cut
        sizes = dict[int, int]()
        for j, length in enumerate(lengths):
            if length not in sizes:
                slice_ = (*shape[:axis], length, *shape[axis + 1 :])
                piece = Tensor(tensor.name, slice_, tensor.type)
                empty = align(row_padding(backend, tensor.type, slice_[0]), alignment(backend))
                sizes[length] = allocated(piece, backend) if length else empty
            totals[j] += sizes[length]
    return tuple(totals)


_weights = PerModel(_cut_weights)


def check(model: Model, settings: RunSettings, backends: Sequence[str]) -> None:
    """Refuse what llama.cpp refuses to cut across devices. Raises SettingsError."""
    if settings.split_mode == "row" and any(backend != "sycl" for backend in backends):
        message = (
            "llama.cpp no longer has the row split (-sm row) but on SYCL: it would not load the "
            "model. Use -sm tensor or -sm layer."
        )
        raise SettingsError(message)
    if settings.split_mode != "tensor":
        return
    hp = model.hp
    if hp is not None and (hp.arch in REFUSED | _ABORTS or _aborts(model, hp)):
        raise SettingsError(REFUSES.format(name=model.name))
    if settings.flash_attn == "off":
        raise SettingsError("The tensor split (-sm tensor) needs flash attention; turn it on.")


def _aborts(model: Model, hp: Hyperparameters) -> bool:
    """Models of a known cut over which llama_meta_device_get_split_state ends llama.cpp.

    It divides by the heads of a layer that has none (Nemotron Super and Ultra), and asks for the
    width of experts that granite-swa.cpp never reads where gate and up are one matrix.
    """
    if hp.arch == "deci":
        return not all(hp.n_head_kv)
    fused = "blk.0.ffn_gate_up_exps.weight"
    return hp.arch == "granite_swa" and any(tensor.name == fused for tensor in model.tensors)


def cut_weights(
    model: Model, settings: RunSettings, placement: Placement, backends: Sequence[str]
) -> tuple[int, ...]:
    """Bytes of weights on every device; the devices are alike. Raises SettingsError."""
    given = _given(settings, len(backends))
    return _weights(model, (placement, backends[0], settings.load_mtp, given, len(backends)))


def cut_context(
    model: Model,
    settings: RunSettings,
    placement: Placement,
    backends: Sequence[str],
    whole: ContextBytes,
) -> ContextBytes | None:
    """``whole``, the caches and states where each lies on one device, cut across all of them.

    None when how the architecture's state is cut is not known.
    """
    hp, rule = model.hp, memory.memory_rule(model, settings)
    if hp is None or rule is None:
        return None
    n, backend = len(backends), backends[0]
    cutter = Cutter(model, hp, n, _given(settings, n))
    sizes = memory.resolve(settings)
    on_device = [placement.kv_offload and device != HOST for device in placement.layer_device]
    parts = [part for part in whole.parts if part.device == HOST]
    kv = dict[str, KvCache]()
    for cache in rule.caches:
        n_cells, streams = memory.cells(cache, settings, sizes)
        held = [0] * n
        here = [il for il in cache.layers if on_device[il]]
        k, v = (settings.ctk, cache.k_width, False), (settings.ctv, cache.v_width, True)
        for name, widths, is_v in (k, v):
            type_ = TYPES[name.upper()]
            for il, width in zip(cache.layers, widths, strict=True):
                here_too = width and on_device[il]
                cut = cutter.cache(cache.kind, il, width, v=is_v) if here_too else ()
                for j, length in enumerate(cut):
                    held[j] += memory.tensor_bytes(type_, length, n_cells * streams, backend)
        parts += [Part(cache.kind, j, len(here), size) for j, size in enumerate(held)]
        stored = sum(part.size for part in parts if part.kind == cache.kind)
        kv[cache.kind] = KvCache(cells=n_cells, streams=streams, bytes=stored)
    states = _cut_states(cutter, rule, on_device, sizes.n_seq * memory.snapshots(model, settings))
    if states is None:
        return None
    for kind, layers, lengths in states:
        for j, pieces in enumerate(lengths):
            size = sum(align(4 * piece, alignment(backend)) for piece in pieces)
            parts.append(Part(kind, j, layers, size))
    devices = tuple(sum(part.size for part in parts if part.device == j) for j in range(n))
    return replace(whole, devices=devices, kv=kv, parts=tuple(p for p in parts if p.size))


def _cut_states(
    cutter: Cutter, rule: MemoryRule, on_device: Sequence[bool], copies: int
) -> list[tuple[str, int, list[list[int]]]] | None:
    """Kind, layers and, per device, the values of every tensor of the states."""
    found: list[tuple[str, int, list[list[int]]]] = []
    for state in rule.states:
        lengths: list[list[int]] = []
        here = 0
        for il, values in zip(state.layers, state.values, strict=True):
            if not on_device[il]:
                continue
            here += 1
            pieces = cutter.state(il, values)
            if pieces is None:
                return None
            lengths += [[length * copies for length in piece] for piece in pieces]
        found.append((state.kind, here, [list(device) for device in zip(*lengths, strict=True)]))
    return found


def _given(settings: RunSettings, n: int) -> tuple[float, ...]:
    return tuple([*settings.tensor_split, *([0.0] * n)][:n]) if settings.tensor_split else ()
