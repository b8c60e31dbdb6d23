"""The peak of a graph's memory, by ggml's own allocation rules (ggml-alloc.c)."""

from collections.abc import Callable, Sequence
from typing import Final

from advisor.sizing.compute.nodes import Node

_INPLACE: Final = frozenset(
    {
        "FILL", "SCALE", "DIAG_MASK_ZERO", "DIAG_MASK_INF", "ADD", "ADD_ID", "ADD1", "SUB", "MUL",
        "DIV", "SQR", "SQRT", "LOG", "UNARY", "ROPE", "RMS_NORM", "CLAMP", "SOFT_MAX",
    }
)  # fmt: skip
"""Ops that may overwrite a source (ggml-alloc.c:ggml_op_can_inplace)."""

_ENDLESS: Final = 1 << 62


class Arena:
    """One buffer in the making: best fit among the holes, the end as last resort.

    Addresses follow ggml-alloc.c:ggml_dyn_tallocr_alloc and _free_bytes. Devices have no largest
    buffer size that matters here, so there is one chunk.
    """

    def __init__(self, alignment: int) -> None:
        self.alignment = alignment
        self.peak = 0
        self._offsets = [0]
        self._sizes = [_ENDLESS]

    def allocate(self, size: int) -> int:
        """Take ``size`` bytes (a multiple of the alignment); returns the offset."""
        sizes = self._sizes
        last = len(sizes) - 1
        best, best_size = last, _ENDLESS
        for i in range(last):
            if size <= sizes[i] <= best_size:
                best, best_size = i, sizes[i]
        offset = self._offsets[best]
        self._offsets[best] += size
        sizes[best] -= size
        if not sizes[best]:
            del sizes[best], self._offsets[best]
        self.peak = max(self.peak, offset + size)
        return offset

    def release(self, offset: int, size: int) -> None:
        """Give bytes back, joined with the holes beside them."""
        offsets, sizes = self._offsets, self._sizes
        position = len(offsets)
        for i, start in enumerate(offsets):
            if start + sizes[i] == offset:
                sizes[i] += size
                if i + 1 < len(offsets) and start + sizes[i] == offsets[i + 1]:
                    sizes[i] += sizes[i + 1]
                    del sizes[i + 1], offsets[i + 1]
                return
            if offset + size == start:
                offsets[i] = offset
                sizes[i] += size
                return
            if start > offset:
                position = i
                break
        offsets.insert(position, offset)
        sizes.insert(position, size)


class _Allocator:
    def __init__(self, arenas: Sequence[Arena], alloc_size: Callable[[Node, int], int]) -> None:
        self._arenas = arenas
        self._alloc_size = alloc_size

    def _padded(self, node: Node, backend: int) -> int:
        alignment = self._arenas[backend].alignment
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
                    node.backend, node.addr = parent.backend, parent.addr
                    parent.allocated = False
                    spare = self._padded(parent, parent.backend) - self._padded(node, node.backend)
                    if spare > 0:
                        end = parent.addr + self._padded(parent, parent.backend)
                        self._arenas[parent.backend].release(end - spare, spare)
                    return
        node.backend = backend
        node.addr = self._arenas[backend].allocate(self._padded(node, backend))

    def free(self, node: Node) -> None:
        """Take a node's memory back (ggml_gallocr_free_node)."""
        if not node.is_output:
            self._arenas[node.backend].release(node.addr, self._padded(node, node.backend))
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
                self.free(source)
        elif parent.allocated:
            self.free(parent)


def peak_sizes(
    nodes: Sequence[tuple[Node, int]],
    leafs: Sequence[tuple[Node, int]],
    alignments: Sequence[int],
    alloc_size: Callable[[Node, int], int],
) -> tuple[int, ...]:
    """Bytes per backend that a graph needs (ggml-alloc.c:ggml_gallocr_alloc_graph_impl).

    ``nodes`` and ``leafs`` are in graph order, each with the backend that holds it.
    """
    arenas = [Arena(alignment) for alignment in alignments]
    allocator = _Allocator(arenas, alloc_size)
    for leaf, backend in leafs:
        allocator.place(leaf, backend)
    for node, backend in nodes:
        # A NONE node only carries dependencies of the scheduler; it is no view of its own.
        if node.view_src is not None and node.op != "NONE":
            node.view_src.views += 1
        if node.is_input:
            allocator.place(node, backend)
        for parent in node.src:
            parent.children += 1
            if parent.is_input:
                allocator.place(parent, backend)
    for node, backend in nodes:
        for parent in node.src:
            allocator.place(parent, backend)
        allocator.place(node, backend)
        for parent in node.src:
            allocator.drop(parent)
    return tuple(arena.peak for arena in arenas)
