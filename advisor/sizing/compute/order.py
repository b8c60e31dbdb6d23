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
        if node.visited:
            if compute:
                for source in node.src:
                    if source.op != "NONE" and not source.computed:
                        self._visit(source, compute=True)
            return
        node.visited = True
        for source in node.src:
            self._visit(source, compute=compute)
            source.uses += 1
        (self.leafs if node.op == "NONE" else self.nodes).append(node)
