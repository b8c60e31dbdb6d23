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


def _make_blocks(model: Model, _key: None) -> _Blocks:
    table = weight_table(model, "cpu", load_mtp=False)
    experts, dense = (np.array(part, dtype=np.int64) for part in (table.experts, table.dense))
    return _Blocks(experts.cumsum(), dense.cumsum())


_blocks = PerModel(_make_blocks)


class Moves(NamedTuple):
    """By file type and context: blocks that leave the devices, and blocks whose experts do."""

    blocks: Counts
    experts: Counts


def what_moves(models: Sequence[Model], moved: Counts, caches: Counts) -> Moves:
    """What has to leave the devices with ``moved`` bytes, by model and context.

    Experts go first. ``models``: one model's file types. ``caches``: by context, bytes of caches on
    devices, which leave with their blocks. A guess to price a cell with; a plan asks the solver.
    """
    tables = [_blocks(model, None) for model in models]
    experts = np.array([table.experts for table in tables])
    dense = np.array([table.dense for table in tables])
    n_blocks, all_experts = experts.shape[1], experts[:, -1:]
    enough = all_experts >= moved
    fewer = (experts[:, None, :] < moved[:, :, None]).sum(axis=2)
    caches_of: Counts = (caches // n_blocks)[:, None] * np.arange(1, n_blocks + 1, dtype=np.int64)
    rest = (moved - all_experts)[:, :, None]
    blocks: Counts = (dense[:, None, :] + caches_of < rest).sum(axis=2)
    return Moves(
        blocks=np.where(enough, 0, np.minimum(1 + blocks, n_blocks + 1)),
        experts=np.where(
            enough, np.minimum(fewer + 1, n_blocks), np.where(all_experts > 0, n_blocks, 0)
        ),
    )
