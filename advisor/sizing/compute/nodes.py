"""Graph nodes: what ggml's tensors say about memory, and nothing of what they compute.

Shapes, strides, sources and views follow ggml.c; the scheduler's and the allocator's bookkeeping
lives in the nodes too, since a graph is built, placed and measured once and then dropped.
"""

from collections.abc import Callable
from typing import Final

from advisor.llm.tensor import TYPES, TensorType

Shape = tuple[int, int, int, int]

F32: Final = TYPES["F32"]
F16: Final = TYPES["F16"]
I32: Final = TYPES["I32"]
I64: Final = TYPES["I64"]

VIEW_OPS: Final = frozenset({"VIEW", "RESHAPE", "PERMUTE", "TRANSPOSE"})
"""Ops that compute nothing (ggml-backend.cpp:ggml_is_view_op)."""

UNASSIGNED: Final = -1


class Node:
    """One tensor of a compute graph."""

    __slots__ = (
        "allocated",
        "backend",
        "block",
        "buffer",
        "children",
        "computed",
        "copies",
        "is_input",
        "is_output",
        "is_weight",
        "name",
        "nb",
        "ne",
        "offset",
        "op",
        "size",
        "src",
        "tag",
        "type",
        "uses",
        "view_src",
        "views",
        "visited",
    )

    def __init__(
        self,
        op: str,
        type_: TensorType,
        ne: Shape,
        nb: Shape,
        src: tuple["Node", ...],
        view_src: "Node | None",
        size: int,
    ) -> None:
        self.op = op
        self.type = type_
        self.ne = ne
        self.nb = nb
        self.src = src
        self.view_src = view_src
        self.size = size
        """Bytes (ggml.c:ggml_nbytes)."""
        self.offset = 0
        self.name = ""
        self.tag = ""
        """The activation of UNARY and GLU nodes."""
        self.buffer = UNASSIGNED
        """Index of the backend in whose memory it lies before the graph runs (weights, caches)."""
        self.is_weight = False
        self.is_input = False
        self.is_output = False
        self.backend = UNASSIGNED
        self.visited = False
        self.computed = False
        self.uses = 0
        self.copies: dict[int, list[Node]] | None = None
        self.children = 0
        self.views = 0
        self.allocated = False
        self.block = 0
        """Memory block, once it has one."""

    def __repr__(self) -> str:
        return f"<{self.op} {self.name} {self.type.name} {self.ne}>"


def contiguous_strides(type_: TensorType, ne: Shape) -> tuple[Shape, int]:
    """Strides and bytes of a contiguous tensor (ggml.c:ggml_new_tensor_impl)."""
    nb1 = type_.size * (ne[0] // type_.block)
    nb2 = nb1 * ne[1]
    nb3 = nb2 * ne[2]
    return (type_.size, nb1, nb2, nb3), nb3 * ne[3]


def new(type_: TensorType, ne: Shape, op: str = "NONE", src: tuple[Node, ...] = ()) -> Node:
    """Create a tensor of its own memory."""
    nb, size = contiguous_strides(type_, ne)
    return Node(op, type_, ne, nb, src, None, size)


def strided_size(type_: TensorType, ne: Shape, nb: Shape) -> int:
    """Bytes that a tensor spans (ggml.c:ggml_nbytes)."""
    if 0 in ne:
        return 0
    size = type_.size if type_.block == 1 else ne[0] * nb[0] // type_.block
    first = 0 if type_.block == 1 else 1
    for i in range(first, 4):
        size += (ne[i] - 1) * nb[i]
    return size


def view_of(a: Node, op: str, ne: Shape, nb: Shape, src: tuple[Node, ...], offset: int = 0) -> Node:
    """Create a tensor in the memory of ``a``; views of views refer to the first."""
    node = Node(op, a.type, ne, nb, src, a.view_src or a, strided_size(a.type, ne, nb))
    node.offset = offset + a.offset
    return node


def is_contiguous(a: Node, skip: int = 0) -> bool:
    """Whether the dimensions above ``skip`` are packed (ggml.c:ggml_is_contiguous_n)."""
    ne, nb = a.ne, a.nb
    packed = a.type.size
    if ne[0] != a.type.block and nb[0] != packed:
        return False
    packed *= ne[0] // a.type.block
    for i in (1, 2, 3):
        if i > skip:
            if ne[i] != 1 and nb[i] != packed:
                return False
            packed *= ne[i]
        else:
            packed = ne[i] * nb[i]
    return True


def dump(nodes: list[Node], show: Callable[[str], None]) -> None:
    """Show a graph, one node per line."""
    for i, node in enumerate(nodes):
        view = "view" if node.view_src is not None else "own"
        show(f"{i} b{node.backend} {node.op} {node.type.name} {node.ne} {view} {node.size}")
