"""Older families: the common transformer with small differences; models/<family>.cpp each."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from advisor.llm.hyperparameters import Hyperparameters
from advisor.sizing.compute import ops
from advisor.sizing.compute.attention import attention, attention_input
from advisor.sizing.compute.blocks import Graph, number, output_rows, qkv, routing_of
from advisor.sizing.compute.builder import Builder
from advisor.sizing.compute.feedforward import Routing, ffn, moe
from advisor.sizing.compute.graphs_latent import mla
from advisor.sizing.compute.nodes import Node
from advisor.sizing.compute.transformer import Style, transformer


def _nowhere(hp: Hyperparameters, il: int) -> bool:
    del hp, il
    return False


def _routing(hp: Hyperparameters) -> Routing:
    return replace(routing_of(hp), gating="softmax")


_PLAIN: Final = Style(rope_factors=False)
_GPT: Final = replace(_PLAIN, norm="NORM", activation="geglu")
"""Norms that subtract the mean, GELU without a gate."""
_PLACED: Final = replace(_GPT, rope=_nowhere, embeddings="placed")


def _stablelm(b: Builder) -> None:
    parallel = not b.has("ffn_norm", 0)
    style = replace(_PLAIN, norm="NORM", heads="norm_rope", parallel=parallel)
    transformer(replace(style, parallel_sum="feed + (attention + residual)"))(b)


def _gptneox(b: Builder) -> None:
    parallel = bool(b.hp.metadata.get("use_parallel_residual", True))
    transformer(replace(_GPT, parallel=parallel))(b)


def _mpt(b: Builder) -> None:
    transformer(_PLACED if b.has("position_embd") else replace(_GPT, rope=_nowhere))(b)


def _baichuan(b: Builder) -> None:
    # Of 32 blocks is the 7B, of 40 the 13B, which has ALiBi; llama.cpp runs no others.
    transformer(replace(_PLAIN, rope=_nowhere) if b.hp.n_layer == 40 else _PLAIN)(b)


def _minicpm3(b: Builder) -> None:
    cur = ops.scale(b.embeddings())
    positions = b.positions()
    cache = attention_input(b, "attn", list(range(b.hp.n_layer)))
    rows = output_rows(b)
    for il in b.blocks():
        residual = cur
        normed = b.norm(cur, "attn_norm", il)
        cur = mla(b, normed, cache, positions, il, factors=b.rope_factors(il))
        cur, residual = rows.pick(il, cur, residual)
        residual = ops.add(ops.scale(cur), residual)
        cur = ffn(b, b.norm(residual, "ffn_norm", il), il)
        cur = ops.add(ops.scale(cur), residual)
    cur = b.norm(cur, "output_norm")
    cur.is_output = True
    b.logits(ops.scale(cur))


class _Attention:
    """Rotated Q and K over one cache of all blocks."""

    def __init__(self, b: Builder) -> None:
        self.b = b
        self.positions = b.positions()
        self.cache = attention_input(b, "attn", list(range(b.hp.n_layer)))

    def __call__(
        self, cur: Node, il: int, *, out: str | None = "attn_output", soft_cap: bool = False
    ) -> Node:
        """Attention of one block."""
        q, k, v = qkv(self.b, cur, il)
        q, k = ops.rope(q, self.positions), ops.rope(k, self.positions)
        return attention(self.b, self.cache, q, k, v, il, out=out, soft_cap=soft_cap)


def _grok(b: Builder) -> None:
    cur, attend = b.embeddings(), _Attention(b)
    rows = output_rows(b)
    routing = replace(_routing(b.hp), normalise=True, activation="geglu")
    for il in b.blocks():
        residual = cur
        cur = attend(b.norm(cur, "attn_norm", il), il, soft_cap=True)
        cur, residual = rows.pick(il, cur, residual)
        residual = ops.add(b.norm(cur, "attn_output_norm", il), residual)
        read = b.norm(residual, "ffn_norm", il)
        cur = moe(b, read, il, routing)
        if b.has("ffn_up", il):
            cur = ops.scale(ops.add(ffn(b, read, il, activation="geglu"), cur))
        last = "layer_output_norm" if b.has("layer_output_norm", il) else "post_ffw_norm"
        cur = ops.add(b.norm(cur, last, il), residual)
    cur = b.norm(cur, "output_norm")
    cur.is_output = True
    b.logits(cur, scaled=True, soft_cap=bool(number(b.hp, "final_logit_softcapping")))


def _bitnet(b: Builder) -> None:
    cur, attend = b.embeddings(), _Attention(b)
    rows = output_rows(b)
    for il in b.blocks():
        residual = cur
        cur = attend(b.norm(cur, "attn_norm", il), il, out=None)
        cur = b.linear(b.norm(cur, "attn_sub_norm", il), "attn_output", il)
        cur, residual = rows.pick(il, cur, residual)
        residual = ops.add(cur, residual)
        read = b.norm(residual, "ffn_norm", il)
        up = b.linear(read, "ffn_up", il)
        cur = ops.glu("swiglu", b.linear(read, "ffn_gate", il), up)
        cur = b.linear(b.norm(cur, "ffn_sub_norm", il), "ffn_down", il)
        cur = ops.add(cur, residual)
    cur = b.norm(cur, "output_norm")
    cur.is_output = True
    cur = ops.mul_mat(b.weight("token_embd"), cur)
    cur.is_output = True
    b.expand(cur)


def _arctic(b: Builder) -> None:
    cur, attend = b.embeddings(), _Attention(b)
    rows = output_rows(b)
    for il in b.blocks():
        start = cur
        cur = attend(b.norm(cur, "attn_norm", il), il)
        cur, start = rows.pick(il, cur, start)
        residual = ops.add(cur, start)
        dense = ops.add(ffn(b, b.norm(residual, "ffn_norm", il), il), residual)
        routed = moe(b, b.norm(start, "ffn_norm_exps", il), il, Routing())
        cur = ops.add(routed, dense)
    b.head(cur)


GRAPHS: Final[Mapping[str, Graph]] = {
    "phi2": transformer(
        replace(_GPT, scale_q=True, parallel=True, parallel_sum="attention + feed + residual")
    ),
    "stablelm": _stablelm,
    "falcon": transformer(replace(_GPT, parallel=True, parallel_sum="feed + attention + residual")),
    "chatglm": transformer(replace(_PLAIN, activation="packed_swiglu")),
    "deepseek": transformer(Style(routing=lambda hp: replace(_routing(hp), normalise=False))),
    "deepseek2-ocr": transformer(replace(_PLAIN, routing=routing_of)),
    "bailingmoe": transformer(Style(routing=_routing)),
    "olmo": transformer(replace(_PLAIN, norm="NORM")),
    "minicpm3": _minicpm3,
    "dbrx": transformer(replace(_PLAIN, norm="NORM", ffn_norm="attn_output_norm")),
    "gptneox": _gptneox,
    "mpt": _mpt,
    "bloom": transformer(replace(_GPT, rope=_nowhere, embeddings="weighted_norm")),
    "starcoder": transformer(_PLACED),
    "gpt2": transformer(_PLACED),
    "codeshell": transformer(_GPT),
    "jais": transformer(replace(_PLAIN, norm="NORM", rope=_nowhere)),
    "refact": transformer(replace(_PLAIN, rope=_nowhere)),
    "baichuan": _baichuan,
    "orion": transformer(replace(_PLAIN, norm="NORM")),
    "qwen": transformer(_PLAIN),
    "xverse": transformer(_PLAIN),
    "plamo": transformer(
        replace(_PLAIN, parallel=True, parallel_sum="feed + attention + residual")
    ),
    "grok": _grok,
    "arctic": _arctic,
    "bitnet": _bitnet,
    "cogvlm": transformer(replace(_PLAIN, output="never")),
    "openelm": transformer(replace(_PLAIN, heads="norm_rope", attention_last=True)),
}
