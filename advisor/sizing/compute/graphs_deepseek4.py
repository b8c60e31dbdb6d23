"""DeepSeek V4: hyper-connections, a sliding window over raw keys, and compressed caches.

models/deepseek4.cpp, llama-graph.cpp:build_inp_dsv4, llama-kv-cache-dsv4.cpp.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from advisor.sizing.compute import ops
from advisor.sizing.compute.attention import attend, chosen_mask, hadamard, index_scores, rotation
from advisor.sizing.compute.blocks import Graph, number, routing_of, shared_and_routed
from advisor.sizing.compute.builder import Builder
from advisor.sizing.compute.hyper_connections import (
    affine,
    columns,
    first,
    hc_post,
    hc_pre,
    weighted_sum,
)
from advisor.sizing.compute.nodes import F16, F32, I32, I64, Node, new

_CSA: Final = 4
_HCA: Final = 128


@dataclass(slots=True)
class _Compressed:
    """Inputs of one compressed cache (llm_graph_input_dsv4::comp_input)."""

    kind: str
    rows: int
    """Rows of the compressor's state, all sequences together."""
    state_pos: Node
    persist_src: Node
    persist_dst: Node
    restore: tuple[Node, Node] | None
    snapshot: tuple[Node, Node] | None
    read: Node
    write: Node
    write_pos: Node
    mask: Node
    rotation: Node | None


def _compressed(b: Builder, kind: str, ratio: int, rot: Node | None) -> _Compressed:
    """dsv4_build_reserve_comp_plan, dsv4_build_comp_inputs."""
    tokens, seqs, snapshots = b.n_tokens, b.shape.n_seqs, b.shape.n_rs_seq
    overlap = 2 if ratio == _CSA else 1
    rows = overlap * ratio * seqs
    blocks = tokens // ratio + seqs
    persist = min(tokens, rows)
    return _Compressed(
        kind=kind,
        rows=rows,
        state_pos=b.input(I32, tokens),
        persist_src=b.input(I32, persist),
        persist_dst=b.input(I32, persist),
        restore=(b.input(I32, rows), b.input(I32, rows)) if snapshots else None,
        snapshot=(b.input(I32, rows * snapshots), b.input(I32, rows * snapshots))
        if snapshots
        else None,
        read=b.input(I32, overlap * ratio * blocks),
        write=b.input(I64, blocks),
        write_pos=b.input(I32, blocks),
        mask=b.mask(kind, half=True if kind == "lid" else None, streams=seqs),
        rotation=rot,
    )


class _Inputs:
    def __init__(self, b: Builder) -> None:
        hp, type_k = b.hp, b.shape.type_k
        seqs = b.shape.n_seqs
        self.k_idxs = b.input(I64, b.n_tokens)
        self.mask = b.mask("raw_swa", streams=seqs)
        self.rotation = rotation(b, type_k, {hp.head_k(0)}, largest=True)
        turned = self.rotation is not None
        size = hp.indexer_head_size
        self.csa = _compressed(b, "csa", _CSA, self._turn(b, turned))
        self.hca = _compressed(b, "hca", _HCA, self._turn(b, turned))
        # The indexer's keys are always rotated (llama-kv-cache.cpp:llama_kv_cache).
        self.lid = _compressed(b, "lid", _CSA, b.input(F32, size, size))

    @staticmethod
    def _turn(b: Builder, turned: bool) -> Node | None:
        return b.input(F32, b.hp.head_k(0), b.hp.head_k(0)) if turned else None


def _states(b: Builder, inp: _Compressed, il: int, width: int) -> tuple[Node, Node]:
    planes = b.shape.n_seqs * (1 + b.shape.n_rs_seq)
    rows = inp.rows // b.shape.n_seqs
    return (
        b.memory(f"{inp.kind}.state_kv", il, F32, (width, rows, planes)),
        b.memory(f"{inp.kind}.state_score", il, F32, (width, rows, planes)),
    )


def _all_rows(b: Builder, inp: _Compressed, memory: Node) -> Node:
    return columns(memory, memory.ne[0], inp.rows * (1 + b.shape.n_rs_seq))


def _append_zero_row(a: Node) -> Node:
    row = ops.reshape(ops.scale(first(a, a.ne[0], 0)), a.ne[0], 1)
    return ops.concat(a, row, 1)


def _summarise(
    b: Builder, values: Node, scores: Node, inp: _Compressed, norm: str, il: int
) -> Node:
    """Weighted mean of the rows of every block, normalised and rotated."""
    values = ops.cont(ops.permute(values, 1, 0, 2, 3))
    scores = ops.cont(ops.permute(scores, 1, 0, 2, 3))
    mean = ops.sum_rows(ops.mul(values, ops.soft_max(scores)))
    mean = b.norm(ops.cont(ops.permute(mean, 1, 0, 2, 3)), norm, il)
    return ops.rope(mean, inp.write_pos)


def _overlapping(b: Builder, kv: Node, score: Node, inp: _Compressed, norm: str, il: int) -> Node:
    """build_overlap_compressed_kv_from_state."""
    size = kv.ne[0] // 2
    blocks = inp.write_pos.ne[0]
    n_read = _CSA * blocks
    kv_rows = ops.get_rows(_append_zero_row(kv), inp.read)
    score_rows = ops.get_rows(_append_zero_row(score), inp.read)

    def half(rows: Node, at: int) -> Node:
        part = ops.cont(ops.view(rows, (size, n_read, 1, 1), (rows.nb[1],), at))
        return ops.reshape(part, size, _CSA, blocks)

    def both(rows: Node) -> Node:
        return ops.concat(half(rows, 0), half(rows, n_read * rows.nb[1] + size * 4), 1)

    return _summarise(b, both(kv_rows), both(score_rows), inp, norm, il)


def _plain(b: Builder, kv: Node, score: Node, inp: _Compressed, norm: str, il: int) -> Node:
    """build_hca_compressed_kv_from_state."""
    size, blocks = kv.ne[0], inp.write_pos.ne[0]
    values = ops.reshape(ops.get_rows(kv, inp.read), size, _HCA, blocks)
    scores = ops.reshape(ops.get_rows(score, inp.read), size, _HCA, blocks)
    return _summarise(b, values, scores, inp, norm, il)


def _cache(b: Builder, kind: str, il: int, width: int) -> Node:
    ne = (width, b.shape.n_kv[kind], b.shape.streams[kind])
    return b.memory(f"{kind}.k", il, b.shape.type_k, ne)


def _store(b: Builder, kind: str, cur: Node, ids: Node, il: int) -> None:
    width = cur.ne[0] * cur.ne[1]
    cache = _cache(b, kind, il, width)
    rows = ops.view(cur, (width, cur.ne[2], 1, 1), (cur.nb[2],))
    if cache.ne[2] > 1:
        cache = ops.reshape(cache, width, cache.ne[1] * cache.ne[2])
    b.expand(ops.set_rows(cache, rows, ids))


def _cached(b: Builder, kind: str, il: int, width: int) -> Node:
    cache = _cache(b, kind, il, width)
    ne = (width, 1, cache.ne[1], cache.ne[2])
    return ops.view(cache, ne, (cache.nb[1], cache.nb[1], cache.nb[2]))


def _compress(b: Builder, cur: Node, inp: _Compressed, prefix: str, size: int, il: int) -> None:
    """Feed the compressor: new rows into its cache, what is left over into its state."""
    width = size * (2 if inp.kind != "hca" else 1)
    kv = ops.mul_mat(b.weight(f"{prefix}_compressor_kv", il), cur)
    score = ops.mul_mat(b.weight(f"{prefix}_compressor_gate", il), cur)
    offsets = ops.get_rows(b.weight(f"{prefix}_compressor_ape", il), inp.state_pos)
    score = ops.add(score, offsets)
    memories = _states(b, inp, il, width)
    restored = [_all_rows(b, inp, memory) for memory in memories]
    if inp.restore is not None:
        source, target = inp.restore
        restored = [
            ops.set_rows(_all_rows(b, inp, memory), ops.get_rows(rows, source), target)
            for rows, memory in zip(restored, memories, strict=True)
        ]
    bases = [columns(rows, width, inp.rows) for rows in restored]
    joined = [ops.concat(base, new_, 1) for base, new_ in zip(bases, (kv, score), strict=True)]
    norm = f"{prefix}_compressor_norm"
    if inp.kind == "hca":
        rows = _plain(b, joined[0], joined[1], inp, norm, il)
    else:
        rows = _overlapping(b, joined[0], joined[1], inp, norm, il)
    if inp.rotation is not None:
        rows = hadamard(rows, inp.rotation)
    _store(b, inp.kind, rows, inp.write, il)
    if inp.snapshot is not None:
        source, target = inp.snapshot
        for rows, new_, memory in zip(restored, (kv, score), memories, strict=True):
            kept = ops.get_rows(ops.concat(rows, new_, 1), source)
            b.expand(ops.set_rows(_all_rows(b, inp, memory), kept, target))
    persisted = [
        ops.set_rows(
            _all_rows(b, inp, memory), ops.get_rows(new_, inp.persist_src), inp.persist_dst
        )
        for new_, memory in zip((kv, score), memories, strict=True)
    ]
    for node in persisted:
        b.expand(node)


def _opened(b: Builder, mask: Node, top: Node, il: int) -> Node:
    type_ = F16 if b.shape.flash else F32
    zeros = b.waiting_leaf(new(type_, (1, top.ne[0], top.ne[1], top.ne[3])), il)
    return chosen_mask(mask, top, zeros)


def _top_blocks(b: Builder, inputs: _Inputs, qr: Node, cur: Node, positions: Node, il: int) -> Node:
    """The lightning indexer's choice (build_lid_top_k)."""
    hp, inp = b.hp, inputs.lid
    size, heads, tokens = hp.indexer_head_size, hp.n_indexer_head, b.n_tokens
    q = ops.reshape(ops.mul_mat(b.weight("indexer.attn_q_b", il), qr), size, heads, tokens)
    q = ops.rope(q, positions)
    if inp.rotation is not None:
        q = hadamard(q, inp.rotation)
    weights = ops.scale(ops.mul_mat(b.weight("indexer.proj", il), cur))
    k = _cached(b, "lid", il, size)
    k = ops.view(k, k.ne, k.nb[1:])
    scores = index_scores(b, q, k, weights, inp.mask)
    return ops.cont(ops.top_k(scores, min(scores.ne[0], hp.indexer_top_k)))


def _attention(b: Builder, inputs: _Inputs, cur: Node, positions: Node, il: int) -> Node:
    hp = b.hp
    size, heads, tokens = hp.head_k(il), hp.n_head[il], b.n_tokens
    qr = b.norm(ops.mul_mat(b.weight("attn_q_a", il), cur), "attn_q_a_norm", il)
    q = ops.reshape(ops.mul_mat(b.weight("attn_q_b", il), qr), size, heads, tokens)
    q = ops.rope(ops.like("RMS_NORM", q), positions)
    kv = b.norm(ops.mul_mat(b.weight("attn_kv", il), cur), "attn_kv_a_norm", il)
    kv = ops.rope(ops.reshape(kv, size, 1, tokens), positions)
    ratio = hp.compress_ratios[il]
    top: Node | None = None
    if ratio == _CSA:
        _compress(b, cur, inputs.csa, "attn", size, il)
        _compress(b, cur, inputs.lid, "indexer", hp.indexer_head_size, il)
        top = _top_blocks(b, inputs, qr, cur, positions, il)
    elif ratio == _HCA:
        _compress(b, cur, inputs.hca, "attn", size, il)
    if inputs.rotation is not None:
        q, kv = hadamard(q, inputs.rotation), hadamard(kv, inputs.rotation)
    b.expand(q)
    b.expand(kv)
    _store(b, "raw_swa", kv, inputs.k_idxs, il)
    k, mask = _cached(b, "raw_swa", il, size), inputs.mask
    if ratio:
        kind = "csa" if ratio == _CSA else "hca"
        other = _cached(b, kind, il, size)
        k = ops.concat(k, ops.view(other, other.ne, other.nb[1:]), 2)
        extra = inputs.hca.mask if top is None else _opened(b, inputs.csa.mask, top, il)
        mask = ops.concat(mask, extra, 0)
    out = attend(b, q, k, k, mask, il, sinks=b.weight("attn_sinks", il))
    if inputs.rotation is not None:
        out = hadamard(out, inputs.rotation)
    out = ops.like("ROPE_BACK", ops.reshape(out, size, heads, tokens), positions)
    groups, rank = hp.n_o_groups, hp.n_lora_o
    width = heads // groups * size
    out = ops.permute(ops.reshape(out, width, groups, tokens), 0, 2, 1, 3)
    low = ops.mul_mat(b.reshaped_weight("attn_output_a", il, (width, rank, groups)), out)
    low = ops.cont(ops.permute(low, 0, 2, 1, 3), (rank * groups, tokens, 1, 1))
    return ops.mul_mat(b.weight("attn_output_b", il), low)


def deepseek4(b: Builder) -> None:
    """DeepSeek V4 Flash and Pro."""
    hp = b.hp
    n_embd, tokens, hc = hp.n_embd, b.n_tokens, hp.n_hyper_connections
    cur, ids = b.embeddings_and_ids(mixed=False)
    positions = b.positions()
    rows = b.output_ids()
    inputs = _Inputs(b)
    b.expand(inputs.mask)
    streams = ops.repeat(ops.reshape(cur, n_embd, 1, tokens), (n_embd, hc, tokens, 1))
    clamped = bool(number(hp, "swiglu_clamp_exp") or hp.metadata.get("swiglu_clamp_exp"))
    routing = routing_of(
        hp, gating="sqrt_softplus", activation="swiglu_clamp" if clamped else "swiglu"
    )
    for il in b.blocks():
        cur, post, comb = hc_pre(b, streams, "attn", il)
        cur = _attention(b, inputs, b.norm(cur, "attn_norm", il), positions, il)
        streams = hc_post(b, cur, streams, post, comb, il)
        cur, post, comb = hc_pre(b, streams, "ffn", il)
        for node in (streams, post, comb):
            b.expand(node)
        cur = b.norm(cur, "ffn_norm", il)
        chosen = None
        if il < hp.n_hash_layers:
            chosen = ops.get_rows(b.weight("ffn_gate_tid2eid", il), ids)
        cur = shared_and_routed(b, cur, il, routing, chosen=chosen)
        streams = hc_post(b, cur, streams, post, comb, il)
        b.pinned.append((streams, il))
    # A draft head would read them (t_h_nextn), whether there is one or not.
    streams.is_output = b.shape.rules.streams_kept
    flat = ops.get_rows(ops.reshape(streams, n_embd * hc, tokens), rows)
    n_out = b.shape.n_outputs
    streams = ops.reshape(flat, n_embd, hc, n_out)
    mixed = ops.like("RMS_NORM", ops.reshape(streams, n_embd * hc, n_out))
    mixed = ops.mul_mat(b.weight("output_hc_fn"), mixed)
    pre = affine(mixed, b.weight("output_hc_scale"), b.weight("output_hc_base"))
    pre = ops.scale(ops.unary("sigmoid", pre))
    # Only inside blocks the fused op is used.
    b.head(weighted_sum(streams, pre))


GRAPHS: Final[Mapping[str, Graph]] = {"deepseek4": deepseek4}
