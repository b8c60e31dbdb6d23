"""Hy4: latent attention with a gate and sinks, and hyper-connections without mixing.

models/hy-v4.cpp. Its hyper-connections are computed in single precision: every step copies what it
reads and what it returns, also where that is of this type already.
"""

from collections.abc import Mapping
from typing import Final

from advisor.sizing.compute import ops
from advisor.sizing.compute.attention import (
    AttentionInput,
    SparseInput,
    attend_latent,
    attend_sparsely,
    attention_input,
    sparse_input,
)
from advisor.sizing.compute.blocks import Graph, output_rows, per_layer, routing_of
from advisor.sizing.compute.builder import Builder
from advisor.sizing.compute.feedforward import ffn, moe
from advisor.sizing.compute.graphs_latent import indexed
from advisor.sizing.compute.hyper_connections import affine, columns, first, one_stream
from advisor.sizing.compute.nodes import F32, Node


def _reduced(x: Node, shares: Node) -> Node:
    """The streams mixed into one (hy_v4_hc_reduce)."""
    streams, tokens = ops.cast(x, F32), shares.ne[1]
    total: Node | None = None
    for i in range(x.ne[1]):
        part = ops.mul(one_stream(streams, i), columns(shares, 1, tokens, i))
        total = part if total is None else ops.add(total, part)
    return ops.cast(streams if total is None else total, F32)


def _normed(x: Node) -> Node:
    return ops.like("RMS_NORM", ops.reshape(x, x.ne[0] * x.ne[1], x.ne[2]))


def _before(b: Builder, x: Node, part: str, il: int) -> tuple[Node, Node]:
    """The streams mixed into one, and what mixes it back (build_hc_pre)."""
    hc, tokens = x.ne[1], x.ne[2]
    mixes = ops.mul_mat(b.weight(f"hc_{part}_fn", il), _normed(x))
    scale, base = b.weight(f"hc_{part}_scale", il), b.weight(f"hc_{part}_base", il)
    pre = affine(columns(mixes, hc, tokens), first(scale, 1, 0), first(base, hc, 0))
    pre = ops.scale(ops.unary("sigmoid", pre))
    post = affine(columns(mixes, hc, tokens, hc), first(scale, 1, 1), first(base, hc, hc))
    post = ops.scale(ops.scale(ops.unary("sigmoid", post)))
    return _reduced(x, pre), post


def _after(x: Node, residual: Node, post: Node) -> Node:
    """What a half of a block says, added to every stream (build_hc_post)."""
    n_embd, hc, tokens, _ = residual.ne
    x, post, residual = (ops.cast(node, F32) for node in (x, post, residual))
    out: Node | None = None
    for i in range(hc):
        share = ops.mul(x, columns(post, 1, tokens, i))
        cur = ops.reshape(ops.add(one_stream(residual, i), share), n_embd, 1, tokens)
        out = cur if out is None else ops.concat(out, cur, 1)
    return ops.cast(residual if out is None else out, F32)


class _Attention:
    """Latent attention, over all cells or those that the last indexer chose."""

    def __init__(self, b: Builder, positions: Node) -> None:
        self._b = b
        self._positions = positions
        self._dense: AttentionInput | None = None
        self._sparse: SparseInput | None = None
        if b.hp.indexer_top_k:
            self._sparse = sparse_input(b)
        else:
            self._dense = attention_input(b, "attn", list(range(b.hp.n_layer)), has_v=False)
        self._top: Node | None = None

    def block(self, cur: Node, il: int) -> Node:
        """build_attention, build_attention_dsa."""
        b, hp, tokens = self._b, self._b.hp, self._b.n_tokens
        heads, rope, rank = hp.n_head[il], hp.n_rot, hp.n_lora_kv
        size = hp.n_embd_head_k_mla
        plain = size - rope
        low = b.norm(ops.mul_mat(b.weight("attn_q_a", il), cur), "attn_q_a_norm", il)
        if self._sparse is not None and (self._top is None or hp.indexer_layers[il]):
            self._sparse.index.k_rot = None
            self._top = indexed(b, cur, low, self._sparse.index, self._positions, il)
        q = ops.mul_mat(b.weight("attn_q_b", il), low)
        strides = (size * 4, size * heads * 4)
        q_plain = ops.view(q, (plain, heads, tokens, 1), strides)
        q_rope = ops.view(q, (rope, heads, tokens, 1), strides, plain * 4)
        both = ops.mul_mat(b.weight("attn_kv_a_mqa", il), cur)
        row = both.nb[1]
        latent = ops.view(both, (rank, tokens, 1, 1), (row,))
        k_rope = ops.view(both, (rope, 1, tokens, 1), (row, row), rank * 4)
        q_rope, k_rope = ops.rope(q_rope, self._positions), ops.rope(k_rope, self._positions)
        latent = ops.reshape(b.norm(latent, "attn_kv_a_norm", il), rank, 1, tokens)
        absorbed = ops.mul_mat(b.weight("attn_k_b", il), ops.permute(q_plain, 0, 2, 1, 3))
        q = ops.concat(ops.permute(absorbed, 0, 2, 1, 3), q_rope, 0)
        k = ops.concat(latent, k_rope, 0)
        v_mla, sinks = b.weight("attn_v_b", il), b.weight("attn_sinks", il)
        if self._sparse is not None and self._top is not None:
            inp = self._sparse.latent
            out = attend_sparsely(b, inp, q, k, latent, self._top, il, v_mla=v_mla, sinks=sinks)
        elif self._dense is not None:
            out = attend_latent(b, self._dense, q, k, latent, il, v_mla=v_mla, sinks=sinks)
        else:
            raise AssertionError("either cache is there")
        gate = ops.unary("sigmoid", ops.mul_mat(b.weight("attn_gate", il), cur))
        return ops.mul_mat(b.weight("attn_output", il), ops.mul(out, gate))


def _feed(b: Builder, cur: Node, il: int) -> Node:
    """Dense network, or experts, of which only the routed ones are limited."""
    if il < b.hp.n_layer_dense_lead:
        return ffn(b, cur, il)
    clamped = per_layer(b.hp, "swiglu_clamp_exp", il) > 0
    routing = routing_of(b.hp, activation="swiglu_clamp" if clamped else "swiglu")
    return ops.add(moe(b, cur, il, routing), ffn(b, cur, il, suffix="_shexp"))


def hy_v4(b: Builder) -> None:
    """Hy4."""
    hp = b.hp
    n_embd, tokens, hc = hp.n_embd, b.n_tokens, hp.n_hyper_connections
    cur = b.embeddings()
    attention = _Attention(b, b.positions())
    rows = output_rows(b)
    streams = ops.repeat(ops.reshape(cur, n_embd, 1, tokens), (n_embd, hc, tokens, 1))
    for il in b.blocks():
        cur, post = _before(b, streams, "attn", il)
        cur = attention.block(b.norm(cur, "attn_norm", il), il)
        streams = _after(cur, streams, post)
        cur, post = _before(b, streams, "ffn", il)
        streams = _after(_feed(b, b.norm(cur, "ffn_norm", il), il), streams, post)
    flat = ops.get_rows(ops.reshape(streams, n_embd * hc, tokens), rows.ids)
    streams = ops.reshape(flat, n_embd, hc, b.shape.n_outputs)
    mixes = ops.mul_mat(b.weight("output_hc_fn"), _normed(streams))
    pre = affine(mixes, b.weight("output_hc_scale"), b.weight("output_hc_base"))
    b.head(_reduced(streams, ops.scale(ops.unary("sigmoid", pre))))


GRAPHS: Final[Mapping[str, Graph]] = {"hy_v4": hy_v4}
