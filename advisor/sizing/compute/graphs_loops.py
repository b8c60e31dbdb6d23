"""Blocks that run several times over: models/nanbeige.cpp, hrm-text.cpp.

A run has a cache of its own, on the device of its own place among all runs; its weights lie where
those of its block do.
"""

from collections.abc import Mapping
from typing import Final

from advisor.sizing.compute import ops
from advisor.sizing.compute.attention import AttentionInput, attention, attention_input
from advisor.sizing.compute.blocks import Graph, output_rows, qkv
from advisor.sizing.compute.builder import Builder
from advisor.sizing.compute.feedforward import ffn
from advisor.sizing.compute.nodes import Node


def _nanbeige(b: Builder) -> None:
    hp = b.hp
    blocks = int(hp.extra["n_block"])
    normed = not hp.metadata.get("skip_loop_final_norm")
    cur = b.embeddings()
    positions = b.positions()
    inp = attention_input(b, "attn", list(range(hp.n_layer)))
    rows = output_rows(b)
    for run in b.blocks():
        il = run % blocks
        residual = cur
        q, k, v = qkv(b, b.norm(cur, "attn_norm", il, beside=run), il)
        factors = b.rope_factors(il)
        q, k = ops.rope(q, positions, factors), ops.rope(k, positions, factors)
        cur = b.linear(attention(b, inp, q, k, v, run, out=None), "attn_output", il)
        cur, residual = rows.pick(run, cur, residual)
        residual = ops.add(cur, residual)
        cur = ffn(b, b.norm(residual, "ffn_norm", il, beside=run), il)
        cur = ops.add(cur, residual)
        if normed and il == blocks - 1 and run < hp.n_layer - 1:
            cur = b.norm(cur, "output_norm", beside=run)
    b.head(cur)


def _hrm_run(
    b: Builder, cur: Node, inp: AttentionInput, positions: Node, run: int, il: int
) -> Node:
    residual = cur
    cur = b.norm(cur, None)
    gate = ops.mul_mat(b.weight("attn_gate", il), cur)
    q, k, v = qkv(b, cur, il)
    q, k = ops.rope(q, positions), ops.rope(k, positions)
    cur = attention(b, inp, q, k, v, run, out=None)
    cur = b.linear(ops.mul(cur, ops.unary("sigmoid", gate)), "attn_output", il)
    residual = ops.add(cur, residual)
    return ops.add(ffn(b, b.norm(residual, None), il), residual)


def _hrm_text(b: Builder) -> None:
    hp = b.hp
    stack, low_cycles = int(hp.extra["n_stack"]), int(hp.extra["low_cycles"])
    high = b.embeddings()
    positions = b.positions()
    inp = attention_input(b, "attn", list(range(hp.n_layer)))
    ids = b.output_ids()
    low = cur = b.weight("hrm.z_l_init", part="")
    for run in b.blocks():
        cycle, at = divmod(run, stack)
        rises = cycle % (low_cycles + 1) == low_cycles
        if at == 0:
            cur = ops.add(high, low)
        cur = _hrm_run(b, cur, inp, positions, run, at + stack * rises)
        if at == stack - 1:
            cur = b.norm(cur, None)
            high, low = (cur, low) if rises else (high, cur)
    cur = ops.get_rows(high, ids)
    cur.is_output = True
    b.logits(cur)


GRAPHS: Final[Mapping[str, Graph]] = {"nanbeige": _nanbeige, "hrm_text": _hrm_text}
