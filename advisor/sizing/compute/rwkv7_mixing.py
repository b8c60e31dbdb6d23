"""RWKV 7's mixing over time (models/rwkv7-base.cpp)."""

from advisor.sizing.compute import ops
from advisor.sizing.compute.builder import Builder
from advisor.sizing.compute.nodes import F32, Node, new
from advisor.sizing.compute.recurrent import StateInput, load_state, state


def _low_rank(b: Builder, x: Node, name: str, il: int, activation: str = "") -> Node:
    x = ops.mul_mat(b.weight(f"time_mix_{name}1", il), x)
    if activation:
        x = ops.unary(activation, x)
    return ops.mul_mat(b.weight(f"time_mix_{name}2", il), x)


def rwkv7_time_mix(
    b: Builder, inp: StateInput, cur: Node, previous: Node, first: Node | None, il: int
) -> tuple[Node, Node]:
    """build_rwkv7_time_mix; also returns the first block's values."""
    hp, n_seqs, tokens = b.hp, b.shape.n_seqs, b.n_tokens
    n_embd, size = hp.n_embd, hp.wkv_head_size
    heads = n_embd // size
    gated = b.has("time_mix_g1", il) and b.has("time_mix_g2", il)
    count = 6 if gated else 5
    mixed = ops.repeat(ops.sub(previous, cur), (n_embd, tokens // n_seqs, n_seqs, count))
    mixed = ops.add(ops.mul(mixed, b.weight("time_mix_lerp_fused", il)), cur)

    def part(i: int) -> Node:
        return ops.view(mixed, (n_embd, tokens, 1, 1), (mixed.nb[1],), n_embd * tokens * i * 4)

    r = ops.mul_mat(b.weight("time_mix_receptance", il), part(0))
    w = ops.add(_low_rank(b, part(1), "w", il, "tanh"), b.weight("time_mix_w0", il))
    w = ops.unary("exp", ops.scale(ops.unary("sigmoid", w)))
    k = ops.mul_mat(b.weight("time_mix_key", il), part(2))
    xv = part(3)
    v = ops.mul_mat(b.weight("time_mix_value", il), xv)
    if first is None:
        first = v
    else:
        share = ops.add(_low_rank(b, xv, "v", il), b.weight("time_mix_v0", il))
        v = ops.add(v, ops.mul(ops.sub(first, v), ops.unary("sigmoid", share)))
    gate = _gate(b, part(5), il) if gated else None
    a = ops.add(_low_rank(b, part(4), "a", il), b.weight("time_mix_a0", il))
    a = ops.unary("sigmoid", a)
    kk = ops.reshape(ops.mul(k, b.weight("time_mix_k_k", il)), size, heads, tokens)
    kk = ops.like("L2_NORM", kk)
    ka = ops.mul(k, b.weight("time_mix_k_a", il))
    k = ops.add(k, ops.sub(ops.mul(a, ka), ka))
    r, w, k, v, a = (ops.reshape(x, size, heads, tokens) for x in (r, w, k, v, a))
    memory = state(b, "s", il, n_embd * size)
    s = load_state(b, inp, memory)
    out = new(
        F32, (n_embd, tokens + size * n_seqs, 1, 1), "RWKV_WKV7",
        (r, w, k, v, ops.unary("neg", kk), ops.mul(kk, a), s),
    )  # fmt: skip
    width = n_embd * size * n_seqs
    new_state = ops.view(out, (width, 1, 1, 1), (), n_embd * tokens * 4)
    b.expand(ops.copy_to(new_state, ops.view(memory, (width, 1, 1, 1))))
    cur = ops.view(out, (n_embd * tokens, 1, 1, 1))
    if b.has("time_mix_ln", il) and b.has("time_mix_ln", il, "bias"):
        cur = ops.like("NORM", ops.reshape(cur, size, heads, tokens))
        cur = ops.mul(ops.reshape(cur, n_embd, tokens), b.weight("time_mix_ln", il))
        cur = ops.add(cur, b.weight("time_mix_ln", il, "bias"))
    else:
        cur = ops.reshape(cur, n_embd, tokens)
    weights = ops.reshape(b.weight("time_mix_r_k", il), size, heads)
    bonus = ops.mul(v, ops.sum_rows(ops.mul(ops.mul(k, r), weights)))
    cur = ops.add(cur, ops.reshape(bonus, n_embd, tokens))
    if gate is not None:
        cur = ops.mul(cur, gate)
    cur = ops.mul_mat(b.weight("time_mix_output", il), cur)
    return ops.reshape(cur, n_embd, tokens // n_seqs, n_seqs), first


def _gate(b: Builder, x: Node, il: int) -> Node:
    return _low_rank(b, x, "g", il, "sigmoid")
