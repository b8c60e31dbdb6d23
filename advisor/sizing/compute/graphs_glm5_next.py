"""GLM-5.3-Flash: delta attention, latent attention over pools of keys that an indexer chooses.

models/glm5-next.cpp, llama-memory-hybrid-idx.cpp.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from advisor.sizing.compute import ops
from advisor.sizing.compute.attention import (
    AttentionInput,
    attend,
    attention_input,
    read_k,
    store_k,
)
from advisor.sizing.compute.blocks import Graph, output_rows, per_layer, routing_of
from advisor.sizing.compute.blocks import shared_and_routed as experts
from advisor.sizing.compute.builder import Builder
from advisor.sizing.compute.feedforward import ffn
from advisor.sizing.compute.graphs_kimi import kimi_delta_attention
from advisor.sizing.compute.hyper_connections import hc_post, hc_pre, one_stream
from advisor.sizing.compute.nodes import F16, F32, I32, I64, Node, new
from advisor.sizing.compute.recurrent import state_input

_GATHER_UBATCH: Final = 16
"""Micro-batches up to this size read the chosen cells instead of masking the others."""


@dataclass(slots=True)
class _Pools:
    """Inputs of the pooled indexer (llm_graph_input_kpool)."""

    keys: AttentionInput
    """The indexer's cache: key, gate and pooled key in one row."""
    cells: Node
    members: Node
    mask: Node
    tail: Node
    slots: Node
    """0 for every chosen cell that exists, minus infinity for the others."""
    new_members: Node
    new_cells: Node
    gather: bool


def _pools(b: Builder, cache: AttentionInput) -> _Pools:
    """build_inp_kpool, with every pool that the cache can hold."""
    hp, tokens = b.hp, b.n_tokens
    size = int(hp.extra["kpool"])
    # llama_memory_hybrid_idx_context: cells of one stream for every sequence.
    pools = b.shape.n_kv["idx"] // size * b.shape.n_seqs
    count = max(64, -(-(pools + 1) // 64) * 64)
    tail = size - 1 if hp.metadata.get("attention.indexer.kpool_select_tail", True) else 0
    chosen = size * min(count, hp.indexer_top_k // size) + tail
    keys = AttentionInput("idx", b.input(I64, tokens), None, cache.mask)
    made = _Pools(
        keys=keys,
        cells=b.input(I32, count),
        members=b.input(I32, size, count),
        mask=b.input(F16, count, tokens),
        tail=b.input(I32, size - 1, tokens),
        slots=b.input(F32, chosen, 1, 1, tokens),
        new_members=b.input(I32, size, max(pools, 1)),
        new_cells=b.input(I64, max(pools, 1)),
        gather=not b.shape.rules.masks_always
        and b.shape.n_ubatch <= _GATHER_UBATCH
        and b.shape.n_ctx > hp.indexer_top_k + size - 1,
    )
    for node in (made.cells, made.members, made.mask, made.tail, made.slots):
        b.expand(node)
    return made


def _leaf(b: Builder, il: int, ne0: int, ne1: int = 1) -> Node:
    """A constant in the type of the attention mask."""
    type_ = F16 if b.shape.flash else F32
    return b.waiting_leaf(new(type_, (ne0, ne1, 1, 1)), il)


def _pooled_keys(b: Builder, inp: _Pools, cur: Node, il: int) -> Node:
    """Store the new keys, pool those that completed a pool, read all pooled keys."""
    hp, tokens = b.hp, b.n_tokens
    size, pool, n_new = hp.indexer_head_size, inp.members.ne[0], inp.new_members.ne[1]
    k = b.norm(ops.mul_mat(b.weight("indexer.attn_k", il), cur), "indexer.k_norm", il, op="NORM")
    gate = ops.mul_mat(b.weight("indexer_compressor_gate", il), cur)
    empty = ops.like("FILL", b.waiting_leaf(new(F32, (size, tokens, 1, 1)), il))
    packed = ops.concat(ops.concat(k, gate, 0), empty, 0)
    b.expand(store_k(b, inp.keys, ops.reshape(packed, 3 * size, 1, tokens), il))
    shape = (3 * size, b.shape.n_kv["idx"], b.shape.streams["idx"])
    cache = b.memory("idx.k", il, b.shape.type_k, shape)
    cells = shape[1] * shape[2]
    row = cache.type.row_bytes
    key_gate = ops.view(cache, (2 * size, cells, 1, 1), (cache.nb[1],))
    kept = ops.view(cache, (size, cells, 1, 1), (cache.nb[1],), row(2 * size))
    rows = ops.get_rows(key_gate, ops.reshape(inp.new_members, pool * n_new, 1))
    rows = ops.reshape(rows, 2 * size, pool, n_new)
    keys = ops.view(rows, (size, pool, n_new, 1), rows.nb[1:3])
    gates = ops.view(rows, (size, pool, n_new, 1), rows.nb[1:3], size * 4)
    logits = ops.add(gates, b.weight("indexer_compressor_ape", il))
    logits = ops.cont(ops.permute(logits, 1, 0, 2, 3))
    probs = ops.soft_max(ops.reshape(logits, pool, size * n_new))
    probs = ops.reshape(probs, pool, size, n_new)
    keys = ops.cont(ops.permute(keys, 1, 0, 2, 3))
    pooled = ops.reshape(ops.sum_rows(ops.mul(probs, keys)), size, n_new)
    b.expand(ops.set_rows(kept, pooled, inp.new_cells))
    return ops.reshape(ops.get_rows(kept, inp.cells), size, 1, inp.cells.ne[0])


def _chosen_cells(b: Builder, inp: _Pools, qr: Node, cur: Node, il: int) -> Node:
    """Cells of the best pools, and of the pool that is not complete yet."""
    hp, tokens = b.hp, b.n_tokens
    size, heads, pool = hp.indexer_head_size, hp.n_indexer_head, inp.members.ne[0]
    count = inp.cells.ne[0]
    q = ops.reshape(ops.mul_mat(b.weight("indexer.attn_q_b", il), qr), size, heads, tokens)
    pooled = _pooled_keys(b, inp, cur, il)
    weights = ops.scale(ops.mul_mat(b.weight("indexer.proj", il), cur))
    scores = new(F32, (count, tokens, 1, 1), "LIGHTNING_INDEXER", (q, pooled, weights, inp.mask))
    n_top = min(count, hp.indexer_top_k // pool)
    top = ops.top_k(scores, n_top)
    best = ops.get_rows(ops.reshape(scores, 1, count, tokens), top)
    order = new(I32, (n_top, tokens, 1, 1), "ARGSORT", (ops.reshape(best, n_top, tokens),))
    top = ops.get_rows(ops.reshape(ops.cast(top, F32), 1, n_top, tokens), order)
    top = ops.cast(ops.cont(ops.reshape(top, n_top, tokens)), I32)
    cells = ops.get_rows(inp.members, ops.reshape(top, n_top * tokens, 1))
    cells = ops.reshape(cells, pool * n_top, tokens)
    if hp.metadata.get("attention.indexer.kpool_select_tail", True):
        cells = ops.concat(cells, inp.tail, 0)
    return cells


def _selection(b: Builder, inp: _Pools, cells: Node, mask: Node, il: int) -> Node:
    """The attention mask with everything but the chosen cells closed (build_kpool_select)."""
    tokens, n_kv, chosen = b.n_tokens, b.shape.n_kv["attn"], cells.ne[0]
    b.expand(cells)
    closed = ops.like("FILL", _leaf(b, il, n_kv + chosen))
    closed = ops.repeat(closed, (n_kv + chosen, tokens, 1, 1))
    closed = ops.reshape(closed, 1, n_kv + chosen, tokens)
    zeros = ops.like("FILL", _leaf(b, il, chosen))
    zeros = ops.reshape(ops.repeat(zeros, (chosen, tokens, 1, 1)), 1, chosen, tokens)
    live = ops.unary("exp", ops.reshape(inp.slots, chosen, tokens))
    dump = new(F32, (chosen, 1, 1, 1), "ARANGE")
    ids = ops.mul(ops.sub(ops.cast(cells, F32), dump), live)
    ids = ops.cast(ops.add(ids, dump), I32)
    opened = ops.set_rows(closed, zeros, ops.reshape(ids, chosen, tokens))
    opened = ops.view(opened, (n_kv, tokens, 1, 1), (opened.nb[2],))
    return ops.add(opened, ops.reshape(mask, n_kv, tokens))


def _gathered(b: Builder, inp: _Pools, q: Node, cells: Node, mask: Node, il: int) -> Node:
    """Attention over the chosen latents alone."""
    tokens, chosen, rank = b.n_tokens, cells.ne[0], b.hp.n_lora_kv
    b.expand(mask)
    cache = b.memory(
        "attn.k", il, b.shape.type_k, (rank, b.shape.n_kv["attn"], b.shape.streams["attn"])
    )
    rows = ops.view(cache, (rank, cache.ne[1] * cache.ne[2], 1, 1), (cache.nb[1],))
    k = ops.get_rows(rows, ops.reshape(cells, chosen * tokens, 1))
    k = ops.reshape(k, rank, chosen, 1, tokens)
    kq = ops.soft_max(ops.mul_mat(k, ops.permute(q, 0, 2, 3, 1)), inp.slots)
    out = ops.mul_mat(ops.cont(ops.transpose(k)), kq)
    out = ops.mul_mat(b.weight("attn_v_b", il), out)
    width = out.ne[0] * b.hp.n_head[il]
    return ops.reshape(ops.cont(ops.permute(out, 0, 2, 1, 3)), width, tokens)


class _Latent:
    """Latent attention; blocks without an indexer take the choice of the one before."""

    def __init__(self, b: Builder, cache: AttentionInput, pools: _Pools) -> None:
        self._b, self._cache, self._pools = b, cache, pools
        self._chosen: Node | None = None

    def block(self, cur: Node, il: int) -> Node:
        """build_dsa_layer."""
        b, hp, tokens = self._b, self._b.hp, self._b.n_tokens
        inp, cache = self._pools, self._cache
        qr = b.norm(ops.mul_mat(b.weight("attn_q_a", il), cur), "attn_q_a_norm", il)
        q = ops.mul_mat(b.weight("attn_q_b", il), qr)
        q = ops.reshape(q, hp.n_embd_head_k_mla, hp.n_head[il], tokens)
        latent = b.norm(ops.mul_mat(b.weight("attn_kv_a_mqa", il), cur), "attn_kv_a_norm", il)
        latent = ops.reshape(latent, hp.n_lora_kv, 1, tokens)
        q = ops.mul_mat(b.weight("attn_k_b", il), ops.permute(q, 0, 2, 1, 3))
        q = ops.permute(q, 0, 2, 1, 3)
        if self._chosen is None or hp.indexer_layers[il]:
            cells = _chosen_cells(b, inp, qr, cur, il)
            self._chosen = cells if inp.gather else _selection(b, inp, cells, cache.mask, il)
        b.expand(q)
        b.expand(latent)
        b.expand(store_k(b, cache, latent, il))
        if inp.gather:
            out = _gathered(b, inp, q, self._chosen, cache.mask, il)
        else:
            mask = ops.reshape(self._chosen, *cache.mask.ne)
            k = read_k(b, cache, il)
            v = ops.view(k, (hp.n_lora_kv, *k.ne[1:]), k.nb[1:])
            out = attend(b, q, k, v, mask, il, v_mla=b.weight("attn_v_b", il))
        return ops.mul_mat(b.weight("attn_output", il), out)


def _mean(streams: Node) -> Node:
    total = one_stream(streams, 0)
    for i in range(1, streams.ne[1]):
        total = ops.add(total, one_stream(streams, i))
    return ops.scale(total)


def glm5_next(b: Builder) -> None:
    """GLM-5.3-Flash."""
    hp = b.hp
    n_embd, tokens, hc = hp.n_embd, b.n_tokens, hp.n_hyper_connections
    cur = b.embeddings()
    attending = [il for il in range(hp.n_layer) if not hp.is_recurrent(il)]
    states, cache = state_input(b), attention_input(b, "attn", attending, has_v=False)
    latent = _Latent(b, cache, _pools(b, cache))
    rows = output_rows(b)
    streams = ops.repeat(ops.reshape(cur, n_embd, 1, tokens), (n_embd, hc, tokens, 1))
    for il in b.blocks():
        clamped = per_layer(hp, "swiglu_clamp_exp", il) > 0
        activation = "swiglu_clamp" if clamped else "swiglu"
        cur, post, comb = hc_pre(b, streams, "attn", il)
        cur = b.expand(b.norm(cur, "attn_norm", il))
        if hp.is_recurrent(il):
            cur = kimi_delta_attention(b, states, cur, il)
        else:
            cur = latent.block(cur, il)
        streams = hc_post(b, cur, streams, post, comb, il)
        cur, post, comb = hc_pre(b, streams, "ffn", il)
        cur = b.norm(cur, "ffn_norm", il)
        if il < hp.n_layer_dense_lead:
            cur = ffn(b, cur, il)
        else:
            cur = experts(b, cur, il, routing_of(hp, gating="sigmoid", activation=activation))
        streams = hc_post(b, cur, streams, post, comb, il)
    flat = ops.get_rows(ops.reshape(streams, n_embd * hc, tokens), rows.ids)
    b.head(_mean(ops.reshape(flat, n_embd, hc, b.shape.n_outputs)))


GRAPHS: Final[Mapping[str, Graph]] = {"glm5-next": glm5_next}
