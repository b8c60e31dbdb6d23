"""The graph of every architecture by name."""

from collections.abc import Mapping
from typing import Final

from advisor.sizing.compute import (
    graphs_classic,
    graphs_deci,
    graphs_deepseek4,
    graphs_dense,
    graphs_diffusion,
    graphs_drafts,
    graphs_encoder,
    graphs_experts,
    graphs_gemma3n,
    graphs_glm5_next,
    graphs_hy_v4,
    graphs_hybrid,
    graphs_kimi,
    graphs_latent,
    graphs_ling3,
    graphs_loops,
    graphs_minimax3,
    graphs_mtp,
    graphs_qwen,
    graphs_qwen4exp,
    graphs_rwkv,
    graphs_singular,
    graphs_t5,
    graphs_window,
)
from advisor.sizing.compute.blocks import Graph

GRAPHS: Final[Mapping[str, Graph]] = {
    **graphs_dense.GRAPHS,
    **graphs_classic.GRAPHS,
    **graphs_encoder.GRAPHS,
    **graphs_diffusion.GRAPHS,
    **graphs_drafts.GRAPHS,
    **graphs_window.GRAPHS,
    **graphs_gemma3n.GRAPHS,
    **graphs_latent.GRAPHS,
    **graphs_hybrid.GRAPHS,
    **graphs_qwen.GRAPHS,
    **graphs_qwen4exp.GRAPHS,
    **graphs_deepseek4.GRAPHS,
    **graphs_glm5_next.GRAPHS,
    **graphs_hy_v4.GRAPHS,
    **graphs_kimi.GRAPHS,
    **graphs_ling3.GRAPHS,
    **graphs_minimax3.GRAPHS,
    **graphs_loops.GRAPHS,
    **graphs_rwkv.GRAPHS,
    **graphs_singular.GRAPHS,
    **graphs_t5.GRAPHS,
    **graphs_deci.GRAPHS,
    **graphs_experts.GRAPHS,
}
"""``general.architecture`` → the graph of its trunk."""

DRAFT_GRAPHS: Final[Mapping[str, Graph]] = {**graphs_mtp.GRAPHS, **graphs_qwen4exp.DRAFT_GRAPHS}
"""``general.architecture`` → the graph of its NextN (MTP) context."""


def graph_of(arch: str, ctx_type: str) -> Graph | None:
    """The graph of a context; None when it is not known."""
    return (DRAFT_GRAPHS if ctx_type == "mtp" else GRAPHS).get(arch)
