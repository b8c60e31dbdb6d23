"""Parts that many graphs share: heads, the choice of output rows, metadata of the experts."""

from collections.abc import Callable
from dataclasses import dataclass

from advisor.llm.hyperparameters import Hyperparameters
from advisor.sizing.compute import ops
from advisor.sizing.compute.builder import Builder
from advisor.sizing.compute.feedforward import Routing, ffn, moe
from advisor.sizing.compute.nodes import Node

Graph = Callable[[Builder], None]

_GATING = {1: "softmax", 2: "sigmoid", 3: "softmax_weight", 4: "sqrt_softplus"}
"""llama-hparams.h:llama_expert_gating_func_type."""


def number(hp: Hyperparameters, key: str, default: float = 0.0) -> float:
    """A metadata value that is one number."""
    value = hp.metadata.get(key, default)
    return float(value) if isinstance(value, int | float) else default


def per_layer(hp: Hyperparameters, key: str, il: int, default: float = 0.0) -> float:
    """A metadata value that is one number or one per block."""
    value = hp.metadata.get(key, default)
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, str) or il >= len(value):
        return default
    return float(value[il])


def routing_of(
    hp: Hyperparameters, *, gating: str = "softmax", activation: str = "swiglu"
) -> Routing:
    """How the model's metadata say that experts are chosen; ``gating`` where they don't."""
    said = _GATING.get(int(number(hp, "expert_gating_func")), gating)
    scale = number(hp, "expert_weights_scale")
    return Routing(
        gating=said,
        normalise=bool(hp.metadata.get("expert_weights_norm", False)),
        scaled=scale not in {0.0, 1.0},
        activation=activation,
        groups=hp.n_expert_groups,
        groups_used=hp.n_group_used,
    )


def qkv(b: Builder, cur: Node, il: int) -> tuple[Node, Node, Node]:
    """Project to heads (llm_graph_context::build_qkv)."""
    hp = b.hp
    k_size, v_size = hp.head_k(il), hp.head_v(il)
    heads, heads_kv = hp.n_head[il], hp.n_head_kv[il]
    clamped = number(hp, "attention.clamp_kqv") > 0

    def project(name: str) -> Node:
        projected = b.linear(cur, name, il)
        return ops.clamp(projected) if clamped else projected

    if b.has("attn_qkv", il):
        both = project("attn_qkv")
        size, row = both.type.size, both.nb[1]
        k_at = k_size * heads * size
        v_at = k_at + k_size * heads_kv * size
        tokens = cur.ne[1]
        strides = (k_size * size, row)
        return (
            ops.view(both, (k_size, heads, tokens, 1), strides),
            ops.view(both, (k_size, heads_kv, tokens, 1), strides, k_at),
            ops.view(both, (v_size, heads_kv, tokens, 1), (v_size * size, row), v_at),
        )
    q, k, v = project("attn_q"), project("attn_k"), project("attn_v")
    return (
        ops.reshape(q, k_size, heads, cur.ne[1]),
        ops.reshape(k, k_size, heads_kv, cur.ne[1]),
        ops.reshape(v, v_size, heads_kv, cur.ne[1]),
    )


def head_norms(b: Builder, q: Node, k: Node, il: int) -> tuple[Node, Node]:
    """Normalise Q and K heads where the model has the tensors."""
    if b.has("attn_q_norm", il):
        q = b.norm(q, "attn_q_norm", il)
    if b.has("attn_k_norm", il):
        k = b.norm(k, "attn_k_norm", il)
    return q, k


def shared_and_routed(
    b: Builder, cur: Node, il: int, routing: Routing, *, chosen: Node | None = None
) -> Node:
    """Experts and, where there is one, the shared expert beside them."""
    routed = moe(b, cur, il, routing, chosen=chosen)
    if not b.has("ffn_up_shexp", il):
        return routed
    return ops.add(routed, ffn(b, cur, il, activation=routing.activation, suffix="_shexp"))


def feed_forward(b: Builder, residual: Node, il: int, routing: Routing) -> Node:
    """The second half of a block: dense in the leading blocks, then experts, and the sum."""
    cur = b.norm(residual, "ffn_norm", il)
    if il < b.hp.n_layer_dense_lead:
        cur = ffn(b, cur, il, activation=routing.activation)
    else:
        cur = shared_and_routed(b, cur, il, routing)
    return ops.add(cur, residual)


@dataclass(slots=True)
class Rows:
    """The rows that become logits, picked in the last block or after it."""

    ids: Node
    last: int
    early: bool
    """Whether they are picked in the last block also where a draft head reads its result."""

    def pick(self, il: int, *nodes: Node) -> tuple[Node, ...]:
        """Keep only the output rows if this is the last block."""
        if il != self.last:
            return nodes
        return tuple(ops.get_rows(node, self.ids) for node in nodes)

    def pick_drafted(self, il: int, *nodes: Node) -> tuple[Node, ...]:
        """The same where a draft head reads the result (crop_before_nextn)."""
        return self.pick(il, *nodes) if self.early else nodes

    def drafted(self, cur: Node) -> Node:
        """Keep only the output rows of what a draft head reads (crop_after_nextn)."""
        cur.is_output = True
        return cur if self.early else ops.get_rows(cur, self.ids)


def output_rows(b: Builder) -> Rows:
    """Input that says which rows become logits."""
    return Rows(b.output_ids(), b.hp.n_layer - 1, b.shape.rules.rows_early)


def late_head(b: Builder, cur: Node, rows: Rows) -> None:
    """Final norm over all rows, kept for a draft head, then logits of the output rows."""
    cur = rows.drafted(b.norm(cur, "output_norm"))
    cur.is_output = True
    b.logits(cur)
