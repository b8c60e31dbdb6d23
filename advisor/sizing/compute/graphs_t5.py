"""T5, the decoder that is reserved, and its encoder alone: models/t5.cpp."""

from collections.abc import Mapping
from typing import Final

from advisor.sizing.compute import ops
from advisor.sizing.compute.attention import attend, attention, attention_input
from advisor.sizing.compute.blocks import Graph, Rows, output_rows
from advisor.sizing.compute.builder import Builder
from advisor.sizing.compute.nodes import F16, F32, I32, Node


def _bias(b: Builder, part: str, il: int, buckets: Node) -> Node:
    """What distance adds to scores (build_pos_bias); blocks without a table use the first's."""
    name = f"{part}.attn_rel_b"
    table = b.find(name, il) or b.weight(name, 0)
    places, tokens = buckets.ne[:2]
    found = ops.get_rows(table, ops.reshape(buckets, places * tokens, 1))
    found = ops.reshape(found, found.ne[0], places, tokens)
    return ops.cont(ops.permute(found, 2, 0, 1, 3))


def _heads(b: Builder, cur: Node, name: str, il: int) -> Node:
    cur = ops.mul_mat(b.weight(name, il), cur)
    return ops.reshape(cur, b.hp.n_embd_head_k, b.hp.n_head[il], cur.ne[1])


def _feed(b: Builder, cur: Node, part: str, il: int) -> Node:
    cur = b.norm(cur, f"{part}.ffn_norm", il)
    up = ops.mul_mat(b.weight(f"{part}.ffn_up", il), cur)
    if b.has(f"{part}.ffn_gate", il):
        cur = ops.glu("geglu", ops.mul_mat(b.weight(f"{part}.ffn_gate", il), cur), up)
    else:
        cur = ops.unary("relu", up)
    return ops.mul_mat(b.weight(f"{part}.ffn_down", il), cur)


def _end(b: Builder, cur: Node, rows: Rows, il: int, part: str, residual: Node) -> Node:
    cur, residual = rows.pick(il, cur, residual)
    residual = ops.add(cur, residual)
    return ops.add(_feed(b, residual, part, il), residual)


def _t5(b: Builder) -> None:
    hp, tokens = b.hp, b.n_tokens
    cur = b.embeddings()
    read = b.input(F32, hp.n_embd, hp.n_ctx_train)
    buckets = b.input(I32, b.shape.n_kv["attn"], tokens)
    inp = attention_input(b, "attn", list(range(hp.n_layer)))
    mask = b.input(F16 if b.shape.flash else F32, hp.n_ctx_train, tokens)
    rows = output_rows(b)
    for il in b.blocks():
        residual = cur
        normed = b.norm(cur, "dec.attn_norm", il)
        q, k, v = (_heads(b, normed, f"dec.attn_{name}", il) for name in "qkv")
        bias = _bias(b, "dec", il, buckets)
        cur = attention(b, inp, q, k, v, il, out="dec.attn_o", bias=bias)
        residual = ops.add(cur, residual)
        q = _heads(b, b.norm(residual, "dec.cross_attn_norm", il), "dec.cross_attn_q", il)
        k, v = (_heads(b, read, f"dec.cross_attn_{name}", il) for name in "kv")
        for node in (q, k, v):
            b.expand(node)
        cur = b.linear(attend(b, q, k, v, mask, il), "dec.cross_attn_o", il)
        cur = _end(b, cur, rows, il, "dec", residual)
    cur = b.norm(cur, "dec.output_norm")
    cur.is_output = True
    b.logits(cur)


def _encoder(b: Builder) -> None:
    tokens = b.n_tokens
    cur = b.embeddings()
    buckets = b.input(I32, tokens, tokens)
    mask = b.input(F16 if b.shape.flash else F32, tokens, tokens)
    rows = output_rows(b)
    for il in b.blocks():
        residual = cur
        normed = b.norm(cur, "enc.attn_norm", il)
        q, k, v = (_heads(b, normed, f"enc.attn_{name}", il) for name in "qkv")
        bias = _bias(b, "enc", il, buckets)
        for node in (q, k, v):
            b.expand(node)
        cur = b.linear(attend(b, q, k, v, mask, il, bias=bias), "enc.attn_o", il)
        cur = _end(b, cur, rows, il, "enc", residual)
    b.vectors(b.norm(cur, "enc.output_norm"))


GRAPHS: Final[Mapping[str, Graph]] = {"t5": _t5, "t5encoder": _encoder}
