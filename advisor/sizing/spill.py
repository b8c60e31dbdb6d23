"""A quick guess at what the solver would move to RAM, for the cells of a matrix."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from advisor.sizing.family import Blocks, Counts


class Moves(NamedTuple):
    """By cell: blocks that leave the devices, and blocks whose experts do."""

    blocks: Counts
    experts: Counts


def what_moves(sums: Blocks, file_types: NDArray[np.intp], moved: Counts, caches: Counts) -> Moves:
    """What has to leave the devices with ``moved`` bytes, by cell.

    Experts go first. ``file_types``: of every cell, the row of ``sums``. ``caches``: bytes of
    caches on devices, which leave with their blocks. A guess to price a cell with; a plan asks the
    solver.
    """
    experts, dense = sums
    n_blocks = experts.shape[1]
    all_experts = experts[file_types, -1]
    enough = all_experts >= moved
    if all_experts.any():
        fewer = (experts[file_types] < moved[:, None]).sum(axis=1)
        of_experts = np.where(
            enough, np.minimum(fewer + 1, n_blocks), np.where(all_experts > 0, n_blocks, 0)
        )
    else:
        of_experts = np.where(enough, min(1, n_blocks), 0)
    if enough.all():
        return Moves(np.zeros_like(moved), of_experts)
    caches_of: Counts = (caches // n_blocks)[:, None] * np.arange(1, n_blocks + 1, dtype=np.int64)
    rest = (moved - all_experts)[:, None]
    blocks: Counts = (dense[file_types] + caches_of < rest).sum(axis=1)
    return Moves(np.where(enough, 0, np.minimum(1 + blocks, n_blocks + 1)), of_experts)
