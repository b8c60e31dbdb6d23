"""Feed-forward networks, dense and with experts (llama-graph.cpp:build_ffn, build_moe_ffn)."""

from dataclasses import dataclass
from typing import Final

from advisor.sizing.compute import ops
from advisor.sizing.compute.backends import EXACT_SOURCE
from advisor.sizing.compute.builder import Builder
from advisor.sizing.compute.nodes import F32, I32, Node
from advisor.sizing.left_in_ram import EXACT

_LIMITED_AT_ONCE: Final = frozenset({"deepseek4", "glm5-next", "hy_v4", "maple"})
"""Architectures that limit SwiGLU in one operation (llama-graph.cpp:build_ffn, build_moe_ffn);
their graphs say so by its name."""


def _limits(b: Builder, key: str, il: int) -> bool:
    """Whether what the gate opens is limited in a block."""
    values = b.hp.metadata.get(key, 0.0)
    if b.hp.arch in _LIMITED_AT_ONCE or isinstance(values, str):
        return False
    if isinstance(values, int | float):
        return values > 0
    return il < len(values) and float(values[il]) > 0


def _limited(gate: Node, up: Node) -> Node:
    """SwiGLU with limits, step by step."""
    return ops.mul(ops.clamp(ops.unary("silu", gate)), ops.clamp(up))


def ffn(b: Builder, cur: Node, il: int, *, activation: str = "swiglu", suffix: str = "") -> Node:
    """Dense network with a parallel gate where the model has one.

    activation: swiglu, geglu, reglu (gated when there is a gate, else silu, gelu, relu), relu_sqr,
    xielu, or "packed_swiglu" and "packed_geglu" for gate and up in one matrix.
    suffix: ``"_shexp"`` for a shared expert.
    """
    up = b.linear(cur, f"ffn_up{suffix}", il)
    if b.has(f"ffn_gate{suffix}", il):
        gate = b.linear(cur, f"ffn_gate{suffix}", il)
        limited = activation == "swiglu" and _limits(b, "swiglu_clamp_shexp", il)
        cur = _limited(gate, up) if limited else ops.glu(activation, gate, up)
    elif activation.startswith("packed_"):
        cur = ops.glu(activation.removeprefix("packed_"), up)
    elif activation == "relu_sqr":
        cur = ops.like("SQR", ops.unary("relu", up))
    else:
        plain = {"swiglu": "silu", "geglu": "gelu", "reglu": "relu", "xielu": "xielu"}
        cur = ops.unary(plain[activation], up)
    return b.linear(cur, f"ffn_down{suffix}", il)


def situ(gate: Node, up: Node, *, bounded: bool) -> Node:
    """Kimi K3's activation; ``bounded``: the linear part is limited as well."""
    cur = ops.scale(ops.unary("tanh", ops.scale(gate)))
    cur = ops.mul(cur, ops.unary("sigmoid", gate))
    if bounded:
        up = ops.scale(ops.unary("tanh", ops.scale(up)))
    return ops.mul(cur, up)


@dataclass(frozen=True, slots=True)
class Routing:
    """How experts are chosen and weighted."""

    gating: str = "softmax"
    """softmax, sigmoid, softmax_weight (after the choice) or sqrt_softplus."""
    normalise: bool = True
    scaled: bool = False
    activation: str = "swiglu"
    weight_first: bool = False
    """Weights are applied to the input (Llama 4)."""
    groups: int = 0
    """Expert groups of which only some are searched."""
    groups_used: int = 0
    sigmoid_choice: bool = False
    """Chosen by the sigmoid of their logits, whatever weighs them (GroveMoE)."""
    kind: str = "exps"
    """Which experts, by the end of their tensors' names."""
    share: int = 1
    """So many routed experts have one of these (GroveMoE's small ones)."""


def _probabilities(routing: Routing, logits: Node) -> Node:
    if routing.gating == "softmax":
        return ops.soft_max(logits)
    if routing.gating == "sigmoid":
        return ops.unary("sigmoid", logits)
    if routing.gating == "sqrt_softplus":
        return ops.like("SQRT", ops.unary("softplus", logits))
    return logits


def _within_groups(routing: Routing, probs: Node) -> Node:
    n_expert, tokens = probs.ne[:2]
    per_group = n_expert // routing.groups
    groups = ops.reshape(probs, per_group, routing.groups, tokens)
    scores = ops.argsort_top_k(groups, 2)
    scores = ops.get_rows(ops.reshape(groups, 1, *groups.ne[:3]), scores)
    scores = ops.sum_rows(ops.reshape(scores, *scores.ne[1:]))
    scores = ops.reshape(scores, scores.ne[1], scores.ne[2])
    chosen = ops.argsort_top_k(scores, routing.groups_used)
    probs = ops.get_rows(groups, chosen)
    probs = ops.set_rows(ops.like("FILL", groups), probs, chosen)
    return ops.reshape(probs, n_expert, tokens)


def _expert_weights(routing: Routing, probs: Node, chosen: Node, used: int) -> Node:
    n_expert, tokens = probs.ne[:2]
    weights = ops.get_rows(ops.reshape(probs, 1, n_expert, tokens), chosen)
    if routing.gating == "softmax_weight":
        weights = ops.soft_max(ops.reshape(weights, used, tokens))
        weights = ops.reshape(weights, 1, used, tokens)
    if routing.normalise:
        weights = ops.reshape(weights, used, tokens)
        weights = ops.div(weights, ops.clamp(ops.sum_rows(weights)))
        weights = ops.reshape(weights, 1, used, tokens)
    return ops.scale(weights) if routing.scaled else weights


def _experts(b: Builder, cur: Node, name: str, il: int, ids: Node) -> Node:
    cur = ops.mul_mat_id(b.weight(name, il), cur, ids)
    bias = b.find(name, il, "bias")
    return cur if bias is None else ops.add_id(cur, bias, ids)


def _activated(b: Builder, routing: Routing, cur: Node, il: int, ids: Node) -> Node:
    gate_name, up_name = f"ffn_gate_{routing.kind}", f"ffn_up_{routing.kind}"
    if b.has("ffn_gate_up_exps", il):
        both = _experts(b, cur, "ffn_gate_up_exps", il, ids)
        half = both.ne[0] // 2
        ne = (half, both.ne[1], both.ne[2], 1)
        gate = ops.view(both, ne, (both.nb[1], both.nb[2]))
        up = ops.view(both, ne, (both.nb[1], both.nb[2]), half * both.nb[0])
        return ops.glu(routing.activation, gate, up)
    up = _experts(b, cur, up_name, il, ids)
    if routing.activation.endswith("situ"):
        gate = _experts(b, cur, gate_name, il, ids)
        return situ(gate, up, bounded=routing.activation == "bounded_situ")
    if b.has(gate_name, il):
        gate = _experts(b, cur, gate_name, il, ids)
        if routing.activation == "swiglu" and _limits(b, "swiglu_clamp_exp", il):
            return _limited(gate, up)
        return ops.glu(routing.activation, gate, up)
    if routing.activation == "relu_sqr":
        return ops.like("SQR", ops.unary("relu", up))
    return ops.unary("silu" if routing.activation == "swiglu" else "gelu", up)


def moe(
    b: Builder, cur: Node, il: int, routing: Routing, *, logits: Node | None = None,
    chosen: Node | None = None,
) -> Node:  # fmt: skip
    """Route every token to some experts and add up what they say."""
    hp = b.hp
    n_embd, tokens = cur.ne[:2]
    used = min(hp.n_expert_used, hp.n_expert // routing.share)
    if logits is None:
        logits = ops.mul_mat(b.weight("ffn_gate_inp", il), cur)
    bias = b.find("ffn_gate_inp", il, "bias")
    if bias is not None:
        logits = ops.add(logits, bias)
    probs = _probabilities(routing, logits)
    selection = logits if routing.weight_first else probs
    # Hunyuan 3 names it without .bias.
    shift = b.find("exp_probs_b", il, "bias") or b.find("exp_probs_b", il, "")
    if shift is not None:
        selection = ops.add(probs, shift)
    if routing.sigmoid_choice:
        selection = ops.unary("sigmoid", logits)
    if routing.groups > 1:
        selection = _within_groups(routing, selection)
    if chosen is None:
        chosen = ops.argsort_top_k(selection, used)
    if routing.share > 1:
        chosen = ops.cast(ops.scale(ops.cast(chosen, F32)), I32)
    weights = b.expand(_expert_weights(routing, probs, chosen, used))
    cur = ops.reshape(cur, n_embd, 1, tokens)
    if routing.weight_first:
        cur = ops.mul(ops.repeat(cur, (n_embd, used, tokens, 1)), weights)
    experts = _activated(b, routing, cur, il, chosen)
    experts = _experts(b, experts, f"ffn_down_{routing.kind}", il, chosen)
    if hp.arch in EXACT:
        experts.tag = EXACT_SOURCE
    if not routing.weight_first:
        experts = ops.mul(experts, weights)
    b.expand(experts)
    parts = [
        b.expand(
            ops.view(experts, (experts.ne[0], tokens, 1, 1), (experts.nb[2],), i * experts.nb[1])
        )
        for i in range(used)
    ]
    total = parts[0]
    for part in parts[1:]:
        total = b.expand(ops.add(total, part))
    return ops.cont(total) if used == 1 else total
