"""Pre-norm transformers with one cache: Llama, Qwen 3, GLM 4.5 and their like."""

from collections.abc import Mapping
from typing import Final

from advisor.sizing.compute import ops
from advisor.sizing.compute.attention import attention, attention_input
from advisor.sizing.compute.blocks import (
    Graph,
    head_norms,
    output_rows,
    qkv,
    routing_of,
    shared_and_routed,
)
from advisor.sizing.compute.builder import Builder
from advisor.sizing.compute.feedforward import Routing, ffn, moe


def standard(b: Builder) -> None:
    """Llama, Qwen 3 and Qwen 3 MoE."""
    cur = b.embeddings()
    positions = b.positions()
    cache = attention_input(b, "attn", list(range(b.hp.n_layer)))
    rows = output_rows(b)
    routing = Routing()
    for il in b.blocks():
        residual = cur
        q, k, v = qkv(b, b.norm(cur, "attn_norm", il), il)
        q, k = head_norms(b, q, k, il)
        factors = b.rope_factors(il)
        q, k = ops.rope(q, positions, factors), ops.rope(k, positions, factors)
        cur = attention(b, cache, q, k, v, il)
        cur, residual = rows.pick(il, cur, residual)
        residual = ops.add(cur, residual)
        cur = b.norm(residual, "ffn_norm", il)
        cur = moe(b, cur, il, routing) if b.has("ffn_gate_inp", il) else ffn(b, cur, il)
        cur = ops.add(cur, residual)
    b.head(cur)


def glm4_moe(b: Builder) -> None:
    """GLM 4.5 and 4.6: the norm before the experts is called post_attention_norm."""
    cur = b.embeddings()
    positions = b.positions(4 if "rope.dimension_sections" in b.hp.metadata else 1)
    cache = attention_input(b, "attn", list(range(b.hp.n_layer)))
    rows = output_rows(b)
    routing = routing_of(b.hp, gating="sigmoid")
    for il in b.blocks():
        residual = cur
        q, k, v = qkv(b, b.norm(cur, "attn_norm", il), il)
        q, k = head_norms(b, q, k, il)
        q, k = ops.rope(q, positions), ops.rope(k, positions)
        cur = attention(b, cache, q, k, v, il)
        cur, residual = rows.pick(il, cur, residual)
        residual = ops.add(cur, residual)
        cur = b.norm(residual, "post_attention_norm", il)
        if il < b.hp.n_layer_dense_lead:
            cur = ffn(b, cur, il)
        else:
            cur = shared_and_routed(b, cur, il, routing)
        cur = ops.add(cur, residual)
    b.head(cur)


GRAPHS: Final[Mapping[str, Graph]] = {
    "llama": standard,
    "qwen3": standard,
    "qwen3moe": standard,
    "glm4moe": glm4_moe,
}
