"""MiniMax M3: attention over blocks of keys that an indexer chooses per group of heads."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from advisor.sizing.compute import ops
from advisor.sizing.compute.attention import (
    AttentionInput,
    attention,
    attention_input,
    hadamard,
    read_k,
    read_v,
    store_k,
    store_v,
)
from advisor.sizing.compute.blocks import (
    Graph,
    feed_forward,
    head_norms,
    number,
    output_rows,
    qkv,
    routing_of,
)
from advisor.sizing.compute.builder import Builder
from advisor.sizing.compute.nodes import F16, F32, I32, I64, Node, is_contiguous, new, view_of


@dataclass(slots=True)
class _BlockInput:
    """Inputs of block selection (llm_graph_input_msa)."""

    k_idxs: Node
    bias: Node
    position_mask: Node
    slots: Node
    batch: tuple[Node, Node] | None
    """The block of every cell, and the attention mask in single precision."""
    slot_values: Node | None
    """``slots`` as numbers, where there is one token per stream instead."""
    block: int


def _block_input(b: Builder, cache: AttentionInput) -> _BlockInput:
    block = int(number(b.hp, "attention.indexer.block_size", 128))
    streams = b.shape.n_stream
    n_kv = b.shape.n_kv["attn"]
    # An empty cache counts 256 positions (llama_kv_cache_msa_context::get_n_pos); a real run with
    # a long prompt reserves again.
    positions = -(-256 // block) * block
    single = b.n_tokens == streams
    return _BlockInput(
        k_idxs=b.input(I64, b.n_tokens),
        bias=b.input(F32, positions // block, b.n_tokens),
        position_mask=b.input(F32, positions, b.n_tokens),
        slots=b.input(I32, positions, streams),
        batch=None if single else (b.input(I32, n_kv, streams), ops.cast(cache.mask, F32)),
        slot_values=b.input(F32, positions, streams) if single else None,
        block=block,
    )


def _add_in_place(a: Node, other: Node) -> Node:
    return view_of(a, "ADD", a.ne, a.nb, (a, other))


def _fused(q: Node, k: Node, v: Node, mask: Node, group: int) -> Node:
    """build_attn_msa_fa."""
    size, heads, tokens = q.ne[:3]
    count = k.ne[3]
    rows = heads * tokens // (group * count)
    q = ops.permute(ops.reshape(q, size, group, count, rows), 0, 2, 3, 1)
    out = ops.permute(ops.flash_attn(q, k, v, mask), 0, 1, 3, 2)
    if not is_contiguous(out):
        out = ops.cont(out)
    return ops.reshape(out, size * heads, tokens)


def _stream_mask(
    b: Builder,
    inp: _BlockInput,
    batch: tuple[Node, Node],
    scores: Node,
    stream: int,
    tokens: int,
) -> Node:
    """Mask of one sequence: the cells of the chosen blocks, per group of heads."""
    hp = b.hp
    heads, blocks = hp.n_indexer_head, inp.bias.ne[0]
    cell_block, mask_f32 = batch
    bias = ops.view(
        inp.bias, (blocks, 1, tokens, 1), (inp.bias.nb[1], inp.bias.nb[1]),
        stream * tokens * inp.bias.nb[1],
    )  # fmt: skip
    best = new(F32, (blocks, heads, tokens, 1), "POOL_2D", (scores,))
    chosen = ops.top_k(ops.add(best, bias), min(hp.indexer_top_k, blocks))
    k = chosen.ne[0]
    closed = ops.repeat(ops.cast(ops.scale(bias), F16), (blocks, heads, tokens, 1))
    opened = ops.scale(ops.cast(chosen, F32))
    mask = ops.set_rows(
        ops.reshape(closed, 1, blocks, heads * tokens),
        ops.reshape(opened, 1, k, heads * tokens),
        ops.reshape(chosen, k, heads * tokens),
    )
    mask = ops.reshape(mask, blocks, heads, tokens)
    mask = ops.cont(ops.permute(mask, 0, 2, 1, 3))
    mask = ops.cont(ops.transpose(ops.reshape(mask, blocks, tokens * heads)))
    n_kv = cell_block.ne[0]
    cells = ops.view(cell_block, (n_kv, 1, 1, 1), (), stream * cell_block.nb[1])
    mask = ops.cont(ops.transpose(ops.get_rows(mask, cells)))
    mask = ops.reshape(mask, n_kv, tokens, heads)
    causal = ops.view(
        mask_f32, (n_kv, tokens, 1, 1), (mask_f32.nb[1], mask_f32.nb[3]), stream * mask_f32.nb[3]
    )
    mask = _add_in_place(mask, causal)
    return ops.cast(ops.reshape(mask, n_kv, tokens, 1, heads), F16)


def _gathered(
    b: Builder,
    inp: _BlockInput,
    attended: tuple[Node, Node, Node],
    indexed: tuple[Node, Node],
    group: int,
) -> Node:
    """One token per stream: only the K and V of the chosen blocks are read, of all streams at once.

    ``attended``: queries and the caches of K and V. ``indexed``: the indexer's queries and cache.
    """
    (q, all_k, all_v), (iq, cached), values = attended, indexed, inp.slot_values
    if values is None:
        raise AssertionError("a batch is masked instead")
    size, heads, streams = iq.ne[0], iq.ne[1], b.shape.n_stream
    positions, blocks, block = inp.slots.ne[0], inp.bias.ne[0], inp.block
    n_kv = all_k.ne[2]
    own = ops.view(cached, (size, n_kv, streams, 1), (cached.nb[2], cached.nb[3]))
    own = ops.reshape(ops.get_rows(own, inp.slots), size, positions, 1, streams)
    scores = ops.mul_mat(own, ops.reshape(iq, size, heads, 1, streams))
    scores = _add_in_place(scores, ops.reshape(inp.position_mask, positions, 1, 1, streams))
    best = new(F32, (blocks, heads, 1, streams), "POOL_2D", (scores,))
    best = ops.add(best, ops.reshape(inp.bias, blocks, 1, 1, streams))
    k = min(b.hp.indexer_top_k, blocks)
    first = ops.reshape(ops.scale(ops.cast(ops.top_k(best, k), F32)), 1, k, heads, streams)
    taken = block * k * heads

    def numbered(rows: Node, count: int, *ne: int) -> Node:
        steps = ops.reshape(new(F32, (count, 1, 1, 1), "ARANGE"), ne[0], ne[1], ne[2])
        return ops.add(rows, steps)

    at = numbered(ops.repeat(first, (block, k, heads, streams)), block, block, 1, 1)
    at = ops.cast(ops.reshape(at, taken, streams), I32)
    cells = ops.get_rows(ops.reshape(values, 1, positions, streams), at)
    cells = ops.scale(ops.reshape(cells, block, k, heads, streams))
    kv_heads = all_k.ne[1]
    rows = ops.cast(ops.reshape(numbered(cells, kv_heads, 1, 1, heads), taken, streams), I32)

    def picked(cache: Node) -> Node:
        width = cache.ne[0]
        flat = ops.view(cache, (width, kv_heads * n_kv, streams, 1), (cache.nb[1], cache.nb[3]))
        found = ops.reshape(ops.get_rows(flat, rows), width, block * k, 1, heads * streams)
        type_ = F16 if cache.type.block > 1 else cache.type
        return found if found.type is type_ else ops.cast(found, type_)

    keys, cached_values = picked(all_k), picked(all_v)
    mask = ops.get_rows(ops.reshape(inp.position_mask, 1, positions, streams), at)
    mask = ops.cast(ops.reshape(mask, block * k, 1, 1, heads * streams), F16)
    return _fused(q, keys, cached_values, mask, group)


def _chosen_rows(
    b: Builder, cache: AttentionInput, inp: _BlockInput, q: Node, iq: Node, keys: Node, il: int
) -> Node:
    """Attention over the blocks that the indexer's queries ``iq`` and ``keys`` choose."""
    hp = b.hp
    size, heads = hp.indexer_head_size, hp.n_indexer_head
    all_k, all_v = read_k(b, cache, il), read_v(b, cache, il)
    streams = b.shape.n_stream
    tokens, n_kv = b.n_tokens // streams, all_k.ne[2]
    group = hp.n_head[il] // hp.n_head_kv[il]
    cached = ops.view(keys, (size, 1, keys.ne[1], keys.ne[2]), (keys.nb[1], keys.nb[1], keys.nb[2]))
    if inp.batch is None:
        out = _gathered(b, inp, (q, all_k, all_v), (iq, cached), group)
        b.fused.append((out.src[0], il))
        return out
    outs: list[Node] = []
    for stream in range(streams):
        at = stream * tokens

        def one(a: Node, at: int = stream) -> Node:
            return ops.view(a, (*a.ne[:3], 1), a.nb[1:], at * a.nb[3])

        own_q = ops.view(iq, (size, heads, tokens, 1), iq.nb[1:3], at * iq.nb[2])
        own_k = ops.view(cached, (size, n_kv, 1, 1), (cached.nb[2],), stream * cached.nb[3])
        slots = ops.view(inp.slots, (inp.slots.ne[0], 1, 1, 1), (), stream * inp.slots.nb[1])
        scores = ops.mul_mat(ops.get_rows(own_k, slots), ops.reshape(own_q, size, heads * tokens))
        scores = ops.reshape(scores, inp.slots.ne[0], heads, tokens)
        limit = inp.position_mask
        scores = _add_in_place(
            scores,
            ops.view(
                limit, (limit.ne[0], 1, tokens, 1), (limit.nb[1], limit.nb[1]), at * limit.nb[1]
            ),
        )
        mask = _stream_mask(b, inp, inp.batch, scores, stream, tokens)
        part = ops.view(q, (q.ne[0], q.ne[1], tokens, 1), q.nb[1:3], at * q.nb[2])
        keys_of = ops.permute(one(all_k), 0, 3, 1, 2)
        values_of = ops.permute(one(all_v), 0, 3, 1, 2)
        outs.append(_fused(part, keys_of, values_of, mask, group))
        b.fused.append((outs[-1].src[0], il))
    out = outs[0]
    for other in outs[1:]:
        out = ops.concat(out, other, 1)
    return out


def _sparse(
    b: Builder, cache: AttentionInput, inp: _BlockInput, cur: Node, positions: Node, il: int
) -> Node:
    hp = b.hp
    size, heads = hp.indexer_head_size, hp.n_indexer_head
    q, k, v = qkv(b, cur, il)
    q, k = head_norms(b, q, k, il)
    q, k = ops.rope(q, positions), ops.rope(k, positions)
    iq = ops.reshape(ops.mul_mat(b.weight("indexer.q_proj", il), cur), size, heads, b.n_tokens)
    ik = ops.reshape(ops.mul_mat(b.weight("indexer.k_proj", il), cur), size, 1, b.n_tokens)
    iq = ops.rope(b.norm(iq, "indexer.q_norm", il), positions)
    ik = ops.rope(b.norm(ik, "indexer.k_norm", il), positions)
    keys = b.memory(
        "idx.k", il, b.shape.type_k, (size, b.shape.n_kv["idx"], b.shape.streams["idx"])
    )
    rows = ops.view(ik, (size, b.n_tokens, 1, 1), (ik.nb[2],))
    target = keys
    if keys.ne[2] > 1:
        target = ops.reshape(keys, size, keys.ne[1] * keys.ne[2])
    b.expand(ops.set_rows(target, rows, inp.k_idxs))
    if cache.k_rot is not None:
        q, k = hadamard(q, cache.k_rot), hadamard(k, cache.k_rot)
    if cache.v_rot is not None:
        v = hadamard(v, cache.v_rot)
    for node in (q, k, v):
        b.expand(node)
    b.expand(store_k(b, cache, k, il))
    b.expand(store_v(b, cache, v, il))
    out = _chosen_rows(b, cache, inp, q, iq, keys, il)
    if cache.v_rot is not None:
        out = hadamard(out, cache.v_rot)
    return b.linear(out, "attn_output", il)


def minimax_m3(b: Builder) -> None:
    """MiniMax M3; without flash attention, or over a shared cache, it attends to everything."""
    hp = b.hp
    cur = b.embeddings()
    positions = b.positions()
    cache = attention_input(b, "attn", list(range(hp.n_layer)))
    sparse = b.shape.flash and (b.shape.n_seqs == 1 or b.shape.n_stream > 1)
    blocks = _block_input(b, cache) if sparse else None
    rows = output_rows(b)
    routing = routing_of(hp, gating="sigmoid", activation="swiglu_oai")
    for il in b.blocks():
        residual = cur
        cur = b.norm(cur, "attn_norm", il)
        if blocks is not None and il >= hp.n_layer_dense_lead:
            cur = _sparse(b, cache, blocks, cur, positions, il)
        else:
            q, k, v = qkv(b, cur, il)
            q, k = head_norms(b, q, k, il)
            q, k = ops.rope(q, positions), ops.rope(k, positions)
            cur = attention(b, cache, q, k, v, il)
        cur, residual = rows.pick(il, cur, residual)
        cur = feed_forward(b, ops.add(cur, residual), il, routing)
    b.head(cur)


GRAPHS: Final[Mapping[str, Graph]] = {"minimax-m3": minimax_m3}
