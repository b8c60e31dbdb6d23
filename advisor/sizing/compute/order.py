"""Nodes of a graph in the order in which they will run."""

from advisor.sizing.compute.nodes import Node


class GraphOrder:
    """A graph that grows node by node, after their sources (ggml.c:ggml_build_forward_expand)."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.leafs: list[Node] = []

    def expand(self, node: Node, *, compute: bool = True) -> Node:
        """Append a node after its sources, depth first."""
        self._visit(node, compute=compute)
        return node

    def _visit(self, node: Node, *, compute: bool) -> None:
        if compute and node.op != "NONE":
            node.computed = True
        visited = node.visited
        node.visited = True
        for source in node.src:
            # What is computed has sources that are.
            if not source.visited or (compute and not source.computed and source.op != "NONE"):
                self._visit(source, compute=compute)
            if not visited:
                source.uses += 1
        if not visited:
            (self.leafs if node.op == "NONE" else self.nodes).append(node)
