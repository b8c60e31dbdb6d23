"""The verdicts of all cells of a matrix at once, by the rules of ``verdict.judge``."""

from collections.abc import Sequence
from typing import Final, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from advisor.llm.model import Model
from advisor.sizing.allocation import Room
from advisor.sizing.matrix_columns import Column
from advisor.sizing.plan import Verdict
from advisor.sizing.spill import what_moves
from advisor.sizing.weights import WeightBytes, weight_table

VERDICTS: Final[tuple[Verdict, ...]] = ("fits", "tight", "offload", "no", "unknown", "unknown")
FITS, TIGHT, OFFLOAD, NO, UNSURE, NEAR = range(6)
"""Indices into ``VERDICTS``; ``NEAR`` lies so near the border of RAM that only a placement tells
"offload" from "no"."""

_UNKNOWN: Final = -(1 << 62)
"""Stands for an unknown amount of memory in arrays."""
_SLACK: Final = 1 << 29
"""Bytes by which compute buffers may shrink when layers move to RAM."""

_Sizes = NDArray[np.int64]


class Judgements(NamedTuple):
    """Every cell by file type (first) and context. Sizes in bytes."""

    verdict: list[list[int]]
    headroom: list[list[int | None]]
    """None where it is not known, as the totals are."""
    device_total: list[list[int | None]]
    host_total: list[list[int | None]]
    blocks: list[list[int]]
    """About as many blocks would go to RAM, and"""
    experts: list[list[int]]
    """the experts of so many; both 0 where everything lies where the settings say."""


class _Sums(NamedTuple):
    """Bytes by file type and context, while everything lies where the settings say."""

    weights: _Sizes
    """By file type, on all devices."""
    in_use: NDArray[np.bool_]
    """Per device (last axis), whether anything lies there."""
    left: _Sizes
    """Per device."""
    device_total: _Sizes
    host_total: _Sizes
    shared: _Sizes
    """On unified devices, everything."""


def _sums(placed: Sequence[WeightBytes], columns: Sequence[Column], space: Room) -> _Sums:
    n_devices = len(space.free)
    weights = np.array([found.devices for found in placed], dtype=np.int64)
    weights = weights.reshape(len(placed), 1, n_devices)
    fixed = np.array([column.fixed for column in columns], dtype=np.int64)
    added = weights + fixed.reshape(len(columns), n_devices)
    used = added + np.array([value or 0 for value in space.driver], dtype=np.int64)
    free = np.array([_UNKNOWN if f is None else f for f in space.free], dtype=np.int64)
    on_host = np.array([found.host for found in placed], dtype=np.int64)[:, None]
    return _Sums(
        weights=weights.sum(axis=2),
        in_use=added > 0,
        left=free - used,
        device_total=added.sum(axis=2),
        host_total=on_host + np.array([column.host for column in columns], dtype=np.int64),
        shared=(used * np.array(space.unified, dtype=bool)).sum(axis=2),
    )


def judge(
    models: Sequence[Model],
    placed: Sequence[WeightBytes],
    columns: Sequence[Column],
    space: Room,
    *,
    may_spill: bool,
) -> Judgements:
    """Judge all cells.

    ``may_spill``: whether what the devices cannot hold may go to RAM.
    """
    sums = _sums(placed, columns, space)
    margin = columns[0].settings.margin
    unsure = np.array([value is None for value in space.free], dtype=bool)
    host = (space.host or 0) - sums.host_total - sums.shared
    placement = columns[0].placement
    if placement.on_device:
        most = np.iinfo(np.int64).max
        smallest = np.where(sums.in_use, sums.left, most).min(axis=2)
        unknown = (sums.in_use & unsure).any(axis=2) | ~sums.in_use.any(axis=2)
    else:
        smallest = host
        unknown = np.full(host.shape, space.host is None)
    missing = ~np.array([column.known for column in columns], dtype=bool) & np.ones_like(unknown)
    unknown |= missing
    offloads = placement.on_device and placement.offloads
    verdict = np.where(smallest < margin, TIGHT, FITS)
    if offloads:
        verdict[:] = OFFLOAD
    if space.host is not None:
        verdict[host < 0] = NO
    elif offloads:
        verdict[:] = UNSURE
    verdict[smallest < 0] = NO
    verdict[unknown] = UNSURE
    blocks = experts = np.zeros_like(verdict)
    lacking = verdict == NO
    if may_spill and lacking.any():
        if unsure.any() or space.host is None:
            verdict[lacking] = UNSURE
        else:
            moved = np.maximum((margin - sums.left).sum(axis=2), 0)
            caches = np.array([column.caches for column in columns], dtype=np.int64)
            moved = np.minimum(moved, sums.weights + caches)
            spilled = _spill(models, sums, moved, space, load_mtp=columns[0].settings.load_mtp)
            verdict[lacking] = spilled[lacking]
            leaving = lacking & (verdict != NO)
            blocks, experts = (
                np.where(leaving, part, 0) for part in what_moves(models, moved, caches)
            )
    return Judgements(
        verdict=verdict.tolist(),
        headroom=_known(smallest, unknown),
        device_total=_known(sums.device_total, missing),
        host_total=_known(sums.host_total, missing),
        blocks=blocks.tolist(),
        experts=experts.tolist(),
    )


def _known(sizes: _Sizes, unknown: NDArray[np.bool_]) -> list[list[int | None]]:
    found = cast("list[list[int | None]]", sizes.tolist())
    if unknown.any():
        for row, column in np.argwhere(unknown).tolist():
            found[row][column] = None
    return found


def _spill(
    models: Sequence[Model], sums: _Sums, moved: _Sizes, space: Room, *, load_mtp: bool
) -> _Sizes:
    """Whether RAM can hold what the devices cannot. ``moved``: bytes that would leave them."""
    ram = space.host or 0
    # What leaves a unified device stays in the same memory.
    needed = sums.host_total + np.where(sums.shared != 0, sums.shared, moved)
    # Whole layers move, so the sum is too small by up to a layer per device.
    largest = [weight_table(model, "cpu", load_mtp=load_mtp).largest for model in models]
    near = ram - (1 + len(space.free)) * np.array(largest, dtype=np.int64)[:, None]
    return np.where(needed > ram + _SLACK, NO, np.where(needed > near, NEAR, OFFLOAD))
