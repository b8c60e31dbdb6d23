"""The graph of a vision projector: what clip.cpp builds for one picture.

The counterpart of tools/mtmd/clip.cpp:clip_graph, for the picture that llama-server reserves memory
for when it starts.
"""

from collections.abc import Callable, Mapping
from math import isqrt

from advisor.llm.tensor import Tensor
from advisor.sizing.compute import ops
from advisor.sizing.compute.nodes import F16, F32, I32, Node, new
from advisor.sizing.compute.order import GraphOrder


def whole(value: object, name: str) -> int:
    """A header's value that must be a whole number. Raises LookupError for any other."""
    if isinstance(value, int):
        return value
    raise LookupError(name)


Turn = Callable[[Node], Node]
"""Rotates queries and keys by position."""


class Tower(GraphOrder):
    """Builds the graph of one projector; numbers are those of the header's ``clip.vision.…``."""

    def __init__(
        self,
        kind: str,
        numbers: Mapping[str, object],
        tensors: Mapping[str, Tensor],
        *,
        home: int,
        flash: bool,
    ) -> None:
        super().__init__()
        self.kind = kind
        self._numbers = numbers
        self._tensors = tensors
        self._home = home
        self._weights: dict[str, Node] = {}
        self.flash = flash
        self.attentions: list[Node] = []
        """Flash attention, layer by layer."""
        self.patch = self.number("patch_size")
        self.merge = self.number("merge")
        self.n_embd = self.number("embedding_length")
        self.n_head = self.number("attention.head_count")
        self.n_head_kv = self.number("attention.head_count_kv", self.n_head)
        self.d_head = self.number("attention.head_dim", 0) or self.n_embd // self.n_head
        self.n_layer = self.number("block_count")
        self.side = self.number("picture") // self.patch
        """Patches along a side of the picture."""
        self.n_patches = self.side * self.side
        self.activation = str(numbers["activation"])

    def number(self, name: str, default: int | None = None) -> int:
        """A number of the header. Raises LookupError where it is not there."""
        return whole(self._numbers.get(name, default), name)

    # Weights and inputs

    def find(self, name: str) -> Node | None:
        """A weight by its full name."""
        node = self._weights.get(name)
        tensor = self._tensors.get(name)
        if node is None and tensor is not None:
            ne = (*tensor.shape, 1, 1, 1)
            node = new(tensor.type, (ne[0], ne[1], ne[2], ne[3]))
            node.name, node.buffer, node.is_weight = name, self._home, True
            self._weights[name] = node
        return node

    def weight(self, name: str) -> Node:
        """A weight that must be there. Raises LookupError."""
        node = self.find(name)
        if node is None:
            raise LookupError(name)
        return node

    def numbers(self, count: int) -> Node:
        """Positions or indices that the host fills in."""
        node = new(I32, (count, 1, 1, 1))
        node.is_input = True
        return node

    def picture(self) -> Node:
        """The picture as read (build_inp_raw)."""
        size = self.number("picture")
        node = new(F32, (size, size, 3, 1))
        node.is_input = True
        return node

    # Blocks

    def linear(self, cur: Node, name: str) -> Node:
        """Multiply by ``{name}.weight``, add ``{name}.bias`` where there is one."""
        weight = self.weight(f"{name}.weight")
        if self.kind == "gemma4v":
            # Every one of its products is kept within limits (Gemma4ClippableLinear).
            cur = ops.clamp(ops.mul_mat(weight, ops.clamp(cur)))
        else:
            cur = ops.mul_mat(weight, cur)
        bias = self.find(f"{name}.bias")
        return cur if bias is None else ops.add(cur, bias)

    def norm(self, cur: Node, name: str, op: str) -> Node:
        """Normalise, scale and shift (build_norm)."""
        cur = ops.like(op, cur)
        weight, bias = self.find(f"{name}.weight"), self.find(f"{name}.bias")
        if weight is not None:
            cur = ops.mul(cur, weight)
        return cur if bias is None else ops.add(cur, bias)

    def feed_forward(self, cur: Node, up: str, down: str, activation: str, gate: str = "") -> Node:
        """Two products with an activation between them, gated where there is a gate."""
        high = self.linear(cur, up)
        if gate and self.find(f"{gate}.weight") is not None:
            cur = ops.glu(activation, self.linear(cur, gate), high)
        elif activation == "relu_sqr":
            cur = ops.like("SQR", ops.unary("relu", high))
        else:
            cur = ops.unary(activation, high)
        return self.linear(cur, down)

    def patches(self) -> Node:
        """Patches of the picture as rows (build_inp)."""
        return self.rows(
            ops.conv_2d(self.weight("v.patch_embd.weight"), self.picture(), self.patch)
        )

    def rows(self, cur: Node) -> Node:
        """One row per patch of what was convolved, and the patches' bias."""
        cur = ops.reshape(cur, self.n_patches, self.n_embd)
        cur = ops.cont(ops.transpose(cur))
        bias = self.find("v.patch_embd.bias")
        return cur if bias is None else ops.add(cur, bias)

    def squares(self, cur: Node, merge: int = 2) -> Node:
        """Bring patches that will be merged next to each other."""
        cur = ops.reshape(cur, self.n_embd * merge, self.side // merge, merge, self.side // merge)
        ne = (self.n_embd, self.n_patches, 1, 1)
        return ops.cont(ops.permute(cur, 0, 2, 1, 3), ne)

    def paired_patches(self, merge: int = 2) -> Node:
        """Patches of two frames, in the order of their merging (build_inp_with_temporal_merge)."""
        image = self.picture()
        first = ops.conv_2d(self.weight("v.patch_embd.weight"), image, self.patch)
        second = ops.conv_2d(self.weight("v.patch_embd.weight.1"), image, self.patch)
        cur = ops.permute(ops.add(first, second), 1, 2, 0, 3)
        ne = (self.n_embd * merge, self.side // merge, self.side, 1)
        return self.squares(ops.cont(cur, ne), merge)

    def resized_positions(self) -> Node:
        """Learned positions, resized to the picture (resize_position_embeddings)."""
        table = self.weight("v.position_embd.weight")
        known = isqrt(table.ne[1])
        if known == self.side:
            return table
        grid = ops.permute(ops.reshape(table, self.n_embd, known, known), 2, 0, 1, 3)
        grid = ops.interpolate(grid, (self.side, self.side, self.n_embd, 1))
        return ops.cont(ops.permute(grid, 1, 2, 0, 3), (self.n_embd, self.n_patches, 1, 1))

    def attention(self, q: Node, k: Node, v: Node, out: str, mask: Node | None = None) -> Node:
        """Attention over all patches (build_attn)."""
        for node in (q, k, v):
            self.expand(node, compute=False)
        q, k = ops.permute(q, 0, 2, 1, 3), ops.permute(k, 0, 2, 1, 3)
        if self.flash:
            v = ops.permute(v, 0, 2, 1, 3)
            k, v = ops.cast(k, F16), ops.cast(v, F16)
            if mask is not None:
                mask = ops.cast(mask, F16)
            cur = ops.flash_attn(q, k, v, mask)
            self.attentions.append(cur)
            cur = ops.reshape(cur, cur.ne[0] * cur.ne[1], cur.ne[2] * cur.ne[3])
        else:
            v = ops.cont(ops.permute(v, 1, 2, 0, 3))
            weights = ops.soft_max(ops.mul_mat(k, q), mask)
            cur = ops.permute(ops.mul_mat(v, weights), 0, 2, 1, 3)
            cur = ops.cont(cur, (cur.ne[0] * cur.ne[1], cur.ne[2] * cur.ne[3], 1, 1))
        return self.linear(cur, out)

    def heads(self, cur: Node, prefix: str, op: str) -> tuple[Node, Node, Node]:
        """Queries, keys and values by head, each normalised where the model has it."""
        n_pos, d = cur.ne[1], self.d_head
        if self.find(f"{prefix}attn_qkv.weight") is not None:
            cur = self.linear(cur, f"{prefix}attn_qkv")
            row = cur.type.size * d
            ne, nb = (d, self.n_head, n_pos, 1), (row, cur.nb[1], cur.nb[1] * n_pos)
            parts = [ops.view(cur, ne, nb, at * row * self.n_head) for at in range(3)]
            per_head = True
        else:
            parts = [self.linear(cur, f"{prefix}attn_{name}") for name in "qkv"]
            scale = self.find(f"{prefix}attn_q_norm.weight")
            per_head = scale is not None and scale.ne[0] == d
        counts = (self.n_head, self.n_head_kv, self.n_head_kv)
        if not per_head:
            parts = self._normed(parts, prefix, op)
        if parts[0].op != "VIEW":
            parts = [ops.reshape(p, d, n, n_pos) for p, n in zip(parts, counts, strict=True)]
        if per_head:
            parts = self._normed(parts, prefix, op)
        return parts[0], parts[1], parts[2]

    def _normed(self, parts: list[Node], prefix: str, op: str) -> list[Node]:
        q, k, v = parts
        if self.find(f"{prefix}attn_q_norm.weight") is not None:
            q = self.norm(q, f"{prefix}attn_q_norm", op)
        if self.find(f"{prefix}attn_k_norm.weight") is not None:
            k = self.norm(k, f"{prefix}attn_k_norm", op)
        return [q, k, v]

    def up_and_down(self, prefix: str) -> tuple[str, str]:
        """Names of the feed-forward's matrices; old files have them exchanged (is_ffn_swapped)."""
        up, down = f"{prefix}ffn_up", f"{prefix}ffn_down"
        swaps = {"mlp", "qwen2vl_merger", "qwen2.5vl_merger", "gemma3", "idefics3"}
        if self.kind in swaps and self.weight(f"{down}.weight").ne[0] == self.n_embd:
            return down, up
        return up, down

    def scaled(self, cur: Node, name: str) -> Node:
        """Multiply by a weight where the model has it."""
        weight = self.find(name)
        return cur if weight is None else ops.mul(cur, weight)

    def transformer(
        self, cur: Node, op: str, positions: Node | None = None, turn: Turn | None = None
    ) -> Node:
        """The vision transformer (build_vit)."""
        n_pos = cur.ne[1]
        if positions is not None:
            cur = ops.add(cur, positions)
        cur = ops.reshape(cur, self.n_embd, n_pos)
        if self.find("v.pre_ln.weight") is not None:
            cur = self.norm(cur, "v.pre_ln", op)
        for il in range(self.n_layer):
            cur = self.block(cur, f"v.blk.{il}.", op, turn)
        if self.find("v.post_ln.weight") is not None:
            cur = self.norm(cur, "v.post_ln", op)
        return ops.reshape(cur, self.n_embd, n_pos)

    def block(
        self,
        residual: Node,
        prefix: str,
        op: str,
        turn: Turn | None = None,
        mask: Node | None = None,
    ) -> Node:
        """One block: attention, then the feed-forward, each added to what came in."""
        q, k, v = self.heads(self.norm(residual, f"{prefix}ln1", op), prefix, op)
        if turn is not None:
            q, k = turn(q), turn(k)
        if self.kind == "gemma4v":
            v = ops.like("RMS_NORM", v)
        cur = self.attention(q, k, v, f"{prefix}attn_out", mask)
        cur = self.scaled(cur, f"{prefix}ls1.weight")
        if self.find(f"{prefix}attn_post_norm.weight") is not None:
            cur = self.norm(cur, f"{prefix}attn_post_norm", op)
        residual = ops.add(cur, residual)
        cur = self.norm(residual, f"{prefix}ln2", op)
        up, down = self.up_and_down(prefix)
        cur = self.feed_forward(cur, up, down, self.activation, f"{prefix}ffn_gate")
        if self.find(f"{prefix}ffn_post_norm.weight") is not None:
            cur = self.norm(cur, f"{prefix}ffn_post_norm", op)
        cur = self.scaled(cur, f"{prefix}ls2.weight")
        cur = ops.add(residual, cur)
        return self.scaled(cur, f"{prefix}out_scale.weight")

    def merged(self, cur: Node, merge: int) -> Node:
        """Patches of a square side by side in one row (build_patch_merge_permute)."""
        width = cur.ne[0]
        side = -(-self.side // merge) * merge
        cur = ops.reshape(cur, width, self.side, self.side)
        if side > self.side:
            cur = ops.pad(cur, 0, side - self.side, side - self.side)
        cur = ops.permute(ops.reshape(cur, width * merge, side // merge, side), 0, 2, 1, 3)
        ne = (width * merge * merge, side // merge, side // merge, 1)
        cur = ops.permute(ops.cont(cur, ne), 0, 2, 1, 3)
        return ops.cont(cur, (cur.ne[0], cur.ne[1] * cur.ne[2], 1, 1))


def rotated_twice(first: Node, second: Node) -> Turn:
    """Rotation by row and by column, one after the other (build_rope_2d)."""
    return lambda cur: ops.rope(ops.rope(cur, first), second)
