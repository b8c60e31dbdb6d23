"""Bytes of KV caches and recurrent state on every device and on the host."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from advisor.llm.caches import CacheRule, MemoryRule
from advisor.llm.hyperparameters import Hyperparameters
from advisor.llm.model import Model
from advisor.llm.tensor import TYPES, TensorType
from advisor.sizing.placement import HOST, Placement
from advisor.sizing.plan import KvCache
from advisor.sizing.settings import RunSettings
from advisor.sizing.tables import PerModel
from advisor.sizing.weights import align, alignment, row_padding

PADDING = 256
"""Cells are padded to it (llama-context.cpp:llama_context, llama-kv-cache-iswa.cpp)."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Context and batch as llama.cpp resolves them (llama-context.cpp:llama_context)."""

    n_ctx: int
    n_ctx_seq: int
    """Cells per sequence."""
    n_batch: int
    n_ubatch: int
    n_seq: int


def resolve(settings: RunSettings, *, causal: bool = True) -> Sizes:
    """Context per slot, batch and micro-batch that these settings end in.

    causal: what reads both ways, and so keeps nothing, has batches larger than its context.
    """
    n_batch = min(settings.ctx, settings.batch_size) if causal else settings.batch_size
    n_ctx = align(settings.ctx, PADDING)
    n_ctx_seq = n_ctx
    if not settings.kv_unified:
        n_ctx_seq = align(n_ctx // settings.parallel, PADDING)
        n_ctx = n_ctx_seq * settings.parallel
    return Sizes(
        n_ctx=n_ctx,
        n_ctx_seq=n_ctx_seq,
        n_batch=n_batch,
        n_ubatch=min(n_batch, settings.ubatch_size),
        n_seq=settings.parallel,
    )


def cells(rule: CacheRule, settings: RunSettings, sizes: Sizes) -> tuple[int, int]:
    """Cells per stream, and streams, of one cache."""
    unified = settings.kv_unified and not rule.always_per_sequence
    streams = 1 if unified else sizes.n_seq
    if rule.cells == "full":
        return sizes.n_ctx_seq, streams
    if rule.cells == "window":
        if settings.swa_full:
            return sizes.n_ctx_seq, streams
        window = rule.span * (sizes.n_seq if unified else 1) + sizes.n_ubatch
        return align(min(sizes.n_ctx_seq, window), PADDING), streams
    return align(max(1, -(-sizes.n_ctx_seq // rule.span)), PADDING), streams


def is_mla(hp: Hyperparameters) -> bool:
    """Multi-head latent attention: V is a view of K (llama-hparams.cpp:is_mla)."""
    return bool(hp.n_embd_head_k_mla and hp.n_embd_head_v_mla)


def memory_rule(model: Model, settings: RunSettings) -> MemoryRule | None:
    """The caches of the context that these settings ask for; None when they are not known."""
    return _rule(model, settings.ctx_type)


def _rule(model: Model, ctx_type: str) -> MemoryRule | None:
    rule = model.memory
    if rule is not None and ctx_type == "mtp":
        return MemoryRule(caches=rule.mtp, v_width_max=rule.v_width_max) if rule.mtp else None
    return rule


def snapshots(model: Model, settings: RunSettings) -> int:
    """Copies of the recurrent state per sequence: one, and one per rollback step."""
    if model.memory is None or not model.memory.rollback:
        return 1
    return 1 + settings.n_rs_seq


@dataclass(frozen=True, slots=True)
class Part:
    """One cache's or state's bytes on one device, for explanations."""

    kind: str
    device: int
    layers: int
    size: int


@dataclass(frozen=True, slots=True)
class ContextBytes:
    """Bytes of all caches and states of a context."""

    devices: tuple[int, ...]
    host: int
    kv: dict[str, KvCache]
    state: int
    parts: tuple[Part, ...]


def tensor_bytes(type_: TensorType, width: int, rows: int, backend: str) -> int:
    """Bytes of one cache tensor of ``rows`` cells in a buffer of ``backend``."""
    if not width:
        return 0
    size = type_.row_bytes(width) * rows + row_padding(backend, type_, width)
    return align(size, alignment(backend))


@dataclass(frozen=True, slots=True)
class _Run:
    """Layers of one cache with equal widths on one device, or of one state."""

    device: int
    backend: str
    layers: int
    k_width: int
    v_width: int


@dataclass(frozen=True, slots=True)
class Caches:
    """The caches of a model by device: what does not change with the context's length."""

    n_devices: int
    caches: tuple[tuple[CacheRule, tuple[_Run, ...]], ...]
    states: tuple[tuple[str, tuple[_Run, ...]], ...]


_Where = tuple[tuple[int, ...], tuple[str, ...], bool, str]


def _lay_out(model: Model, key: _Where) -> Caches | None:
    """Which caches and states lie where; None when the architecture's caches are not known."""
    devices, names, flash, ctx_type = key
    rule = _rule(model, ctx_type)
    if rule is None:
        return None
    v_max = 0 if flash else rule.v_width_max

    def runs(counts: Counter[tuple[int, int, int]]) -> tuple[_Run, ...]:
        return tuple(_Run(d, names[d], n, k, v) for (d, k, v), n in sorted(counts.items()))

    return Caches(
        n_devices=len(names) - 1,
        caches=tuple(
            (
                cache,
                runs(
                    Counter(
                        (devices[layer], k_width, max(v_width, v_max))
                        for layer, k_width, v_width in zip(
                            cache.layers, cache.k_width, cache.v_width, strict=True
                        )
                        if not cache.lent
                    )
                ),
            )
            for cache in rule.caches
        ),
        states=tuple(
            (
                state.kind,
                runs(
                    Counter(
                        (devices[layer], values, 0)
                        for layer, values in zip(state.layers, state.values, strict=True)
                    )
                ),
            )
            for state in rule.states
        ),
    )


_laid_out = PerModel(_lay_out)


def fill(found: Caches, settings: RunSettings, copies: int) -> ContextBytes:
    """Bytes of these caches and states for a context. ``copies``: snapshots of the state."""
    sizes = resolve(settings)
    k_type, v_type = TYPES[settings.ctk.upper()], TYPES[settings.ctv.upper()]
    totals = [0] * (found.n_devices + 1)
    kv: dict[str, KvCache] = {}
    parts: list[Part] = []
    for cache, runs in found.caches:
        n_cells, streams = cells(cache, settings, sizes)
        rows = n_cells * streams
        stored = 0
        for run in runs:
            size = run.layers * (
                tensor_bytes(k_type, run.k_width, rows, run.backend)
                + tensor_bytes(v_type, run.v_width, rows, run.backend)
            )
            stored += size
            totals[run.device] += size
            parts.append(Part(cache.kind, run.device, run.layers, size))
        kv[cache.kind] = KvCache(cells=n_cells, streams=streams, bytes=stored)
    copies *= sizes.n_seq
    state = 0
    for kind, runs in found.states:
        for run in runs:
            state += 4 * run.k_width * copies * run.layers
            size = align(4 * run.k_width * copies, alignment(run.backend)) * run.layers
            totals[run.device] += size
            parts.append(Part(kind, run.device, run.layers, size))
    return ContextBytes(
        devices=tuple(totals[:-1]),
        host=totals[HOST],
        kv=kv,
        state=state,
        parts=tuple(parts),
    )


def context(
    model: Model,
    settings: RunSettings,
    placement: Placement,
    backends: Sequence[str],
    *,
    flash: bool = True,
) -> ContextBytes | None:
    """Caches and states by device; None when the architecture's caches are not known.

    llama-kv-cache.cpp:llama_kv_cache, llama-kv-cache-iswa.cpp, llama-kv-cache-dsv4.cpp,
    llama-memory-recurrent.cpp. ``flash``: whether flash attention is on; without it V is padded to
    the widest layer.
    """
    devices = placement.layer_device
    if not placement.kv_offload:
        devices = (HOST,) * len(devices)
    found = _laid_out(model, (devices, (*backends, "cpu"), flash, settings.ctx_type))
    return None if found is None else fill(found, settings, snapshots(model, settings))


def layer_context(
    model: Model, settings: RunSettings, backend: str, *, flash: bool = True
) -> tuple[int, ...] | None:
    """Bytes of caches and states per block in buffers of ``backend``; None when not known."""
    rule = memory_rule(model, settings)
    if rule is None or model.hp is None:
        return None
    sizes = resolve(settings)
    k_type, v_type = TYPES[settings.ctk.upper()], TYPES[settings.ctv.upper()]
    v_max = 0 if flash else rule.v_width_max
    layers = [0] * model.hp.n_layer_all
    for cache in rule.caches:
        if cache.lent:
            continue
        n_cells, streams = cells(cache, settings, sizes)
        rows = n_cells * streams
        known: dict[tuple[int, int], int] = {}
        for layer, *widths in zip(cache.layers, cache.k_width, cache.v_width, strict=True):
            k_width, v_width = widths
            size = known.get((k_width, v_width))
            if size is None:
                v_padded = max(v_width, v_max)
                size = tensor_bytes(k_type, k_width, rows, backend)
                size += tensor_bytes(v_type, v_padded, rows, backend)
                known[k_width, v_width] = size
            layers[layer] += size
    copies = sizes.n_seq * snapshots(model, settings)
    for state in rule.states:
        for layer, values in zip(state.layers, state.values, strict=True):
            layers[layer] += align(4 * values * copies, alignment(backend))
    return tuple(layers)


def checkpoint_bytes(model: Model, settings: RunSettings) -> int | None:
    """What context checkpoints take in RAM when all slots have as many as they may.

    server-context.cpp:create_checkpoint copies what cannot be rolled back: window caches and
    recurrent states of one slot. None when the architecture's caches are not known.
    """
    rule = memory_rule(model, settings)
    if rule is None:
        return None
    sizes = resolve(settings)
    k_type, v_type = TYPES[settings.ctk.upper()], TYPES[settings.ctv.upper()]
    one = 4 * sum(sum(state.values) for state in rule.states)
    for cache in rule.caches:
        if cache.cells == "window" and not settings.swa_full:
            rows, _ = cells(cache, settings, sizes)
            one += rows * sum(k_type.row_bytes(width) for width in cache.k_width)
            one += rows * sum(v_type.row_bytes(width) for width in cache.v_width if width)
    return one * settings.ctx_checkpoints * settings.parallel


def output_bytes(model: Model, settings: RunSettings) -> int | None:
    """Rows of logits that a context holds on the host, F32 (llama-context.cpp:output_reserve).

    What is asked for vectors keeps them as well, and so does T5 what its encoder gives.
    """
    if model.hp is None:
        return None
    asked = pooling(model, settings)
    row = model.hp.n_vocab + (model.hp.n_embd if asked or model.hp.arch == "t5" else 0)
    return 4 * row * output_rows(model.memory, settings, asked)


def pooling(model: Model, settings: RunSettings) -> str:
    """How a text's vectors become one (``Model.pooling``) where llama-server is asked for them.

    What makes vectors is started with --embeddings or --reranking. Empty: it is asked for logits,
    as what writes is, and as rows of logits are asked for by number (``n_outputs``).
    """
    return model.pooling if settings.n_outputs is None else ""


def output_rows(rule: MemoryRule | None, settings: RunSettings, pooled: str) -> int:
    """Rows of logits that are needed at once.

    One per sequence at the start; what diffuses has one for every token that it refines, as
    llama-diffusion-cli leaves ``n_outputs_max`` alone. So has what may encode before it decodes,
    and what is asked for vectors (``pooled``), logits included (server-context.cpp:
    server_output_limits); all are given no more than a micro-batch at once (llama-context.cpp:
    encode, server.cpp).
    """
    if rule is None or not (pooled or rule.every_row or rule.diffuses):
        return settings.parallel
    sizes = resolve(settings, causal=rule.keeps)
    return min(sizes.n_ctx, sizes.n_ubatch)
