"""Transformers with one kind of layer: attention over one cache, then a feed-forward network."""

from collections.abc import Callable, Mapping
from typing import Final

from advisor.sizing.compute import ops
from advisor.sizing.compute.attention import attention, attention_input
from advisor.sizing.compute.builder import Builder
from advisor.sizing.compute.feedforward import Routing, ffn, moe
from advisor.sizing.compute.nodes import Node


def qkv(b: Builder, cur: Node, il: int) -> tuple[Node, Node, Node]:
    """Project to heads (llm_graph_context::build_qkv)."""
    hp = b.hp
    k_size, v_size = hp.head_k(il), hp.head_v(il)
    heads, heads_kv = hp.n_head[il], hp.n_head_kv[il]
    if b.has("attn_qkv", il):
        both = b.linear(cur, "attn_qkv", il)
        size, row = both.type.size, both.nb[1]
        q_width, k_width = k_size * heads, k_size * heads_kv
        tokens = b.n_tokens
        return (
            ops.view(both, (k_size, heads, tokens, 1), (k_size * size, row)),
            ops.view(both, (k_size, heads_kv, tokens, 1), (k_size * size, row), q_width * size),
            ops.view(
                both,
                (v_size, heads_kv, tokens, 1),
                (v_size * size, row),
                (q_width + k_width) * size,
            ),
        )
    q = b.linear(cur, "attn_q", il)
    k = b.linear(cur, "attn_k", il)
    v = b.linear(cur, "attn_v", il)
    return (
        ops.reshape(q, k_size, heads, b.n_tokens),
        ops.reshape(k, k_size, heads_kv, b.n_tokens),
        ops.reshape(v, v_size, heads_kv, b.n_tokens),
    )


def standard(b: Builder) -> None:
    """Pre-norm blocks: Llama, Qwen 3 and their like."""
    cur = b.embeddings()
    positions = b.positions()
    cache = attention_input(b, "attn", list(range(b.hp.n_layer)))
    rows = b.output_ids()
    last = b.hp.n_layer - 1
    routing = Routing()
    for il in range(b.hp.n_layer):
        residual = cur
        q, k, v = qkv(b, b.norm(cur, "attn_norm", il), il)
        if b.has("attn_q_norm", il):
            q = b.norm(q, "attn_q_norm", il)
            k = b.norm(k, "attn_k_norm", il)
        factors = b.rope_factors(il)
        q, k = ops.rope(q, positions, factors), ops.rope(k, positions, factors)
        cur = attention(b, cache, q, k, v, il)
        if il == last:
            cur, residual = ops.get_rows(cur, rows), ops.get_rows(residual, rows)
        residual = ops.add(cur, residual)
        cur = b.norm(residual, "ffn_norm", il)
        cur = moe(b, cur, il, routing) if b.has("ffn_gate_inp", il) else ffn(b, cur, il)
        cur = ops.add(cur, residual)
    b.head(cur)


GRAPHS: Final[Mapping[str, Callable[[Builder], None]]] = {
    "llama": standard,
    "qwen3": standard,
    "qwen3moe": standard,
}
