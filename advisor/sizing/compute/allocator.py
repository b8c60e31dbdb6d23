"""The memory events of a graph, by ggml's own rules (ggml-alloc.c:ggml_gallocr_alloc_graph_impl).

Which tensor takes memory when, which overwrites a source and when memory comes back depends on the
graph only, never on addresses. So the events are listed first and replayed on arenas after.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from advisor.sizing.compute.nodes import Node

_INPLACE: Final = frozenset(
    {
        "FILL", "SCALE", "DIAG_MASK_ZERO", "DIAG_MASK_INF", "ADD", "ADD_ID", "ADD1", "SUB", "MUL",
        "DIV", "SQR", "SQRT", "LOG", "UNARY", "ROPE", "ROPE_BACK", "RMS_NORM", "CLAMP", "SOFT_MAX",
    }
)  # fmt: skip
"""Ops that may overwrite a source (ggml-alloc.c:ggml_op_can_inplace)."""

FREE: Final = -1

Event = tuple[int, int, int]
"""Arena, memory block, bytes: from 0 on takes memory, FREE gives the block back, less gives back
so many bytes at its end. Blocks of no bytes count: given back they keep their neighbours apart."""


@dataclass(slots=True)
class Trace:
    """Events in order, and where some nodes stand in them."""

    events: list[Event] = field(default_factory=list[Event])
    marks: dict[int, int] = field(default_factory=dict[int, int])
    """Node id → number of events once that node has run."""
    blocks: dict[int, int] = field(default_factory=dict[int, int])
    """Leaf id → its memory block."""


class _Tracer:
    def __init__(self, alignments: Sequence[int], alloc_size: Callable[[Node, int], int]) -> None:
        self.trace = Trace()
        self._alignments = alignments
        self._alloc_size = alloc_size
        self._sizes: list[int] = []

    def _padded(self, node: Node, backend: int) -> int:
        alignment = self._alignments[backend]
        return -(-self._alloc_size(node, backend) // alignment) * alignment

    def place(self, node: Node, backend: int) -> None:
        """Give a node memory (ggml_gallocr_allocate_node)."""
        if node.allocated or node.buffer >= 0 or node.view_src is not None:
            return
        node.allocated = True
        if node.op in _INPLACE:
            for parent in node.src:
                if (
                    parent.allocated
                    and parent.children == 1
                    and not parent.views
                    and not parent.is_output
                    and parent.ne == node.ne
                    and parent.nb == node.nb
                    and parent.type is node.type
                ):
                    parent.allocated = False
                    node.backend, node.block = parent.backend, parent.block
                    size = self._padded(node, node.backend)
                    spare = self._sizes[node.block] - size
                    if spare:
                        self._sizes[node.block] = size
                        self.trace.events.append((node.backend, node.block, -spare))
                    return
        node.backend = backend
        node.block = len(self._sizes)
        size = self._padded(node, backend)
        self._sizes.append(size)
        self.trace.events.append((backend, node.block, size))

    def _free(self, node: Node) -> None:
        """Take a node's memory back (ggml_gallocr_free_node)."""
        if not node.is_output:
            self.trace.events.append((node.backend, node.block, FREE))
            node.allocated = False

    def drop(self, parent: Node) -> None:
        """Note that one user of a node is done."""
        parent.children -= 1
        if parent.children or parent.views:
            return
        source = parent.view_src
        if source is not None:
            source.views -= 1
            if not source.views and not source.children and source.allocated:
                self._free(source)
        elif parent.allocated:
            self._free(parent)


def trace(
    nodes: Sequence[tuple[Node, int]],
    leafs: Sequence[tuple[Node, int]],
    alignments: Sequence[int],
    alloc_size: Callable[[Node, int], int],
    marked: frozenset[int],
) -> Trace:
    """List the events of a graph; ``marked`` holds ids of nodes whose place is wanted.

    ``nodes`` and ``leafs`` are in graph order, each with the backend that holds it.
    """
    tracer = _Tracer(alignments, alloc_size)
    made = tracer.trace
    for leaf, backend in leafs:
        tracer.place(leaf, backend)
        if id(leaf) in marked:
            made.blocks[id(leaf)] = leaf.block
    for node, backend in nodes:
        # A NONE node only carries dependencies of the scheduler; it is no view of its own.
        if node.view_src is not None and node.op != "NONE":
            node.view_src.views += 1
        if node.is_input:
            tracer.place(node, backend)
        for parent in node.src:
            parent.children += 1
            if parent.is_input:
                tracer.place(parent, backend)
    for node, backend in nodes:
        for parent in node.src:
            tracer.place(parent, backend)
        tracer.place(node, backend)
        for parent in node.src:
            tracer.drop(parent)
        if id(node) in marked:
            made.marks[id(node)] = len(made.events)
    return made
