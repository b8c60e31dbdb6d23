"""Heads that draft for another model, as a batch of tokens is decoded: EAGLE-3 and DFlash.

models/eagle3.cpp, dflash.cpp. Embeddings and output matrix may be the other model's: they count
there, and are taken to lie where this model's would.
"""

from collections.abc import Mapping
from typing import Final

from advisor.sizing.compute import ops
from advisor.sizing.compute.attention import attention, attention_input
from advisor.sizing.compute.blocks import Graph, number, output_rows
from advisor.sizing.compute.builder import Builder
from advisor.sizing.compute.feedforward import ffn
from advisor.sizing.compute.nodes import F32, I32, Node, new
from advisor.sizing.compute.windows import Windows


def _tokens(b: Builder) -> Node:
    hp = b.hp
    table = b.borrowed("token_embd", hp.n_embd, hp.n_vocab, b.cpu)
    return ops.get_rows(table, b.input(I32, b.n_tokens))


def _logits(b: Builder, cur: Node) -> None:
    """Logits, spread over the other model's vocabulary where this one's is smaller."""
    hp = b.hp
    drafted = int(hp.extra["n_vocab_draft"])
    cur = ops.mul_mat(b.borrowed("output", hp.n_embd, drafted, b.last_device), cur)
    if b.has("d2t", part=""):
        rows = cur.ne[1]
        empty = ops.like("FILL", new(F32, (1, hp.n_vocab, rows, 1)))
        ids = ops.reshape(b.weight("d2t", part=""), drafted, 1)
        cur = ops.set_rows(empty, ops.reshape(cur, 1, drafted, rows), ids)
        cur = ops.reshape(cur, hp.n_vocab, rows)
    cur.is_output = True
    b.expand(cur)


def _gemma4_assistant(b: Builder) -> None:
    hp, tokens, outer = b.hp, b.n_tokens, int(b.hp.extra["n_embd_backbone"])
    ids, state = b.input(I32, tokens), b.input(F32, outer, tokens)
    table = b.borrowed("target.token_embd", outer, hp.n_vocab, b.cpu)
    cur = ops.concat(ops.scale(ops.get_rows(table, ids)), state, 0)
    cur = ops.mul_mat(b.weight("nextn.pre_projection"), cur)
    caches = Windows(b)
    positions = b.positions()
    rows = output_rows(b)
    for il in b.blocks():
        residual = cur
        cur = ops.mul_mat(b.weight("attn_q", il), b.norm(cur, "attn_norm", il))
        q = b.norm(ops.reshape(cur, hp.head_k(il), hp.n_head[il], tokens), "attn_q_norm", il)
        q = ops.rope(q, positions, None if hp.is_swa(il) else b.rope_factors(il))
        cur = attention(b, caches.of(il), q, None, None, il)
        cur, residual = rows.pick(il, cur, residual)
        residual = ops.add(b.norm(cur, "post_attention_norm", il), residual)
        cur = ffn(b, b.norm(residual, "ffn_norm", il), il, activation="geglu")
        cur = ops.mul(ops.like("RMS_NORM", cur), b.weight("post_ffw_norm", il))
        cur = ops.mul(ops.add(cur, residual), b.weight("layer_output_scale", il))
    cur = b.norm(cur, "output_norm")
    b.logits(cur)
    state = ops.mul_mat(b.weight("nextn.post_projection"), cur)
    state.is_output = True
    b.expand(state)


def _eagle3(b: Builder) -> None:
    hp, tokens, il = b.hp, b.n_tokens, 0
    read = _tokens(b)
    state = b.input(F32, hp.n_embd, tokens)
    positions = b.positions()
    inp = attention_input(b, "attn", [il])
    read = b.norm(read, "attn_norm", il)
    normed = ops.mul(ops.like("RMS_NORM", state), b.weight("attn_norm_2", il))
    cur = ops.concat(read, normed, 0)
    q = ops.reshape(ops.mul_mat(b.weight("attn_q", il), cur), hp.head_k(il), hp.n_head[il], tokens)
    k, v = (
        ops.reshape(ops.mul_mat(b.weight(name, il), cur), size, hp.n_head_kv[il], tokens)
        for name, size in (("attn_k", hp.head_k(il)), ("attn_v", hp.head_v(il)))
    )
    factors = b.rope_factors(il)
    q, k = ops.rope(q, positions, factors), ops.rope(k, positions, factors)
    cur = attention(b, inp, q, k, v, il)
    residual = ops.add(cur, normed if hp.metadata.get("norm_before_residual") else state)
    cur = ops.add(ffn(b, b.norm(residual, "ffn_norm", il), il), residual)
    cur.is_output = True
    _logits(b, b.norm(cur, "output_norm"))


def _dflash(b: Builder) -> None:
    hp, tokens = b.hp, b.n_tokens
    if hp.n_hyper_connections or b.has("selector_hidden"):
        raise LookupError("a draft of this kind is not known")
    positions = b.positions(4 if "rope.dimension_sections" in hp.metadata else 1)
    caches = Windows(b)
    cur = _tokens(b)
    if number(hp, "embedding_scale"):
        cur = ops.scale(cur)
    factors = b.rope_factors(0)
    for il in b.blocks():
        residual = cur
        read = b.norm(cur, "attn_norm", il)
        q = ops.reshape(
            ops.mul_mat(b.weight("attn_q", il), read), hp.head_k(il), hp.n_head[il], tokens
        )
        flat = ops.mul_mat(b.weight("attn_k", il), read)
        k = ops.reshape(flat, hp.head_k(il), hp.n_head_kv[il], tokens)
        own = ops.mul_mat(b.weight("attn_v", il), read) if b.has("attn_v", il) else None
        v = ops.reshape(own or flat, hp.head_v(il), hp.n_head_kv[il], tokens)
        q, k = b.norm(q, "attn_q_norm", il), b.norm(k, "attn_k_norm", il)
        if own is None:
            v = b.norm(v, None)
        q, k = ops.rope(q, positions, factors), ops.rope(k, positions, factors)
        cur = attention(
            b, caches.of(il), q, k, v, il, k_first=caches.two, sinks=b.find("attn_sinks", il)
        )
        if number(hp, "attention.value_scale"):
            cur = ops.scale(cur)
        if b.has("post_attention_norm", il):
            cur = b.norm(cur, "post_attention_norm", il)
        residual = ops.add(cur, residual)
        gelu = str(hp.metadata.get("hidden_activation", "silu")).startswith("gelu")
        cur = ffn(b, b.norm(residual, "ffn_norm", il), il, activation="geglu" if gelu else "swiglu")
        if b.has("post_ffw_norm", il):
            cur = b.norm(cur, "post_ffw_norm", il)
        cur = ops.add(cur, residual)
        if b.has("layer_output_scale", il):
            cur = ops.mul(cur, b.weight("layer_output_scale", il))
    cur = b.norm(cur, "output_norm")
    cur.is_output = True
    _logits(b, cur)


GRAPHS: Final[Mapping[str, Graph]] = {
    "eagle3": _eagle3,
    "dflash": _dflash,
    "gemma4-assistant": _gemma4_assistant,
}
