"""The graph of every architecture by name."""

from collections.abc import Callable, Mapping
from typing import Final

from advisor.sizing.compute import graphs_dense
from advisor.sizing.compute.builder import Builder

Graph = Callable[[Builder], None]

GRAPHS: Final[Mapping[str, Graph]] = {**graphs_dense.GRAPHS}
