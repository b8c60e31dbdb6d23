"""Gemma 3n: alternating updates over parallel streams, and per-layer embeddings."""

from collections.abc import Mapping
from typing import Final

from advisor.sizing.compute import ops
from advisor.sizing.compute.attention import attention
from advisor.sizing.compute.blocks import Graph, number, qkv
from advisor.sizing.compute.builder import Builder
from advisor.sizing.compute.graphs_window import layer_inputs
from advisor.sizing.compute.nodes import Node
from advisor.sizing.compute.windows import Windows

_STREAMS: Final = 4
"""llama-hparams.h:n_altup, a constant of the architecture."""
SPARSE_BLOCKS: Final = 10
"""Blocks whose gates are thinned out (n_layer_sparsity)."""


def _slice(x: Node, i: int) -> Node:
    n0, n1 = x.ne[:2]
    return ops.view(x, (n0, n1, 1, 1), (n0 * 4,), i * n0 * n1 * 4)


def _rest(x: Node) -> Node:
    n0, n1 = x.ne[:2]
    return ops.view(x, (n0, n1, _STREAMS - 1, 1), (n0 * 4, n0 * n1 * 4), n0 * n1 * 4)


def _magnitude(x: Node) -> Node:
    return ops.like("SQRT", ops.sum_rows(ops.like("SQR", x)))


def _match(x: Node, target: Node) -> Node:
    length = _magnitude(x)
    return ops.div(ops.mul(x, target), length)


def _modalities(b: Builder, x: Node, il: int) -> Node:
    x = ops.scale(b.norm(x, "altup_router_norm", il))
    return ops.unary("tanh", ops.mul_mat(b.weight("altup_router", il), x))


def _predict(b: Builder, cur: Node, il: int) -> Node:
    tokens = b.n_tokens
    coefficients = ops.mul_mat(
        b.weight("altup_predict_coef", il), _modalities(b, _slice(cur, 0), il)
    )
    coefficients = ops.reshape(coefficients, _STREAMS, _STREAMS, tokens)
    permuted = ops.cont(ops.permute(cur, 1, 2, 0, 3))
    predictions = ops.mul_mat(permuted, coefficients)
    predictions = ops.cont(ops.permute(predictions, 0, 2, 1, 3))
    return ops.add(predictions, cur)


def _correct(b: Builder, predictions: Node, activated: Node, il: int) -> Node:
    n_embd, tokens = activated.ne[:2]
    modalities = _modalities(b, activated, il)
    innovation = ops.sub(activated, _slice(predictions, 0))
    coefficients = ops.scale(ops.mul_mat(b.weight("altup_correct_coef", il), modalities))
    coefficients = ops.cont(ops.transpose(coefficients), (1, tokens, _STREAMS, 1))
    innovation = ops.repeat(innovation, (n_embd, tokens, _STREAMS, 1))
    return ops.add(ops.mul(innovation, coefficients), predictions)


def _thinned(x: Node) -> Node:
    mean = ops.mean_rows(x)
    deviation = ops.sum_rows(ops.like("SQR", ops.sub(x, mean)))
    deviation = ops.like("SQRT", ops.scale(deviation))
    cutoff = ops.add(mean, ops.scale(deviation))
    return ops.unary("relu", ops.sub(x, cutoff))


def _attend(b: Builder, cur: Node, caches: Windows, positions: Node, il: int) -> Node:
    hp = b.hp
    if hp.has_kv(il):
        q, k, v = qkv(b, cur, il)
        q, k = b.norm(q, "attn_q_norm", il), b.norm(k, "attn_k_norm", il)
        v = ops.like("RMS_NORM", v)
        q, k = ops.rope(q, positions), ops.rope(k, positions)
        return attention(b, caches.of(il), q, k, v, il, k_first=True)
    q = ops.mul_mat(b.weight("attn_q", il), cur)
    q = ops.reshape(q, hp.head_k(il), hp.n_head[il], b.n_tokens)
    q = ops.rope(b.norm(q, "attn_q_norm", il), positions)
    return attention(b, caches.of(il), q, None, None, il, k_first=True)


def _block(
    b: Builder, streams: Node, caches: Windows, positions: Node, mine: Node, il: int
) -> Node:
    predictions = _predict(b, streams, il)
    active = _slice(predictions, 0)
    cur = b.norm(active, "attn_norm", il)
    low = ops.mul_mat(b.weight("laurel_r", il), ops.mul_mat(b.weight("laurel_l", il), cur))
    laurel = ops.add(b.norm(low, "laurel_post_norm", il), cur)
    cur = b.norm(_attend(b, cur, caches, positions, il), "post_attention_norm", il)
    cur = ops.add(cur, active)
    attended = ops.scale(ops.add(cur, laurel))
    cur = b.norm(attended, "ffn_norm", il)
    up = ops.mul_mat(b.weight("ffn_up", il), cur)
    gate = ops.mul_mat(b.weight("ffn_gate", il), cur)
    if il < SPARSE_BLOCKS:
        gate = _thinned(gate)
    cur = ops.mul_mat(b.weight("ffn_down", il), ops.mul(up, ops.unary("gelu", gate)))
    cur = ops.add(b.norm(cur, "post_ffw_norm", il), attended)
    corrected = _correct(b, predictions, cur, il)
    first = ops.mul(_slice(corrected, 0), b.weight("altup_correct_scale", il))
    first = ops.unary("gelu", ops.mul_mat(b.weight("inp_gate", il), first))
    first = ops.mul_mat(b.weight("proj", il), ops.mul(first, _slice(mine, il)))
    first = b.norm(first, "post_norm", il)
    return ops.concat(_slice(corrected, 0), ops.add(_rest(corrected), first), 2)


def gemma3n(b: Builder) -> None:
    """Gemma 3n E2B and E4B."""
    hp, tokens = b.hp, b.n_tokens
    cur = b.embeddings(scaled=True)
    positions = b.positions()
    caches = Windows(b)
    mine = layer_inputs(b, cur)
    target = _magnitude(cur)
    others = ops.repeat(cur, (hp.n_embd, tokens, _STREAMS - 1, 1))
    added = ops.mul_mat(b.weight("altup_proj"), others)
    streams = ops.concat(cur, _match(added, target), 2)
    for il in b.blocks():
        streams = _block(b, streams, caches, positions, mine, il)
    target = _magnitude(_slice(streams, 0))
    back = _match(ops.mul_mat(b.weight("altup_unembd_proj"), _rest(streams)), target)
    cur = _slice(streams, 0)
    for i in range(_STREAMS - 1):
        cur = ops.add(cur, _slice(back, i))
    cur = ops.get_rows(ops.scale(cur), b.output_ids())
    cur = b.norm(cur, "output_norm")
    cur.is_output = True
    b.logits(cur, soft_cap=bool(number(hp, "final_logit_softcapping", 30.0)))


GRAPHS: Final[Mapping[str, Graph]] = {"gemma3n": gemma3n}
