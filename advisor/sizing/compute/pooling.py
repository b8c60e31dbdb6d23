"""What follows a graph that is asked for vectors: those of a text become one, or one score."""

from advisor.sizing.compute import ops
from advisor.sizing.compute.builder import Builder
from advisor.sizing.compute.nodes import F32, I32, Node


def pool(b: Builder) -> None:
    """Add what llama-graph.cpp:build_pooling and build_dense_out add; nothing for a chat."""
    cur = b.hidden
    if not b.shape.pooling or cur is None:
        return
    if b.shape.pooling != "none":
        cur = _one_of(b, cur)
        if b.shape.pooling == "rank":
            cur = _scored(b, cur)
    for name in ("dense_2", "dense_3"):
        if b.has(name):
            cur = b.linear(cur, name)
    cur.is_output = True
    b.expand(cur)


def _one_of(b: Builder, rows: Node) -> Node:
    """One vector per text: the mean, or that of its first or last token."""
    texts = b.shape.n_seqs
    if means(b.shape.pooling, b.hp.arch):
        share = b.input(F32, b.n_tokens, texts)
        return ops.mul_mat(ops.cont(ops.transpose(rows)), share)
    return ops.get_rows(rows, b.input(I32, texts))


def means(pooling: str, arch: str) -> bool:
    """Whether the vectors of a text are averaged, be it for a score (models/modern-bert.cpp)."""
    return pooling == "mean" or (pooling == "rank" and arch == "modern-bert")


def _scored(b: Builder, cur: Node) -> Node:
    """A classifier's head, as far as the file has one."""
    if b.has("cls"):
        cur = ops.unary("tanh", b.linear(cur, "cls"))
        if b.has("cls.norm"):
            cur = b.norm(cur, "cls.norm", op="NORM")
    if b.has("cls.output"):
        cur = b.linear(cur, "cls.output")
    return ops.soft_max(cur) if b.hp.arch in {"qwen3", "qwen3vl"} else cur
