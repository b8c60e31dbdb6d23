"""Hybrids of attention and recurrent layers, and models that are recurrent only."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from advisor.sizing.compute import ops
from advisor.sizing.compute.attention import AttentionInput, attention, attention_input
from advisor.sizing.compute.blocks import (
    Graph,
    late_head,
    number,
    output_rows,
    qkv,
    routing_of,
    shared_and_routed,
)
from advisor.sizing.compute.builder import Builder
from advisor.sizing.compute.feedforward import Routing, ffn, moe
from advisor.sizing.compute.lightning import Lightning
from advisor.sizing.compute.nodes import Node
from advisor.sizing.compute.recurrent import (
    StateInput,
    load_state,
    mamba1,
    mamba2,
    mamba_heads,
    state,
    state_input,
)


def _hybrid_inputs(
    b: Builder, attending: list[int] | None = None
) -> tuple[StateInput, AttentionInput]:
    """Inputs of both memories (build_inp_mem_hybrid); what keeps no state attends."""
    if attending is None:
        attending = [il for il in range(b.hp.n_layer) if not b.hp.is_recurrent(il)]
    return state_input(b), attention_input(b, "attn", attending)


def _normed_attention(
    b: Builder, cache: AttentionInput, cur: Node, il: int, positions: Node
) -> Node:
    """Attention of queries and keys that are normalised and turned by their positions."""
    q, k, v = qkv(b, cur, il)
    q = ops.rope(b.norm(q, "attn_q_norm", il), positions)
    k = ops.rope(b.norm(k, "attn_k_norm", il), positions)
    return attention(b, cache, q, k, v, il)


def _nemotron_experts(b: Builder, cur: Node, il: int, routing: Routing) -> Node:
    latent = cur
    if b.has("ffn_latent_down", il):
        latent = ops.mul_mat(b.weight("ffn_latent_down", il), cur)
    logits = ops.mul_mat(b.weight("ffn_gate_inp", il), cur)
    routed = moe(b, latent, il, routing, logits=logits)
    if b.has("ffn_latent_up", il):
        routed = ops.mul_mat(b.weight("ffn_latent_up", il), routed)
    return ops.add(routed, ffn(b, cur, il, activation="relu_sqr", suffix="_shexp"))


def nemotron_h(b: Builder) -> None:
    """Nemotron H: every block is one of Mamba 2, attention or feed-forward."""
    hp = b.hp
    cur = b.embeddings()
    attending = [il for il in range(hp.n_layer) if not hp.is_recurrent(il) and not hp.n_ff[il]]
    states, cache = _hybrid_inputs(b, attending)
    rows = output_rows(b)
    routing = routing_of(hp, gating="sigmoid", activation="relu_sqr")
    for il in b.blocks():
        residual = cur
        cur = b.norm(cur, "attn_norm", il)
        if hp.is_recurrent(il):
            cur = mamba2(b, states, cur, il)
        elif il in attending:
            q, k, v = qkv(b, cur, il)
            cur = attention(b, cache, q, k, v, il)
        elif b.has("ffn_gate_inp", il):
            cur = _nemotron_experts(b, cur, il, routing)
        else:
            cur = ffn(b, cur, il, activation="relu_sqr")
        cur, residual = rows.pick_drafted(il, cur, residual)
        cur = ops.add(cur, residual)
    late_head(b, cur, rows)


def granite_hybrid(b: Builder) -> None:
    """Granite 4.0 H: Mamba 2 or attention, then experts or a dense network, all scaled."""
    hp = b.hp
    cur = b.embeddings()
    states, cache = _hybrid_inputs(b)
    rows = output_rows(b)
    positions = b.positions()
    rotates = bool(hp.metadata.get("rope.scaling.finetuned", True))
    scaled = bool(number(hp, "residual_scale"))
    for il in b.blocks():
        residual = cur
        cur = b.norm(cur, "attn_norm", il)
        if hp.is_recurrent(il):
            cur = mamba2(b, states, cur, il)
        else:
            q, k, v = qkv(b, cur, il)
            if rotates:
                factors = b.rope_factors(il)
                q, k = ops.rope(q, positions, factors), ops.rope(k, positions, factors)
            cur = attention(b, cache, q, k, v, il)
        cur, residual = rows.pick(il, cur, residual)
        cur = ops.scale(cur) if scaled else cur
        residual = ops.add(cur, residual)
        cur = b.norm(residual, "ffn_norm", il)
        if b.has("ffn_gate_inp", il):
            cur = shared_and_routed(b, cur, il, Routing())
        else:
            cur = ffn(b, cur, il)
        cur = ops.scale(cur) if scaled else cur
        cur = ops.add(cur, residual)
    cur = b.norm(cur, "output_norm")
    cur.is_output = True
    b.logits(cur, scaled=bool(number(hp, "logit_scale")))


def falcon_h1(b: Builder) -> None:
    """Falcon H1: attention and Mamba 2 side by side in every block."""
    hp = b.hp
    cur = b.embeddings()
    positions = b.positions()
    states, cache = _hybrid_inputs(b, list(range(hp.n_layer)))
    rows = output_rows(b)
    for il in b.blocks():
        residual = cur
        q, k, v = qkv(b, b.norm(residual, "attn_norm", il), il)
        q, k = ops.rope(q, positions), ops.rope(k, positions)
        attended = attention(b, cache, q, k, v, il)
        scanned = mamba2(b, states, b.norm(residual, "attn_norm", il), il)
        residual = ops.add(ops.add(attended, scanned), residual)
        (residual,) = rows.pick(il, residual)
        cur = ffn(b, b.norm(residual, "ffn_norm", il), il)
        cur = ops.add(cur, residual)
    b.head(cur)


def mamba_only(b: Builder) -> None:
    """Mamba and Mamba 2."""
    cur = b.embeddings()
    states = state_input(b)
    rows = output_rows(b)
    layer = mamba2 if b.hp.arch == "mamba2" else mamba1
    for il in b.blocks():
        residual = cur
        cur = layer(b, states, b.norm(cur, "attn_norm", il), il)
        cur, residual = rows.pick(il, cur, residual)
        cur = ops.add(cur, residual)
    b.head(cur)


def jamba(b: Builder) -> None:
    """Jamba: Mamba or attention, then experts or a dense network."""
    hp = b.hp
    cur = b.embeddings()
    attending = [il for il in range(hp.n_layer) if hp.n_head_kv[il]]
    states, cache = _hybrid_inputs(b, attending)
    rows = output_rows(b)
    for il in b.blocks():
        residual = cur
        cur = b.norm(cur, "attn_norm", il)
        if hp.n_head_kv[il]:
            q, k, v = qkv(b, cur, il)
            cur = attention(b, cache, q, k, v, il)
        else:
            cur = mamba1(b, states, cur, il)
        cur, residual = rows.pick(il, cur, residual)
        residual = ops.add(residual, cur)
        cur = b.norm(residual, "ffn_norm", il)
        if b.has("ffn_gate_inp", il):
            cur = moe(b, cur, il, Routing(normalise=False))
        else:
            cur = ffn(b, cur, il)
        cur = ops.add(residual, cur)
    b.head(cur)


def plamo2(b: Builder) -> None:
    """PLaMo 2: Mamba with heads or attention, norms before and behind every part."""
    hp = b.hp
    cur = b.embeddings()
    positions = b.positions()
    states, cache = _hybrid_inputs(b)
    rows = output_rows(b)
    for il in b.blocks():
        residual = cur
        cur = b.norm(cur, "attn_norm", il)
        if hp.is_recurrent(il):
            cur = mamba_heads(b, states, cur, il)
        else:
            cur = _normed_attention(b, cache, cur, il, positions)
        cur, residual = rows.pick(il, cur, residual)
        residual = ops.add(b.norm(cur, "post_attention_norm", il), residual)
        cur = ffn(b, b.norm(residual, "ffn_norm", il), il, activation="packed_swiglu")
        cur = ops.add(b.norm(cur, "post_ffw_norm", il), residual)
    b.head(cur)


def minimax_01(b: Builder) -> None:
    """MiniMax Text-01 and M1: lightning attention in seven of eight blocks, experts in all."""
    hp = b.hp
    cur = b.embeddings()
    states, cache = _hybrid_inputs(b)
    positions = b.positions()
    rows = output_rows(b)
    lightning = Lightning(b, states)
    for il in b.blocks():
        residual = cur = b.norm(cur, "attn_norm", il)
        if hp.is_recurrent(il):
            cur = lightning(cur, il)
        else:
            q, k, v = qkv(b, cur, il)
            q, k = ops.rope(q, positions), ops.rope(k, positions)
            cur = attention(b, cache, q, k, v, il)
        cur, residual = rows.pick(il, cur, residual)
        residual = b.norm(ops.add(cur, ops.scale(residual)), "ffn_norm", il)
        cur = ops.add(moe(b, residual, il, Routing()), ops.scale(residual))
    b.head(cur)


def _short_convolution(b: Builder, states: StateInput, cur: Node, il: int) -> Node:
    hp = b.hp
    n_seqs, taps = b.shape.n_seqs, hp.n_shortconv_l_cache - 1
    tokens = b.n_tokens // n_seqs
    cur = ops.reshape(cur, cur.ne[0], tokens, n_seqs)
    mixed = ops.mul_mat(b.weight("shortconv.in_proj", il), cur)
    width = mixed.ne[0] // 3

    def third(i: int) -> Node:
        return ops.view(mixed, (width, tokens, n_seqs, 1), mixed.nb[1:3], i * width * 4)

    gated = ops.transpose(ops.mul(third(0), third(2)))
    memory = state(b, "r", il, taps * hp.n_embd)
    before = ops.reshape(load_state(b, states, memory), taps, hp.n_embd, n_seqs)
    joined = ops.concat(before, gated, 0)
    for slot in range(min(tokens, b.shape.n_rs_seq + 1)):
        last = ops.view(
            joined, (taps, joined.ne[1], joined.ne[2], 1), joined.nb[1:3],
            (joined.ne[0] - taps - slot) * 4,
        )  # fmt: skip
        target = ops.view(
            memory, (memory.ne[0], n_seqs, 1, 1), (memory.nb[1],), slot * n_seqs * memory.nb[1]
        )
        b.expand(ops.copy_to(last, target))
    out = ops.mul(third(1), ops.ssm_conv(joined, b.weight("shortconv.conv", il)))
    out = ops.mul_mat(b.weight("shortconv.out_proj", il), out)
    return ops.reshape(out, out.ne[0], tokens * n_seqs)


def lfm2(b: Builder) -> None:
    """LFM 2: short convolutions and attention."""
    hp = b.hp
    cur = b.embeddings()
    states, cache = _hybrid_inputs(b)
    positions = b.positions()
    rows = output_rows(b)
    routing = replace(routing_of(hp, gating="sigmoid"), normalise=True)
    for il in b.blocks():
        residual = cur
        cur = b.norm(cur, "attn_norm", il)
        if hp.is_recurrent(il):
            cur = _short_convolution(b, states, cur, il)
        else:
            cur = _normed_attention(b, cache, cur, il, positions)
        cur, residual = rows.pick(il, cur, residual)
        cur = ops.add(residual, cur)
        normed = b.norm(cur, "ffn_norm", il)
        routed = b.has("ffn_gate_inp", il)
        cur = ops.add(cur, moe(b, normed, il, routing) if routed else ffn(b, normed, il))
    cur = b.norm(cur, "token_embd_norm")
    cur.is_output = True
    b.logits(cur)


GRAPHS: Final[Mapping[str, Graph]] = {
    "nemotron_h": nemotron_h,
    "nemotron_h_moe": nemotron_h,
    "granitehybrid": granite_hybrid,
    "falcon-h1": falcon_h1,
    "mamba": mamba_only,
    "mamba2": mamba_only,
    "jamba": jamba,
    "plamo2": plamo2,
    "minimax-01": minimax_01,
    "lfm2": lfm2,
    "lfm2moe": lfm2,
}
