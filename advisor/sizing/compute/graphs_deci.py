"""Deci: blocks without attention, with a matrix in its place, or without a feed-forward network."""

from collections.abc import Mapping
from typing import Final

from advisor.sizing.compute import ops
from advisor.sizing.compute.attention import attention, attention_input
from advisor.sizing.compute.blocks import Graph, output_rows, qkv
from advisor.sizing.compute.builder import Builder
from advisor.sizing.compute.feedforward import ffn


def deci(b: Builder) -> None:
    """Nemotron Super and Ultra (deci.cpp)."""
    hp = b.hp
    before = b.embeddings()
    positions = b.positions()
    cache = attention_input(b, "attn", list(range(hp.n_layer)))
    rows = output_rows(b)
    for il in b.blocks():
        residual = cur = before
        if hp.n_head[il]:
            cur = b.norm(cur, "attn_norm", il)
        if hp.n_head_kv[il]:
            q, k, v = qkv(b, cur, il)
            factors = b.rope_factors(il)
            q, k = ops.rope(q, positions, factors), ops.rope(k, positions, factors)
            cur = attention(b, cache, q, k, v, il)
        elif hp.n_head[il]:
            cur = ops.mul_mat(b.weight("attn_output", il), cur)
        cur, residual = rows.pick(il, cur, residual)
        if not hp.n_ff[il]:
            continue  # and so is what its attention said, as in llama.cpp
        if hp.n_head[il]:
            cur = ops.add(cur, residual)
        before = ops.add(ffn(b, b.norm(cur, "ffn_norm", il), il), cur)
    b.head(before)


GRAPHS: Final[Mapping[str, Graph]] = {"deci": deci}
