"""Gemma and gpt-oss."""

from collections.abc import Mapping
from typing import Final

from advisor.sizing.compute import ops
from advisor.sizing.compute.attention import attention
from advisor.sizing.compute.blocks import Graph, number, output_rows, qkv
from advisor.sizing.compute.builder import Builder
from advisor.sizing.compute.feedforward import Routing, ffn, moe
from advisor.sizing.compute.nodes import I32, Node
from advisor.sizing.compute.transformer import Style, transformer
from advisor.sizing.compute.windows import Windows


def _gemma3(b: Builder) -> None:
    transformer(
        Style(
            heads="norm_rope",
            rope_factors=False,
            scale_q=True,
            post_attention_norm="post_attention_norm",
            activation="geglu",
            post_ffn_norm="post_ffw_norm",
            embeddings="scaled_rows",
        )
    )(b)


def gemma2(b: Builder) -> None:
    """Gemma 2: like Gemma 3 without head norms, with soft limits on scores and logits."""
    transformer(
        Style(
            rope_factors=False,
            scale_q=True,
            post_attention_norm="post_attention_norm",
            activation="geglu",
            post_ffn_norm="post_ffw_norm",
            soft_cap=True,
            embeddings="scaled",
        )
    )(b)


def gpt_oss(b: Builder) -> None:
    """gpt-oss: attention sinks, biased experts."""
    cur = b.embeddings()
    positions = b.positions()
    caches = Windows(b)
    rows = output_rows(b)
    routing = Routing(gating="softmax_weight", normalise=False, activation="swiglu_oai")
    for il in b.blocks():
        residual = cur
        q, k, v = qkv(b, b.norm(cur, "attn_norm", il), il)
        q, k = ops.rope(q, positions), ops.rope(k, positions)
        sinks = b.weight("attn_sinks", il)
        cur = attention(b, caches.of(il), q, k, v, il, k_first=True, sinks=sinks)
        cur, residual = rows.pick_drafted(il, cur, residual)
        residual = ops.add(cur, residual)
        cur = moe(b, b.norm(residual, "post_attention_norm", il), il, routing)
        cur = ops.add(cur, residual)
    b.head(rows.drafted(cur))


def layer_rows(b: Builder) -> Node:
    """Per-layer embeddings as they are looked up."""
    return ops.get_rows(b.weight("per_layer_token_embd"), b.input(I32, b.n_tokens))


def layer_inputs(b: Builder, batch: Node, looked_up: Node | None = None) -> Node:
    """Per-layer embeddings, gathered and projected for all blocks at once.

    ``looked_up``: their rows where they came first; else rows are scaled where they lie.
    """
    hp, tokens = b.hp, b.n_tokens
    width, layers = hp.n_embd_per_layer, hp.n_layer
    rows = ops.scale(ops.reshape(looked_up or layer_rows(b), width, layers, tokens))
    if looked_up is None:
        b.expand(rows)
    projected = ops.scale(ops.mul_mat(b.weight("per_layer_model_proj"), batch))
    projected = b.norm(ops.reshape(projected, width, layers, tokens), "per_layer_proj_norm")
    both = ops.scale(ops.add(projected, rows))
    return ops.cont(ops.permute(both, 0, 2, 1, 3))


def _gemma4_heads(
    b: Builder, cur: Node, positions: Node, il: int
) -> tuple[Node, Node | None, Node | None]:
    hp, tokens = b.hp, b.n_tokens
    size, heads, heads_kv = hp.head_k(il), hp.n_head[il], hp.n_head_kv[il]
    factors = None if hp.is_swa(il) else b.rope_factors(il)
    q = ops.reshape(ops.mul_mat(b.weight("attn_q", il), cur), size, heads, tokens)
    q = ops.rope(b.norm(q, "attn_q_norm", il), positions, factors)
    if not hp.has_kv(il):
        return q, None, None
    k = ops.mul_mat(b.weight("attn_k", il), cur)
    v = ops.mul_mat(b.weight("attn_v", il), cur) if b.has("attn_v", il) else k
    k = ops.reshape(k, size, heads_kv, tokens)
    v = ops.reshape(v, size, heads_kv, tokens)
    k = ops.rope(b.norm(k, "attn_k_norm", il), positions, factors)
    return q, k, ops.like("RMS_NORM", v)


def _gemma4_feed(b: Builder, cur: Node, il: int) -> Node:
    """Dense network, with experts beside it where the model has them."""
    if not b.has("ffn_gate_inp", il):
        return ffn(b, b.norm(cur, "ffn_norm", il), il, activation="geglu")
    dense = ffn(b, b.norm(cur, "ffn_norm", il), il, activation="geglu")
    dense = b.norm(dense, "post_ffw_norm_1", il)
    normed = b.norm(cur, "pre_ffw_norm_2", il)
    routed = ops.scale(ops.like("RMS_NORM", cur))
    routed = ops.mul(routed, b.weight("ffn_gate_inp", il, "scale"))
    logits = ops.mul_mat(b.weight("ffn_gate_inp", il), routed)
    experts = moe(b, normed, il, Routing(activation="geglu"), logits=logits)
    return ops.add(dense, b.norm(experts, "post_ffw_norm_2", il))


def gemma4(b: Builder) -> None:
    """Gemma 4: head sizes by kind of layer, shared caches, per-layer embeddings."""
    hp = b.hp
    layered = b.has("per_layer_token_embd")
    looked_up = b.expand(layer_rows(b)) if layered and b.shape.rules.lookups_first else None
    cur = b.embeddings(scaled=True)
    positions = b.positions()
    caches = Windows(b)
    rows = output_rows(b)
    own_inputs = layer_inputs(b, cur, looked_up) if layered else None
    for il in b.blocks():
        residual = cur
        q, k, v = _gemma4_heads(b, b.norm(cur, "attn_norm", il), positions, il)
        cur = attention(b, caches.of(il), q, k, v, il, k_first=True)
        cur, residual = rows.pick_drafted(il, cur, residual)
        residual = ops.add(b.norm(cur, "post_attention_norm", il), residual)
        cur = b.norm(_gemma4_feed(b, residual, il), "post_ffw_norm", il)
        cur = ops.add(cur, residual)
        if own_inputs is not None:
            before = cur
            cur = ops.unary("gelu", ops.mul_mat(b.weight("inp_gate", il), cur))
            width, tokens = own_inputs.ne[:2]
            mine = ops.view(
                own_inputs, (width, tokens, 1, 1), (width * 4,), il * width * tokens * 4
            )
            (mine,) = rows.pick_drafted(il, mine)
            cur = ops.mul_mat(b.weight("proj", il), ops.mul(cur, mine))
            cur = ops.add(before, b.norm(cur, "post_norm", il))
        if b.has("layer_output_scale", il):
            cur = ops.mul(cur, b.weight("layer_output_scale", il))
    cur = rows.drafted(b.norm(cur, "output_norm"))
    cur.is_output = True
    b.logits(cur, soft_cap=bool(number(hp, "final_logit_softcapping")))


GRAPHS: Final[Mapping[str, Graph]] = {
    "gemma2": gemma2,
    "gemma3": _gemma3,
    "gemma4": gemma4,
    "gpt-oss": gpt_oss,
}
