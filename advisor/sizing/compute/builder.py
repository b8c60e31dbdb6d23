"""What every graph is built from: weights, caches, inputs and the order of nodes.

The counterpart of llama-graph.cpp:llm_graph_context for one reserved micro-batch.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from operator import itemgetter

from advisor.llm.hyperparameters import Hyperparameters
from advisor.llm.tensor import Tensor, TensorType
from advisor.sizing.build_rules import UNCHANGED, BuildRules
from advisor.sizing.compute import ops
from advisor.sizing.compute.layout import Selection
from advisor.sizing.compute.nodes import F16, F32, I32, I64, Node, new
from advisor.sizing.compute.order import GraphOrder
from advisor.sizing.left_in_ram import left_in_ram
from advisor.sizing.overrides import EXPERTS, Targets, target


@dataclass(frozen=True, slots=True)
class Shape:
    """The micro-batch that is reserved, and the caches it meets."""

    n_tokens: int
    n_seqs: int
    n_outputs: int
    n_stream: int
    """Streams of the KV cache: 1 when it is unified."""
    n_kv: Mapping[str, int]
    """Cells per stream by kind of cache, all of them in use."""
    streams: Mapping[str, int]
    flash: bool
    v_transposed: bool
    """V lies transposed when flash attention was switched off by hand."""
    type_k: TensorType
    type_v: TensorType
    n_ubatch: int
    n_ctx: int
    n_rs_seq: int = 0
    pooling: str = ""
    """How a text's vectors become one where vectors are asked for (``memory.pooling``)."""
    rules: BuildRules = UNCHANGED
    unfused: frozenset[str] = frozenset()
    """Fused ops of hyper-connections that are built step by step."""


@dataclass(frozen=True, slots=True)
class Backends:
    """Where weights and caches lie: backend indices, the CPU last."""

    cpu: int
    layers: tuple[int, ...]
    """Per block; the last entry is the output layer."""
    experts_on_cpu: frozenset[int]
    kv_offload: bool
    overrides: Targets = ()
    """Weights that lie on a backend of their own (``-ot``)."""


def streams(hp: Hyperparameters) -> int:
    """Image features that enter in later blocks (llama-hparams.h:n_deepstack_layers)."""
    count = hp.metadata.get("n_deepstack_layers", 0)
    if isinstance(count, int) and count > 0:
        return count
    return len({index for index in stream_of(hp) if index >= 0})


def stream_of(hp: Hyperparameters) -> tuple[int, ...]:
    """Per block, which of those features enter before it, -1 for none (Granite Vision)."""
    mapping = hp.metadata.get("deepstack_mapping", ())
    if not isinstance(mapping, tuple | list):
        return ()
    return tuple(int(index) for index in mapping if isinstance(index, int | float))


_INPUT_TENSORS = frozenset({"token_embd", "token_types", "position_embd", "per_layer_token_embd"})
"""Tensors of the input layer (llama-arch.cpp: LLM_TENSOR_LAYER_INPUT); they stay on the CPU."""

_STACKS = frozenset({"enc.", "dec."})
"""What the names of blocks begin with where a model has two stacks of them (T5)."""

_FIRST_BLOCK_TENSORS = frozenset({
    "token_embd_norm", "per_layer_model_proj", "per_layer_proj_norm", "nextn.pre_projection",
    "hrm.z_l_init",
})  # fmt: skip
"""Tensors without a block number that lie with the first block."""


class Builder(GraphOrder):
    """Builds the graph of one model."""

    def __init__(
        self,
        hp: Hyperparameters,
        tensors: Mapping[str, Tensor],
        shape: Shape,
        backends: Backends,
        selection: Selection,
    ) -> None:
        super().__init__()
        self.hp = hp
        self.shape = shape
        self.marks: dict[int, Node] = {}
        """Per block, the last node of the graph when its building began."""
        self.waiting: list[tuple[Node, Node, int]] = []
        """A constant that has memory from the start, one for those of left-out blocks, the block.
        """
        self.pinned: list[tuple[Node, int]] = []
        """Norms, last ops and the blocks whose device llama.cpp would rather have them on
        (llama-context.cpp:graph_get_cb)."""
        self.fused: list[tuple[Node, int]] = []
        """Flash attention and its blocks."""
        self.hyper: list[tuple[Node, int]] = []
        """Fused ops of hyper-connections and their blocks."""
        self.embedded: Node | None = None
        """Token embeddings before anything is done to them (t_inp_embd)."""
        self.hidden: Node | None = None
        """The last vectors of the rows that are put out (t_embd)."""
        self._selection = selection
        self.n_tokens = shape.n_tokens
        self._tensors = tensors
        self._backends = backends
        self._weights: dict[str, Node] = {}
        self._memory: dict[str, Node] = {}

    @property
    def cpu(self) -> int:
        """The CPU's backend."""
        return self._backends.cpu

    @property
    def last_device(self) -> int:
        """The backend of the output layer."""
        return self._backends.layers[-1]

    def blocks(self) -> Iterator[int]:
        """The blocks of the trunk that are built, in order."""
        for il in self._selection.blocks:
            if self.nodes:
                self.marks[il] = self.nodes[-1]
            yield il

    # Weights and memory

    def has(self, name: str, il: int | None = None, part: str = "weight") -> bool:
        """Whether the model has a tensor, ``blk.{il}.{name}.{part}`` or ``{name}.{part}``."""
        return _full_name(name, il, part) in self._tensors

    def find(self, name: str, il: int | None = None, part: str = "weight") -> Node | None:
        """The weight where the model has it."""
        full = _full_name(name, il, part)
        if full in self._weights:
            return self._weights[full]
        tensor = self._tensors.get(full)
        if tensor is None:
            return None
        return self._place(full, tensor, self._home(full, name, il, tensor))

    def weight(self, name: str, il: int | None = None, part: str = "weight") -> Node:
        """A weight that the architecture must have. Raises KeyError where it is missing."""
        node = self.find(name, il, part)
        if node is None:
            raise KeyError(_full_name(name, il, part))
        return node

    def reshaped_weight(self, name: str, il: int | None, ne: tuple[int, int, int]) -> Node:
        """A weight that llama.cpp loads in another shape than the file's."""
        full = _full_name(name, il, "weight")
        if full in self._weights:
            return self._weights[full]
        tensor = self._tensors[full]
        home = self._home(full, name, il, tensor)
        return self._place(full, replace(tensor, shape=ne), home)

    def _place(self, full: str, tensor: Tensor, home: int) -> Node:
        ne = (*tensor.shape, 1, 1, 1)
        node = new(tensor.type, (ne[0], ne[1], ne[2], ne[3]))
        node.name = full
        node.buffer = home
        node.is_weight = True
        self._weights[full] = node
        return node

    def _home(self, full: str, name: str, il: int | None, tensor: Tensor) -> int:
        placed = self._backends
        if left_in_ram(self.hp, full, tensor.type.name, tensor.shape):
            return placed.cpu
        if placed.overrides:
            chosen = target(full, placed.overrides)
            if chosen is not None:
                return chosen
        if il is None:
            # LFM 2 calls its output norm token_embd_norm.
            of_output = name == "token_embd_norm" and self.hp.arch.startswith("lfm2")
            if name in _INPUT_TENSORS:
                return placed.cpu
            return placed.layers[0 if name in _FIRST_BLOCK_TENSORS and not of_output else -1]
        if il in placed.experts_on_cpu and EXPERTS.search(full):
            return placed.cpu
        return placed.layers[il]

    def borrowed(self, name: str, n_in: int, n_out: int, home: int) -> Node:
        """A matrix of the model that this one drafts for, where its file has none."""
        found = self.find(name)
        if found is None:
            found = self._place(name, Tensor(name, (n_in, n_out), F16), home)
        return found

    def output_weight(self) -> Node:
        """The output matrix; tied embeddings are duplicated beside the output layer."""
        node = self.find("output")
        if node is None:
            tensor = self._tensors["token_embd.weight"]
            home = self._home("token_embd.weight", "output", None, tensor)
            node = self._place("output.weight", tensor, home)
        return node

    def rope_factors(self, il: int) -> Node | None:
        """Frequency factors of a layer (llama-model.cpp:get_rope_factors); copied per device."""
        for name in ("rope_factors_long", "rope_freqs"):
            tensor = self._tensors.get(f"{name}.weight")
            if tensor is not None:
                home = self._home(f"{name}.weight", name, il, tensor)
                key = f"{name}.{home}"
                return self._weights.get(key) or self._place(key, tensor, home)
        return None

    def memory(self, key: str, il: int, type_: TensorType, ne: tuple[int, int, int]) -> Node:
        """A cache or state tensor of a block."""
        full = f"{key}.{il}"
        node = self._memory.get(full)
        if node is None:
            node = new(type_, (*ne, 1))
            placed = self._backends
            node.buffer = placed.layers[il] if placed.kv_offload else placed.cpu
            node.name = full
            self._memory[full] = node
        return node

    def waiting_leaf(self, leaf: Node, il: int) -> Node:
        """A constant that every such block has: all of them have memory from the start.

        One more stands for those of all blocks that this one stands for; ``all_leafs`` has it.
        """
        if self._selection.pattern_of(il) is not None:
            other = new(leaf.type, leaf.ne)
            self.waiting.append((leaf, other, il))
        return leaf

    def all_leafs(self) -> list[Node]:
        """The leafs in order, those for left-out blocks behind the last one of their pattern."""
        leafs = list(self.leafs)
        at = {id(leaf): place for place, leaf in enumerate(leafs)}
        groups: dict[int | None, list[tuple[int, Node]]] = {}
        for leaf, other, il in self.waiting:
            group = groups.setdefault(self._selection.pattern_of(il), [])
            group.append((at[id(leaf)], other))
        for group in sorted(
            groups.values(), key=lambda g: max(place for place, _ in g), reverse=True
        ):
            group.sort(key=itemgetter(0))
            end = group[-1][0] + 1
            leafs[end:end] = [other for _, other in group]
        return leafs

    # Inputs

    def input(self, type_: TensorType, n0: int, n1: int = 1, n2: int = 1, n3: int = 1) -> Node:
        """A tensor that the host fills before every run."""
        node = new(type_, (n0, n1, n2, n3))
        node.is_input = True
        return node

    def embeddings(self, *, scaled: bool = False) -> Node:
        """Token embeddings; ``scaled``: rows of tokens are multiplied."""
        return self.embeddings_and_ids(scaled=scaled)[0]

    def embeddings_and_ids(self, *, scaled: bool = False, mixed: bool = True) -> tuple[Node, Node]:
        """Token embeddings and token ids (llm_graph_context::build_inp_embd).

        Vectors and mixed batches are branches that are only reserved.
        """
        table = self.weight("token_embd")
        n_embd = table.ne[0]
        extra = n_embd * streams(self.hp)
        tokens = self.input(I32, self.n_tokens)

        def looked_up(ids: Node) -> Node:
            rows = ops.get_rows(table, ids)
            return self.expand(rows, compute=False) if self.shape.rules.lookups_first else rows

        def padded(rows: Node) -> Node:
            return ops.pad(rows, extra) if extra else rows

        rows = looked_up(tokens)
        # ubatch_reserve has no slots; every token is one row.
        mixed_rows = looked_up(self.input(I32, self.n_tokens)) if mixed else None
        chosen = self.expand(padded(rows))
        vectors = self.input(F32, n_embd + extra, self.n_tokens)
        self.expand(vectors, compute=False)
        if mixed_rows is not None:
            slots = self.input(I64, self.n_tokens)
            base = ops.like("DUP", self.input(F32, n_embd + extra, self.n_tokens))
            self.expand(ops.set_rows(base, padded(mixed_rows), slots), compute=False)
        if extra:
            chosen = ops.view(chosen, (n_embd, self.n_tokens, 1, 1), chosen.nb[1:2])
        self.embedded = chosen
        if self.hp.metadata.get("embedding_scale"):
            if extra:
                chosen, scaled = ops.cont(chosen), True
            else:
                chosen = ops.scale(chosen)
        if scaled:
            chosen = ops.mul(chosen, self.input(F32, 1, self.n_tokens))
        return self.expand(chosen), tokens

    def stream(self, index: int) -> Node:
        """What an image adds in a later block: it lies beside the token embeddings."""
        rows = self.embedded
        if rows is None:
            raise AssertionError("embeddings come first")
        ne = (rows.ne[0], self.n_tokens, 1, 1)
        return ops.view(rows, ne, rows.nb[1:2], index * rows.ne[0] * F32.size)

    def positions(self, per_token: int = 1) -> Node:
        """Positions of the tokens."""
        return self.input(I32, self.n_tokens * per_token)

    def output_ids(self) -> Node:
        """Which rows become logits."""
        return self.input(I32, self.shape.n_outputs)

    def mask(self, kind: str, *, half: bool | None = None, streams: int | None = None) -> Node:
        """Attention mask over a cache (build_attn_inp_kq_mask)."""
        half = self.shape.flash if half is None else half
        streams = streams or self.shape.n_stream
        type_ = F16 if half else F32
        return self.input(type_, self.shape.n_kv[kind], self.n_tokens // streams, 1, streams)

    # Small blocks

    def norm(
        self,
        cur: Node,
        name: str | None,
        il: int | None = None,
        *,
        op: str = "RMS_NORM",
        beside: int | None = None,
    ) -> Node:
        """Normalise, then scale and shift where the model has the tensors (build_norm).

        beside: the block that a norm of no block would rather be computed with.
        """
        cur = ops.like(op, cur)
        if name is None:
            return cur
        weight, bias = self.find(name, il), self.find(name, il, "bias")
        if weight is None:
            weight = self.find(name, il, "")  # a few families name it without .weight
        beside = il if beside is None else beside
        if beside is not None and (weight is not None or bias is not None):
            self.pinned.append((cur, beside))
        if weight is not None:
            cur = ops.mul(cur, weight)
        if bias is not None:
            cur = ops.add(cur, bias)
        return cur

    def linear(self, cur: Node, name: str, il: int | None = None) -> Node:
        """Multiply by a matrix, add its bias where there is one."""
        cur = ops.mul_mat(self.weight(name, il), cur)
        bias = self.find(name, il, "bias")
        return cur if bias is None else ops.add(cur, bias)

    def head(self, cur: Node) -> Node:
        """Final norm and logits, both outputs of the graph."""
        cur = self.norm(cur, "output_norm")
        cur.is_output = True
        return self.logits(cur)

    def vectors(self, cur: Node) -> None:
        """End a graph without logits: its outcome is a vector per row."""
        cur.is_output = True
        self.hidden = self.expand(cur)

    def logits(self, cur: Node, *, scaled: bool = False, soft_cap: bool = False) -> Node:
        """Multiply by the output matrix, then scale or limit by tanh where the model does."""
        self.hidden = cur
        cur = ops.mul_mat(self.output_weight(), cur)
        bias = self.find("output", None, "bias")
        if bias is not None:
            cur = ops.add(cur, bias)
        if soft_cap:
            cur = ops.scale(ops.unary("tanh", ops.scale(cur)))
        if scaled:
            cur = ops.scale(cur)
        cur.is_output = True
        return self.expand(cur)


def _full_name(name: str, il: int | None, part: str) -> str:
    if il is not None and name[:4] in _STACKS:
        return f"{name[:4]}blk.{il}.{name[4:]}.{part}"
    prefix = "" if il is None else f"blk.{il}."
    return f"{prefix}{name}.{part}" if part else f"{prefix}{name}"
