"""Qwen 3-Next, 3.5 and 3.6: gated delta rule and gated attention."""

from collections.abc import Mapping
from typing import Final

from advisor.sizing.compute import ops
from advisor.sizing.compute.attention import AttentionInput, attention, attention_input
from advisor.sizing.compute.blocks import Graph, late_head, number, output_rows
from advisor.sizing.compute.builder import Builder
from advisor.sizing.compute.feedforward import Routing, ffn, moe
from advisor.sizing.compute.nodes import Node
from advisor.sizing.compute.recurrent import (
    StateInput,
    conv_state,
    delta_rule,
    history,
    load_state,
    state,
    state_input,
    unit_length,
)


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


def _mixed_35(b: Builder, cur: Node, il: int) -> tuple[Node, Node, Node, Node]:
    """Mixed Q, K and V, the output gate z, beta and the decay before its bias."""
    hp, n_seqs = b.hp, b.shape.n_seqs
    tokens, heads = b.n_tokens // n_seqs, hp.ssm_dt_rank
    mixed = b.linear(cur, "attn_qkv", il)
    mixed = ops.reshape(mixed, mixed.ne[0], tokens, n_seqs)
    z = b.linear(cur, "attn_gate", il)
    beta = ops.reshape(ops.mul_mat(b.weight("ssm_beta", il), cur), 1, heads, tokens, n_seqs)
    alpha = ops.reshape(ops.mul_mat(b.weight("ssm_alpha", il), cur), heads, tokens, n_seqs)
    return mixed, z, ops.unary("sigmoid", beta), alpha


def _mixed_next(b: Builder, cur: Node, il: int) -> tuple[Node, Node, Node, Node]:
    """The same from Qwen 3-Next's two packed matrices."""
    hp, n_seqs = b.hp, b.shape.n_seqs
    tokens = b.n_tokens // n_seqs
    k_size, k_heads, v_heads = hp.ssm_d_state, hp.ssm_n_group, hp.ssm_dt_rank
    v_width = hp.ssm_d_inner // k_heads
    if b.has("attn_qkv", il):
        mixed = b.linear(cur, "attn_qkv", il)
        mixed = ops.reshape(mixed, mixed.ne[0], tokens, n_seqs)
        z = b.linear(cur, "attn_gate", il)
    else:
        packed = ops.mul_mat(b.weight("ssm_in", il), cur)
        packed = ops.reshape(packed, 2 * (k_size + v_width), k_heads, tokens, n_seqs)

        def part(width: int, at: int) -> Node:
            return ops.view(packed, (width, k_heads, tokens, n_seqs), packed.nb[1:], at * 4)

        def flat(width: int, at: int) -> Node:
            return ops.cont(part(width, at), (width * k_heads, tokens, n_seqs, 1))

        z = ops.cont(part(v_width, 2 * k_size + v_width))
        mixed = ops.concat(flat(k_size, 0), flat(k_size, k_size), 0)
        mixed = ops.concat(mixed, flat(v_width, 2 * k_size), 0)
    both = ops.mul_mat(b.weight("ssm_ba", il), cur)
    group = v_heads // k_heads
    both = ops.reshape(both, 2 * group, k_heads, tokens, n_seqs)
    beta = ops.cont(ops.view(both, (group, k_heads, tokens, n_seqs), both.nb[1:]))
    alpha = ops.view(both, (group, k_heads, tokens, n_seqs), both.nb[1:], group * 4)
    alpha = ops.cont(alpha, (v_heads, tokens, n_seqs, 1))
    beta = ops.reshape(ops.unary("sigmoid", beta), 1, v_heads, tokens, n_seqs)
    return mixed, z, beta, alpha


def _repeated(cur: Node, heads: int) -> Node:
    """Give every V head its own copy of a K head (Qwen 3-Next)."""
    size, own, tokens, n_seqs = cur.ne
    cur = ops.reshape(cur, size, 1, own, tokens * n_seqs)
    cur = ops.repeat(cur, (size, heads // own, own, tokens * n_seqs))
    return ops.reshape(cur, size, heads, tokens, n_seqs)


def delta_layer(b: Builder, inp: StateInput, cur: Node, il: int) -> Node:
    """Linear attention (build_layer_attn_linear)."""
    hp = b.hp
    n_seqs = b.shape.n_seqs
    tokens = b.n_tokens // n_seqs
    k_size, k_heads, v_heads = hp.ssm_d_state, hp.ssm_n_group, hp.ssm_dt_rank
    v_size = hp.ssm_d_inner // v_heads
    is_next = hp.arch == "qwen3next"
    mixed, z, beta, alpha = (_mixed_next if is_next else _mixed_35)(b, cur, il)
    alpha = ops.unary("softplus", ops.add(alpha, b.weight("ssm_dt", il, "bias")))
    gate = ops.reshape(ops.mul(alpha, b.weight("ssm_a", il, "")), 1, v_heads, tokens, n_seqs)
    kernel = b.weight("ssm_conv1d", il)
    channels = hp.ssm_d_inner + 2 * k_heads * k_size
    conv_all = state(b, "r", il, (kernel.ne[0] - 1) * channels)
    ssm_all = state(b, "s", il, hp.ssm_d_state * hp.ssm_d_inner)
    wide = hp.arch == "qwen4exp"
    if wide:
        joined = history(b, inp, conv_all, mixed, kernel.ne[0] - 1, channels)
    else:
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
    if is_next and k_heads != v_heads:
        q, k = _repeated(q, v_heads), _repeated(k, v_heads)
    out = delta_rule(b, ssm_all, q, k, v, gate, beta, s)
    z = ops.reshape(z, v_size, v_heads, tokens, n_seqs)
    out = ops.mul(b.norm(out, "ssm_norm", il), ops.unary("sigmoid" if wide else "silu", z))
    out = ops.reshape(out, v_size * v_heads, tokens, n_seqs)
    cur = ops.mul_mat(b.weight("ssm_out", il), out)
    return ops.reshape(cur, hp.n_embd, tokens * n_seqs)


def feed(b: Builder, cur: Node, il: int) -> Node:
    """Dense network, or experts with a gated shared expert (build_layer_ffn)."""
    if not b.has("ffn_gate_inp", il):
        return ffn(b, cur, il)
    scaled = number(b.hp, "expert_weights_scale") not in {0.0, 1.0}
    routed = moe(b, cur, il, Routing(scaled=scaled))
    if not b.has("ffn_up_shexp", il):
        return routed
    shared = ffn(b, cur, il, suffix="_shexp")
    gate = ops.unary("sigmoid", ops.mul_mat(b.weight("ffn_gate_inp_shexp", il), cur))
    return ops.add(routed, ops.mul(shared, gate))


def _qwen(b: Builder) -> None:
    hp = b.hp
    cur = b.embeddings()
    attending = [il for il in range(hp.n_layer) if not hp.is_recurrent(il)]
    states = state_input(b)
    cache = attention_input(b, "attn", attending)
    positions = b.positions(1 if hp.arch == "qwen3next" else 4)
    rows = output_rows(b)
    for il in b.blocks():
        residual = cur
        cur = b.expand(b.norm(cur, "attn_norm", il))
        if hp.is_recurrent(il):
            cur = delta_layer(b, states, cur, il)
        else:
            cur = gated_attention(b, cur, cache, positions, il)
        cur, residual = rows.pick_drafted(il, cur, residual)
        residual = ops.add(cur, residual)
        cur = feed(b, b.norm(residual, "post_attention_norm", il), il)
        cur = ops.add(cur, residual)
    late_head(b, cur, rows)


GRAPHS: Final[Mapping[str, Graph]] = {
    "qwen35": _qwen,
    "qwen35moe": _qwen,
    "qwen3next": _qwen,
}
