"""RWKV 6's mixing over time (models/rwkv6-base.cpp)."""

from advisor.sizing.compute import ops
from advisor.sizing.compute.builder import Builder
from advisor.sizing.compute.nodes import F32, Node, new
from advisor.sizing.compute.recurrent import StateInput, load_state, state


def _mixed(b: Builder, cur: Node, shifted: Node, il: int) -> tuple[Node, ...]:
    """What decay, key, value, receptance and gate read: this token and the one before."""
    n_embd, tokens = b.hp.n_embd, b.n_tokens
    mixed = ops.add(ops.mul(shifted, b.weight("time_mix_lerp_x", il)), cur)
    low = b.weight("time_mix_w1", il)
    mixed = ops.unary("tanh", ops.mul_mat(low, mixed))
    mixed = ops.reshape(mixed, low.ne[1] // 5, 1, 5, tokens)
    mixed = ops.cont(ops.permute(mixed, 0, 1, 3, 2))
    high = b.weight("time_mix_w2", il)
    mixed = ops.mul_mat(ops.reshape(high, high.ne[0], high.ne[1], 1, 5), mixed)
    shifted = ops.reshape(shifted, n_embd, 1, tokens)
    cur = ops.reshape(cur, n_embd, 1, tokens)
    mixed = ops.mul(ops.add(mixed, b.weight("time_mix_lerp_fused", il)), shifted)
    mixed = ops.add(mixed, cur)
    part = n_embd * tokens * F32.size
    return tuple(
        ops.view(mixed, (n_embd, tokens, 1, 1), (mixed.nb[1],), i * part) for i in range(5)
    )


def _grouped(b: Builder, cur: Node, il: int) -> Node:
    """Keys or values, repeated where several heads share them."""
    hp, tokens = b.hp, b.n_tokens
    size, heads = hp.wkv_head_size, hp.n_embd // hp.wkv_head_size
    shared = hp.n_head_kv[il]
    if shared not in {0, heads}:
        cur = ops.reshape(cur, size, 1, shared, tokens)
        cur = ops.repeat(cur, (size, heads // shared, shared, tokens))
    return ops.reshape(cur, size, heads, tokens)


def rwkv6_time_mix(b: Builder, inp: StateInput, cur: Node, previous: Node, il: int) -> Node:
    """build_rwkv6_time_mix; models without ``time_mix_first`` use gated linear attention."""
    hp, n_seqs, tokens = b.hp, b.shape.n_seqs, b.n_tokens
    n_embd, size = hp.n_embd, hp.wkv_head_size
    heads = n_embd // size
    linear = not b.has("time_mix_first", il)
    shifted = ops.reshape(ops.sub(previous, cur), n_embd, tokens)
    cur = ops.reshape(cur, n_embd, tokens)
    xw, xk, xv, xr, xg = _mixed(b, cur, shifted, il)
    r = b.linear(xr, "time_mix_receptance", il)
    k, v = b.linear(xk, "time_mix_key", il), b.linear(xv, "time_mix_value", il)
    gate = ops.unary("sigmoid" if linear else "silu", b.linear(xg, "time_mix_gate", il))
    k, v = _grouped(b, k, il), _grouped(b, v, il)
    r = ops.reshape(r, size, heads, tokens)
    w = ops.unary("tanh", ops.mul_mat(b.weight("time_mix_decay_w1", il), xw))
    w = ops.add(ops.mul_mat(b.weight("time_mix_decay_w2", il), w), b.weight("time_mix_decay", il))
    w = ops.unary("exp", ops.unary("neg", ops.unary("exp", w)))
    w = ops.reshape(w, size, heads, tokens)
    if linear:
        k = ops.sub(k, ops.mul(k, w))
    memory = state(b, "s", il, n_embd * size)
    kept = load_state(b, inp, memory)
    ne = (n_embd, tokens + size * n_seqs, 1, 1)
    if linear:
        out = new(F32, ne, "GATED_LINEAR_ATTN", (k, v, r, w, kept))
    else:
        out = new(F32, ne, "RWKV_WKV6", (k, v, r, b.weight("time_mix_first", il), w, kept))
    width = n_embd * size * n_seqs
    new_state = ops.view(out, (width, 1, 1, 1), (), n_embd * tokens * F32.size)
    cur = ops.view(out, (n_embd * tokens, 1, 1, 1))
    b.expand(ops.copy_to(new_state, ops.view(memory, (width, 1, 1, 1))))
    if not linear:
        cur = ops.like("NORM", ops.reshape(cur, size, heads, tokens))
        cur = ops.mul(ops.reshape(cur, n_embd, tokens), b.weight("time_mix_ln", il))
        cur = ops.add(cur, b.weight("time_mix_ln", il, "bias"))
    else:
        cur = ops.reshape(cur, n_embd, tokens)
    cur = b.linear(ops.mul(cur, gate), "time_mix_output", il)
    return ops.reshape(cur, n_embd, tokens // n_seqs, n_seqs)
