"""RWKV 7: time mixing over a matrix state, channel mixing, both shifted by one token."""

from collections.abc import Mapping
from typing import Final

from advisor.sizing.compute import ops
from advisor.sizing.compute.blocks import Graph, output_rows
from advisor.sizing.compute.builder import Builder
from advisor.sizing.compute.nodes import F32, Node, new
from advisor.sizing.compute.recurrent import StateInput, load_state, state, state_input


def _low_rank(b: Builder, x: Node, name: str, il: int, activation: str = "") -> Node:
    x = ops.mul_mat(b.weight(f"time_mix_{name}1", il), x)
    if activation:
        x = ops.unary(activation, x)
    return ops.mul_mat(b.weight(f"time_mix_{name}2", il), x)


def _time_mix(
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


def rwkv7(b: Builder) -> None:
    """RWKV 7."""
    hp, n_seqs = b.hp, b.shape.n_seqs
    n_embd, tokens = hp.n_embd, b.n_tokens // b.shape.n_seqs
    cur = b.norm(b.embeddings(), "token_embd_norm", op="NORM")
    inp = state_input(b)
    rows = output_rows(b)
    first: Node | None = None
    for il in b.blocks():
        residual = ops.reshape(cur, n_embd, tokens, n_seqs)
        memory = state(b, "r", il, hp.token_shift_count * n_embd)
        shift = ops.reshape(load_state(b, inp, memory), n_embd, hp.token_shift_count, n_seqs)
        one = (n_embd, 1, n_seqs, 1)
        many = (n_embd, tokens - 1, n_seqs, 1)
        att_shift = ops.view(shift, one, shift.nb[1:3])
        ffn_shift = ops.view(shift, one, shift.nb[1:3], n_embd * 4)
        attn = b.norm(residual, "attn_norm", il, op="NORM")
        previous = ops.concat(att_shift, ops.view(attn, many, attn.nb[1:3]), 1)
        cur, first = _time_mix(b, inp, attn, previous, first, il)
        residual = ops.add(cur, residual)
        ffn = b.norm(residual, "attn_norm_2", il, op="NORM")
        previous = ops.concat(ffn_shift, ops.view(ffn, many, ffn.nb[1:3]), 1)
        at = (tokens - 1) * n_embd * 4
        last = ops.concat(
            ops.view(attn, one, attn.nb[1:3], at), ops.view(ffn, one, ffn.nb[1:3], at), 1
        )
        flat = n_embd * n_seqs * hp.token_shift_count
        stored = ops.view(memory, (memory.ne[0] * n_seqs, 1, 1, 1))
        b.expand(ops.copy_to(ops.view(last, (flat, 1, 1, 1)), stored))
        residual = ops.reshape(residual, n_embd, b.n_tokens)
        ffn = ops.reshape(ffn, n_embd, b.n_tokens)
        previous = ops.reshape(previous, n_embd, b.n_tokens)
        residual, ffn, previous = rows.pick(il, residual, ffn, previous)
        mixed = ops.mul(ops.sub(previous, ffn), b.weight("channel_mix_lerp_k", il))
        cur = ops.mul_mat(b.weight("channel_mix_key", il), ops.add(mixed, ffn))
        cur = ops.like("SQR", ops.unary("relu", cur))
        cur = ops.add(ops.mul_mat(b.weight("channel_mix_value", il), cur), residual)
    cur = b.norm(cur, "output_norm", op="NORM")
    cur.is_output = True
    b.logits(cur)


GRAPHS: Final[Mapping[str, Graph]] = {"rwkv7": rwkv7}
