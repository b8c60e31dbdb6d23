"""RWKV 6 and 7, which mix over time and over channels, and their hybrids with a transformer."""

from collections.abc import Callable, Mapping
from typing import Final

from advisor.sizing.compute import ops
from advisor.sizing.compute.blocks import Graph, number, output_rows
from advisor.sizing.compute.builder import Builder
from advisor.sizing.compute.feedforward import ffn
from advisor.sizing.compute.nodes import F32, Node
from advisor.sizing.compute.recurrent import StateInput, load_state, state, state_input
from advisor.sizing.compute.rwkv6_mixing import rwkv6_time_mix
from advisor.sizing.compute.rwkv7_mixing import rwkv7_time_mix

TimeMix = Callable[[Builder, StateInput, Node, Node, int], Node]
"""Mix a block's normalised input with the input shifted by one token."""


class _Shift:
    """The last token's vectors of one block, which the next micro-batch starts with."""

    def __init__(self, b: Builder, inp: StateInput, il: int) -> None:
        self.b = b
        self.n_embd, self.n_seqs = b.hp.n_embd, b.shape.n_seqs
        self.tokens = b.n_tokens // self.n_seqs
        self.count = b.hp.token_shift_count
        self.memory = state(b, "r", il, self.count * self.n_embd)
        kept = load_state(b, inp, self.memory)
        self.kept = ops.reshape(kept, self.n_embd, self.count, self.n_seqs)

    def of(self, index: int) -> Node:
        """One of the vectors."""
        one = (self.n_embd, 1, self.n_seqs, 1)
        return ops.view(self.kept, one, self.kept.nb[1:3], index * self.n_embd * F32.size)

    def before(self, first: Node, cur: Node) -> Node:
        """``cur`` one token later."""
        many = (self.n_embd, self.tokens - 1, self.n_seqs, 1)
        return ops.concat(first, ops.view(cur, many, cur.nb[1:3]), 1)

    def last(self, cur: Node) -> Node:
        """The last token of every sequence."""
        one = (self.n_embd, 1, self.n_seqs, 1)
        return ops.view(cur, one, cur.nb[1:3], (self.tokens - 1) * self.n_embd * F32.size)

    def store(self, last: Node) -> None:
        """Keep the last vectors."""
        flat = self.n_embd * self.n_seqs * self.count
        stored = ops.view(self.memory, (self.memory.ne[0] * self.n_seqs, 1, 1, 1))
        self.b.expand(ops.copy_to(ops.view(last, (flat, 1, 1, 1)), stored))


def _rwkv7_mixing() -> TimeMix:
    """Blocks of RWKV 7 share the first one's values."""
    first: Node | None = None

    def mix(b: Builder, inp: StateInput, cur: Node, previous: Node, il: int) -> Node:
        nonlocal first
        out, first = rwkv7_time_mix(b, inp, cur, previous, first, il)
        return out

    return mix


def _channels(b: Builder, cur: Node, previous: Node, il: int) -> Node:
    """Mixing over channels; RWKV 6 also weighs the result."""
    shifted = ops.sub(previous, cur)

    def part(letter: str) -> Node:
        return ops.add(ops.mul(shifted, b.weight(f"channel_mix_lerp_{letter}", il)), cur)

    if not b.has("channel_mix_receptance", il):
        key = ops.mul_mat(b.weight("channel_mix_key", il), part("k"))
        key = ops.like("SQR", ops.unary("relu", key))
        return ops.mul_mat(b.weight("channel_mix_value", il), key)
    k, r = part("k"), part("r")
    weight = ops.unary("sigmoid", ops.mul_mat(b.weight("channel_mix_receptance", il), r))
    key = ops.like("SQR", ops.unary("relu", ops.mul_mat(b.weight("channel_mix_key", il), k)))
    return ops.mul(weight, ops.mul_mat(b.weight("channel_mix_value", il), key))


def _rwkv(b: Builder, mix: TimeMix) -> None:
    hp, n_seqs = b.hp, b.shape.n_seqs
    n_embd, tokens = hp.n_embd, b.n_tokens // b.shape.n_seqs
    every = int(number(hp, "rescale_every_n_layers"))
    cur = b.norm(b.embeddings(), "token_embd_norm", op="NORM", beside=0)
    inp = state_input(b)
    rows = output_rows(b)
    for il in b.blocks():
        residual = ops.reshape(cur, n_embd, tokens, n_seqs)
        shift = _Shift(b, inp, il)
        for_attention, for_channels = shift.of(0), shift.of(1)
        attn = b.norm(residual, "attn_norm", il, op="NORM")
        cur = mix(b, inp, attn, shift.before(for_attention, attn), il)
        residual = ops.add(cur, residual)
        ffn = b.norm(residual, "attn_norm_2", il, op="NORM")
        previous = shift.before(for_channels, ffn)
        shift.store(ops.concat(shift.last(attn), shift.last(ffn), 1))
        residual = ops.reshape(residual, n_embd, b.n_tokens)
        ffn = ops.reshape(ffn, n_embd, b.n_tokens)
        previous = ops.reshape(previous, n_embd, b.n_tokens)
        residual, ffn, previous = rows.pick(il, residual, ffn, previous)
        cur = ops.add(_channels(b, ffn, previous, il), residual)
        if every and (il + 1) % every == 0:
            cur = ops.scale(cur)
    cur = b.norm(cur, "output_norm", op="NORM")
    cur.is_output = True
    b.logits(cur)


def _hybrid(b: Builder, mix: TimeMix) -> None:
    """A transformer whose attention is RWKV's mixing over time."""
    n_embd, n_seqs = b.hp.n_embd, b.shape.n_seqs
    cur = b.embeddings()
    inp = state_input(b)
    rows = output_rows(b)
    for il in b.blocks():
        residual = ops.reshape(cur, n_embd, b.n_tokens // n_seqs, n_seqs)
        shift = _Shift(b, inp, il)
        attn = b.norm(residual, "attn_norm", il)
        cur = mix(b, inp, attn, shift.before(shift.kept, attn), il)
        shift.store(shift.last(attn))
        residual = ops.reshape(ops.add(cur, residual), n_embd, b.n_tokens)
        (residual,) = rows.pick(il, residual)
        cur = ffn(b, b.norm(residual, "ffn_norm", il), il)
        cur = ops.add(cur, residual)
    b.head(cur)


GRAPHS: Final[Mapping[str, Graph]] = {
    "rwkv6": lambda b: _rwkv(b, rwkv6_time_mix),
    "rwkv7": lambda b: _rwkv(b, _rwkv7_mixing()),
    "rwkv6qwen2": lambda b: _hybrid(b, rwkv6_time_mix),
    "arwkv7": lambda b: _hybrid(b, _rwkv7_mixing()),
}
