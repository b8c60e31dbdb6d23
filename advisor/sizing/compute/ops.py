"""Constructors of graph nodes under ggml's names: shape, strides and sources as in ggml.c."""

from advisor.llm.tensor import TensorType
from advisor.sizing.compute.nodes import (
    F16,
    F32,
    I32,
    Node,
    Shape,
    contiguous_strides,
    new,
    view_of,
)


def like(op: str, a: Node, *src: Node | None) -> Node:
    """Create an op whose result has the shape and type of ``a`` and whose first source is ``a``."""
    sources = (a, *[s for s in src if s is not None])
    if a.view_src is None:
        # What has memory of its own lies in one piece.
        return Node(op, a.type, a.ne, a.nb, sources, None, a.size)
    return new(a.type, a.ne, op, sources)


def mul_mat(a: Node, b: Node) -> Node:
    """Matrix product: rows of ``a`` with rows of ``b``."""
    return new(F32, (a.ne[1], b.ne[1], b.ne[2], b.ne[3]), "MUL_MAT", (a, b))


def mul_mat_id(experts: Node, b: Node, ids: Node) -> Node:
    """Product with the experts that ``ids`` selects."""
    return new(F32, (experts.ne[1], ids.ne[0], b.ne[2], 1), "MUL_MAT_ID", (experts, b, ids))


def add(a: Node, b: Node) -> Node:
    """Sum; ``b`` is broadcast."""
    return like("ADD", a, b)


def add_id(a: Node, bias: Node, ids: Node) -> Node:
    """Add the selected experts' bias."""
    return like("ADD_ID", a, bias, ids)


def sub(a: Node, b: Node) -> Node:
    """Difference; ``b`` is broadcast."""
    return like("SUB", a, b)


def mul(a: Node, b: Node) -> Node:
    """Product of elements; ``b`` is broadcast."""
    return like("MUL", a, b)


def div(a: Node, b: Node) -> Node:
    """Quotient of elements; ``b`` is broadcast."""
    return like("DIV", a, b)


def scale(a: Node) -> Node:
    """Multiply by a constant."""
    return like("SCALE", a)


def clamp(a: Node) -> Node:
    """Limit the values."""
    return like("CLAMP", a)


def unary(tag: str, a: Node) -> Node:
    """Apply an activation: silu, gelu, relu, sigmoid, softplus, tanh, exp, neg."""
    node = like("UNARY", a)
    node.tag = tag
    return node


def glu(tag: str, a: Node, b: Node | None = None) -> Node:
    """Apply a gated activation; without ``b`` the rows of ``a`` hold both halves."""
    ne = a.ne if b is not None else (a.ne[0] // 2, a.ne[1], a.ne[2], a.ne[3])
    node = new(a.type, ne, "GLU", (a, b) if b is not None else (a,))
    node.tag = tag
    return node


def rope(a: Node, positions: Node, factors: Node | None = None) -> Node:
    """Rotary position embedding."""
    return like("ROPE", a, positions, factors)


def soft_max(a: Node, mask: Node | None = None, sinks: Node | None = None) -> Node:
    """Softmax over rows."""
    return like("SOFT_MAX", a, mask, sinks)


def get_rows(a: Node, ids: Node) -> Node:
    """Pick rows of ``a``."""
    type_ = I32 if a.type is I32 else F32
    return new(type_, (a.ne[0], ids.ne[0], ids.ne[1], ids.ne[2]), "GET_ROWS", (a, ids))


def set_rows(a: Node, rows: Node, ids: Node) -> Node:
    """Write rows into ``a``; the result is a view of it."""
    return view_of(a, "SET_ROWS", a.ne, a.nb, (rows, ids, a))


def copy_to(a: Node, destination: Node) -> Node:
    """Copy into ``destination``; the result is a view of it."""
    return view_of(destination, "CPY", destination.ne, destination.nb, (a, destination))


def view_as(op: str, a: Node) -> Node:
    """Create an op that overwrites its source."""
    return view_of(a, op, a.ne, a.nb, (a,))


def cast(a: Node, type_: TensorType) -> Node:
    """Convert. ggml makes the result its own second source, which here only counts as a use.

    A node that held itself would keep its whole graph until a full collection of garbage.
    """
    node = new(type_, a.ne, "CPY", (a,))
    node.uses = 1
    return node


def cont(a: Node, ne: Shape | None = None) -> Node:
    """Copy into contiguous memory."""
    return new(a.type, ne or a.ne, "CONT", (a,))


def reshape(a: Node, n0: int, n1: int, n2: int = 1, n3: int = 1) -> Node:
    """View contiguous memory in another shape."""
    ne = (n0, n1, n2, n3)
    return view_of(a, "RESHAPE", ne, contiguous_strides(a.type, ne)[0], (a,))


def view(a: Node, ne: Shape, nb: tuple[int, ...] = (), offset: int = 0) -> Node:
    """View part of ``a``; ``nb`` are the strides of the upper dimensions."""
    full = [a.type.size, 0, 0, 0]
    full[1] = a.type.size * (ne[0] // a.type.block)
    full[2] = full[1] * ne[1]
    full[3] = full[2] * ne[2]
    for i, stride in enumerate(nb):
        full[i + 1] = stride
        for j in range(i + 2, 4):
            full[j] = full[j - 1] * ne[j - 1]
    return view_of(a, "VIEW", ne, (full[0], full[1], full[2], full[3]), (a,), offset)


def permute(a: Node, *axes: int) -> Node:
    """Rearrange dimensions: dimension ``i`` of ``a`` becomes dimension ``axes[i]``."""
    ne, nb = [0] * 4, [0] * 4
    for i, axis in enumerate(axes):
        ne[axis], nb[axis] = a.ne[i], a.nb[i]
    return view_of(a, "PERMUTE", (ne[0], ne[1], ne[2], ne[3]), (nb[0], nb[1], nb[2], nb[3]), (a,))


def transpose(a: Node) -> Node:
    """Swap the two lowest dimensions."""
    ne, nb = a.ne, a.nb
    return view_of(a, "TRANSPOSE", (ne[1], ne[0], ne[2], ne[3]), (nb[1], nb[0], nb[2], nb[3]), (a,))


def argsort_top_k(a: Node, k: int) -> Node:
    """View the ``k`` largest of a full sort."""
    order = new(I32, a.ne, "ARGSORT", (a,))
    return view(order, (k, a.ne[1], a.ne[2], a.ne[3]), order.nb[1:])


def top_k(a: Node, k: int) -> Node:
    """Indices of the ``k`` largest."""
    return new(I32, (k, a.ne[1], a.ne[2], a.ne[3]), "TOP_K", (a,))


def sum_rows(a: Node) -> Node:
    """Sum over rows."""
    return new(a.type, (1, a.ne[1], a.ne[2], a.ne[3]), "SUM_ROWS", (a,))


def mean_rows(a: Node) -> Node:
    """Mean over rows."""
    return new(F32, (1, a.ne[1], a.ne[2], a.ne[3]), "MEAN", (a,))


def repeat(a: Node, ne: Shape) -> Node:
    """Broadcast into memory."""
    return new(a.type, ne, "REPEAT", (a,))


def concat(a: Node, b: Node, dim: int) -> Node:
    """Join along one dimension."""
    ne = list(a.ne)
    ne[dim] += b.ne[dim]
    return new(a.type, (ne[0], ne[1], ne[2], ne[3]), "CONCAT", (a, b))


def pad(a: Node, p0: int, p1: int = 0, p2: int = 0, p3: int = 0) -> Node:
    """Append zeros."""
    ne = (a.ne[0] + p0, a.ne[1] + p1, a.ne[2] + p2, a.ne[3] + p3)
    return new(a.type, ne, "PAD", (a,))


def im2col(kernel: Node, a: Node, stride: int, type_: TensorType) -> Node:
    """Unfold patches without padding: one row per patch."""
    width, height, channels = kernel.ne[:3]
    across, down = (a.ne[0] - width) // stride + 1, (a.ne[1] - height) // stride + 1
    return new(type_, (width * height * channels, across, down, a.ne[3]), "IM2COL", (kernel, a))


def conv_2d(kernel: Node, a: Node, stride: int) -> Node:
    """Convolve without padding, as ggml does on every backend: unfolded, then multiplied."""
    patches = im2col(kernel, a, stride, F32 if kernel.type.name == "BF16" else F16)
    rows = patches.ne[1] * patches.ne[2] * patches.ne[3]
    weights = reshape(kernel, kernel.ne[0] * kernel.ne[1] * kernel.ne[2], kernel.ne[3])
    made = mul_mat(reshape(patches, patches.ne[0], rows), weights)
    made = reshape(made, patches.ne[1], patches.ne[2], patches.ne[3], kernel.ne[3])
    return cont(permute(made, 0, 1, 3, 2))


def pool_2d(a: Node, size: int) -> Node:
    """Average squares that do not overlap."""
    return new(F32, (a.ne[0] // size, a.ne[1] // size, a.ne[2], a.ne[3]), "POOL_2D", (a,))


def interpolate(a: Node, ne: Shape) -> Node:
    """Resize."""
    return new(a.type, ne, "UPSCALE", (a,))


def flash_attn(q: Node, k: Node, v: Node, mask: Node | None, sinks: Node | None = None) -> Node:
    """Attention in one op."""
    src = tuple(s for s in (q, k, v, mask, sinks) if s is not None)
    return new(F32, (v.ne[0], q.ne[2], q.ne[1], q.ne[3]), "FLASH_ATTN_EXT", src)


def ssm_conv(x: Node, kernel: Node) -> Node:
    """Short causal convolution over tokens."""
    tokens = x.ne[0] - kernel.ne[0] + 1
    return new(F32, (kernel.ne[1], tokens, x.ne[2], 1), "SSM_CONV", (x, kernel))


def ssm_scan(s: Node, x: Node, *rest: Node, snapshots: int = 1) -> Node:
    """Selective scan: the output and the new states in one tensor; ``rest`` ends with the ids."""
    count = x.ne[0] * x.ne[1] * x.ne[2] * x.ne[3]
    states = snapshots * s.ne[0] * s.ne[1] * s.ne[2] * rest[-1].ne[0]
    return new(F32, (count + states, 1, 1, 1), "SSM_SCAN", (s, x, *rest))


def gated_delta_net(
    q: Node, k: Node, v: Node, gate: Node, beta: Node, state: Node, snapshots: int = 1
) -> Node:
    """Gated delta rule: the output and the new states in one tensor."""
    size, heads, tokens, seqs = v.ne
    ne = (size * heads, tokens * seqs + snapshots * size * seqs, 1, 1)
    return new(F32, ne, "GATED_DELTA_NET", (q, k, v, gate, beta, state))
