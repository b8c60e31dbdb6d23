"""What one token costs a model, by block: bytes read, arithmetic, kernel launches.

Made once per model; a prediction only adds up ranges of blocks.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from advisor.llm.caches import CacheRule
from advisor.llm.hyperparameters import Hyperparameters
from advisor.llm.model import Model
from advisor.sizing.overrides import Targets, target
from advisor.sizing.placement import HOST
from advisor.sizing.speed_data import speed_data
from advisor.sizing.tables import PerModel

Floats = NDArray[np.float64]
Marks = NDArray[np.bool_]

GROUPS: Final = ("f32", "f16", "bf16", "q8", "q6", "q5", "q4", "fp4", "q3", "q2")
"""Tensor types by how fast their kernels read them."""

_GROUP_OF: Final = {
    "F32": 0, "I32": 0, "F16": 1, "BF16": 2, "Q8_0": 3, "Q6_K": 4, "Q5_0": 5, "Q5_1": 5, "Q5_K": 5,
    "Q4_0": 6, "Q4_1": 6, "Q4_K": 6, "IQ4_NL": 6, "IQ4_XS": 6, "MXFP4": 7, "NVFP4": 7,
    "Q3_K": 8, "IQ3_S": 8, "IQ3_XXS": 8,
}  # fmt: skip
_LAST: Final = len(GROUPS) - 1
_MOST_SHARED: Final = 16
"""Heads per KV head beyond which nobody has measured."""
_INTERLEAVED: Final = 256
"""Bytes that one memory channel takes before the next one does (AMD OpenCL Optimization Guide)."""
_CHANNELS: Final = 16
_ENOUGH: Final = 8
"""Channels beyond which more make attention no faster (rows of Strix Halo at several depths)."""
N: Final = len(GROUPS)

# Columns of ``ModelSums.layers``.
DENSE: Final = slice(0, N)
"""Bytes that every token reads, by group."""
EXPERTS: Final = slice(N, 2 * N)
"""Bytes of the experts that one token uses, by group."""
ALL_EXPERTS: Final = 2 * N
"""Bytes of all experts."""
STATE: Final = 2 * N + 1
"""Bytes of recurrent state read and written."""
DENSE_Q: Final = 2 * N + 2
"""Parameters of quantized matrices that every token is multiplied with."""
DENSE_16: Final = 2 * N + 3
EXPERTS_Q: Final = 2 * N + 4
"""Parameters of the experts that one token uses."""
EXPERTS_16: Final = 2 * N + 5
ARITHMETIC: Final = [DENSE_Q, DENSE_16, EXPERTS_Q, EXPERTS_16]
"""What is multiplied with, of all kinds."""
HARD_GROUPS: Final = {"iq4": "q4", "iq3": "q3", "iq2": "q2", "iq1": "q2"}
"""I-quants and their groups: a processor looks their values up in tables, which may take longer
than RAM does (ggml-cpu/arch/x86/quants.c); a device does not mind."""
HARD: Final = tuple(HARD_GROUPS)
HARD_DENSE: Final = slice(2 * N + 6, 2 * N + 6 + len(HARD))
"""What of ``DENSE`` is of such types."""
HARD_EXPERTS: Final = slice(HARD_DENSE.stop, HARD_DENSE.stop + len(HARD))
"""What of ``EXPERTS`` is."""
MATRICES: Final = HARD_EXPERTS.stop
"""Matrices that a token is multiplied with, but those of experts."""
NORMS: Final = MATRICES + 1
VECTORS: Final = MATRICES + 2
"""Biases and other small tensors."""
ATTENTION: Final = MATRICES + 3
"""1 for a block of attention: ropes, cache, attention itself."""
MOE: Final = MATRICES + 4
"""1 for a block with experts: their choice, matrices and sum."""
CONV: Final = MATRICES + 5
"""1 for a block of each recurrent kind: short convolution, Mamba's scan, linear attention."""
SCAN: Final = MATRICES + 6
DELTA: Final = MATRICES + 7
MLA: Final = MATRICES + 8
"""What a block with a latent cache starts beside plain attention."""
OTHER: Final = MATRICES + 9
"""Kernels that nothing of these tells of (``SpeedData.launches``)."""
KERNELS: Final = slice(MATRICES, OTHER + 1)
KERNEL_KINDS: Final = (
    "matrix", "norm", "vector", "attention", "moe", "conv", "scan", "delta", "mla", "other",
)  # fmt: skip
"""Names of ``KERNELS``, in their order."""
BLOCKS: Final = KERNELS.stop
STEPS: Final = KERNELS.stop + 1
"""Inputs of the BF16 matrices of experts, one matrix after another: the length of the loops of a
kernel that goes through all used experts at once (``SpeedClass.bf16_step_us``)."""
COLUMNS: Final = KERNELS.stop + 2


@dataclass(frozen=True, eq=False)
class CacheSums:
    """One cache: what a token reads of it per position it attends to, by block."""

    rule: CacheRule
    k_values: Floats
    v_values: Floats
    flops: Floats
    """Arithmetic of one token against one position."""
    scores: Floats
    """Scores of one token against one position: one of every head."""
    limit: int
    """At most so many positions are attended to; 0: no limit."""
    sharing: Floats
    """Logarithm of the heads that share a KV head, over eight, by block; 0 where the cache is
    latent."""
    camping: Floats
    """Logarithm of how few memory channels hold one KV head, by block (``_camping``)."""

    def positions(self, depth: float) -> float:
        """Positions that a token at ``depth`` attends to in this cache."""
        cells = depth
        if self.rule.cells == "window":
            cells = min(depth, self.rule.span)
        elif self.rule.cells == "compressed":
            cells = depth / max(1, self.rule.span)
        return min(cells, self.limit) if self.limit else cells


@dataclass(frozen=True, eq=False)
class ModelSums:
    """Per block; the last row is the output layer. NextN blocks are empty."""

    layers: Floats
    caches: tuple[CacheSums, ...]
    n_expert: int
    n_expert_used: int
    n_embd: int
    experts_by_group: Floats
    """Bytes of all experts by block and group."""


@dataclass(frozen=True, eq=False)
class _Roles:
    """What the names of the tensors say that a token reads; file types share it."""

    at: NDArray[np.intp]
    """Their positions in the model."""
    row: NDArray[np.intp]
    """Block; the output layer for what has none."""
    is_norm: Marks
    is_weight: Marks
    is_expert: Marks
    is_conv: Marks
    recurrent: tuple[tuple[int, int], ...]
    """Blocks of Mamba's scan and of short convolutions, each with its column."""


_RECURRENT: Final = {"ssm_d": SCAN, "shortconv.conv.weight": CONV}
"""Tensors that tell what a recurrent block computes."""


@lru_cache(maxsize=512)
def _roles(names: tuple[str, ...], n_layer: int, n_layer_all: int) -> _Roles:
    at: list[int] = []
    rows: list[int] = []
    tied = "output.weight" not in names
    for position, name in enumerate(names):
        row = n_layer_all
        if name.startswith("blk."):
            row = int(name.split(".", 2)[1])
            unread = row >= n_layer
        else:
            unread = name == "token_embd.weight" and not tied
            unread = unread or name == "per_layer_token_embd.weight"
        if not unread:
            at.append(position)
            rows.append(row)
    read = [names[position] for position in at]
    return _Roles(
        at=np.array(at, dtype=np.intp),
        row=np.array(rows, dtype=np.intp),
        is_norm=np.array(["norm" in name for name in read], dtype=np.bool_),
        is_weight=np.array([name.endswith("weight") for name in read], dtype=np.bool_),
        is_expert=np.array(["_exps." in n or "_chexps." in n for n in read], dtype=np.bool_),
        is_conv=np.array(["conv" in n for n in read], dtype=np.bool_),
        recurrent=tuple(
            (row, _RECURRENT[name.split(".", 2)[2]])
            for row, name in zip(rows, read, strict=True)
            if row < n_layer and name.split(".", 2)[-1] in _RECURRENT
        ),
    )


@lru_cache(maxsize=64)
def _runs(hp: Hyperparameters) -> Floats:
    """How often a token runs through the weights of every block: once but for looped models.

    The weights of the first runs are those of all (models/nanbeige.cpp, hrm-text.cpp).
    """
    runs = np.ones(hp.n_layer_all + 1)
    blocks = int(hp.extra.get("n_block", 0))
    if "n_stack" in hp.extra:
        stack, high = int(hp.extra["n_stack"]), int(hp.extra["high_cycles"])
        runs[:stack] = high * int(hp.extra["low_cycles"])
        runs[stack:blocks] = high
    elif blocks:
        runs[:blocks] = hp.n_layer // blocks
    return runs


def _hard(type_name: str) -> int:
    """Place in ``HARD``; -1 for all others. IQ4_NL is read as fast as Q4_0."""
    name = type_name.lower()[:3]
    return HARD.index(name) if name in HARD and type_name != "IQ4_NL" else -1


def _weights(model: Model, hp: Hyperparameters, only: Marks | None = None) -> tuple[Floats, Floats]:
    """The sums of all tensors, or of those that ``only`` marks (one mark per tensor)."""
    trunk, share = hp.n_layer, hp.n_expert_used / hp.n_expert if hp.n_expert else 1.0
    lines = hp.n_layer_all + 1
    kinds = model.kinds.kinds
    roles = _roles(tuple([t.name for t in model.tensors]), trunk, hp.n_layer_all)
    chosen = np.ones(len(roles.at), dtype=np.bool_) if only is None else only[roles.at]
    kind = model.kinds.of[roles.at]
    nbytes = np.array([t.nbytes for t in kinds], dtype=np.float64)[kind]
    values = np.array([t.n_elements for t in kinds], dtype=np.float64)[kind]
    group = np.array([_GROUP_OF.get(t.type.name, _LAST) for t in kinds], dtype=np.intp)[kind]
    inputs = np.array([t.shape[0] for t in kinds], dtype=np.float64)[kind]
    flat = np.array([len(t.shape) < 2 for t in kinds], dtype=np.bool_)[kind]
    # What is multiplied with, not looked up or added.
    matrix = np.array([len(t.shape) > 1 and t.shape[1] > 1 for t in kinds], dtype=np.bool_)[kind]
    wide = group <= _GROUP_OF["BF16"]
    layers = np.zeros((lines, COLUMNS))
    by_group = np.zeros((lines, N))

    def add(to: Floats, which: Marks, column: NDArray[np.intp] | int, of: Floats) -> None:
        width = to.shape[1]
        flat_at = (roles.row * width + column)[which]
        to += np.bincount(flat_at, weights=of[which], minlength=to.size).reshape(to.shape)

    ones = np.ones(len(roles.at))
    plain = chosen & ~roles.is_expert & ~roles.is_norm
    small = plain & (flat | ~roles.is_weight)
    add(layers, chosen & roles.is_norm, NORMS, ones)
    add(layers, small, VECTORS, ones)
    add(layers, plain & roles.is_weight & matrix & ~roles.is_conv, MATRICES, ones)
    routed = chosen & roles.is_expert & roles.is_weight
    other = chosen & ~routed
    add(layers, routed, N + group, nbytes * share)
    add(layers, routed, ALL_EXPERTS, nbytes)
    add(layers, routed, np.where(wide, EXPERTS_16, EXPERTS_Q), values * share)
    add(layers, routed & (group == _GROUP_OF["BF16"]), STEPS, inputs)
    layers[np.unique(roles.row[routed]), MOE] = 1
    hard = np.array([_hard(t.type.name) for t in kinds], dtype=np.intp)[kind]
    add(layers, routed & (hard >= 0), HARD_EXPERTS.start + hard, nbytes * share)
    add(by_group, routed, group, nbytes)
    used = np.where(roles.is_expert, nbytes * share, nbytes)
    add(layers, other, group, used)
    add(layers, other & (hard >= 0), HARD_DENSE.start + hard, used)
    multiplied = other & roles.is_weight & matrix
    add(layers, multiplied, np.where(wide, DENSE_16, DENSE_Q), values)
    return layers * _runs(hp)[:, np.newaxis], by_group


def _flops(hp: Hyperparameters, rule: CacheRule, il: int, k_width: int) -> float:
    if rule.kind == "lid":
        return 2.0 * hp.n_indexer_head * k_width
    heads = hp.n_head[il]
    if hp.is_mla:
        return 2.0 * heads * (k_width + hp.n_lora_kv)
    if hp.arch == "deepseek4":
        return 4.0 * heads * k_width
    return 2.0 * heads * (hp.head_k(il) + hp.head_v(il))


def _camping(width: int, heads: int) -> float:
    """Logarithm of ``_ENOUGH`` over the channels that hold one KV head's part of a cache in F16.

    Positions lie ``width`` values apart (llama-kv-cache.cpp: one row of all heads for each), so
    where that is a power of two, a head's parts of all positions fall on the same few channels.
    """
    row = 2 * max(1, width)
    places = _CHANNELS * _INTERLEAVED // math.gcd(row, _CHANNELS * _INTERLEAVED)
    blocks = math.ceil(row / heads / _INTERLEAVED)
    return math.log(_ENOUGH / min(_ENOUGH, places * blocks))


def _make(model: Model, _key: str) -> ModelSums | None:
    hp = model.hp
    if hp is None or model.memory is None or not model.memory.keeps:
        return None
    if hp.n_expert and not hp.n_expert_used:
        return None
    layers, by_group = _weights(model, hp)
    caches: list[CacheSums] = []
    attended: set[int] = set()
    for rule in model.memory.caches:
        k, v, flops, scores, sharing, camping = (np.zeros(hp.n_layer_all + 1) for _ in range(6))
        for il, k_width, v_width in zip(rule.layers, rule.k_width, rule.v_width, strict=True):
            k[il], v[il] = k_width, v_width
            flops[il] = _flops(hp, rule, il, k_width)
            scores[il] = hp.n_indexer_head if rule.kind == "lid" else hp.n_head[il]
            if not hp.is_mla:
                heads = max(1, hp.n_head[il]) / max(1, hp.n_head_kv[il])
                sharing[il] = math.log(min(heads, _MOST_SHARED) / 8)
                camping[il] = _camping(k_width, max(1, hp.n_head_kv[il]))
            attended.add(il)
        sparse = hp.indexer_top_k and rule.kind not in {"lid", "raw_swa", "swa", "hca"}
        limit = hp.indexer_top_k if sparse else 0
        caches.append(CacheSums(rule, k, v, flops, scores, limit, sharing, camping))
    for state in model.memory.states:
        for il, values in zip(state.layers, state.values, strict=True):
            layers[il, STATE] += 8.0 * values
            if hp.is_recurrent(il):
                layers[il, DELTA] = 1
    names = tuple([t.name for t in model.tensors])
    for il, column in _roles(names, hp.n_layer, hp.n_layer_all).recurrent:
        layers[il, column], layers[il, DELTA] = 1, 0
    for il in range(hp.n_layer):
        layers[il, BLOCKS] = 1
        if il in attended and not hp.is_recurrent(il):
            layers[il, ATTENTION] = 1
            layers[il, MLA] = hp.is_mla
    layers[: hp.n_layer, OTHER] = speed_data().launches.extra.get(hp.arch, 0.0)
    return ModelSums(
        layers=layers,
        caches=tuple(caches),
        n_expert=hp.n_expert,
        n_expert_used=hp.n_expert_used,
        n_embd=hp.n_embd,
        experts_by_group=by_group,
    )


Moved = Mapping[int, tuple[Floats, Floats]]
"""Device of ``-ot`` → what its tensors take from ``layers``, and bytes by block and group."""


def _moved_sums(model: Model, targets: Targets) -> Moved:
    if model.hp is None:
        return {}
    homes = [target(tensor.name, targets) for tensor in model.tensors]
    moved: dict[int, tuple[Floats, Floats]] = {}
    for device in dict.fromkeys(home for home in homes if home is not None):
        there = np.array([home == device for home in homes], dtype=np.bool_)
        rows, by_group = _weights(model, model.hp, there)
        if device == HOST:
            # A device takes large batches from the host, so what is multiplied has to be copied
            # (ggml-cuda.cu: offload_op).
            by_group = by_group + rows[:, DENSE]
        moved[device] = rows, by_group
    return moved


moved_sums: PerModel[Targets, Moved] = PerModel(_moved_sums)
"""The weights that ``-ot`` puts elsewhere, by device (-1 is the host)."""


_known: PerModel[str, ModelSums | None] = PerModel(_make)


def model_sums(model: Model) -> ModelSums | None:
    """The sums of a model; None when its architecture or its caches are not known."""
    return _known(model, "")
