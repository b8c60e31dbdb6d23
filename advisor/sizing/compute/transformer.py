"""The transformer that most families are, described by what they do differently."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from advisor.llm.hyperparameters import Hyperparameters
from advisor.sizing.compute import ops
from advisor.sizing.compute.attention import attention
from advisor.sizing.compute.blocks import Rows, number, output_rows, qkv
from advisor.sizing.compute.builder import Builder, stream_of, streams
from advisor.sizing.compute.feedforward import Routing, ffn, moe
from advisor.sizing.compute.nodes import F32, Node
from advisor.sizing.compute.windows import Windows


def _everywhere(hp: Hyperparameters, il: int) -> bool:
    del hp, il
    return True


ParallelSum = Literal[
    "feed + residual + attention",
    "attention + feed + residual",
    "feed + attention + residual",
    "feed + (attention + residual)",
]
"""How the parts of a parallel block are added up, from the left."""


@dataclass(frozen=True, slots=True)
class Style:
    """What a family does differently from Llama."""

    heads: Literal["plain", "norm_rope", "rope_norm", "rope_rms", "flat_norm"] = "plain"
    """Norms of Q and K: none, before or after the rotation, without weights, over all heads."""
    rope: Callable[[Hyperparameters, int], bool] = _everywhere
    """Which blocks rotate."""
    rope_factors: bool = True
    positions: int = 1
    temperature: Literal["never", "always", "without_rope"] = "never"
    scale_q: bool = False
    sinks: bool = False
    gate: Literal["none", "sigmoid", "softplus"] = "none"
    """What attention returns is gated, per head (Step 3.5) or per value (Trinity)."""
    scale_attention: bool = False
    norm: str = "RMS_NORM"
    pre_norm: bool = True
    post_attention_norm: str | None = None
    """Norm between attention and the residual sum."""
    norm_every_row: bool = False
    """That norm comes before output rows are picked (Trinity)."""
    ffn_norm: str | None = "ffn_norm"
    post_ffn_norm: str | None = None
    parallel: bool = False
    """Attention and feed-forward read the same norm (Command R), or norms of the same input."""
    parallel_sum: ParallelSum = "feed + residual + attention"
    routing: Callable[[Hyperparameters], Routing] = lambda _: Routing()
    shared_gate: Literal["none", "sigmoid", "silu"] = "none"
    shared_activation: str = "swiglu"
    mean_of_shared: bool = False
    """Routed and shared experts are averaged (Cohere)."""
    activation: str = "swiglu"
    scale_residual: bool = False
    attention_last: bool = False
    """The sum after attention has the residual as first operand (OpenELM)."""
    residual_first: bool = False
    """The last sum of a block has the residual as first operand (Phi 3)."""
    output: Literal["early", "before_norm", "after_norm", "never"] = "early"
    """Where output rows are picked: in the last block, or not at all (CogVLM). Where a draft head
    reads what is before or after the last norm, builds before ``rows_early`` pick them there."""
    scale_logits: bool = False
    soft_cap: bool = False
    embeddings: Literal[
        "as_they_are", "scaled_rows", "scaled", "normed", "weighted_norm", "placed"
    ] = "as_they_are"
    """What is done to embeddings: multiplied row by row or all by one number, normalised without
    or with weights, or learned positions added."""


def _project(b: Builder, s: Style, cur: Node, il: int) -> tuple[Node, Node, Node]:
    if s.heads != "flat_norm":
        return qkv(b, cur, il)
    hp, tokens = b.hp, b.n_tokens
    q = b.norm(b.linear(cur, "attn_q", il), "attn_q_norm", il)
    k = b.norm(b.linear(cur, "attn_k", il), "attn_k_norm", il)
    v = b.linear(cur, "attn_v", il)
    return (
        ops.reshape(q, hp.head_k(il), hp.n_head[il], tokens),
        ops.reshape(k, hp.head_k(il), hp.n_head_kv[il], tokens),
        ops.reshape(v, hp.head_v(il), hp.n_head_kv[il], tokens),
    )


def _normed(b: Builder, s: Style, cur: Node, name: str, il: int) -> Node:
    return b.norm(cur, name, il, op=s.norm) if b.has(name, il) else cur


def _sum(order: ParallelSum, feed: Node, attention: Node, residual: Node) -> Node:
    match order:
        case "feed + residual + attention":
            return ops.add(ops.add(feed, residual), attention)
        case "attention + feed + residual":
            return ops.add(ops.add(attention, feed), residual)
        case "feed + attention + residual":
            return ops.add(ops.add(feed, attention), residual)
        case "feed + (attention + residual)":
            return ops.add(feed, ops.add(attention, residual))


class _Transformer:
    def __init__(self, b: Builder, s: Style) -> None:
        self.b, self.s = b, s
        self.cur, _ = b.embeddings_and_ids(
            scaled=s.embeddings == "scaled_rows", mixed=s.output != "never"
        )
        if s.embeddings == "scaled":
            self.cur = ops.scale(self.cur)
        elif s.embeddings == "normed":
            self.cur = b.norm(self.cur, None)
        elif s.embeddings == "weighted_norm":
            self.cur = b.norm(self.cur, "token_embd_norm", op=s.norm, beside=0)
        self.positions = b.positions(s.positions)
        if s.embeddings == "placed":
            places = ops.get_rows(b.weight("position_embd"), self.positions)
            self.cur = ops.add(self.cur, places)
        self.temperature: Node | None = None
        if s.temperature != "never":
            self.temperature = b.input(F32, 1, 1, b.n_tokens)
        self.caches = Windows(b)
        self.rows: Rows = output_rows(b)
        self.routing = s.routing(b.hp)
        self.before = stream_of(b.hp)
        self.after = 0 if self.before else streams(b.hp)

    def attend(self, cur: Node, il: int) -> Node:
        """Attention of one block, projected."""
        b, s = self.b, self.s
        normed = cur
        q, k, v = _project(b, s, cur, il)
        if s.heads == "norm_rope":
            q, k = _normed(b, s, q, "attn_q_norm", il), _normed(b, s, k, "attn_k_norm", il)
        rotates = s.rope(b.hp, il)
        if rotates:
            factors = b.rope_factors(il) if s.rope_factors else None
            q, k = ops.rope(q, self.positions, factors), ops.rope(k, self.positions, factors)
        if s.heads == "rope_norm":
            k, q = _normed(b, s, k, "attn_k_norm", il), _normed(b, s, q, "attn_q_norm", il)
        if s.heads == "rope_rms" and rotates:
            q, k = ops.like("RMS_NORM", q), ops.like("RMS_NORM", k)
        if self.temperature is not None and (s.temperature == "always" or not rotates):
            q = ops.mul(q, self.temperature)
        if s.scale_q:
            q = ops.scale(q)
        out = attention(
            b, self.caches.of(il), q, k, v, il, k_first=self.caches.two,
            out="attn_output" if s.gate == "none" else None,
            sinks=b.find("attn_sinks", il) if s.sinks else None, soft_cap=s.soft_cap,
        )  # fmt: skip
        if s.gate != "none":
            out = self._gated(out, normed, il)
        return ops.scale(out) if s.scale_attention else out

    def _gated(self, out: Node, cur: Node, il: int) -> Node:
        b, heads, tokens = self.b, self.b.hp.n_head[il], self.b.n_tokens
        if b.has("attn_gate", il):
            gate = ops.unary(self.s.gate, ops.mul_mat(b.weight("attn_gate", il), cur))
            if gate.ne[0] == heads:
                split = ops.reshape(out, b.hp.head_v(il), heads, tokens)
                split = ops.mul(split, ops.reshape(gate, 1, heads, tokens))
                out = ops.reshape(split, b.hp.head_v(il) * heads, tokens)
            else:
                out = ops.mul(out, gate)
        return b.linear(out, "attn_output", il)

    def feed(self, cur: Node, il: int) -> Node:
        """Feed-forward network of one block, experts included."""
        b, s = self.b, self.s
        if not b.has("ffn_gate_inp", il):
            return ffn(b, cur, il, activation=s.activation)
        routed = moe(b, cur, il, self.routing)
        if not b.has("ffn_up_shexp", il):
            return routed
        shared = ffn(b, cur, il, activation=s.shared_activation, suffix="_shexp")
        if s.shared_gate != "none":
            gate = ops.mul_mat(b.weight("ffn_gate_inp_shexp", il), cur)
            if s.shared_gate == "sigmoid":
                gate = ops.unary("sigmoid", gate)
            else:
                gate = ops.div(ops.unary("silu", gate), gate)
            shared = ops.mul(shared, gate)
        both = ops.add(routed, shared)
        return ops.scale(both) if s.mean_of_shared else both

    def block(self, il: int) -> None:
        """One block."""
        b, s = self.b, self.s
        if il > 0 and il < len(self.before) and self.before[il] >= 0:
            self.cur = ops.add(self.cur, b.stream(self.before[il]))
        residual = self.cur
        cur = b.norm(residual, "attn_norm", il, op=s.norm) if s.pre_norm else residual
        normed = cur
        if b.has("attn_norm_2", il):
            cur = b.norm(residual, "attn_norm_2", il, op=s.norm)
        cur = self.attend(cur, il)
        if s.parallel:
            cur, residual, normed = self._pick(il, cur, residual, normed)
            if b.has("ffn_norm", il):
                normed = b.norm(residual, "ffn_norm", il, op=s.norm)
            self.cur = _sum(s.parallel_sum, self.feed(normed, il), cur, residual)
            return
        if s.norm_every_row:
            cur = b.norm(cur, s.post_attention_norm, il, op=s.norm)
        cur, residual = self._pick(il, cur, residual)
        if s.post_attention_norm is not None and not s.norm_every_row:
            cur = b.norm(cur, s.post_attention_norm, il, op=s.norm)
        if s.scale_residual:
            cur = ops.scale(cur)
        residual = ops.add(residual, cur) if s.attention_last else ops.add(cur, residual)
        cur = residual if s.ffn_norm is None else b.norm(residual, s.ffn_norm, il, op=s.norm)
        cur = self.feed(cur, il)
        if s.post_ffn_norm is not None:
            cur = b.norm(cur, s.post_ffn_norm, il, op=s.norm)
        if s.scale_residual:
            cur = ops.scale(cur)
        self.cur = ops.add(residual, cur) if s.residual_first else ops.add(cur, residual)
        if il < self.after:
            self.cur = ops.add(self.cur, b.stream(il + 1))

    def _pick(self, il: int, *nodes: Node) -> tuple[Node, ...]:
        match self.s.output:
            case "early":
                return self.rows.pick(il, *nodes)
            case "before_norm" | "after_norm":
                return self.rows.pick_drafted(il, *nodes)
            case "never":
                return nodes

    def finish(self) -> None:
        """Final norm and logits."""
        b, s, cur = self.b, self.s, self.cur
        if s.output == "before_norm":
            cur = self.rows.drafted(cur)
        cur = b.norm(cur, "output_norm", op=s.norm)
        cur.is_output = True
        if s.output == "after_norm":
            cur = self.rows.drafted(cur)
            cur.is_output = True
        b.logits(
            cur,
            scaled=s.scale_logits,
            soft_cap=s.soft_cap or bool(number(b.hp, "final_logit_softcapping")),
        )


def transformer(style: Style) -> Callable[[Builder], None]:
    """The graph of a family."""

    def build(b: Builder) -> None:
        graph = _Transformer(b, style)
        for il in b.blocks():
            graph.block(il)
        graph.finish()

    return build
