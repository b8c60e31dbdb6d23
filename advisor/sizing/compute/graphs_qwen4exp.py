"""Qwen3.8-Flash-Next: delta nets, attention over chosen blocks, wide residuals, n-gram tables.

models/qwen4exp.cpp, llama-memory-hybrid-idx.cpp.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from advisor.sizing.compute import ops
from advisor.sizing.compute.attention import AttentionInput, attention_input, store_k
from advisor.sizing.compute.blocks import Graph, Rows, output_rows, per_layer
from advisor.sizing.compute.builder import Builder
from advisor.sizing.compute.graphs_qwen import delta_layer, feed, gated_attention
from advisor.sizing.compute.hyper_connections import POST, PRE
from advisor.sizing.compute.nodes import F16, F32, I32, I64, Node, new
from advisor.sizing.compute.recurrent import StateInput, history, state, state_input


@dataclass(slots=True)
class _Blocks:
    """Inputs of the indexer, whose keys are pooled by blocks (llm_graph_input_kpool)."""

    keys: AttentionInput
    """The indexer's cache: key and pooled key in one row."""
    cells: Node
    members: Node
    mask: Node
    tail: Node
    new_members: Node
    new_cells: Node
    new_places: Node


def _blocks(b: Builder, cache: AttentionInput) -> _Blocks | None:
    """build_inp_kpool, with every block that the cache can hold."""
    tokens, size = b.n_tokens, int(b.hp.extra["kpool"])
    if not size:
        return None
    held = b.shape.n_kv["idx"] // size * b.shape.n_seqs
    count = max(64, -(-(held + 1) // 64) * 64)
    fresh = max(held, 1)
    made = _Blocks(
        keys=AttentionInput("idx", b.input(I64, tokens), None, cache.mask),
        cells=b.input(I32, count),
        members=b.input(I32, size, count),
        mask=b.input(F16, count, tokens),
        tail=b.input(I32, size - 1, tokens),
        new_members=b.input(I32, size, fresh),
        new_cells=b.input(I64, fresh),
        new_places=b.input(I32, 4 * fresh),
    )
    for node in (made.cells, made.members, made.mask, made.tail):
        b.expand(node)
    return made


def _pooled_keys(b: Builder, inp: _Blocks, cur: Node, il: int) -> Node:
    """Store the new keys, pool the blocks that they complete, read all pooled keys."""
    tokens, size = b.n_tokens, b.hp.indexer_head_size
    pool, fresh = inp.members.ne[0], inp.new_members.ne[1]
    raw = ops.mul_mat(b.weight("indexer.k_proj", il), cur)
    empty = ops.like("FILL", b.waiting_leaf(new(F32, (size, tokens, 1, 1)), il))
    packed = ops.reshape(ops.concat(raw, empty, 0), 2 * size, 1, tokens)
    b.expand(store_k(b, inp.keys, packed, il))
    shape = (2 * size, b.shape.n_kv["idx"], b.shape.streams["idx"])
    cache = b.memory("idx.k", il, b.shape.type_k, shape)
    cells = shape[1] * shape[2]
    key = ops.view(cache, (size, cells, 1, 1), (cache.nb[1],))
    kept = ops.view(cache, (size, cells, 1, 1), (cache.nb[1],), cache.type.row_bytes(size))
    rows = ops.get_rows(key, ops.reshape(inp.new_members, pool * fresh, 1))
    rows = ops.reshape(rows, size, pool, fresh)

    def member(i: int) -> Node:
        return ops.view(rows, (size, fresh, 1, 1), (rows.nb[2],), i * rows.nb[1])

    pooled = ops.cont(member(0))
    for i in range(1, pool):
        pooled = ops.add(pooled, member(i))
    pooled = b.norm(ops.scale(pooled), "indexer.k_norm", il)
    pooled = ops.rope(ops.reshape(pooled, size, 1, fresh), inp.new_places)
    b.expand(ops.set_rows(kept, ops.reshape(pooled, size, fresh), inp.new_cells))
    return ops.reshape(ops.get_rows(kept, inp.cells), size, 1, inp.cells.ne[0])


def _selection(b: Builder, inp: _Blocks, cur: Node, positions: Node, mask: Node, il: int) -> Node:
    """The attention mask with everything but the chosen cells closed (build_qsa_sel)."""
    hp, tokens = b.hp, b.n_tokens
    size, heads = hp.indexer_head_size, hp.n_indexer_head
    pool, count = inp.members.ne[:2]
    pooled = _pooled_keys(b, inp, cur, il)
    q = ops.reshape(ops.mul_mat(b.weight("indexer.q_proj", il), cur), size, heads, tokens)
    q = ops.rope(b.norm(q, "indexer.q_norm", il), positions)
    weights = ops.like("FILL", b.waiting_leaf(new(F32, (heads, tokens, 1, 1)), il))
    scores = new(F32, (count, tokens, 1, 1), "LIGHTNING_INDEXER", (q, pooled, weights, inp.mask))
    n_top = min(count, hp.indexer_top_k // pool)
    top = ops.top_k(scores, n_top)
    cells = ops.get_rows(inp.members, ops.reshape(top, n_top * tokens, 1))
    cells = ops.concat(ops.reshape(cells, pool * n_top, tokens), inp.tail, 0)
    b.expand(cells)
    chosen, n_kv = cells.ne[0], b.shape.n_kv["attn"]

    def filled(width: int) -> Node:
        leaf = b.waiting_leaf(new(mask.type, (width, 1, 1, 1)), il)
        whole = ops.repeat(ops.like("FILL", leaf), (width, tokens, 1, 1))
        return ops.reshape(whole, 1, width, tokens)

    closed, opened = filled(n_kv + chosen), filled(chosen)
    best = ops.get_rows(ops.reshape(scores, 1, count, tokens), top)
    live = ops.repeat(ops.clamp(ops.scale(best)), (pool, n_top, tokens, 1))
    tail = ops.clamp(ops.scale(ops.cast(inp.tail, F32)))
    live = ops.concat(ops.reshape(live, pool * n_top, tokens), tail, 0)
    dump = ops.scale(ops.like("CUMSUM", ops.like("FILL", live)))
    ids = ops.add(ops.mul(ops.sub(ops.cast(cells, F32), dump), live), dump)
    ids = ops.reshape(ops.cast(ids, I32), chosen, tokens)
    made = ops.set_rows(closed, opened, ids)
    row, across = made.nb[2], mask.ne[1]
    made = ops.view(made, mask.ne, (row, row * across, row * across * mask.ne[2]))
    return ops.add(made, mask)


def _attention(
    b: Builder, cache: AttentionInput, inp: _Blocks | None, cur: Node, positions: Node, il: int
) -> Node:
    """Attention to all cells, or to the chosen ones (build_layer_attn)."""
    if inp is not None and per_layer(b.hp, "attention.compress_ratios", il) > 0:
        mask = _selection(b, inp, cur, positions, cache.mask, il)
        cache = replace(cache, mask=ops.reshape(mask, *cache.mask.ne))
    return gated_attention(b, cur, cache, positions, il)


def _mix(b: Builder, x: Node, prefix: str, il: int | None) -> tuple[Node, Node]:
    """The streams mixed into one, and what they are normalised to (build_hc_mix)."""
    n_embd, hc, tokens, _ = x.ne
    gain = b.reshaped_weight(f"{prefix}norm", il, (n_embd, hc, 1))
    normed = ops.reshape(ops.mul(ops.like("RMS_NORM", x), gain), n_embd * hc, tokens)
    low = ops.mul_mat(b.weight(f"{prefix}down", il), normed)
    gate = ops.mul_mat(b.weight(f"{prefix}up", il), ops.unary("silu", ops.scale(low)))
    if il is not None and PRE not in b.shape.unfused:
        streams = (ops.reshape(part, n_embd, hc, tokens) for part in (normed, gate))
        mixed = new(F32, (n_embd, tokens, 1, 1), PRE, tuple(streams))
        b.hyper.append((mixed, il))
        return mixed, normed
    gated = ops.reshape(ops.mul(normed, ops.unary("sigmoid", gate)), n_embd, hc, tokens)

    def stream(i: int) -> Node:
        return ops.view(gated, (n_embd, tokens, 1, 1), (gated.nb[2],), i * gated.nb[1])

    mixed = ops.cont(stream(0))
    for i in range(1, hc):
        mixed = ops.add(mixed, stream(i))
    return ops.scale(mixed), normed


def _combine(b: Builder, residual: Node, cur: Node, inject: Node, il: int) -> Node:
    """Add what a half of a block says to every stream (build_hc_combine)."""
    share = ops.scale(ops.unary("sigmoid", ops.scale(inject)))
    if POST not in b.shape.unfused:
        node = new(F32, residual.ne, POST, (cur, residual, share))
        b.hyper.append((node, il))
        return node
    n_embd, hc, tokens, _ = residual.ne
    share = ops.reshape(share, 1, hc, tokens)
    wide = ops.repeat(ops.reshape(cur, n_embd, 1, tokens), (n_embd, hc, tokens, 1))
    return ops.add(residual, ops.mul(wide, share))


class _Table:
    """Rows of the n-gram table, and what reads them in one block."""

    def __init__(self, b: Builder) -> None:
        heads = int(b.hp.extra["ple_heads"])
        rows = ops.get_rows(b.weight("per_layer_token_embd"), b.input(I32, heads * b.n_tokens))
        self._b = b
        self._rows = b.expand(ops.reshape(rows, rows.ne[0] * heads, b.n_tokens))

    def _normed(self, x: Node, name: str, il: int) -> Node:
        b, hp = self._b, self._b.hp
        x = ops.reshape(x, hp.n_embd, hp.n_hyper_connections, b.n_tokens)
        gain = b.reshaped_weight(name, il, (hp.n_embd, hp.n_hyper_connections, 1))
        return ops.mul(ops.like("RMS_NORM", x), gain)

    def add(self, states: StateInput, streams: Node, il: int) -> Node:
        """Add what the rows say to the streams (build_ple)."""
        b = self._b
        n_embd, hc, tokens, _ = streams.ne
        key = ops.mul_mat(b.weight("ple_key", il), self._rows)
        value = ops.mul_mat(b.weight("ple_value", il), self._rows)
        key = self._normed(key, "ple_norm_key", il)
        query = self._normed(streams, "ple_norm_query", il)
        score = ops.scale(ops.sum_rows(ops.mul(key, query)))
        size = ops.like("SQRT", ops.clamp(ops.unary("abs", score)))
        gate = ops.unary("sigmoid", ops.mul(ops.unary("sgn", score), size))
        value = ops.repeat(ops.reshape(value, n_embd, 1, tokens), (n_embd, hc, tokens, 1))
        gated = ops.mul(value, gate)
        normed = self._normed(ops.reshape(gated, n_embd * hc, tokens), "ple_norm_conv", il)
        convolved = self._convolve(states, ops.reshape(normed, n_embd * hc, tokens), il)
        convolved = ops.cont(ops.unary("silu", convolved))
        return ops.add(streams, ops.add(gated, ops.reshape(convolved, n_embd, hc, tokens)))

    def _convolve(self, states: StateInput, cur: Node, il: int) -> Node:
        """A convolution that skips as many tokens as an n-gram has, as shifted copies."""
        b, n_seqs = self._b, self._b.shape.n_seqs
        channels, tokens = cur.ne[0], b.n_tokens // n_seqs
        kernel = b.weight("ple_conv1d", il)
        taps, step = kernel.ne[0], int(b.hp.extra["ple_ngram"])
        before = (taps - 1) * step
        memory = state(b, "p", il, before * channels)
        padded = history(
            b, states, memory, ops.reshape(cur, channels, tokens, n_seqs), before, channels
        )
        total: Node | None = None
        for k in range(taps):
            shifted = ops.view(padded, (tokens, channels, n_seqs, 1), padded.nb[1:3], k * step * 4)
            shifted = ops.cont(ops.transpose(shifted))
            tap = ops.view(kernel, (1, channels, 1, 1), (kernel.nb[1],), k * kernel.nb[0])
            tap = ops.reshape(ops.cont(tap), channels, 1)
            if tap.type is not F32:
                tap = ops.cast(tap, F32)
            term = ops.mul(shifted, tap)
            total = term if total is None else ops.add(total, term)
        return cur if total is None else total


def _half(b: Builder, streams: Node, part: str, il: int) -> tuple[Node, Node]:
    """What a half of a block reads, and how much of what it says goes into every stream."""
    cur, normed = _mix(b, streams, f"hc_{part}_", il)
    return cur, ops.mul_mat(b.weight(f"hc_{part}_inject", il), normed)


def _pick(rows: Rows, il: int, streams: Node, *others: Node) -> tuple[Node, ...]:
    """Keep only the output rows of the streams and of others if this is the last block."""
    n_embd, hc, tokens, _ = streams.ne
    if il != rows.last:
        return streams, *others
    others = rows.pick(il, *others)
    flat = ops.get_rows(ops.reshape(streams, n_embd * hc, tokens), rows.ids)
    return ops.reshape(flat, n_embd, hc, flat.ne[1]), *others


def qwen4exp(b: Builder) -> None:
    """Qwen3.8-Flash-Next."""
    hp, tokens = b.hp, b.n_tokens
    has_table, first = int(hp.extra["ple_layer"]) >= 0, b.shape.rules.lookups_first
    table = _Table(b) if has_table and first else None
    cur = b.embeddings()
    attending = [il for il in range(hp.n_layer) if not hp.is_recurrent(il)]
    states, cache = state_input(b), attention_input(b, "attn", attending)
    blocks = _blocks(b, cache)
    positions = b.positions(4)
    rows = output_rows(b)
    if has_table and not first:
        table = _Table(b)
    wide = (hp.n_embd, hp.n_hyper_connections, tokens, 1)
    streams = b.expand(ops.repeat(ops.reshape(cur, hp.n_embd, 1, tokens), wide))
    for il in b.blocks():
        if table is not None and il == hp.extra["ple_layer"]:
            streams = table.add(states, streams, il)
        cur, inject = _half(b, streams, "attn", il)
        b.expand(cur)
        if hp.is_recurrent(il):
            cur = delta_layer(b, states, cur, il)
        else:
            cur = _attention(b, cache, blocks, cur, positions, il)
        streams, cur, inject = _pick(rows, il, streams, cur, inject)
        streams = _combine(b, streams, cur, inject, il)
        cur, inject = _half(b, streams, "ffn", il)
        streams = _combine(b, streams, feed(b, cur, il), inject, il)
        b.pinned.append((streams, il))
    if b.shape.rules.rows_early:
        read = ops.reshape(streams, hp.n_embd * hp.n_hyper_connections, streams.ne[2])
        read.is_output = True
        b.expand(read)
    cur, _ = _mix(b, streams, "output_hc_", None)
    cur.is_output = True
    b.logits(cur)


def draft(b: Builder) -> None:
    """The draft head, whose hidden state are all streams of the trunk (graph_mtp)."""
    hp, il, tokens = b.hp, b.hp.n_layer, b.n_tokens
    n_embd, hc = hp.n_embd, hp.n_hyper_connections
    embedded = ops.get_rows(b.weight("token_embd"), b.input(I32, tokens))
    hidden = b.input(F32, n_embd * hc, tokens)
    states, cache = state_input(b), attention_input(b, "attn", [il])
    b.expand(states.copy)
    blocks = _blocks(b, cache)
    positions = b.positions(4)
    rows = b.output_ids()
    hidden = ops.like("RMS_NORM", ops.reshape(hidden, n_embd, hc, tokens))
    b.pinned.append((hidden, il))
    hidden = ops.mul(hidden, b.reshaped_weight("nextn.hnorm", il, (n_embd, hc, 1)))
    embedded = ops.reshape(b.norm(embedded, "nextn.enorm", il), n_embd, 1, tokens)
    embedded = ops.repeat(embedded, (n_embd, hc, tokens, 1))
    streams = ops.mul_mat(b.weight("nextn.eh_proj", il), ops.concat(embedded, hidden, 0))
    cur, inject = _half(b, streams, "attn", il)
    cur = _attention(b, cache, blocks, cur, positions, il)
    streams = _combine(b, streams, cur, inject, il)
    cur, inject = _half(b, streams, "ffn", il)
    streams = _combine(b, streams, feed(b, cur, il), inject, il)
    flat = ops.reshape(streams, n_embd * hc, tokens)
    flat.is_output = True
    b.expand(flat)
    flat = ops.get_rows(flat, rows)
    cur, _ = _mix(b, ops.reshape(flat, n_embd, hc, flat.ne[1]), "nextn.hc_head_", il)
    cur.is_output = True
    b.logits(cur)


GRAPHS: Final[Mapping[str, Graph]] = {"qwen4exp": qwen4exp}
DRAFT_GRAPHS: Final[Mapping[str, Graph]] = {"qwen4exp": draft}
