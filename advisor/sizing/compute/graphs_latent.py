"""Multi-head latent attention: DeepSeek V2 and V3, Kimi K2."""

from collections.abc import Mapping
from typing import Final

from advisor.sizing.compute import ops
from advisor.sizing.compute.attention import (
    AttentionInput,
    attention,
    attention_input,
    latent_attention,
    sparse_attention,
    sparse_input,
)
from advisor.sizing.compute.blocks import Graph, feed_forward, number, output_rows, routing_of
from advisor.sizing.compute.builder import Builder
from advisor.sizing.compute.nodes import F32, Node, new


def _queries(b: Builder, cur: Node, il: int, size: int) -> Node:
    if b.has("attn_q", il):
        q = ops.mul_mat(b.weight("attn_q", il), cur)
    else:
        q = ops.mul_mat(b.weight("attn_q_a", il), cur)
        q = ops.mul_mat(b.weight("attn_q_b", il), b.norm(q, "attn_q_a_norm", il))
    return ops.reshape(q, size, b.hp.n_head[il], b.n_tokens)


def mla(
    b: Builder, cur: Node, cache: AttentionInput, positions: Node, il: int,
    temperature: Node | None = None, factors: Node | None = None,
) -> Node:  # fmt: skip
    """One attention block; the absorbed form when the cache keeps latents only."""
    hp = b.hp
    tokens, heads, rope = b.n_tokens, hp.n_head[il], hp.n_rot
    size = hp.n_embd_head_k_mla or hp.n_embd_head_k
    size_v = hp.n_embd_head_v_mla or hp.n_embd_head_v
    plain, rank = size - rope, hp.n_lora_kv
    q = _queries(b, cur, il, size)
    both = ops.mul_mat(b.weight("attn_kv_a_mqa", il), cur)
    row = both.nb[1]
    latent = ops.view(both, (rank, tokens, 1, 1), (row,))
    k_rope = ops.view(both, (rope, 1, tokens, 1), (row, row), rank * 4)
    k_rope = ops.rope(k_rope, positions, factors)
    latent = b.norm(latent, "attn_kv_a_norm", il)
    if hp.is_mla:
        q_plain = ops.view(q, (plain, heads, tokens, 1), q.nb[1:3])
        q_rope = ops.view(q, (rope, heads, tokens, 1), q.nb[1:3], plain * 4)
        q_rope = ops.rope(q_rope, positions)
        q_plain = ops.permute(q_plain, 0, 2, 1, 3)
        absorbed = ops.permute(ops.mul_mat(b.weight("attn_k_b", il), q_plain), 0, 2, 1, 3)
        q = ops.concat(absorbed, q_rope, 0)
        latent = ops.reshape(latent, rank, 1, tokens)
        k = ops.concat(latent, k_rope, 0)
        if temperature is not None:
            q = ops.mul(q, temperature)
        return latent_attention(b, cache, q, k, latent, il, v_mla=b.weight("attn_v_b", il))
    kv = ops.mul_mat(b.weight("attn_kv_b", il), latent)
    head = (plain + size_v) * 4
    k_plain = ops.view(kv, (plain, heads, tokens, 1), (head, head * heads))
    v = ops.cont(ops.view(kv, (size_v, heads, tokens, 1), (head, head * heads), plain * 4))
    q = ops.rope(q, positions, factors)
    k = ops.concat(k_plain, ops.repeat(k_rope, (rope, heads, tokens, 1)), 0)
    if temperature is not None:
        q = ops.mul(q, temperature)
    return attention(b, cache, q, k, v, il)


def deepseek2(b: Builder) -> None:
    """DeepSeek V2 and V3, Kimi K2, Mistral Large 3."""
    hp = b.hp
    cur = b.embeddings()
    temperature = None
    if number(hp, "attention.temperature_scale"):
        temperature = b.input(F32, 1, 1, b.n_tokens)
    positions = b.positions()
    cache = attention_input(b, "attn", list(range(hp.n_layer)), has_v=not hp.is_mla)
    rows = output_rows(b)
    # deepseek2.cpp: files without the key are V2 (softmax), except the small V3 (sigmoid).
    routing = routing_of(hp, gating="sigmoid" if hp.n_layer_all in {26, 61} else "softmax")
    for il in b.blocks():
        residual = cur
        cur = mla(b, b.norm(cur, "attn_norm", il), cache, positions, il, temperature)
        cur, residual = rows.pick(il, cur, residual)
        cur = feed_forward(b, ops.add(cur, residual), il, routing)
    b.head(cur)


def indexed(b: Builder, cur: Node, qr: Node, inp: AttentionInput, positions: Node, il: int) -> Node:
    """The lightning indexer's choice of cells."""
    hp = b.hp
    size, heads, tokens = hp.indexer_head_size, hp.n_indexer_head, b.n_tokens
    q = ops.reshape(ops.mul_mat(b.weight("indexer.attn_q_b", il), qr), size, heads, tokens)
    q = ops.rope(q, positions)
    k = b.norm(ops.mul_mat(b.weight("indexer.attn_k", il), cur), "indexer.k_norm", il, op="NORM")
    k = ops.rope(ops.reshape(k, size, 1, tokens), positions)
    if inp.k_rot is not None:
        q, k = ops.mul_mat(inp.k_rot, q), ops.mul_mat(inp.k_rot, k)
    cache = b.memory(
        "lid.k", il, b.shape.type_k, (size, b.shape.n_kv["lid"], b.shape.streams["lid"])
    )
    rows = ops.view(k, (size, tokens, 1, 1), (k.nb[2],))
    target = cache
    if cache.ne[2] > 1:
        target = ops.reshape(cache, size, cache.ne[1] * cache.ne[2])
    b.expand(ops.set_rows(target, rows, inp.k_idxs))
    weights = ops.mul_mat(b.weight("indexer.proj", il), cur)
    ne = (size, 1, cache.ne[1], b.shape.n_stream)
    cached = ops.view(cache, ne, (cache.nb[1], cache.nb[1], cache.nb[2]))
    weights_ = ops.view(
        weights, (weights.ne[0], tokens // ne[3], 1, ne[3]),
        (weights.nb[1], weights.nb[2] // ne[3], weights.nb[3] // ne[3]),
    )  # fmt: skip
    q = ops.view(q, (size, heads, tokens // ne[3], ne[3]), (q.nb[1], q.nb[2], q.nb[3] // ne[3]))
    scores = new(
        F32, (cached.ne[2], q.ne[2], 1, q.ne[3]), "LIGHTNING_INDEXER",
        (q, cached, ops.scale(weights_), inp.mask),
    )  # fmt: skip
    return ops.cont(ops.top_k(scores, min(scores.ne[0], hp.indexer_top_k)))


def sparse(b: Builder) -> None:
    """DeepSeek V3.2 and GLM 5: latent attention over the cells that an indexer chooses."""
    hp = b.hp
    cur = b.embeddings()
    positions = b.positions()
    inp = sparse_input(b)
    rows = output_rows(b)
    routing = routing_of(hp, gating="sigmoid")
    top: Node | None = None
    tokens, rank, rope = b.n_tokens, hp.n_lora_kv, hp.n_rot
    size = hp.n_embd_head_k_mla
    plain = size - rope
    for il in b.blocks():
        heads = hp.n_head[il]
        residual = cur
        cur = b.norm(cur, "attn_norm", il)
        qr = b.norm(ops.mul_mat(b.weight("attn_q_a", il), cur), "attn_q_a_norm", il)
        if top is None or not hp.indexer_layers or hp.indexer_layers[il]:
            top = indexed(b, cur, qr, inp.index, positions, il)
        q = ops.mul_mat(b.weight("attn_q_b", il), qr)
        strides = (size * 4, size * heads * 4)
        q_plain = ops.view(q, (plain, heads, tokens, 1), strides)
        q_rope = ops.rope(ops.view(q, (rope, heads, tokens, 1), strides, plain * 4), positions)
        both = ops.mul_mat(b.weight("attn_kv_a_mqa", il), cur)
        row = both.nb[1]
        latent = ops.view(both, (rank, tokens, 1, 1), (row,))
        k_rope = ops.rope(ops.view(both, (rope, 1, tokens, 1), (row, row), rank * 4), positions)
        latent = ops.reshape(b.norm(latent, "attn_kv_a_norm", il), rank, 1, tokens)
        absorbed = ops.mul_mat(b.weight("attn_k_b", il), ops.permute(q_plain, 0, 2, 1, 3))
        q = ops.concat(ops.permute(absorbed, 0, 2, 1, 3), q_rope, 0)
        k = ops.concat(latent, k_rope, 0)
        cur = sparse_attention(b, inp.latent, q, k, latent, top, il)
        cur, residual = rows.pick(il, cur, residual)
        cur = feed_forward(b, ops.add(cur, residual), il, routing)
    b.head(cur)


GRAPHS: Final[Mapping[str, Graph]] = {
    "deepseek2": deepseek2,
    "mistral4": deepseek2,
    "deepseek32": sparse,
    "glm-dsa": sparse,
}
