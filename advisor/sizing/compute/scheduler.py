"""Which backend runs each node, what is copied between them, and the memory that this takes.

Follows ggml-backend.cpp:ggml_backend_sched_split_graph. The last backend is the CPU.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from advisor.sizing.compute.allocator import Trace, trace
from advisor.sizing.compute.backends import (
    DEVICE_ALIGNMENT,
    HOST_ALIGNMENT,
    Rules,
    device_alloc_size,
    device_supports,
    wants_offload,
)
from advisor.sizing.compute.fusion import Kept, optimize
from advisor.sizing.compute.nodes import UNASSIGNED, VIEW_OPS, Node


@dataclass(slots=True)
class _Split:
    backend: int
    start: int
    end: int = 0
    inputs: list[Node] = field(default_factory=list["Node"])


class Scheduler:
    """Places one graph on accelerators, each with its backend's rules, and the CPU."""

    def __init__(
        self, rules: Sequence[Rules], *, n_copies: int = 1, op_offload: bool = True
    ) -> None:
        self._cpu = n_devices = len(rules)
        self._rules = tuple(rules)
        self._n_copies = n_copies
        self._op_offload = op_offload and n_devices > 0
        self.copies_grow = False
        """Whether blocks hand over more than their result, so that copies add up with them."""

    def supports(self, backend: int, node: Node) -> bool:
        """Whether a backend can run an op on what lies where it does."""
        if backend == self._cpu:
            return True
        # An op cannot read what lies on another device.
        for source in node.src:
            if source.buffer >= 0 and source.buffer not in (backend, self._cpu):
                return False
        return device_supports(node, self._rules[backend])

    def _home(self, tensor: Node, op: Node) -> int:
        """Backend of memory that exists already (…_backend_from_buffer)."""
        buffer = (tensor.view_src or tensor).buffer
        return buffer if buffer >= 0 and self.supports(buffer, op) else UNASSIGNED

    def home(self, node: Node) -> int:
        """Backend of the memory that a node writes to, UNASSIGNED where that is free to choose."""
        return self._home(node, node)

    def _first_choice(self, node: Node) -> int:
        home = self.home(node)
        if home != UNASSIGNED:
            return home
        if node.is_input:
            return self._cpu
        if node.op in {"ROPE", "FLASH_ATTN_EXT"}:
            return UNASSIGNED
        for source in node.src:
            if source.is_weight:
                home = self._home(source, node)
                if self._op_offload and home == self._cpu:
                    for backend in range(self._cpu):
                        rules = self._rules[backend]
                        if self.supports(backend, node) and wants_offload(node, rules):
                            return backend
                return home
        return UNASSIGNED

    def _expand(self, nodes: Sequence[Node], *, only_devices: bool) -> None:
        current = UNASSIGNED
        for node in nodes:
            if node.op in VIEW_OPS:
                continue
            if node.backend != UNASSIGNED:
                skip = only_devices and node.backend == self._cpu
                current = UNASSIGNED if skip else node.backend
            elif current != UNASSIGNED and self.supports(current, node):
                node.backend = current

    def _readable(self, source: Node, backend: int) -> bool:
        """Whether a backend can read a tensor where it lies (…_buffer_supported)."""
        buffer = (source.view_src or source).buffer
        if buffer < 0:
            buffer = source.backend
            if buffer == UNASSIGNED and source.view_src is not None:
                buffer = source.view_src.backend
        return buffer == backend

    def _best(self, node: Node) -> int:
        """Backend that can read most of the sources, for nodes that no neighbour could take."""
        best, count = UNASSIGNED, -1
        for backend in range(self._cpu + 1):
            if self.supports(backend, node):
                readable = sum(self._readable(source, backend) for source in node.src)
                if readable > count:
                    best, count = backend, readable
        return best

    def assign(self, nodes: Sequence[Node], leafs: Sequence[Node]) -> None:
        """Choose a backend for every tensor (passes 1 to 4)."""
        for tensor in (*leafs, *nodes):
            if tensor.backend == UNASSIGNED:
                tensor.backend = self._first_choice(tensor)
        backwards = nodes[::-1]
        for only_devices in (True, False):
            self._expand(nodes, only_devices=only_devices)
            self._expand(backwards, only_devices=only_devices)
        for node in nodes:
            if node.backend == UNASSIGNED and node.op not in VIEW_OPS:
                node.backend = self._best(node)
        for node in nodes:
            if node.backend == UNASSIGNED and node.view_src is not None:
                node.backend = node.view_src.backend
            for source in node.src:
                if source.backend == UNASSIGNED:
                    owner = source.view_src or node
                    source.backend = owner.backend
            if node.backend == UNASSIGNED:
                node.backend = next(b for b in range(self._cpu + 1) if self.supports(b, node))

    def _copy(self, source: Node, backend: int) -> list[Node]:
        copies: list[Node] = []
        for _ in range(self._n_copies):
            copy = Node("NONE", source.type, source.ne, source.nb, (), None, source.size)
            copy.name = source.name
            copy.backend = backend
            copy.is_input = copy.is_output = self._n_copies > 1
            copies.append(copy)
        if source.copies is None:
            source.copies = {}
        source.copies[backend] = copies
        return copies

    def _needs_new_split(self, node: Node, backend: int) -> bool:
        return any(source.is_weight and not self._readable(source, backend) for source in node.src)

    def _split(self, nodes: Sequence[Node]) -> list[_Split]:
        first = next(n for n in nodes if n.op not in VIEW_OPS)
        splits = [_Split(first.backend, 0)]
        for i, node in enumerate(nodes):
            if node.op in VIEW_OPS:
                continue
            current = splits[-1]
            if node.backend != current.backend or (
                current.inputs and self._needs_new_split(node, current.backend)
            ):
                current.end = i
                current = _Split(node.backend, i)
                splits.append(current)
            foreign = False
            for source in node.src:
                if source.backend != current.backend and not self._readable(
                    source, current.backend
                ):
                    foreign = True
                    if source.copies is None or current.backend not in source.copies:
                        self._copy(source, current.backend)
                        current.inputs.append(source)
            if foreign:
                node.src = tuple(self._source_on(s, current.backend) for s in node.src)
        splits[-1].end = len(nodes)
        return splits

    def _source_on(self, source: Node, backend: int) -> Node:
        if source.backend != backend and not self._readable(source, backend):
            return _copies(source, backend)[0]
        return source

    def _graph_input_copies(self, leafs: Sequence[Node]) -> list[tuple[Node, int]]:
        """Graph inputs have copies of their own with pipeline parallelism (pass 6)."""
        placed: list[tuple[Node, int]] = []
        for leaf in leafs:
            if not leaf.is_input:
                continue
            # It is the first of them itself.
            copies = (leaf, *self._copy(leaf, leaf.backend)[1:])
            leaf.is_output = True
            placed += [(copy, leaf.backend) for copy in copies]
        return placed

    def trace(
        self,
        nodes: Sequence[Node],
        leafs: Sequence[Node],
        marked: frozenset[int],
        twins: Sequence[tuple[Node, Node]] = (),
    ) -> Trace:
        """Memory events per backend, the CPU last (ggml_backend_sched_reserve_size).

        ``twins``: leafs, and another of each that lies wherever it does.
        """
        self.assign(nodes, leafs)
        for leaf, other in twins:
            other.backend = leaf.backend
        splits = self._split(nodes)
        backends = {split.backend for split in splits}
        self.copies_grow = len(splits) > len(backends) or any(
            len({id(source.view_src or source) for source in split.inputs}) < len(split.inputs)
            for split in splits
        )
        placed_leafs: list[tuple[Node, int]] = []
        if self._n_copies > 1:
            placed_leafs += self._graph_input_copies(leafs)
            for split in splits:
                for source in split.inputs:
                    placed_leafs += [(c, split.backend) for c in _copies(source, split.backend)]
        placed_leafs += [(leaf, leaf.backend) for leaf in leafs]
        order: list[tuple[Node, int]] = []
        for split in splits:
            order += self._split_order(split, list(nodes[split.start : split.end]))
        alignments = [DEVICE_ALIGNMENT[rules] for rules in self._rules] + [HOST_ALIGNMENT]
        return trace(order, placed_leafs, alignments, self._alloc_size, marked)

    def _split_order(self, split: _Split, members: list[Node]) -> list[tuple[Node, int]]:
        """One split's nodes as the allocator sees them: inputs first, dependencies in between."""
        order: list[tuple[Node, int]] = []
        kept: Kept = {}
        if split.backend != self._cpu:
            optimize(members, kept, self._rules[split.backend])
        for source in split.inputs:
            order.append((_dependency(source, (source,)), source.backend))
            order.append((_copies(source, split.backend)[0], split.backend))
        for node in members:
            order.append((node, node.backend))
            if id(node) in kept:
                tensors = kept[id(node)][1]
                # GGML_MAX_SRC sources per node.
                for at in range(0, len(tensors), 10):
                    dependency = _dependency(tensors[at], tuple(tensors[at : at + 10]))
                    order.append((dependency, split.backend))
        return order

    def _alloc_size(self, node: Node, backend: int) -> int:
        if backend == self._cpu:
            return node.size
        return device_alloc_size(node, self._rules[backend])


def _copies(source: Node, backend: int) -> list[Node]:
    return (source.copies or {})[backend]


def _dependency(of: Node, sources: tuple[Node, ...]) -> Node:
    """Make a node that only keeps its sources alive."""
    return Node("NONE", of.type, of.ne, of.nb, sources, of.view_src or of, of.size)
