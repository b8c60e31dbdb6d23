"""Families of few models each whose blocks no style describes; models/<family>.cpp each."""

from collections.abc import Mapping
from typing import Final

from advisor.sizing.compute import ops
from advisor.sizing.compute.attention import attention, attention_input
from advisor.sizing.compute.blocks import Graph, number, output_rows, qkv
from advisor.sizing.compute.builder import Builder
from advisor.sizing.compute.feedforward import ffn
from advisor.sizing.compute.nodes import F32, I32, Node, new

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


def _switched(b: Builder, cur: Node, name: str, il: int, chosen: Node) -> Node:
    """What the chosen adapters add to a product."""
    n_in, tokens = cur.ne[:2]
    ids = ops.reshape(chosen, 1, tokens)
    low = ops.mul_mat_id(b.weight(name, il, "lora_a"), ops.reshape(cur, n_in, 1, tokens), ids)
    out = ops.mul_mat_id(b.weight(name, il, "lora_b"), low, ids)
    return ops.reshape(out, out.ne[0], tokens)


def _with_adapter(b: Builder, cur: Node, name: str, il: int, chosen: Node) -> Node:
    base = ops.mul_mat(b.weight(name, il), cur)
    return ops.add(base, _switched(b, cur, name, il, chosen))


def _switched_heads(b: Builder, cur: Node, il: int, chosen: Node) -> tuple[Node, Node, Node]:
    hp, tokens = b.hp, b.n_tokens
    both = ops.mul_mat(b.weight("attn_qkv", il), cur)
    found: list[Node] = []
    at = 0
    for name, heads in (("q", hp.n_head[il]), ("k", hp.n_head_kv[il]), ("v", hp.n_head_kv[il])):
        width = hp.n_embd_head_k * heads
        part = ops.cont(ops.view(both, (width, tokens, 1, 1), (both.nb[1],), at * 4))
        part = ops.add(part, _switched(b, cur, f"attn_{name}", il, chosen))
        found.append(ops.reshape(part, hp.n_embd_head_k, heads, tokens))
        at += width
    return found[0], found[1], found[2]


def _granite_switch(b: Builder) -> None:
    hp, tokens, router = b.hp, b.n_tokens, b.hp.n_layer
    ids = b.input(I32, tokens)
    k_signal, v_signal, q_signal = (b.input(F32, tokens) for _ in range(3))
    cur = ops.get_rows(b.weight("token_embd"), ids)
    if number(hp, "embedding_scale"):
        cur = ops.scale(cur)
    positions = b.positions()
    inp = attention_input(b, "attn", list(range(hp.n_layer_all)))
    q, k, v = (
        ops.pad(ops.reshape(signal, 1, 1, tokens), hp.n_embd_head_k - 1)
        for signal in (q_signal, k_signal, v_signal)
    )
    routed = attention(b, inp, q, k, v, router, out=None)
    slot = ops.cont(ops.view(routed, (1, tokens, 1, 1), (routed.nb[1],)))
    slot = ops.unary("round", ops.clamp(ops.reshape(slot, tokens, 1)))
    chosen = ops.cast(slot, I32)
    rows = output_rows(b)
    scaled = bool(number(hp, "residual_scale"))
    for il in b.blocks():
        residual = cur
        q, k, v = _switched_heads(b, b.norm(cur, "attn_norm", il), il, chosen)
        factors = b.rope_factors(il)
        q, k = ops.rope(q, positions, factors), ops.rope(k, positions, factors)
        cur = attention(b, inp, q, k, v, il, out=None)
        cur = _with_adapter(b, cur, "attn_output", il, chosen)
        if il == hp.n_layer - 1:
            cur, residual = rows.pick(il, cur, residual)
            chosen = ops.get_rows(ops.reshape(chosen, 1, tokens), rows.ids)
            chosen = ops.reshape(chosen, rows.ids.ne[0], 1)
        residual = ops.add(ops.scale(cur) if scaled else cur, residual)
        cur = b.norm(residual, "ffn_norm", il)
        gate = ops.unary("silu", _with_adapter(b, cur, "ffn_gate", il, chosen))
        cur = ops.mul(gate, _with_adapter(b, cur, "ffn_up", il, chosen))
        cur = _with_adapter(b, cur, "ffn_down", il, chosen)
        cur = ops.add(ops.scale(cur) if scaled else cur, residual)
    cur = b.norm(cur, "output_norm")
    cur.is_output = True
    b.logits(cur, scaled=True)


GRAPHS: Final[Mapping[str, Graph]] = {
    "talkie": _talkie,
    "chameleon": _chameleon,
    "graniteswitch": _granite_switch,
}
