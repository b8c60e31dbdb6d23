"""A quick guess at what the solver would move to RAM, for the cells of a matrix."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from advisor.llm.model import Model
from advisor.sizing.tables import PerModel
from advisor.sizing.weights import weight_table

Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Blocks:
    """Bytes of the first so many blocks."""

    experts: Counts
    dense: Counts


def _make_blocks(model: Model, apart: bool) -> _Blocks:
    table = weight_table(model, "cpu", load_mtp=False)
    experts, dense = (np.array(part, dtype=np.int64) for part in (table.experts, table.dense))
    if not apart:
        experts, dense = np.zeros_like(experts), dense + experts
    return _Blocks(experts.cumsum(), dense.cumsum())


_blocks = PerModel(_make_blocks)


class Moves(NamedTuple):
    """By file type and context: blocks that leave the devices, and blocks whose experts do."""

    blocks: Counts
    experts: Counts


def what_moves(
    models: Sequence[Model],
    moved: Counts,
    caches: Counts,
    leaving: NDArray[np.bool_],
    *,
    experts_first: bool,
) -> Moves:
    """What has to leave the devices with ``moved`` bytes, by model and context; 0 but for cells
    that are ``leaving``.

    ``experts_first``: or whole blocks only. ``models``: one model's file types. ``caches``: by
    context, bytes of caches on devices, which leave with their blocks. A guess to price a cell
    with; a plan asks the solver.
    """
    tables = [_blocks(model, experts_first) for model in models]
    n_blocks = len(tables[0].experts)
    all_experts = np.array([table.experts[-1] for table in tables])[:, None]
    found: list[Counts] = [
        np.searchsorted(t.experts, row) for t, row in zip(tables, moved, strict=True)
    ]
    fewer: Counts = np.array(found, dtype=np.int64)
    experts = np.minimum(fewer + 1, n_blocks) * (leaving & (all_experts > 0))
    blocks = np.zeros_like(moved)
    row, column = np.nonzero(leaving & (all_experts < moved))
    if len(row):
        caches_of: Counts = np.outer(caches // n_blocks, np.arange(1, n_blocks + 1))
        dense = np.array([table.dense for table in tables])
        rest = (moved - all_experts)[row, column, None]
        behind = (dense[row] + caches_of[column] < rest).sum(axis=1)
        blocks[row, column] = np.minimum(1 + behind, n_blocks + 1)
    return Moves(blocks, experts)
