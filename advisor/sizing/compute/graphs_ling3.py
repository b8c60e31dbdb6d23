"""Ling 3.0: delta attention beside latent attention with one gate per head (bailingmoe3.cpp)."""

from collections.abc import Mapping
from typing import Final

from advisor.sizing.compute import ops
from advisor.sizing.compute.attention import AttentionInput, attend_latent, attention_input
from advisor.sizing.compute.blocks import (
    Graph,
    feed_forward,
    late_head,
    output_rows,
    routing_of,
)
from advisor.sizing.compute.builder import Builder
from advisor.sizing.compute.graphs_kimi import kimi_delta_attention
from advisor.sizing.compute.nodes import Node
from advisor.sizing.compute.recurrent import state_input


def gated_latent_attention(
    b: Builder, cur: Node, cache: AttentionInput, positions: Node, il: int
) -> Node:
    """Latent attention, gated and projected."""
    hp, tokens = b.hp, b.n_tokens
    heads, rope, rank = hp.n_head[il], hp.n_rot, hp.n_lora_kv
    size, size_v = hp.n_embd_head_k_mla, hp.n_embd_head_v_mla
    plain = size - rope
    if b.has("attn_q_a", il):
        q = ops.mul_mat(b.weight("attn_q_a", il), cur)
        q = ops.mul_mat(b.weight("attn_q_b", il), b.norm(q, "attn_q_a_norm", il))
    else:
        q = ops.mul_mat(b.weight("attn_q", il), cur)
    strides = (size * 4, size * heads * 4)
    q_plain = ops.view(q, (plain, heads, tokens, 1), strides)
    q_rope = ops.view(q, (rope, heads, tokens, 1), strides, plain * 4)
    both = ops.mul_mat(b.weight("attn_kv_a_mqa", il), cur)
    row = both.nb[1]
    latent = ops.view(both, (rank, tokens, 1, 1), (row,))
    k_rope = ops.view(both, (rope, 1, tokens, 1), (row, row), rank * 4)
    q_rope, k_rope = ops.rope(q_rope, positions), ops.rope(k_rope, positions)
    latent = ops.reshape(b.norm(latent, "attn_kv_a_norm", il), rank, 1, tokens)
    absorbed = ops.mul_mat(b.weight("attn_k_b", il), ops.permute(q_plain, 0, 2, 1, 3))
    q = ops.concat(ops.permute(absorbed, 0, 2, 1, 3), q_rope, 0)
    k = ops.concat(latent, k_rope, 0)
    out = attend_latent(b, cache, q, k, latent, il, v_mla=b.weight("attn_v_b", il))
    gate = ops.reshape(ops.mul_mat(b.weight("attn_gate", il), cur), 1, heads, tokens)
    out = ops.mul(ops.reshape(out, size_v, heads, tokens), ops.unary("sigmoid", gate))
    return ops.mul_mat(b.weight("attn_output", il), ops.cont(out, (size_v * heads, tokens, 1, 1)))


def positions_per_token(b: Builder) -> int:
    """Four where an image's tokens have places in it (llama_hparams::use_mrope)."""
    sections = b.hp.metadata.get("rope.dimension_sections", ())
    return 4 if isinstance(sections, tuple | list) and any(sections) else 1


def ling3(b: Builder) -> None:
    """Ling 3.0."""
    hp = b.hp
    cur = b.embeddings()
    attending = [il for il in range(hp.n_layer) if not hp.is_recurrent(il)]
    states, cache = state_input(b), attention_input(b, "attn", attending, has_v=False)
    positions = b.positions(positions_per_token(b))
    rows = output_rows(b)
    routing = routing_of(hp, gating="sigmoid")
    for il in b.blocks():
        residual = cur
        cur = b.norm(cur, "attn_norm", il)
        if hp.is_recurrent(il):
            cur = kimi_delta_attention(b, states, cur, il)
        else:
            cur = gated_latent_attention(b, cur, cache, positions, il)
        cur, residual = rows.pick_drafted(il, cur, residual)
        cur = feed_forward(b, ops.add(cur, residual), il, routing)
    late_head(b, cur, rows)


GRAPHS: Final[Mapping[str, Graph]] = {"bailingmoe3": ling3}
