"""Transformers whose layers alternate between full attention and a sliding window."""

from collections.abc import Mapping
from typing import Final

from advisor.sizing.compute import ops
from advisor.sizing.compute.attention import AttentionInput, attention, attention_input
from advisor.sizing.compute.blocks import (
    Graph,
    head_norms,
    late_head,
    output_rows,
    qkv,
    soft_capped_head,
)
from advisor.sizing.compute.builder import Builder
from advisor.sizing.compute.feedforward import Routing, ffn, moe


class Windows:
    """Inputs of the two caches (build_attn_inp_kv_iswa), or of one where nothing slides."""

    def __init__(self, b: Builder) -> None:
        hp = b.hp
        layers = range(hp.n_layer)
        self._hp = hp
        self.two = hp.swa_type != "none"
        if not self.two:
            self._base = self._swa = attention_input(b, "attn", list(layers))
            return
        # The order of llm_graph_context::build_attn_inp_kv_iswa: rotations come last.
        full = [il for il in layers if not hp.is_swa(il)]
        sliding = [il for il in layers if hp.is_swa(il)]
        self._base = attention_input(b, "base", full)
        self._swa = attention_input(b, "swa", sliding)

    def of(self, il: int) -> AttentionInput:
        """The cache of a block."""
        return self._swa if self._hp.is_swa(il) else self._base


def gemma3(b: Builder) -> None:
    """Gemma 3: norms before and after both halves of a block."""
    cur = b.embeddings(scaled=True)
    positions = b.positions()
    caches = Windows(b)
    rows = output_rows(b)
    for il in b.blocks():
        residual = cur
        q, k, v = qkv(b, b.norm(cur, "attn_norm", il), il)
        q, k = head_norms(b, q, k, il)
        q, k = ops.scale(ops.rope(q, positions)), ops.rope(k, positions)
        cur = attention(b, caches.of(il), q, k, v, il, k_first=caches.two)
        cur, residual = rows.pick(il, cur, residual)
        residual = ops.add(b.norm(cur, "post_attention_norm", il), residual)
        cur = ffn(b, b.norm(residual, "ffn_norm", il), il, activation="geglu")
        cur = ops.add(b.norm(cur, "post_ffw_norm", il), residual)
    if b.hp.metadata.get("final_logit_softcapping"):
        soft_capped_head(b, cur)
    else:
        b.head(cur)


def gpt_oss(b: Builder) -> None:
    """gpt-oss: attention sinks, biased experts, output rows picked after the last block."""
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
        residual = ops.add(cur, residual)
        cur = moe(b, b.norm(residual, "post_attention_norm", il), il, routing)
        cur = ops.add(cur, residual)
    # The last hidden state is kept for a draft head.
    cur.is_output = True
    b.head(ops.get_rows(cur, rows.ids))


GRAPHS: Final[Mapping[str, Graph]] = {
    "gemma3": gemma3,
    "gpt-oss": gpt_oss,
}
