"""Hyper-connections: several residual streams that every half of a block mixes (DeepSeek V4)."""

from typing import Final

from advisor.sizing.compute import ops
from advisor.sizing.compute.blocks import number
from advisor.sizing.compute.builder import Builder
from advisor.sizing.compute.nodes import F32, Node, new

PRE: Final = "DSV4_HC_PRE"
COMB: Final = "DSV4_HC_COMB"
POST: Final = "DSV4_HC_POST"


def affine(x: Node, scale: Node, base: Node) -> Node:
    """Scale and shift (dsv4_hc_affine)."""
    return ops.add(ops.mul(x, scale), base)


def first(a: Node, count: int, at: int) -> Node:
    """View ``count`` values of a vector from ``at`` on."""
    return ops.view(a, (count, 1, 1, 1), (), at * 4)


def columns(a: Node, n0: int, n1: int, at: int = 0) -> Node:
    """View ``n0`` values of ``n1`` rows from ``at`` on."""
    return ops.view(a, (n0, n1, 1, 1), (a.nb[1],), at * 4)


def hc_pre(b: Builder, x: Node, part: str, il: int) -> tuple[Node, Node, Node]:
    """Mix the streams into one; returns it and what mixes it back (build_hc_pre)."""
    hc, tokens = x.ne[1], x.ne[2]
    flat = ops.like("RMS_NORM", ops.reshape(x, x.ne[0] * hc, tokens))
    mixes = ops.mul_mat(b.weight(f"hc_{part}_fn", il), flat)
    scale, base = b.weight(f"hc_{part}_scale", il), b.weight(f"hc_{part}_base", il)
    pre = affine(columns(mixes, hc, tokens), first(scale, 1, 0), first(base, hc, 0))
    pre = ops.scale(ops.unary("sigmoid", pre))
    post = columns(mixes, hc, tokens, hc)
    post = affine(post, first(scale, 1, 1), first(base, hc, hc))
    post = ops.scale(ops.unary("sigmoid", post))
    if COMB in b.shape.unfused:
        comb = affine(columns(mixes, hc * hc, tokens, 2 * hc), first(scale, 1, 2),
                      first(base, hc * hc, 2 * hc))  # fmt: skip
        comb = _balanced(b, ops.reshape(comb, hc, hc, tokens))
    else:
        comb = new(F32, (hc, hc, tokens, 1), COMB, (mixes, scale, base))
        b.hyper.append((comb, il))
    if PRE in b.shape.unfused:
        return weighted_sum(x, pre), post, comb
    mixed = new(F32, (x.ne[0], tokens, 1, 1), PRE, (x, pre))
    b.hyper.append((mixed, il))
    return mixed, post, comb


def _balanced(b: Builder, comb: Node) -> Node:
    """Rows and columns that add up to one, step by step (build_hc_sinkhorn)."""
    comb = ops.soft_max(comb)
    eps = ops.like("FILL", new(F32, (1, 1, 1, 1)))
    comb = ops.add(comb, eps)
    for i in range(int(number(b.hp, "hyper_connection.sinkhorn_iterations", 20))):
        if i:
            comb = ops.div(comb, ops.add(ops.sum_rows(comb), eps))
        columns = ops.sum_rows(ops.cont(ops.permute(comb, 1, 0, 2, 3)))
        comb = ops.div(comb, ops.permute(ops.add(columns, eps), 1, 0, 2, 3))
    return comb


def hc_post(b: Builder, x: Node, residual: Node, post: Node, comb: Node, il: int) -> Node:
    """Mix what a half of a block says back into the streams (build_hc_post)."""
    if POST not in b.shape.unfused:
        node = new(F32, residual.ne, POST, (x, residual, post, comb))
        b.hyper.append((node, il))
        return node
    n_embd, hc, tokens, _ = residual.ne
    out: Node | None = None
    for to in range(hc):
        cur = ops.mul(x, columns(post, 1, tokens, to))
        for of in range(hc):
            at = to * comb.nb[0] + of * comb.nb[1]
            share = ops.view(comb, (1, tokens, 1, 1), (comb.nb[2],), at)
            cur = ops.add(cur, ops.mul(one_stream(residual, of), share))
        cur = ops.reshape(cur, n_embd, 1, tokens)
        out = cur if out is None else ops.concat(out, cur, 1)
    return residual if out is None else out


def weighted_sum(x: Node, weights: Node) -> Node:
    """Mix the streams into one, step by step."""
    total: Node | None = None
    for i in range(x.ne[1]):
        part = ops.mul(one_stream(x, i), columns(weights, 1, weights.ne[1], i))
        total = part if total is None else ops.add(total, part)
    return x if total is None else total


def one_stream(streams: Node, i: int) -> Node:
    """View one of the streams."""
    ne = (streams.ne[0], streams.ne[2], 1, 1)
    return ops.view(streams, ne, (streams.nb[2],), i * streams.nb[1])
