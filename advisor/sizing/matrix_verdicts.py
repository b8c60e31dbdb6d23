"""The verdicts of all cells of a matrix at once, by the rules of ``verdict.judge``."""

from functools import lru_cache
from typing import Final, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from advisor.sizing.allocation import Room
from advisor.sizing.family import Family, Weights
from advisor.sizing.matrix_columns import Columns
from advisor.sizing.plan import Verdict
from advisor.sizing.spill import what_moves

VERDICTS: Final[tuple[Verdict, ...]] = ("fits", "tight", "offload", "no", "unknown", "unknown")
FITS, TIGHT, OFFLOAD, NO, UNSURE, NEAR = range(6)
"""Indices into ``VERDICTS``; ``NEAR`` lies so near the border of RAM that only a placement tells
"offload" from "no". The first three run."""

_UNKNOWN: Final = -(1 << 62)
"""Stands for an unknown amount of memory in arrays."""
_SLACK: Final = 1 << 29
"""Bytes by which compute buffers may shrink at least when layers move to RAM."""

MOST_BLOCKS: Final = 1 << 12
"""More than any model has (llama-hparams.h:LLAMA_MAX_LAYERS)."""
NOWHERE: Final = -1

_Sizes = NDArray[np.int64]


class Judgements(NamedTuple):
    """Every cell by file type (first) and context. Sizes in bytes."""

    verdict: list[list[int]]
    headroom: list[list[int | None]]
    """None where it is not known, as the totals are."""
    device_total: list[list[int | None]]
    host_total: list[list[int | None]]
    moves: list[list[int]]
    """What would go to RAM: blocks × ``MOST_BLOCKS`` + blocks whose experts would; 0 where
    everything lies where the settings say."""
    runs: list[list[int]]
    """The same where it runs and its speed is known, else ``NOWHERE``."""


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


class _Devices(NamedTuple):
    """The devices of a rig, per device."""

    free: _Sizes
    driver: _Sizes
    unsure: NDArray[np.bool_]
    """Whether it is not known what is free."""
    unified: NDArray[np.bool_]


@lru_cache(maxsize=64)
def _devices(space: Room) -> _Devices:
    return _Devices(
        free=np.array([_UNKNOWN if f is None else f for f in space.free], dtype=np.int64),
        driver=np.array([value or 0 for value in space.driver], dtype=np.int64),
        unsure=np.array([value is None for value in space.free], dtype=np.bool_),
        unified=np.array(space.unified, dtype=np.bool_),
    )


def _sums(placed: Weights, columns: Columns, devices: _Devices) -> _Sums:
    weights = placed.devices[:, None, :]
    added = weights + columns.fixed
    used = added + devices.driver
    shared = np.zeros((1, 1), dtype=np.int64)
    if devices.unified.any():
        shared = (used * devices.unified).sum(axis=2)
    return _Sums(
        weights=weights.sum(axis=2),
        in_use=added > 0,
        left=devices.free - used,
        device_total=added.sum(axis=2),
        host_total=placed.host[:, None] + columns.host,
        shared=shared,
    )


def judge(
    tables: Family,
    placed: Weights,
    columns: Columns,
    space: Room,
    *,
    may_spill: bool,
    spare: int,
) -> Judgements:
    """Judge all cells. ``placed``: the weights of the family ``tables``.

    ``may_spill``: whether what the devices cannot hold may go to RAM. ``spare``: bytes to be left
    on devices for a speed to be known.
    """
    devices = _devices(space)
    sums = _sums(placed, columns, devices)
    settings, placement = columns.each[0].settings, columns.each[0].placement
    margin = settings.margin
    unsure = devices.unsure
    host = (space.host or 0) - sums.host_total - sums.shared
    if placement.on_device:
        most = np.iinfo(np.int64).max
        smallest = np.where(sums.in_use, sums.left, most).min(axis=2)
        unknown = (sums.in_use & unsure).any(axis=2) | ~sums.in_use.any(axis=2)
    else:
        smallest = host
        unknown = np.full(host.shape, space.host is None)
    missing = ~columns.known & np.ones_like(unknown)
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
    moves = np.zeros_like(verdict)
    lacking = verdict == NO
    if may_spill and lacking.any():
        if unsure.any() or space.host is None:
            verdict[lacking] = UNSURE
        else:
            moved = np.maximum((margin - sums.left).sum(axis=2), 0)
            moved = np.minimum(moved, sums.weights + columns.caches)
            largest = tables.largest(load_mtp=settings.load_mtp)
            less = np.maximum(columns.pipelining, _SLACK)
            spilled = _spill(largest, sums, moved, less, space)
            verdict[lacking] = spilled[lacking]
            leaving = lacking & (verdict != NO)
            blocks, experts = what_moves(tables.blocks, moved, columns.caches)
            moves = np.where(leaving, blocks * MOST_BLOCKS + experts, 0)
    full = (smallest >= 0) & (smallest < spare) & placement.on_device
    return Judgements(
        verdict=verdict.tolist(),
        headroom=_known(smallest, unknown),
        device_total=_known(sums.device_total, missing),
        host_total=_known(sums.host_total, missing),
        moves=moves.tolist(),
        runs=np.where((verdict <= OFFLOAD) & ~full, moves, NOWHERE).tolist(),
    )


def _known(sizes: _Sizes, unknown: NDArray[np.bool_]) -> list[list[int | None]]:
    found = cast("list[list[int | None]]", sizes.tolist())
    if unknown.any():
        for row, column in np.argwhere(unknown).tolist():
            found[row][column] = None
    return found


def _spill(largest: _Sizes, sums: _Sums, moved: _Sizes, less: _Sizes, space: Room) -> _Sizes:
    """Whether RAM can hold what the devices cannot. ``moved``: bytes that would leave them.

    ``largest``: bytes of every file type's largest block. ``less``: by context, bytes by which
    buffers may shrink when layers move to RAM.
    """
    ram = space.host or 0
    # What leaves a unified device stays in the same memory.
    needed = sums.host_total + np.where(sums.shared != 0, sums.shared, moved)
    # Whole layers move, so the sum is too small by up to a layer per device.
    near = ram - (1 + len(space.free)) * largest[:, None]
    return np.where(needed > ram + less, NO, np.where(needed > near, NEAR, OFFLOAD))
