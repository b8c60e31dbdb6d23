"""Experts in an unusual place: SmallThinker and GroveMoE."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from advisor.sizing.compute import ops
from advisor.sizing.compute.attention import attention, attention_input
from advisor.sizing.compute.blocks import Graph, head_norms, number, output_rows, qkv, routing_of
from advisor.sizing.compute.builder import Builder
from advisor.sizing.compute.feedforward import Routing, moe
from advisor.sizing.compute.windows import Windows


def smallthinker(b: Builder) -> None:
    """SmallThinker: the router reads what attention will read, before its norm."""
    hp = b.hp
    cur = b.embeddings()
    positions = b.positions()
    caches = Windows(b)
    rows = output_rows(b)
    routing = replace(routing_of(hp, activation="reglu"), normalise=True)
    for il in b.blocks():
        residual = cur
        logits = ops.mul_mat(b.weight("ffn_gate_inp", il), cur)
        q, k, v = qkv(b, b.norm(cur, "attn_norm", il), il)
        if not caches.two or hp.n_layer == ROPE_STEP or il % ROPE_STEP:
            q, k = ops.rope(q, positions), ops.rope(k, positions)
        cur = attention(b, caches.of(il), q, k, v, il, k_first=caches.two)
        cur, residual, logits = rows.pick(il, cur, residual, logits)
        residual = ops.add(cur, residual)
        cur = moe(b, b.norm(residual, "ffn_norm", il), il, routing, logits=logits)
        cur = ops.add(cur, residual)
    b.head(cur)


ROPE_STEP: Final = 4
"""llama-hparams.h:n_no_rope_layer_step."""


def grovemoe(b: Builder) -> None:
    """GroveMoE: small experts, one for every few of the others, read what those say."""
    hp = b.hp
    cur = b.embeddings()
    positions = b.positions()
    cache = attention_input(b, "attn", list(range(hp.n_layer)))
    rows = output_rows(b)
    scaled = number(hp, "expert_weights_scale") not in {0.0, 1.0}
    routing = Routing(scaled=scaled, sigmoid_choice=True)
    small = replace(routing, kind="chexps", share=int(number(hp, "experts_per_group")))
    for il in b.blocks():
        residual = cur
        q, k, v = qkv(b, b.norm(cur, "attn_norm", il), il)
        q, k = head_norms(b, q, k, il)
        q, k = ops.rope(q, positions), ops.rope(k, positions)
        cur = attention(b, cache, q, k, v, il)
        cur, residual = rows.pick(il, cur, residual)
        residual = ops.add(cur, residual)
        cur = b.norm(residual, "ffn_norm", il)
        logits = ops.mul_mat(b.weight("ffn_gate_inp", il), cur)
        cur = moe(b, cur, il, routing, logits=logits)
        cur = ops.add(cur, ops.scale(moe(b, cur, il, small, logits=logits)))
        cur = ops.add(cur, residual)
    b.head(cur)


GRAPHS: Final[Mapping[str, Graph]] = {"smallthinker": smallthinker, "grovemoe": grovemoe}
