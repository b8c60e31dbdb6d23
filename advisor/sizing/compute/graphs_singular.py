"""Families of few models each whose blocks no style describes; models/<family>.cpp each."""

from collections.abc import Mapping
from typing import Final

from advisor.sizing.compute import ops
from advisor.sizing.compute.attention import attention, attention_input
from advisor.sizing.compute.blocks import Graph, output_rows, qkv
from advisor.sizing.compute.builder import Builder
from advisor.sizing.compute.feedforward import ffn
from advisor.sizing.compute.nodes import F32, Node, new

_PICTURE_TOKENS: Final = 8196 - 4
"""Logits that llama.cpp keeps from being chosen (src/models/chameleon.cpp)."""


def _gained(b: Builder, cur: Node, name: str, il: int) -> Node:
    gain = b.find(name, il, "scale")
    return cur if gain is None else ops.mul(cur, gain)


def _talkie(b: Builder) -> None:
    cur = skipped = b.norm(b.embeddings(), None)
    positions = b.positions()
    inp = attention_input(b, "attn", list(range(b.hp.n_layer)))
    rows = output_rows(b)
    for il in b.blocks():
        residual, again = cur, skipped
        q, k, v = qkv(b, b.norm(cur, None), il)
        q, k = ops.rope(q, positions), ops.rope(k, positions)
        q, k = b.norm(q, "attn_q_norm", il), b.norm(k, None)
        cur = _gained(b, attention(b, inp, q, k, v, il), "attn_output", il)
        cur, residual, again = rows.pick(il, cur, residual, again)
        residual = ops.add(cur, residual)
        cur = _gained(b, ffn(b, b.norm(residual, None), il), "ffn_down", il)
        cur = ops.add(cur, residual)
        cur = ops.add(cur, ops.mul(again, b.weight("layer_output_scale", il)))
    cur = b.norm(cur, None)
    cur.is_output = True
    b.logits(cur, scaled=True)


def _chameleon(b: Builder) -> None:
    behind = bool(b.hp.metadata.get("swin_norm"))
    cur = b.embeddings()
    positions = b.positions()
    inp = attention_input(b, "attn", list(range(b.hp.n_layer)))
    rows = output_rows(b)
    for il in b.blocks():
        residual = cur
        q, k, v = qkv(b, cur if behind else b.norm(cur, "attn_norm", il), il)
        q = ops.rope(b.norm(q, "attn_q_norm", il, op="NORM"), positions)
        k = ops.rope(b.norm(k, "attn_k_norm", il, op="NORM"), positions)
        cur, residual = rows.pick(il, attention(b, inp, q, k, v, il), residual)
        if behind:
            cur = b.norm(cur, "attn_norm", il)
        residual = ops.add(cur, residual)
        if behind:
            # llama.cpp feeds it attention without the sum.
            cur = b.norm(ffn(b, cur, il), "ffn_norm", il)
        else:
            cur = ffn(b, b.norm(residual, "ffn_norm", il), il)
        cur = ops.add(cur, residual)
    cur = b.norm(cur, "output_norm")
    cur.is_output = True
    cur = ops.mul_mat(b.output_weight(), cur)
    cur = ops.like("SET", cur, ops.clamp(new(F32, (_PICTURE_TOKENS, 1, 1, 1))))
    cur.is_output = True
    b.expand(cur)


GRAPHS: Final[Mapping[str, Graph]] = {"talkie": _talkie, "chameleon": _chameleon}
