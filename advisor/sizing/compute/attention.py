"""Self-attention over the KV caches (llama-graph.cpp:build_attn, llama-kv-cache.cpp)."""

from dataclasses import dataclass

from advisor.llm.hyperparameters import Hyperparameters
from advisor.llm.tensor import TensorType
from advisor.sizing.compute import ops
from advisor.sizing.compute.builder import Builder
from advisor.sizing.compute.nodes import F16, F32, I64, Node, is_contiguous, new


@dataclass(slots=True)
class AttentionInput:
    """Inputs of one cache."""

    kind: str
    k_idxs: Node
    v_idxs: Node | None
    mask: Node
    k_rot: Node | None = None
    v_rot: Node | None = None


def rotation(b: Builder, type_: TensorType, sizes: set[int], *, largest: bool) -> Node | None:
    """Hadamard matrix for a quantized cache (llama-kv-cache.cpp:llama_kv_cache)."""
    if type_.block == 1 or len(sizes) != 1:
        return None
    size = next(iter(sizes))
    if size <= 0 or size % 64:
        return None
    n = 64
    while largest and size % (2 * n) == 0:
        n *= 2
    return b.input(F32, n, n)


def attention_input(
    b: Builder, kind: str, layers: list[int], *, has_v: bool = True
) -> AttentionInput:
    """Inputs of the cache that holds ``layers``."""
    hp, shape = b.hp, b.shape
    k_idxs = b.input(I64, b.n_tokens)
    v_idxs = None
    if has_v:
        per_token = 1
        if shape.v_transposed:
            per_token = max(hp.v_gqa(il) for il in range(hp.n_layer_all))
        v_idxs = b.input(I64, b.n_tokens * per_token)
    mask = b.mask(kind)
    k_rot = rotation(b, shape.type_k, {hp.head_k(il) for il in layers}, largest=True)
    v_rot = None
    if has_v:
        v_rot = rotation(b, shape.type_v, {hp.head_v(il) for il in layers}, largest=False)
    return AttentionInput(kind, k_idxs, v_idxs, mask, k_rot, v_rot)


def hadamard(cur: Node, rotation: Node) -> Node:
    """Rotate heads (llama-impl.h:llama_mul_mat_hadamard)."""
    n = rotation.ne[0]
    rows = cur.ne[0] * cur.ne[1] * cur.ne[2] * cur.ne[3] // n
    flat = ops.reshape(cur, n, rows) if is_contiguous(cur) else ops.cont(cur, (n, rows, 1, 1))
    return ops.reshape(ops.mul_mat(rotation, flat), *cur.ne)


def cache_owner(hp: Hyperparameters, il: int) -> int:
    """The block whose cache a block reads: its own, or the last of its kind that has one.

    Where none has, it is one of the model that this one drafts for, taken to be split alike.
    """
    if hp.n_layer_kv_from_start is None or hp.has_kv(il):
        return il
    return (hp.n_layer_kv_from_start or hp.n_layer) - (2 if hp.is_swa(il) else 1)


def _cache(b: Builder, inp: AttentionInput, which: str, il: int, width: int) -> Node:
    type_ = b.shape.type_k if which == "k" else b.shape.type_v
    ne = (width, b.shape.n_kv[inp.kind], b.shape.streams[inp.kind])
    return b.memory(f"{inp.kind}.{which}", cache_owner(b.hp, il), type_, ne)


def store_k(b: Builder, inp: AttentionInput, cur: Node, il: int) -> Node:
    """Write K rows (llama_kv_cache::cpy_k)."""
    width = cur.ne[0] * cur.ne[1]
    cache = _cache(b, inp, "k", il, width)
    rows = ops.view(cur, (width, cur.ne[2], 1, 1), (cur.nb[2],))
    if cache.ne[2] > 1:
        cache = ops.reshape(cache, width, cache.ne[1] * cache.ne[2])
    return ops.set_rows(cache, rows, inp.k_idxs)


def store_v(b: Builder, inp: AttentionInput, cur: Node, il: int) -> Node:
    """Write V rows, or single values when V lies transposed (llama_kv_cache::cpy_v)."""
    width, tokens = cur.ne[0] * cur.ne[1], cur.ne[2]
    if inp.v_idxs is None:
        message = f"the cache {inp.kind} keeps no V"
        raise ValueError(message)
    cache = _cache(b, inp, "v", il, _v_width(b, il))
    if not b.shape.v_transposed:
        rows = ops.view(cur, (width, tokens, 1, 1), (cur.nb[2],))
        if cache.ne[2] > 1:
            cache = ops.reshape(cache, width, cache.ne[1] * cache.ne[2])
        return ops.set_rows(cache, rows, inp.v_idxs)
    if cur.type.row_bytes(width) == cur.nb[2]:
        cur = ops.reshape(cur, width, tokens)
    else:
        cur = ops.cont(cur, (width, tokens, 1, 1))
    if width < cache.ne[0]:
        cur = ops.pad(cur, cache.ne[0] - width)
    values = ops.reshape(cache, 1, cache.ne[0] * cache.ne[1] * cache.ne[2])
    rows = ops.reshape(cur, 1, cur.ne[0] * cur.ne[1])
    return ops.set_rows(values, rows, inp.v_idxs)


def _v_width(b: Builder, il: int) -> int:
    if b.shape.v_transposed:
        return max(b.hp.v_gqa(i) for i in range(b.hp.n_layer_all))
    return b.hp.v_gqa(il)


def read_k(b: Builder, inp: AttentionInput, il: int) -> Node:
    """View of all cached K (llama_kv_cache::get_k)."""
    hp = b.hp
    cache = _cache(b, inp, "k", il, hp.k_gqa(il))
    size = hp.head_k(il)
    row, all_rows = cache.nb[1], cache.nb[2]
    ne = (size, hp.n_head_kv[il], cache.ne[1], b.shape.n_stream)
    return ops.view(cache, ne, (cache.type.row_bytes(size), row, all_rows))


def read_v(b: Builder, inp: AttentionInput, il: int) -> Node:
    """View of all cached V (llama_kv_cache::get_v)."""
    hp = b.hp
    width = _v_width(b, il)
    cache = _cache(b, inp, "v", il, width)
    size, heads, cells = hp.head_v(il), hp.n_head_kv[il], cache.ne[1]
    if not b.shape.v_transposed:
        ne = (size, heads, cells, b.shape.n_stream)
        return ops.view(cache, ne, (cache.type.row_bytes(size), cache.nb[1], cache.nb[2]))
    row = cache.type.row_bytes
    ne = (cells, heads, size, b.shape.n_stream)
    return ops.view(cache, ne, (row(cells * size), row(cells), row(cells * width)))


def attend(
    b: Builder,
    q: Node,
    k: Node,
    v: Node,
    mask: Node,
    il: int,
    *,
    sinks: Node | None = None,
    v_mla: Node | None = None,
    bias: Node | None = None,
    soft_cap: bool = False,
) -> Node:
    """Attention itself, fused or step by step (build_attn_mha)."""
    v_trans = v.nb[1] > v.nb[2]
    streams = k.ne[3]
    tokens = q.ne[2] // streams
    q = ops.view(q, (q.ne[0], q.ne[1], tokens, streams), (q.nb[1], q.nb[2], q.nb[2] * tokens))
    q = ops.permute(q, 0, 2, 1, 3)
    k = ops.permute(k, 0, 2, 1, 3)
    v = ops.permute(v, 0, 2, 1, 3)
    if b.shape.flash and bias is None:
        if v_trans:
            v = ops.transpose(v)
        if k.type is F32:
            k = ops.cast(k, F16)
        if v.type is F32:
            v = ops.cast(v, F16)
        cur = ops.flash_attn(q, k, v, mask, sinks)
        b.fused.append((cur, il))
        if v_mla is not None:
            cur = ops.mul_mat(v_mla, ops.permute(cur, 0, 2, 1, 3))
            cur = ops.cont(ops.permute(cur, 0, 2, 1, 3))
        cur = ops.reshape(cur, cur.ne[0] * cur.ne[1], cur.ne[2] * cur.ne[3])
        return b.expand(cur)
    kq = ops.mul_mat(k, q)
    if soft_cap:
        kq = ops.scale(ops.unary("tanh", ops.scale(kq)))
    if bias is not None:
        kq = ops.add(kq, bias)
    kq = ops.soft_max(kq, mask, sinks)
    if not v_trans:
        v = ops.cont(ops.transpose(v))
    kqv = ops.mul_mat(v, kq)
    if v_mla is not None:
        kqv = ops.mul_mat(v_mla, kqv)
    cur = ops.permute(kqv, 0, 2, 1, 3)
    cur = ops.cont(cur, (cur.ne[0] * cur.ne[1], cur.ne[2] * cur.ne[3], 1, 1))
    return b.expand(cur)


def attention(
    b: Builder,
    inp: AttentionInput,
    q: Node,
    k: Node | None,
    v: Node | None,
    il: int,
    *,
    out: str | None = "attn_output",
    sinks: Node | None = None,
    bias: Node | None = None,
    soft_cap: bool = False,
    k_first: bool = False,
) -> Node:
    """Store K and V, attend over the cache, project (build_attn with a KV cache).

    ``k_first``: the order of a sliding-window cache, which puts K before V. Layers without K and
    V of their own read another layer's cache.
    """
    if inp.k_rot is not None:
        q = hadamard(q, inp.k_rot)
        k = None if k is None else hadamard(k, inp.k_rot)
    if inp.v_rot is not None:
        v = None if v is None else hadamard(v, inp.v_rot)
    b.expand(q)
    for node in (k, v) if k_first else (v, k):
        if node is not None:
            b.expand(node)
    if k is not None:
        b.expand(store_k(b, inp, k, il))
    if v is not None:
        b.expand(store_v(b, inp, v, il))
    cur = attend(
        b, q, read_k(b, inp, il), read_v(b, inp, il), inp.mask, il,
        sinks=sinks, bias=bias, soft_cap=soft_cap,
    )  # fmt: skip
    if inp.v_rot is not None:
        cur = hadamard(cur, inp.v_rot)
    return cur if out is None else b.linear(cur, out, il)


class Within:
    """Masks of attention within the micro-batch (build_attn_inp_no_cache)."""

    def __init__(self, b: Builder) -> None:
        type_ = F16 if b.shape.flash else F32
        self._all = b.input(type_, b.n_tokens, b.n_tokens)
        self._window = b.input(type_, b.n_tokens, b.n_tokens)
        self._hp = b.hp

    def of(self, il: int) -> Node:
        """The mask of a block."""
        return self._window if self._hp.is_swa(il) else self._all


def attention_within(b: Builder, mask: Node, q: Node, k: Node, v: Node, il: int) -> Node:
    """Attend to the micro-batch itself and project (build_attn without a cache)."""
    for node in (q, k, v):
        b.expand(node)
    return b.linear(attend(b, q, k, v, mask, il), "attn_output", il)


def attend_latent(
    b: Builder, inp: AttentionInput, q: Node, k: Node, v: Node, il: int, *, v_mla: Node | None,
    sinks: Node | None = None,
) -> Node:  # fmt: skip
    """Attention over a cache of K only, whose head is V (llm_graph_input_attn_k)."""
    for node in (q, v, k):
        b.expand(node)
    b.expand(store_k(b, inp, k, il))
    cached = read_k(b, inp, il)
    values = ops.view(cached, (v.ne[0], *cached.ne[1:]), cached.nb[1:])
    return attend(b, q, cached, values, inp.mask, il, v_mla=v_mla, sinks=sinks)


def latent_attention(
    b: Builder, inp: AttentionInput, q: Node, k: Node, v: Node, il: int, *, v_mla: Node | None
) -> Node:
    """The same, projected."""
    return b.linear(attend_latent(b, inp, q, k, v, il, v_mla=v_mla), "attn_output", il)


@dataclass(slots=True)
class SparseInput:
    """Inputs of a latent cache and of the indexer's keys beside it (build_attn_inp_k_dsa)."""

    latent: AttentionInput
    index: AttentionInput


def sparse_input(b: Builder) -> SparseInput:
    """Inputs of DeepSeek's sparse attention; the indexer's keys are always rotated."""
    latent = AttentionInput("mla", b.input(I64, b.n_tokens), None, b.mask("mla"))
    index = AttentionInput("lid", b.input(I64, b.n_tokens), None, b.mask("lid", half=True))
    size = b.hp.indexer_head_size
    n = 64
    while size > 0 and size % (2 * n) == 0:
        n *= 2
    index.k_rot = b.input(F32, n, n)
    return SparseInput(latent, index)


def chosen_mask(mask: Node, top: Node, zeros: Node) -> Node:
    """Mask that lets only the chosen cells through."""
    filled = ops.like("FILL", mask)
    ne, nb = filled.ne, filled.nb
    filled = ops.view(filled, (1, ne[0], ne[1], ne[3]), nb[:3])
    ids = ops.view(
        top, (top.ne[0], top.ne[1], top.ne[3], 1), (top.nb[1], top.nb[2], top.ne[3] * top.nb[3])
    )
    written = ops.set_rows(filled, ops.like("FILL", zeros), ids)
    ne, nb = written.ne, written.nb
    opened = ops.view(written, (ne[1], ne[2], 1, ne[3]), (nb[2], nb[3], nb[3]))
    return ops.add(opened, mask)


def index_scores(b: Builder, q: Node, k: Node, weights: Node, mask: Node) -> Node:
    """Scores of the lightning indexer over all cells, one stream at a time."""
    streams = k.ne[3]
    tokens = b.n_tokens // streams
    q = ops.view(q, (q.ne[0], q.ne[1], tokens, streams), (q.nb[1], q.nb[2], q.nb[3] // streams))
    weights = ops.view(
        weights, (weights.ne[0], tokens, weights.ne[2], streams),
        (weights.nb[1], weights.nb[2] // streams, weights.nb[3] // streams),
    )  # fmt: skip
    return new(F32, (k.ne[2], q.ne[2], 1, q.ne[3]), "LIGHTNING_INDEXER", (q, k, weights, mask))


def attend_sparsely(
    b: Builder, inp: AttentionInput, q: Node, k: Node, v: Node, top: Node, il: int, *,
    v_mla: Node | None, sinks: Node | None = None,
) -> Node:  # fmt: skip
    """Attention over the chosen cells of a latent cache (llm_graph_input_attn_k_dsa)."""
    for node in (q, v, k):
        b.expand(node)
    b.expand(store_k(b, inp, k, il))
    ids = (top.ne[0], top.ne[1], top.ne[3])
    zeros = b.waiting_leaf(new(F32, (1, *ids)), il)
    mask = chosen_mask(inp.mask, top, zeros)
    cached = read_k(b, inp, il)
    values = ops.view(cached, (v.ne[0], *cached.ne[1:]), cached.nb[1:])
    return attend(b, q, cached, values, mask, il, v_mla=v_mla, sinks=sinks)


def sparse_attention(
    b: Builder, inp: AttentionInput, q: Node, k: Node, v: Node, top: Node, il: int
) -> Node:
    """The same, projected."""
    cur = attend_sparsely(b, inp, q, k, v, top, il, v_mla=b.weight("attn_v_b", il))
    return b.linear(cur, "attn_output", il)
