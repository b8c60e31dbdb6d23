"""Kimi Linear and Kimi K3: Kimi's delta attention beside multi-head latent attention."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from advisor.sizing.compute import ops
from advisor.sizing.compute.attention import (
    AttentionInput,
    attend_latent,
    attention_input,
)
from advisor.sizing.compute.blocks import (
    Graph,
    feed_forward,
    number,
    output_rows,
    routing_of,
)
from advisor.sizing.compute.builder import Builder
from advisor.sizing.compute.feedforward import moe, situ
from advisor.sizing.compute.nodes import F32, Node, new
from advisor.sizing.compute.recurrent import (
    StateInput,
    delta_rule,
    load_state,
    state,
    state_input,
    unit_length,
)


def _convolved(b: Builder, memory: Node, before: Node, cur: Node, part: str, il: int) -> Node:
    """Project and convolve Q, K or V (causal_conv1d)."""
    hp, n_seqs = b.hp, b.shape.n_seqs
    tokens = b.n_tokens // n_seqs
    heads, size = hp.n_head[0], hp.n_embd_head_kda
    inner, taps = heads * size, hp.ssm_d_conv - 1
    at = "qkv".index(part) * taps * inner * 4
    whole = 3 * taps * inner * 4
    shape = (taps, inner, n_seqs, 1)
    old = ops.view(before, shape, (taps * 4, whole), at)
    x = ops.mul_mat(b.weight(f"attn_{part}", il), cur)
    x = ops.reshape(x, inner, tokens, n_seqs)
    joined = ops.concat(old, ops.transpose(x), 0)
    for i in range(b.shape.n_rs_seq + 1):
        last = ops.view(joined, shape, joined.nb[1:3], max(0, tokens - i) * 4)
        target = ops.view(memory, shape, (taps * 4, whole), i * n_seqs * whole + at)
        b.expand(ops.copy_to(last, target))
    kernel = ops.reshape(b.weight(f"ssm_conv1d_{part}", il), hp.ssm_d_conv, inner)
    x = ops.unary("silu", ops.reshape(ops.ssm_conv(joined, kernel), inner, b.n_tokens))
    return ops.reshape(x, size, heads, tokens, n_seqs)


def _decay(b: Builder, cur: Node, il: int) -> Node:
    hp, n_seqs = b.hp, b.shape.n_seqs
    heads, size = hp.n_head[0], hp.n_embd_head_kda
    gate = ops.mul_mat(b.weight("ssm_f_a", il), cur)
    if b.has("ssm_f_b", il):
        gate = ops.mul_mat(b.weight("ssm_f_b", il), gate)
    gate = ops.add(gate, b.weight("ssm_dt", il, "bias"))
    a = ops.reshape(b.weight("ssm_a", il, ""), 1, heads)
    if hp.arch == "bailingmoe3":
        gate = ops.mul(ops.reshape(gate, size, heads, b.n_tokens), a)
        gate = ops.scale(ops.unary("sigmoid", gate))
    elif "kda.gate_lower_bound" in hp.metadata:
        gate = ops.mul(ops.reshape(gate, size, heads, b.n_tokens), a)
        gate = ops.scale(ops.unary("sigmoid", ops.scale(gate)))
    else:
        gate = ops.unary("softplus", gate)
        gate = ops.mul(ops.reshape(gate, size, heads, b.n_tokens), a)
    return ops.reshape(gate, size, heads, b.n_tokens // n_seqs, n_seqs)


def kimi_delta_attention(b: Builder, inp: StateInput, cur: Node, il: int) -> Node:
    """Kimi's delta attention, also GLM-5.3-Flash's and Ling 3's (build_kda_layer)."""
    hp, n_seqs = b.hp, b.shape.n_seqs
    tokens = b.n_tokens // n_seqs
    heads, size = hp.n_head[0], hp.n_embd_head_kda
    inner = heads * size
    conv_all = state(b, "r", il, 3 * (hp.ssm_d_conv - 1) * inner)
    before = load_state(b, inp, conv_all)
    q, k, v = (_convolved(b, conv_all, before, cur, part, il) for part in "qkv")
    gate = _decay(b, cur, il)
    beta = ops.reshape(ops.mul_mat(b.weight("ssm_beta", il), cur), 1, heads, tokens, n_seqs)
    beta = ops.unary("sigmoid", beta)
    ssm_all = state(b, "s", il, size * size * heads)
    s = ops.reshape(load_state(b, inp, ssm_all), size, size, heads, n_seqs)
    out = delta_rule(b, ssm_all, unit_length(q), unit_length(k), v, gate, beta, s)
    out = ops.reshape(ops.cont(out), size, heads, b.n_tokens)
    flat = ops.reshape(ops.reshape(cur, cur.ne[0], tokens, n_seqs), cur.ne[0], b.n_tokens)
    if b.has("ssm_g", il):
        opened = ops.mul_mat(b.weight("ssm_g", il), flat)
    else:
        opened = ops.mul_mat(b.weight("ssm_g_a", il), flat)
        if b.has("ssm_g_b", il):
            opened = ops.mul_mat(b.weight("ssm_g_b", il), opened)
    opened = ops.unary("sigmoid", ops.reshape(opened, size, heads, b.n_tokens))
    out = ops.mul(b.norm(out, "ssm_norm", il), opened)
    return ops.mul_mat(b.weight("attn_output", il), ops.cont(out, (inner, b.n_tokens, 1, 1)))


def _latent_attention(b: Builder, cache: AttentionInput, cur: Node, il: int) -> Node:
    """Latent attention without rotation; K3 has a gate on what comes out."""
    hp, tokens = b.hp, b.n_tokens
    heads, rope, rank = hp.n_head[il], hp.n_rot, hp.n_lora_kv
    size = hp.n_embd_head_k_mla
    plain = size - rope
    if b.has("attn_q_a", il):
        q = ops.mul_mat(b.weight("attn_q_a", il), cur)
        q = ops.mul_mat(b.weight("attn_q_b", il), b.norm(q, "attn_q_a_norm", il))
    else:
        q = ops.mul_mat(b.weight("attn_q", il), cur)
    both = ops.mul_mat(b.weight("attn_kv_a_mqa", il), cur)
    row = both.nb[1]
    latent = ops.view(both, (rank, tokens, 1, 1), (row,))
    k_rope = ops.view(both, (rope, 1, tokens, 1), (row, row), rank * 4)
    latent = b.norm(latent, "attn_kv_a_norm", il)
    strides = (size * 4, size * heads * 4)
    q_plain = ops.view(q, (plain, heads, tokens, 1), strides)
    q_rope = ops.view(q, (rope, heads, tokens, 1), strides, plain * 4)
    absorbed = ops.mul_mat(b.weight("attn_k_b", il), ops.permute(q_plain, 0, 2, 1, 3))
    q = ops.concat(ops.permute(absorbed, 0, 2, 1, 3), q_rope, 0)
    latent = ops.reshape(latent, rank, 1, tokens)
    k = ops.concat(latent, k_rope, 0)
    out = attend_latent(b, cache, q, k, latent, il, v_mla=b.weight("attn_v_b", il))
    if b.has("attn_gate", il):
        out = ops.mul(out, ops.unary("sigmoid", ops.mul_mat(b.weight("attn_gate", il), cur)))
    return ops.mul_mat(b.weight("attn_output", il), out)


def _inputs(b: Builder) -> tuple[StateInput, AttentionInput]:
    attending = [il for il in range(b.hp.n_layer) if not b.hp.is_recurrent(il)]
    return state_input(b), attention_input(b, "attn", attending, has_v=False)


def kimi_linear(b: Builder) -> None:
    """Kimi Linear."""
    hp = b.hp
    cur = b.embeddings()
    states, cache = _inputs(b)
    rows = output_rows(b)
    routing = replace(routing_of(hp, gating="sigmoid"), normalise=True)
    for il in b.blocks():
        residual = cur
        cur = b.expand(b.norm(cur, "attn_norm", il))
        if hp.is_recurrent(il):
            cur = kimi_delta_attention(b, states, cur, il)
        else:
            cur = _latent_attention(b, cache, cur, il)
        cur, residual = rows.pick(il, cur, residual)
        cur = feed_forward(b, ops.add(cur, residual), il, routing)
    b.head(cur)


class _Bank:
    """Earlier residuals that every half of a block mixes in (attention residuals)."""

    def __init__(self, b: Builder) -> None:
        self._b = b
        self._stack: Node | None = None

    def push(self, cur: Node) -> None:
        """Keep a residual."""
        kept = ops.reshape(cur, cur.ne[0], 1, cur.ne[1])
        self._stack = kept if self._stack is None else ops.concat(self._stack, kept, 1)

    def mix(self, cur: Node, score: Node) -> Node:
        """Weighted sum of the residual and everything kept."""
        if self._stack is None:
            return cur
        count, tokens = self._stack.ne[1], cur.ne[1]
        old = ops.sum_rows(ops.mul(ops.like("RMS_NORM", self._stack), score))
        old = ops.reshape(old, count, tokens)
        now = ops.sum_rows(ops.mul(ops.like("RMS_NORM", cur), score))
        probs = ops.soft_max(ops.concat(old, now, 0))
        p_old = ops.cont(ops.view(probs, (count, tokens, 1, 1), (probs.nb[1],)))
        p_now = ops.cont(ops.view(probs, (1, tokens, 1, 1), (probs.nb[1],), count * 4))
        out = new(F32, (cur.ne[0], tokens, 1, 1), "DSV4_HC_PRE", (self._stack, p_old))
        return ops.add(out, ops.mul(cur, p_now))


def _k3_feed(b: Builder, cur: Node, il: int) -> Node:
    hp = b.hp
    bounded = number(hp, "activation.situ_linear_beta") > 0
    if il < hp.n_layer_dense_lead:
        gate = ops.mul_mat(b.weight("ffn_gate", il), cur)
        up = ops.mul_mat(b.weight("ffn_up", il), cur)
        return ops.mul_mat(b.weight("ffn_down", il), situ(gate, up, bounded=bounded))
    routed = cur
    if b.has("ffn_routed_down", il):
        routed = ops.mul_mat(b.weight("ffn_routed_down", il), cur)
    logits = ops.mul_mat(b.weight("ffn_gate_inp", il), cur)
    routing = routing_of(hp, gating="sigmoid", activation="bounded_situ" if bounded else "situ")
    out = moe(b, routed, il, routing, logits=logits)
    if b.has("ffn_routed_norm", il):
        out = b.norm(out, "ffn_routed_norm", il)
    if b.has("ffn_routed_up", il):
        out = ops.mul_mat(b.weight("ffn_routed_up", il), out)
    if not b.has("ffn_gate_shexp", il):
        return out
    gate = ops.mul_mat(b.weight("ffn_gate_shexp", il), cur)
    up = ops.mul_mat(b.weight("ffn_up_shexp", il), cur)
    shared = ops.mul_mat(b.weight("ffn_down_shexp", il), situ(gate, up, bounded=bounded))
    return ops.add(out, shared)


def kimi_k3(b: Builder) -> None:
    """Kimi K3: residuals of earlier blocks are kept and mixed in."""
    hp = b.hp
    period = int(number(hp, "attn_res.block_size"))
    cur = b.embeddings()
    states, cache = _inputs(b)
    rows = output_rows(b)
    bank = _Bank(b)
    for il in b.blocks():
        total = cur
        cur = bank.mix(total, b.weight("attn_res_score", il)) if period else total
        banked = period > 0 and il % period == 0
        if banked:
            bank.push(total)
        cur = b.expand(b.norm(cur, "attn_norm", il))
        if hp.is_recurrent(il):
            cur = kimi_delta_attention(b, states, cur, il)
        else:
            cur = _latent_attention(b, cache, cur, il)
        total = cur if banked else ops.add(total, cur)
        cur = bank.mix(total, b.weight("ffn_res_score", il)) if period else total
        cur = _k3_feed(b, b.norm(cur, "ffn_norm", il), il)
        cur = ops.add(total, cur)
    if period:
        cur = bank.mix(cur, b.weight("output_res_score"))
    cur = ops.get_rows(cur, rows.ids)
    b.head(cur)


GRAPHS: Final[Mapping[str, Graph]] = {"kimi-linear": kimi_linear, "kimi-k3": kimi_k3}
