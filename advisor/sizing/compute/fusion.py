"""How the CUDA backend reorders a graph and prolongs lifetimes so that ops can be fused.

Follows ggml-cuda.cu:ggml_backend_cuda_graph_optimize. A prolonged tensor shows in memory: it lives
until the last op of its group, and it cannot be overwritten.
"""

from typing import Final

from advisor.sizing.compute.backends import Rules
from advisor.sizing.compute.nodes import Node, is_contiguous

Kept = dict[int, tuple[Node, list[Node]]]
"""Node id → that node and the tensors that live until it has run."""

_MAX_REDUCED_EXPERTS: Final = 15
_FUSABLE_GLU: Final = frozenset({"swiglu", "geglu", "swiglu_oai", "swiglu_clamp"})
_TOPK_EXPERTS: Final = frozenset({1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 288, 576})


def _can_fuse(nodes: list[Node], outputs: tuple[Node, ...]) -> bool:
    """Whether nothing outside uses the inner nodes (ggml.c:ggml_can_fuse_subgraph_ext)."""
    inside = {id(n) for n in nodes}
    kept = {id(n) for n in outputs}
    for i, node in enumerate(nodes):
        if not node.computed:
            return False
        if id(node) in kept:
            continue
        if node.is_output:
            return False
        uses = sum(src is node for other in nodes[i + 1 :] for src in other.src)
        if uses != node.uses:
            return False
        source = node.view_src
        if source is not None and id(source) not in inside and not source.is_weight:
            return False
    return True


def _keep(kept: Kept, tensor: Node, until: Node) -> None:
    tensors = kept.setdefault(id(until), (until, []))[1]
    if not any(tensor is t for t in tensors):
        tensors.append(tensor)


def _fusable_pair(up: Node, gate: Node, out: Node) -> bool:
    """ggml-cuda.cu:ggml_cuda_should_fuse_mul_mat, without bias and scale."""
    a, b = up.src[0], gate.src[0]
    return (
        len(out.src) == 2
        and out.src[0] is gate
        and out.src[1] is up
        and a.type is b.type
        and a.ne == b.ne
        and a.nb == b.nb
        and all(x is y for x, y in zip(up.src[1:], gate.src[1:], strict=True))
        and out.tag in _FUSABLE_GLU
    )


def _ops(nodes: list[Node], start: int) -> tuple[str, ...]:
    return tuple(n.op for n in nodes[start : start + 3])


def _matches_shared_expert(  # noqa: PLR0911 - one way out per condition
    nodes: list[Node], routed: int, shared: int
) -> bool:
    """ggml-cuda.cu:ggml_cuda_match_shared_expert; the routed ops have been checked."""
    if _ops(nodes, shared) != ("MUL_MAT", "MUL_MAT", "GLU"):
        return False
    group = nodes[routed : routed + 3] + nodes[shared : shared + 3]
    first, other = group[2], group[5]
    if not _can_fuse(group, (first, other)) or len(first.src) < 2 or len(other.src) < 2:
        return False
    gate, up = first.src
    shared_gate, shared_up = other.src
    if {id(gate), id(up)} != {id(group[0]), id(group[1])}:
        return False
    if {id(shared_gate), id(shared_up)} != {id(group[3]), id(group[4])}:
        return False
    if not _fusable_pair(up, gate, first) or not _fusable_pair(shared_up, shared_gate, other):
        return False
    weight, shared_weight, source = up.src[0], shared_up.src[0], up.src[1]
    if weight.buffer < 0 or weight.type.block == 1:
        return False
    return (
        source.op == "RESHAPE"
        and source.src[0] is shared_up.src[1]
        and source.ne[1] == 1
        and source.ne[3] == 1
        and weight.type is shared_weight.type
        and weight.ne[:2] == shared_weight.ne[:2]
        and weight.nb[1] == shared_weight.nb[1]
        and first.tag == other.tag
    )


def _group_shared_experts(nodes: list[Node], kept: Kept) -> None:
    count = len(nodes)
    i = 0
    while i + 5 < count:
        if nodes[i].op == "MUL_MAT_ID" and _ops(nodes, i) == ("MUL_MAT_ID", "MUL_MAT_ID", "GLU"):
            for j in range(i + 3, count - 2):
                if nodes[j].op == "MUL_MAT_ID" and nodes[j + 1].op == "MUL_MAT_ID":
                    break
                if nodes[j].op == "MUL_MAT" and _matches_shared_expert(nodes, i, j):
                    moved = nodes[j : j + 3]
                    del nodes[j : j + 3]
                    nodes[i + 3 : i + 3] = moved
                    up = nodes[i + 2].src[1]
                    for source in up.src[1:3]:
                        _keep(kept, source, nodes[i + 5])
                    i += 5
                    break
        i += 1


def _split_product(product: Node) -> tuple[Node, Node] | None:
    a, b = product.src
    for full, broadcast in ((a, b), (b, a)):
        if (
            full.ne == product.ne
            and is_contiguous(full)
            and is_contiguous(broadcast)
            and broadcast.ne[0] == 1
            and broadcast.ne[1:] == product.ne[1:]
        ):
            return full, broadcast
    return None


def _weighted_reduction(  # noqa: PLR0911 - one way out per condition
    nodes: list[Node], start: int, kept: Kept
) -> int:
    """Length of the weighted sum over experts that begins here, 0 if none does.

    ggml-cuda.cu:ggml_cuda_match_moe_weighted_reduction.
    """
    first = nodes[start]
    parts = _split_product(first)
    if parts is None:
        return 0
    weighted, products, alive = first, 1, list(parts)
    if start + 1 < len(nodes) and nodes[start + 1].op == "MUL":
        second = _split_product(nodes[start + 1])
        if second is not None and second[0] is first:
            weighted, products, alive = nodes[start + 1], 2, [parts[0], second[1], parts[1]]
    used = weighted.ne[1]
    if not 2 <= used <= _MAX_REDUCED_EXPERTS:
        return 0
    length = 2 * used + products - 1
    group = nodes[start : start + length]
    if len(group) < length:
        return 0
    views = [n for n in group[products:] if n.op == "VIEW"]
    sums = [n for n in group[products:] if n.op == "ADD"]
    if len(views) != used or len(sums) != used - 1:
        return 0
    previous = views[0]
    for view, total in zip(views[1:], sums, strict=True):
        if view.src[0] is not weighted or total.src[0] is not previous or total.src[1] is not view:
            return 0
        previous = total
    if not _can_fuse(group, (previous,)):
        return 0
    for tensor in alive:
        _keep(kept, tensor, previous)
    return length


def _selection_ops(nodes: list[Node], start: int) -> tuple[int, int] | None:
    """Length of an expert selection that begins here, and the offset of the selected ids.

    ggml-cuda.cu:ggml_cuda_topk_moe_fusion.
    """
    gating = nodes[start]
    length = 1
    if gating.op == "UNARY":
        following = nodes[start + 1].op if start + 1 < len(nodes) else ""
        if gating.tag == "softplus" and following == "SQRT":
            length = 2
        elif gating.tag != "sigmoid":
            return None
    elif gating.op != "SOFT_MAX":
        return None
    probs = nodes[start + length - 1]
    ops = [n.op for n in nodes[start + length : start + length + 10]]
    if not ops or ops[0] != "RESHAPE" or nodes[start + length].src[0] is not probs:
        return None
    expected = ["RESHAPE", "ARGSORT", "VIEW", "GET_ROWS"]
    if len(ops) > 1 and ops[1] == "ADD" and nodes[start + length + 1].src[0] is probs:
        expected.insert(1, "ADD")
    if ops[: len(expected)] != expected:
        return None
    sorted_ = nodes[start + length + len(expected) - 3]
    wanted = nodes[start + length + 1] if "ADD" in expected else probs
    if sorted_.src[0] is not wanted:
        return None
    length += len(expected)
    ids = length - 2
    tail = [n.op for n in nodes[start + length : start + length + 5]]
    if tail == ["RESHAPE", "SUM_ROWS", "CLAMP", "DIV", "RESHAPE"]:
        length += 5
    last = nodes[start + length] if start + length < len(nodes) else None
    if last is not None and last.op == "SCALE" and last.src[0] is nodes[start + length - 1]:
        length += 1
    return length, ids


def _expert_selection(nodes: list[Node], start: int, kept: Kept) -> int:
    found = _selection_ops(nodes, start)
    if found is None:
        return 0
    length, ids_at = found
    group = nodes[start : start + length]
    ids, weights = group[ids_at], group[-1]
    if ids.nb[1] // ids.nb[0] not in _TOPK_EXPERTS or not is_contiguous(weights):
        return 0
    if group[0].op == "SOFT_MAX" and len(group[0].src) > 1:
        return 0
    if not _can_fuse(group, (ids, weights)) or start + length >= len(nodes):
        return 0
    until = nodes[start + length]
    for node in group:
        _keep(kept, node, until)
        for source in node.src:
            _keep(kept, source, until)
    return length


def optimize(nodes: list[Node], kept: Kept, rules: Rules = "cuda") -> None:
    """Reorder one split of a graph in place and note which tensors must live longer.

    Vulkan prolongs only what selects experts (ggml-vulkan.cpp:ggml_vk_graph_optimize), joined
    devices nothing. What Metal prolongs, and how both reorder for concurrency, is not followed.
    """
    if rules in {"metal", "joined", "rpc"}:
        return
    if rules == "cuda":
        _group_shared_experts(nodes, kept)
    i = 0
    while i < len(nodes):
        op = nodes[i].op
        if op == "MUL" and rules == "cuda":
            length = _weighted_reduction(nodes, i, kept)
            if length:
                # The reference goes on with the last node of the match, then past it.
                i += length - 1
                op = nodes[i].op
        if op in {"UNARY", "SOFT_MAX"}:
            length = _expert_selection(nodes, i, kept)
            if length:
                i += length - 1
        i += 1
