"""The graph of every architecture by name."""

from collections.abc import Mapping
from typing import Final

from advisor.sizing.compute import (
    graphs_deepseek4,
    graphs_dense,
    graphs_hybrid,
    graphs_latent,
    graphs_window,
)
from advisor.sizing.compute.blocks import Graph

GRAPHS: Final[Mapping[str, Graph]] = {
    **graphs_dense.GRAPHS,
    **graphs_window.GRAPHS,
    **graphs_latent.GRAPHS,
    **graphs_hybrid.GRAPHS,
    **graphs_deepseek4.GRAPHS,
}
