"""A quick guess at what the solver would move to RAM, for the cells of a matrix."""

from bisect import bisect_left
from dataclasses import replace
from functools import lru_cache
from itertools import accumulate

from advisor.llm.model import Model
from advisor.sizing.placement import Placement, layer_devices
from advisor.sizing.tables import PerModel
from advisor.sizing.weights import weight_table


def _sums(model: Model, _key: None) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Bytes of the experts, and of everything else, of the first blocks."""
    table = weight_table(model, "cpu", load_mtp=False)
    return tuple(accumulate(table.experts)), tuple(accumulate(table.dense))


_prefixes = PerModel(_sums)


@lru_cache(maxsize=4096)
def _moved(
    whole: Placement, blocks_on_host: int, experts_on_host: int, free: tuple[int, ...]
) -> Placement:
    n_blocks = len(whole.layer_device) - 1
    placed = whole.layer_device
    if blocks_on_host:
        devices = tuple(sorted(set(placed)))
        shares = tuple(float(free[device]) for device in devices)
        placed = layer_devices(n_blocks, n_blocks + 1 - blocks_on_host, devices, shares)
    return replace(
        whole,
        layer_device=placed,
        experts_on_host=frozenset(range(experts_on_host)),
        n_copies=1,
    )


def what_moves(model: Model, moved: int, caches: int) -> tuple[int, int]:
    """Blocks, and blocks whose experts, have to leave the devices with ``moved`` bytes.

    Experts go first. ``caches``: bytes of caches on devices, which leave with their blocks. A guess
    to price a cell with; a plan asks the solver.
    """
    experts, dense = _prefixes(model, None)
    n_blocks = len(experts)
    if experts[-1] >= moved:
        return 0, min(n_blocks, bisect_left(experts, moved) + 1)
    rest = moved - experts[-1]
    per_block = caches // n_blocks
    blocks = 1 + bisect_left(
        range(n_blocks), rest, key=lambda block: dense[block] + per_block * (block + 1)
    )
    return min(blocks, n_blocks + 1), n_blocks if experts[-1] else 0


def spilled(whole: Placement, moved: tuple[int, int], free: tuple[int | None, ...]) -> Placement:
    """Where things would lie if so many blocks, and experts of so many, went to RAM."""
    return _moved(whole, *moved, tuple(value or 0 for value in free))
