"""Models that refine a whole text: a decoder's blocks, attention within the micro-batch, logits."""

from collections.abc import Mapping
from functools import partial
from typing import Final

from advisor.sizing.compute import ops
from advisor.sizing.compute.attention import Within, attention_within
from advisor.sizing.compute.blocks import Graph, head_norms, output_rows, qkv
from advisor.sizing.compute.builder import Builder
from advisor.sizing.compute.feedforward import Routing, ffn, moe


def _refines(b: Builder, *, normalise: bool = False) -> None:
    cur = b.embeddings()
    positions = b.positions()
    masks = Within(b)
    rows = output_rows(b)
    routing = Routing(normalise=normalise)
    for il in b.blocks():
        residual = cur
        q, k, v = qkv(b, b.norm(cur, "attn_norm", il), il)
        if b.has("attn_q_norm", il):
            q, k = head_norms(b, q, k, il)
        q, k = ops.rope(q, positions), ops.rope(k, positions)
        cur = attention_within(b, masks.of(il), q, k, v, il)
        cur, residual = rows.pick(il, cur, residual)
        residual = ops.add(cur, residual)
        cur = b.norm(residual, "ffn_norm", il)
        cur = moe(b, cur, il, routing) if b.has("ffn_gate_inp", il) else ffn(b, cur, il)
        cur = ops.add(cur, residual)
    cur = b.norm(cur, "output_norm")
    cur.is_output = True
    b.logits(cur)


GRAPHS: Final[Mapping[str, Graph]] = {
    "dream": _refines,
    "llada": _refines,
    "llada-moe": _refines,
    "rnd1": partial(_refines, normalise=True),
}
