"""What a ghost holds beside holes, and where in its file: rows of tensors, or whole tensors."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from advisor.llm import ghost_fill
from advisor.llm.gguf_writer import Layout
from advisor.llm.model import Model
from advisor.llm.tensor import Tensor
from advisor.units import MIB

ROUTER_VALUES: Final = 256
"""Values per expert that hold numbers in a router: one disk block instead of a whole row."""
BLOCK: Final = 4096
"""Bytes of a disk's block."""
_CHUNK: Final = 8 * MIB
"""Bytes that are made and written at a time."""


@dataclass(frozen=True, slots=True)
class Fill:
    """Rows of one tensor that get numbers: ``width`` values at the start of each of ``rows``."""

    tensor: Tensor
    offset: int
    rows: range
    width: int
    limit: int
    """For integers: values are below this. 0: random weights. -1: ones."""

    def on_disk(self) -> int:
        """Disk blocks it touches at most, in bytes."""
        row = self.tensor.type.row_bytes(self.tensor.shape[0])
        piece = self.tensor.type.row_bytes(self.width)
        if piece == row:
            return (row * len(self.rows) // BLOCK + 2) * BLOCK
        return (piece // BLOCK + 2) * BLOCK * len(self.rows)

    def pieces(self, rng: np.random.Generator) -> Iterator[tuple[int, bytes]]:
        """Where to write what."""
        kind = self.tensor.type
        row = kind.row_bytes(self.tensor.shape[0])
        piece = kind.row_bytes(self.width)
        if piece == row:
            step = max(1, _CHUNK // row)
            for start in range(self.rows.start, self.rows.stop, step):
                count = min(step, self.rows.stop - start)
                yield self.offset + start * row, self._values(count, rng)
            return
        data = self._values(len(self.rows), rng)
        for index, number in enumerate(self.rows):
            yield self.offset + number * row, data[index * piece : (index + 1) * piece]

    def _values(self, rows: int, rng: np.random.Generator) -> bytes:
        count = rows * self.width
        if self.limit > 0:
            # One expert twice for a token would be a set that no trained table holds.
            start = rng.integers(0, self.limit, (rows, 1))
            step = rng.integers(1, max(2, self.limit // self.width), (rows, 1))
            table = (start + step * np.arange(self.width)) % self.limit
            return table.astype("<i4").tobytes()
        if self.limit < 0:
            return ghost_fill.ones(self.tensor.type, count).tobytes()
        return ghost_fill.random_values(self.tensor.type, count, rng).tobytes()


@dataclass(frozen=True, slots=True)
class Whole:
    """A tensor of random weights: one piece of them over and over, so that writing is all it costs.

    No processor's cache holds so much that it would notice.
    """

    tensor: Tensor
    offset: int

    def on_disk(self) -> int:
        """Disk blocks it touches at most, in bytes."""
        return self.tensor.nbytes + 2 * BLOCK

    def pieces(self, rng: np.random.Generator) -> Iterator[tuple[int, bytes]]:
        """Where to write what."""
        kind, size = self.tensor.type, self.tensor.nbytes
        blocks = min(size, _CHUNK) // kind.size
        piece = ghost_fill.random_values(kind, blocks * kind.block, rng).tobytes()
        for start in range(0, size, len(piece)):
            yield self.offset + start, piece[: size - start]


def whole(model: Model, plan: Layout, names: Collection[str]) -> Iterator[Whole]:
    """The tensors of these names, filled."""
    for tensor, offset in zip(model.tensors, plan.offsets, strict=True):
        if tensor.name in names and ghost_fill.can_fill(tensor.type):
            yield Whole(tensor, offset)


def fills(model: Model, plan: Layout, tokens: range) -> Iterator[Fill]:
    """What every ghost holds; ``tokens``: rows of the embedding that hold numbers."""
    n_expert = max(
        (t.shape[1] for t in model.tensors if "ffn_gate_inp.weight" in t.name), default=0
    )
    for tensor, offset in zip(model.tensors, plan.offsets, strict=True):
        name, shape, kind = tensor.name, tensor.shape, tensor.type
        rows = range(tensor.n_elements // shape[0])
        if name == "token_embd.weight":
            if ghost_fill.can_fill(kind):
                yield Fill(tensor, offset, tokens, shape[0], 0)
        elif "ffn_gate_tid2eid" in name and n_expert:
            yield Fill(tensor, offset, rows, shape[0], n_expert)
        elif "ffn_gate_inp." in name and name.endswith(".weight"):
            if ghost_fill.can_fill(kind):
                yield Fill(tensor, offset, rows, min(shape[0], ROUTER_VALUES), 0)
        elif _is_ones(name) and kind.name in {"F32", "F16", "BF16"}:
            yield Fill(tensor, offset, rows, shape[0], -1)


def _is_ones(name: str) -> bool:
    """Norms, and rope factors, by which llama.cpp divides."""
    return ("norm" in name and name.endswith(".weight")) or name.startswith("rope_f")
