"""Encoders: a text goes through at once, nothing is kept, the result are vectors."""

from collections.abc import Mapping
from functools import partial
from typing import Final, Literal

from advisor.sizing.compute import ops
from advisor.sizing.compute.attention import Within, attention_within
from advisor.sizing.compute.blocks import Graph, head_norms, output_rows, qkv
from advisor.sizing.compute.builder import Builder
from advisor.sizing.compute.feedforward import Routing, ffn, moe
from advisor.sizing.compute.nodes import Node


def _embedded(b: Builder, positions: Node) -> Node:
    cur = b.embeddings()
    if b.has("token_types"):
        # Every token is of the first kind.
        first = ops.view(b.weight("token_types"), (b.hp.n_embd, 1, 1, 1))
        cur = ops.add(cur, first)
    if b.has("position_embd"):
        cur = ops.add(ops.get_rows(b.weight("position_embd"), positions), cur)
    return b.norm(cur, "token_embd_norm", op="NORM", beside=0)


def _projected(b: Builder, cur: Node, il: int) -> tuple[Node, Node, Node]:
    """Q, K and V, normalised over all heads where the model does (Jina's for code)."""
    q, k, v = qkv(b, cur, il)
    if b.has("attn_q_norm", il):
        flat = ops.reshape(q, q.ne[0] * q.ne[1], q.ne[2])
        q = ops.reshape(b.norm(flat, "attn_q_norm", il, op="NORM"), *q.ne[:3])
    if b.has("attn_k_norm", il):
        flat = ops.reshape(k, k.ne[0] * k.ne[1], k.ne[2])
        k = ops.reshape(b.norm(flat, "attn_k_norm", il, op="NORM"), *k.ne[:3])
    return q, k, v


def _bert(b: Builder, *, rotates: bool = False, activation: str = "geglu") -> None:
    positions = b.positions()
    cur = _embedded(b, positions)
    masks = Within(b)
    rows = output_rows(b)
    routing = Routing(normalise=False, activation="geglu")
    for il in b.blocks():
        residual = cur
        q, k, v = _projected(b, cur, il)
        if rotates:
            q, k = ops.rope(q, positions), ops.rope(k, positions)
        cur = attention_within(b, masks.of(il), q, k, v, il)
        cur, residual = rows.pick(il, cur, residual)
        read = b.norm(ops.add(cur, residual), "attn_output_norm", il, op="NORM")
        if b.has("attn_norm_2", il):
            read = b.norm(ops.add(read, residual), "attn_norm_2", il, op="NORM")
        if b.has("ffn_gate_inp", il):
            cur = moe(b, read, il, routing)
        else:
            cur = ffn(b, read, il, activation=activation)
        cur = b.norm(ops.add(cur, read), "layer_output_norm", il, op="NORM")
    b.vectors(cur)


def _jina_bert_2(b: Builder) -> None:
    _bert(b, activation="geglu" if b.has("ffn_gate", 0) else "packed_geglu")


def _modern_bert(b: Builder) -> None:
    cur = b.norm(b.embeddings(), "token_embd_norm", op="NORM", beside=0)
    _before(b, cur, norm="NORM", activation=_activation(b), last="output_norm")


def _activation(b: Builder) -> str:
    return "packed_swiglu" if b.hp.metadata.get("hidden_activation") == "silu" else "packed_geglu"


def _before(
    b: Builder, cur: Node, *, norm: Literal["NORM", "RMS_NORM"], activation: str, last: str
) -> None:
    """Blocks with norms before attention and feed-forward, as decoders have them."""
    positions = b.positions()
    masks = Within(b)
    rows = output_rows(b)
    for il in b.blocks():
        residual = cur
        if b.has("attn_norm", il):
            cur = b.norm(cur, "attn_norm", il, op=norm)
        q, k, v = qkv(b, cur, il)
        q, k = ops.rope(q, positions), ops.rope(k, positions)
        cur = attention_within(b, masks.of(il), q, k, v, il)
        cur, residual = rows.pick(il, cur, residual)
        residual = ops.add(cur, residual)
        cur = ffn(b, b.norm(residual, "ffn_norm", il, op=norm), il, activation=activation)
        cur = ops.add(cur, residual)
    cur = b.norm(cur, last, op=norm)
    b.vectors(cur)


def _eurobert(b: Builder) -> None:
    _before(b, b.embeddings(), norm="RMS_NORM", activation="swiglu", last="output_norm")


def _neo_bert(b: Builder) -> None:
    _before(b, b.embeddings(), norm="RMS_NORM", activation="packed_swiglu", last="enc.output_norm")


def _gemma_embedding(b: Builder) -> None:
    cur = b.embeddings(scaled=True)
    positions = b.positions()
    masks = Within(b)
    rows = output_rows(b)
    for il in b.blocks():
        residual = cur
        q, k, v = qkv(b, b.norm(cur, "attn_norm", il), il)
        q, k = head_norms(b, q, k, il)
        q, k = ops.rope(q, positions), ops.rope(k, positions)
        cur = attention_within(b, masks.of(il), ops.scale(q), k, v, il)
        cur, residual = rows.pick(il, cur, residual)
        residual = ops.add(b.norm(cur, "post_attention_norm", il), residual)
        cur = ffn(b, b.norm(residual, "ffn_norm", il), il, activation="geglu")
        cur = ops.add(b.norm(cur, "post_ffw_norm", il), residual)
    cur = b.norm(cur, "output_norm")
    b.vectors(cur)


GRAPHS: Final[Mapping[str, Graph]] = {
    "bert": _bert,
    "nomic-bert": partial(_bert, rotates=True, activation="swiglu"),
    "nomic-bert-moe": partial(_bert, rotates=True),
    "jina-bert-v2": _jina_bert_2,
    "jina-bert-v3": partial(_bert, rotates=True),
    "modern-bert": _modern_bert,
    "eurobert": _eurobert,
    "neo-bert": _neo_bert,
    "gemma-embedding": _gemma_embedding,
}
