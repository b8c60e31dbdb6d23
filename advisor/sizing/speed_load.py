"""Who does what: the work that a placement gives every device and the host."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from advisor.llm.tensor import TYPES
from advisor.sizing import speed_sums as sums
from advisor.sizing.placement import HOST, Placement
from advisor.sizing.settings import RunSettings, first_device
from advisor.sizing.speed_sums import GROUPS, Floats, ModelSums
from advisor.sizing.speed_terms import BEND_POSITIONS, ENTRIES

_BYTES = (sums.DENSE, sums.EXPERTS, sums.ALL_EXPERTS, sums.HARD_DENSE, sums.HARD_EXPERTS)


@dataclass(slots=True)
class Load:
    """Work of one token on one device or on the host."""

    where: int
    columns: Floats
    cache_bytes: float
    attention_flops: float
    """At ``settings.depth``."""
    prefill_attention: Floats
    """Mean over the prompt: ``speed_terms.FLOPS`` to ``CAMPED``."""
    moved_experts: Floats
    """Bytes by group of all experts, and of what ``-ot`` moved, that lie in RAM while their block
    lies on this device."""
    beside: float = 0.0
    """Of the host: how many blocks have their experts in RAM while they lie on a device."""
    copied_cache: float = 0.0
    """Of the host: bytes of caches at ``settings.depth`` that devices compute with, copied to them
    for every token."""
    prompt_cache: float = 0.0
    """Of the host: bytes of the caches that lie there, in the middle of the prompt."""


def loads(
    known: ModelSums,
    settings: RunSettings,
    placement: Placement,
    *,
    scale: float,
    by_hand: sums.Moved = {},  # noqa: B006 - never written to
) -> list[Load]:
    """Work by place, the host last. ``scale``: actual over computed file size.

    ``by_hand``: weights that ``-ot`` puts elsewhere.
    """
    owner = np.array(placement.layer_device)
    n = len(known.layers)
    if len(owner) != n:
        owner = np.append(owner[: n - 1], owner[-1:])
    cached, flops, prompt = layer_caches(known, settings)
    kept = np.zeros(n, dtype=bool)
    if placement.experts_on_host:
        kept[[il for il in placement.experts_on_host if il < n - 1]] = True
        kept &= owner != HOST
    rows, experts_by_group = _left_in_place(known, by_hand)
    rows, lent = _lent(rows, kept)
    if HOST in by_hand:
        lent[sums.ARITHMETIC] += by_hand[HOST][0][owner != HOST][:, sums.ARITHMETIC].sum(axis=0)
    computes = first_device(settings)
    computes = computes if computes in placement.places else max(placement.places)
    result: list[Load] = []
    on_host, host_prompt = np.zeros(sums.COLUMNS), np.zeros(ENTRIES)
    host_cache = host_flops = copied_cache = 0.0
    copied = caches_copied(settings, kv_offload=placement.kv_offload)
    places: Sequence[int] = sorted(placement.places, reverse=True)
    for place in places:
        mask = owner == place
        columns = rows[mask].sum(axis=0)
        moved = np.zeros(len(GROUPS))
        if kept.any():
            away = mask & kept
            taken = rows[away].sum(axis=0)
            for part in (sums.EXPERTS, sums.ALL_EXPERTS, sums.HARD_EXPERTS, sums.STEPS):
                on_host[part] += taken[part]
                columns[part] -= taken[part]
            on_host[sums.MOE] += taken[sums.MOE]
            moved = experts_by_group[away].sum(axis=0)
        if by_hand:
            given, taken, experts = _put_by_hand(by_hand, place, mask)
            columns, on_host, moved = columns + given, on_host + taken, moved + experts
        load = Load(
            where=place,
            columns=columns + lent if place == computes else columns,
            cache_bytes=float(cached[mask].sum()),
            attention_flops=float(flops[mask].sum()),
            prefill_attention=prompt[mask].sum(axis=0),
            moved_experts=moved * scale,
        )
        if copied and place != HOST:
            copied_cache += load.cache_bytes
        elif not placement.kv_offload and place != HOST:
            host_cache += load.cache_bytes
            host_flops += load.attention_flops
            host_prompt = host_prompt + load.prefill_attention
            load.cache_bytes = load.attention_flops = 0.0
            load.prefill_attention = np.zeros(ENTRIES)
        result.append(load)
    if on_host.any() or host_cache or host_flops or copied_cache:
        _add_to_host(result, on_host, host_cache, host_flops, host_prompt)
        result[-1].beside, result[-1].copied_cache = float(on_host[sums.MOE]), copied_cache
    if result[-1].where == HOST:
        away = owner == HOST if placement.kv_offload else np.ones(n, dtype=bool)
        result[-1].prompt_cache = float(caches_read(known, settings)[away].sum())
    return _scaled(result, scale)


def _scaled(loads: list[Load], scale: float) -> list[Load]:
    for load in loads:
        load.columns = load.columns.copy()
        for part in _BYTES:
            load.columns[part] *= scale
    return loads


def works_on_caches(settings: RunSettings, *, kv_offload: bool) -> bool:
    """Whether the processor computes attention over caches in RAM, of prompts too."""
    return not kv_offload and settings.flash_attn == "off"


def caches_copied(settings: RunSettings, *, kv_offload: bool) -> bool:
    """Whether devices get the caches of their blocks copied from RAM for every token.

    Only without Flash Attention does llama.cpp send what works on them to the processor
    (llama-graph.cpp:build_attn_mha); with it attention goes where the output matrix of the block
    is, and an H100 writes as the copies let it (7.3 tok/s of an 8B model at a depth of 8,192).
    """
    return not kv_offload and settings.flash_attn != "off"


def _lent(rows: Floats, kept: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """``rows`` without the arithmetic of experts in RAM, and its sum: the first device's.

    It gets them copied for a batch, whatever device their block lies on.
    """
    lent = np.zeros(sums.COLUMNS)
    if kept.any():
        rows = rows.copy()
        for part in (sums.EXPERTS_Q, sums.EXPERTS_16):
            lent[part] = rows[kept, part].sum()
            rows[kept, part] = 0.0
    return rows, lent


def _add_to_host(
    result: list[Load], columns: Floats, cache: float, flops: float, prompt: Floats
) -> None:
    last = result[-1] if result and result[-1].where == HOST else None
    if last is None:
        last = Load(
            HOST, np.zeros(sums.COLUMNS), 0.0, 0.0, np.zeros(ENTRIES), np.zeros(len(GROUPS))
        )
        result.append(last)
    last.columns = last.columns + columns
    last.cache_bytes += cache
    last.attention_flops += flops
    last.prefill_attention = last.prefill_attention + prompt


def experts_in_ram(parts: Sequence[Load]) -> list[Load]:
    """The same work where the processor computes all experts, of prompts too; empty where a device
    holds any of them."""
    host = next((part for part in parts if part.where == HOST), None)
    devices = [part for part in parts if part.where != HOST]
    if host is None or any(part.columns[sums.ALL_EXPERTS] for part in devices):
        return []
    own = host.columns.copy()
    thin: list[Load] = []
    for part in devices:
        columns = part.columns.copy()
        for arithmetic in (sums.EXPERTS_Q, sums.EXPERTS_16):
            own[arithmetic] += columns[arithmetic]
            columns[arithmetic] = 0.0
        thin.append(replace(part, columns=columns))
    return [*thin, replace(host, columns=own)]


def read_in_batches(parts: Sequence[Load], first: int, *, attention: bool) -> list[Load]:
    """The same work as llama.cpp shares it out for a batch: the first device computes what blocks
    in RAM have, attention too, on copies of their weights and caches.

    Matrices in RAM are given to the first device that takes them, and what stands between them
    goes where they go (ggml-backend.cpp:ggml_backend_sched_backend_id_from_cur, split_graph).
    ``attention``: False where it stays on the processor (``works_on_caches``).
    """
    host = next((part for part in parts if part.where == HOST), None)
    if host is None or not (host.columns[sums.BLOCKS] or host.prefill_attention.any()):
        return list(parts)
    lent = np.zeros(sums.COLUMNS)
    for part in (*sums.ARITHMETIC, sums.BLOCKS):
        lent[part] = host.columns[part]
    none = np.zeros(sums.COLUMNS), 0.0, 0.0, np.zeros(ENTRIES), np.zeros(len(GROUPS))
    mine = next((part for part in parts if part.where == first), Load(first, *none))
    along = mine.prefill_attention + host.prefill_attention * attention
    mine = replace(mine, columns=mine.columns + lent, prefill_attention=along)
    return [mine, *(part for part in parts if part.where != first)]


def cut_across(parts: Sequence[Load]) -> list[Load]:
    """The same work with every matrix cut across the devices (``-sm tensor``), by their layers.

    Bytes and arithmetic are shared; every device starts the kernels of every block.
    """
    whole = sum((part.columns for part in parts), np.zeros(sums.COLUMNS))
    blocks = max(float(whole[sums.BLOCKS]), 1.0)
    cut: list[Load] = []
    for part in parts:
        share = float(part.columns[sums.BLOCKS]) / blocks
        columns = whole * share
        columns[sums.MATRICES :] = whole[sums.MATRICES :]
        cut.append(
            Load(
                where=part.where,
                columns=columns,
                cache_bytes=share * sum(p.cache_bytes for p in parts),
                attention_flops=share * sum(p.attention_flops for p in parts),
                prefill_attention=share
                * sum((p.prefill_attention for p in parts), np.zeros(ENTRIES)),
                moved_experts=share * sum((p.moved_experts for p in parts), np.zeros(len(GROUPS))),
            )
        )
    return cut


def _left_in_place(known: ModelSums, by_hand: sums.Moved) -> tuple[Floats, Floats]:
    """``layers`` and ``experts_by_group`` without what ``-ot`` puts elsewhere."""
    rows, by_group = known.layers, known.experts_by_group
    for taken, experts in by_hand.values():
        rows, by_group = np.maximum(rows - taken, 0), np.maximum(by_group - experts, 0)
    if by_hand:
        # A block routes to its experts wherever they lie.
        rows[:, sums.MOE] = known.layers[:, sums.MOE]
    return rows, by_group


def _put_by_hand(
    by_hand: sums.Moved, place: int, mask: NDArray[np.bool_]
) -> tuple[Floats, Floats, Floats]:
    """What ``-ot`` adds to a place, takes from its blocks to the host, and bytes to be copied."""
    columns, on_host = np.zeros(sums.COLUMNS), np.zeros(sums.COLUMNS)
    moved = np.zeros(len(GROUPS))
    for device, (taken, experts) in by_hand.items():
        if device == place != HOST:
            columns += taken.sum(axis=0)
        elif device == HOST and place == HOST:
            columns += taken[mask].sum(axis=0)
        elif device == HOST:
            mine = taken[mask].sum(axis=0)
            mine[sums.ARITHMETIC] = 0.0
            on_host += mine
            moved += experts[mask].sum(axis=0)
    return columns, on_host, moved


def layer_caches(known: ModelSums, settings: RunSettings) -> tuple[Floats, Floats, Floats]:
    """Per block: bytes and arithmetic of one token at the depth, arithmetic along the prompt.

    The last has another axis: ``speed_terms.FLOPS`` to ``CAMPED``.
    """
    return _layer_caches(known, settings.ctk, settings.ctv, settings.depth, settings.n_prompt)


def caches_read(known: ModelSums, settings: RunSettings) -> Floats:
    """Bytes of every block's caches in the middle of the prompt."""
    middle = settings.depth + settings.n_prompt // 2
    return _layer_caches(known, settings.ctk, settings.ctv, middle, settings.n_prompt)[0]


@functools.lru_cache(maxsize=64)
def _layer_caches(
    known: ModelSums, ctk: str, ctv: str, depth: int, n_prompt: int
) -> tuple[Floats, Floats, Floats]:
    """A search asks for the same again with every rig. Nobody writes to what comes back."""
    k_type, v_type = TYPES[ctk.upper()], TYPES[ctv.upper()]
    k_size, v_size = k_type.size / k_type.block, v_type.size / v_type.block
    n = len(known.layers)
    cached, flops, prompt = np.zeros(n), np.zeros(n), np.zeros((n, ENTRIES))
    middle = depth + n_prompt / 2
    for cache in known.caches:
        positions = cache.positions(depth)
        cached += positions * (cache.k_values * k_size + cache.v_values * v_size)
        flops += positions * cache.flops
        prompt += attention_along(cache, cache.positions(middle))
    for table in (cached, flops, prompt):
        table.flags.writeable = False
    return cached, flops, prompt


def attention_along(cache: sums.CacheSums, positions: float) -> Floats:
    """Arithmetic of one token against so many positions: by block, in ``speed_terms``' entries."""
    flops = positions * cache.flops
    far, shared = flops * positions / BEND_POSITIONS, flops * cache.sharing
    camped = flops * cache.camping
    return np.stack([flops, far, shared, positions * cache.scores, camped], axis=-1)
