"""Draft heads: the context of a NextN (MTP) block, which reads the trunk's last hidden state."""

from collections.abc import Callable, Mapping
from typing import Final

from advisor.sizing.compute import ops
from advisor.sizing.compute.attention import AttentionInput, attention, attention_input
from advisor.sizing.compute.blocks import (
    Graph,
    head_norms,
    number,
    qkv,
    routing_of,
    shared_and_routed,
)
from advisor.sizing.compute.builder import Builder
from advisor.sizing.compute.feedforward import ffn
from advisor.sizing.compute.graphs_latent import mla
from advisor.sizing.compute.graphs_ling3 import gated_latent_attention, positions_per_token
from advisor.sizing.compute.graphs_qwen import feed, gated_attention
from advisor.sizing.compute.nodes import F32, I32, Node
from advisor.sizing.compute.windows import Windows

Attend = Callable[[Builder, Node, AttentionInput, Node, int], Node]
Feed = Callable[[Builder, Node, int], Node]


def _plain_attention(
    b: Builder, cur: Node, cache: AttentionInput, positions: Node, il: int
) -> Node:
    q, k, v = qkv(b, cur, il)
    q, k = head_norms(b, q, k, il)
    factors = b.rope_factors(il)
    q, k = ops.rope(q, positions, factors), ops.rope(k, positions, factors)
    return attention(b, cache, q, k, v, il)


def _plain_feed(b: Builder, cur: Node, il: int) -> Node:
    if not b.has("ffn_gate_inp", il):
        return ffn(b, cur, il)
    return shared_and_routed(b, cur, il, routing_of(b.hp, gating="sigmoid"))


def _draft(
    attend: Attend, feed_forward: Feed, *, ffn_norm: str, positions: int = 1, has_v: bool = True
) -> Graph:
    """The graph of one draft head (graph_mtp of each family).

    positions: per token; 0: as the model's sections of rotation say.
    """

    def build(b: Builder) -> None:
        hp, il = b.hp, b.hp.n_layer
        table = b.find("nextn.embed_tokens", il) or b.weight("token_embd")
        tokens = ops.get_rows(table, b.input(I32, b.n_tokens))
        hidden = b.input(F32, hp.n_embd, b.n_tokens)
        places = b.positions(positions or positions_per_token(b))
        rows = b.output_ids()
        cache = attention_input(b, "attn", [il], has_v=has_v)
        hidden = b.norm(hidden, "nextn.hnorm", il)
        cur = ops.concat(b.norm(tokens, "nextn.enorm", il), hidden, 0)
        cur = residual = ops.mul_mat(b.weight("nextn.eh_proj", il), cur)
        cur = attend(b, b.norm(cur, "attn_norm", il), cache, places, il)
        residual = ops.add(cur, residual)
        cur = ops.add(feed_forward(b, b.norm(residual, ffn_norm, il), il), residual)
        if b.has("nextn.shared_head_norm", il):
            cur = b.norm(cur, "nextn.shared_head_norm", il)
        elif b.has("layer_output_norm", il):
            cur = b.norm(cur, "layer_output_norm", il)
        else:
            cur = b.norm(cur, "output_norm")
        cur.is_output = True
        cur = ops.get_rows(cur, rows)
        head = b.find("nextn.shared_head_head", il) or b.output_weight()
        cur = ops.mul_mat(head, cur)
        cur.is_output = True
        b.expand(cur)

    return build


def _step35_attention(b: Builder, cur: Node, caches: Windows, places: Node, il: int) -> Node:
    q, k, v = qkv(b, cur, il)
    q, k = head_norms(b, q, k, il)
    factors = None if b.hp.is_swa(il) else b.rope_factors(il)
    q, k = ops.rope(q, places, factors), ops.rope(k, places, factors)
    gated = b.has("attn_gate", il)
    out = attention(
        b, caches.of(il), q, k, v, il, k_first=caches.two, out=None if gated else "attn_output"
    )
    if not gated:
        return out
    gate = ops.unary("sigmoid", ops.mul_mat(b.weight("attn_gate", il), cur))
    heads, width = b.hp.n_head[il], b.hp.head_v(il)
    out = ops.mul(
        ops.reshape(out, width, heads, b.n_tokens), ops.reshape(gate, 1, heads, b.n_tokens)
    )
    return ops.mul_mat(b.weight("attn_output", il), ops.reshape(out, width * heads, b.n_tokens))


def _mimo2_attention(b: Builder, cur: Node, caches: Windows, places: Node, il: int) -> Node:
    q, k, v = qkv(b, cur, il)
    q, k = ops.rope(q, places), ops.rope(k, places)
    out = attention(
        b, caches.of(il), q, k, v, il, k_first=caches.two, sinks=b.find("attn_sinks", il)
    )
    return ops.scale(out) if number(b.hp, "attention.value_scale") else out


def _windowed(
    attend: Callable[[Builder, Node, Windows, Node, int], Node], *, rows_early: bool
) -> Graph:
    """A draft head of models with sliding windows (step35.cpp, mimo2.cpp: graph_mtp).

    It picks its output rows before the last norm. ``rows_early``: the input that says which comes
    before those of attention.
    """

    def build(b: Builder) -> None:
        hp, il = b.hp, b.hp.n_layer
        table = b.find("nextn.embed_tokens", il) or b.weight("token_embd")
        tokens = ops.get_rows(table, b.input(I32, b.n_tokens))
        hidden = b.input(F32, hp.n_embd, b.n_tokens)
        places = b.positions(1)
        rows = b.output_ids() if rows_early else None
        caches = Windows(b, list(range(il, hp.n_layer_all)))
        hidden = b.norm(hidden, "nextn.hnorm", il)
        cur = ops.concat(b.norm(tokens, "nextn.enorm", il), hidden, 0)
        cur = residual = ops.mul_mat(b.weight("nextn.eh_proj", il), cur)
        cur = attend(b, b.norm(cur, "attn_norm", il), caches, places, il)
        residual = ops.add(cur, residual)
        cur = ops.add(_plain_feed(b, b.norm(residual, "ffn_norm", il), il), residual)
        cur = ops.get_rows(cur, rows or b.output_ids())
        cur.is_output = True
        own = next(
            (n for n in ("nextn.shared_head_norm", "layer_output_norm") if b.has(n, il)), None
        )
        cur = b.norm(cur, own, il) if own else b.norm(cur, "output_norm")
        head = b.find("nextn.shared_head_head", il) or b.output_weight()
        cur = ops.mul_mat(head, cur)
        cur.is_output = True
        b.expand(cur)

    return build


def _cohere2_moe(b: Builder) -> None:
    """Attention and experts read the same norm, as in the trunk (cohere2moe.cpp: graph_mtp)."""
    hp, il = b.hp, b.hp.n_layer
    op = "RMS_NORM" if number(hp, "attention.layer_norm_rms_epsilon") else "NORM"
    table = b.find("nextn.embed_tokens", il) or b.weight("token_embd")
    tokens = ops.get_rows(table, b.input(I32, b.n_tokens))
    hidden = b.input(F32, hp.n_embd, b.n_tokens)
    places = b.positions()
    rows = b.output_ids()
    caches = Windows(b, [il])
    cur = b.norm(tokens, "nextn.enorm", il, op=op)
    cur = ops.concat(cur, b.norm(hidden, "nextn.hnorm", il, op=op), 0)
    residual = ops.mul_mat(b.weight("nextn.eh_proj", il), cur)
    normed = b.norm(residual, "attn_norm", il, op=op)
    q, k, v = qkv(b, normed, il)
    factors = b.rope_factors(il)
    q, k = ops.rope(q, places, factors), ops.rope(k, places, factors)
    attended = attention(b, caches.of(il), q, k, v, il, k_first=True)
    cur = _plain_feed(b, normed, il)
    if b.has("ffn_up_shexp", il):
        cur = ops.scale(cur)
    cur = ops.add(ops.add(cur, residual), attended)
    if b.has("nextn.shared_head_norm", il):
        cur = b.norm(cur, "nextn.shared_head_norm", il, op=op)
    else:
        cur = b.norm(cur, "output_norm", op=op)
    cur.is_output = True
    cur = ops.get_rows(cur, rows)
    cur = ops.mul_mat(b.find("nextn.shared_head_head", il) or b.output_weight(), cur)
    if number(hp, "logit_scale"):
        cur = ops.scale(cur)
    cur.is_output = True
    b.expand(cur)


_POST: Final = "post_attention_norm"

GRAPHS: Final[Mapping[str, Graph]] = {
    "qwen35": _draft(gated_attention, feed, ffn_norm=_POST, positions=4),
    "qwen35moe": _draft(gated_attention, feed, ffn_norm=_POST, positions=4),
    "qwen3next": _draft(gated_attention, feed, ffn_norm=_POST),
    "glm4moe": _draft(_plain_attention, _plain_feed, ffn_norm=_POST),
    "hy_v3": _draft(_plain_attention, _plain_feed, ffn_norm="ffn_norm"),
    "deepseek2": _draft(mla, _plain_feed, ffn_norm="ffn_norm", has_v=False),
    "deepseek32": _draft(mla, _plain_feed, ffn_norm="ffn_norm", has_v=False),
    "cohere2moe": _cohere2_moe,
    "step35": _windowed(_step35_attention, rows_early=False),
    "mimo2": _windowed(_mimo2_attention, rows_early=True),
    "bailingmoe3": _draft(
        gated_latent_attention, _plain_feed, ffn_norm="ffn_norm", positions=0, has_v=False
    ),
    "glm-dsa": _draft(mla, _plain_feed, ffn_norm="ffn_norm", has_v=False),
}
