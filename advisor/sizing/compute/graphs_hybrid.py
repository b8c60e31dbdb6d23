"""Hybrids of attention and recurrent layers."""

from collections.abc import Mapping
from typing import Final

from advisor.sizing.compute import ops
from advisor.sizing.compute.attention import AttentionInput, attention, attention_input
from advisor.sizing.compute.blocks import Graph, late_head, output_rows, qkv, routing_of
from advisor.sizing.compute.builder import Builder
from advisor.sizing.compute.feedforward import Routing, ffn, moe
from advisor.sizing.compute.nodes import Node
from advisor.sizing.compute.recurrent import (
    StateInput,
    conv_state,
    delta_rule,
    load_state,
    mamba2,
    state,
    state_input,
    unit_length,
)


def _hybrid_inputs(b: Builder, layers: list[int]) -> tuple[StateInput, AttentionInput]:
    """Inputs of both memories (build_inp_mem_hybrid)."""
    return state_input(b), attention_input(b, "attn", layers)


def _nemotron_experts(b: Builder, cur: Node, il: int, routing: Routing) -> Node:
    latent = cur
    if b.has("ffn_latent_down", il):
        latent = ops.mul_mat(b.weight("ffn_latent_down", il), cur)
    logits = ops.mul_mat(b.weight("ffn_gate_inp", il), cur)
    routed = moe(b, latent, il, routing, logits=logits)
    if b.has("ffn_latent_up", il):
        routed = ops.mul_mat(b.weight("ffn_latent_up", il), routed)
    return ops.add(routed, ffn(b, cur, il, activation="relu_sqr", suffix="_shexp"))


def nemotron_h(b: Builder) -> None:
    """Nemotron H: every block is one of Mamba 2, attention or feed-forward."""
    hp = b.hp
    cur = b.embeddings()
    attending = [il for il in range(hp.n_layer) if not hp.is_recurrent(il) and not hp.n_ff[il]]
    states, cache = _hybrid_inputs(b, attending)
    rows = output_rows(b)
    routing = routing_of(hp, gating="sigmoid", activation="relu_sqr")
    for il in b.blocks():
        residual = cur
        cur = b.norm(cur, "attn_norm", il)
        if hp.is_recurrent(il):
            cur = mamba2(b, states, cur, il)
        elif il in attending:
            q, k, v = qkv(b, cur, il)
            cur = attention(b, cache, q, k, v, il)
        elif b.has("ffn_gate_inp", il):
            cur = _nemotron_experts(b, cur, il, routing)
        else:
            cur = ffn(b, cur, il, activation="relu_sqr")
        cur = ops.add(cur, residual)
    late_head(b, cur, rows)


def gated_attention(b: Builder, cur: Node, cache: AttentionInput, positions: Node, il: int) -> Node:
    """Attention of Qwen 3.5 and 3-Next: Q comes with a gate for the output."""
    hp = b.hp
    size, heads, heads_kv, tokens = hp.head_k(il), hp.n_head[il], hp.n_head_kv[il], b.n_tokens
    both = b.linear(cur, "attn_q", il)
    k = b.linear(cur, "attn_k", il)
    v = b.linear(cur, "attn_v", il)
    strides = (size * 2 * 4, size * 2 * heads * 4)
    q = ops.view(both, (size, heads, tokens, 1), strides)
    q = b.norm(q, "attn_q_norm", il)
    k = b.norm(ops.reshape(k, size, heads_kv, tokens), "attn_k_norm", il)
    gate = ops.view(both, (size, heads, tokens, 1), strides, size * 4)
    gate = ops.cont(gate, (size * heads, tokens, 1, 1))
    v = ops.reshape(v, size, heads_kv, tokens)
    q, k = ops.rope(q, positions), ops.rope(k, positions)
    cur = attention(b, cache, q, k, v, il, out=None)
    return b.linear(ops.mul(cur, ops.unary("sigmoid", gate)), "attn_output", il)


def _delta_layer(b: Builder, inp: StateInput, cur: Node, il: int) -> Node:
    """Linear attention of Qwen 3.5 (build_layer_attn_linear)."""
    hp = b.hp
    n_seqs = b.shape.n_seqs
    tokens = b.n_tokens // n_seqs
    k_size, k_heads, v_heads = hp.ssm_d_state, hp.ssm_n_group, hp.ssm_dt_rank
    v_size = hp.ssm_d_inner // v_heads
    mixed = b.linear(cur, "attn_qkv", il)
    mixed = ops.reshape(mixed, mixed.ne[0], tokens, n_seqs)
    z = b.linear(cur, "attn_gate", il)
    beta = ops.reshape(ops.mul_mat(b.weight("ssm_beta", il), cur), 1, v_heads, tokens, n_seqs)
    beta = ops.unary("sigmoid", beta)
    alpha = ops.reshape(ops.mul_mat(b.weight("ssm_alpha", il), cur), v_heads, tokens, n_seqs)
    alpha = ops.unary("softplus", ops.add(alpha, b.weight("ssm_dt", il, "bias")))
    gate = ops.reshape(ops.mul(alpha, b.weight("ssm_a", il, "")), 1, v_heads, tokens, n_seqs)
    kernel = b.weight("ssm_conv1d", il)
    channels = hp.ssm_d_inner + 2 * k_heads * k_size
    conv_all = state(b, "r", il, (kernel.ne[0] - 1) * channels)
    ssm_all = state(b, "s", il, hp.ssm_d_state * hp.ssm_d_inner)
    joined = conv_state(b, inp, conv_all, mixed, kernel.ne[0], channels)
    s = ops.reshape(load_state(b, inp, ssm_all), v_size, v_size, v_heads, n_seqs)
    qkv_mix = ops.unary("silu", ops.ssm_conv(joined, kernel))
    row = (k_size * k_heads * 2 + v_size * v_heads) * 4
    strides = (k_size * 4, row, row * tokens)
    q = ops.view(qkv_mix, (k_size, k_heads, tokens, n_seqs), strides)
    k = ops.view(qkv_mix, (k_size, k_heads, tokens, n_seqs), strides, k_size * k_heads * 4)
    v = ops.view(
        qkv_mix, (v_size, v_heads, tokens, n_seqs), (v_size * 4, row, row * tokens),
        2 * k_size * k_heads * 4,
    )  # fmt: skip
    q, k = unit_length(q), unit_length(k)
    out = delta_rule(b, ssm_all, q, k, v, gate, beta, s)
    z = ops.reshape(z, v_size, v_heads, tokens, n_seqs)
    out = ops.mul(b.norm(out, "ssm_norm", il), ops.unary("silu", z))
    out = ops.reshape(out, v_size * v_heads, tokens, n_seqs)
    cur = ops.mul_mat(b.weight("ssm_out", il), out)
    return ops.reshape(cur, hp.n_embd, tokens * n_seqs)


def qwen35(b: Builder) -> None:
    """Qwen 3.5 and 3.6, dense."""
    hp = b.hp
    cur = b.embeddings()
    states, cache = _hybrid_inputs(b, [il for il in range(hp.n_layer) if not hp.is_recurrent(il)])
    positions = b.positions(4)
    rows = output_rows(b)
    for il in b.blocks():
        residual = cur
        cur = b.expand(b.norm(cur, "attn_norm", il))
        if hp.is_recurrent(il):
            cur = _delta_layer(b, states, cur, il)
        else:
            cur = gated_attention(b, cur, cache, positions, il)
        residual = ops.add(cur, residual)
        cur = ffn(b, b.norm(residual, "post_attention_norm", il), il)
        cur = ops.add(cur, residual)
    late_head(b, cur, rows)


GRAPHS: Final[Mapping[str, Graph]] = {
    "nemotron_h": nemotron_h,
    "nemotron_h_moe": nemotron_h,
    "qwen35": qwen35,
}
