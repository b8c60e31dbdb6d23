"""The verdicts of all cells of a matrix at once, by the rules of ``verdict.judge``."""

from collections.abc import Sequence
from typing import Final, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from advisor.llm.model import Model
from advisor.sizing.allocation import Room
from advisor.sizing.matrix_columns import Column
from advisor.sizing.plan import Verdict
from advisor.sizing.settings import RunSettings
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
_LESS: Final = 0.25
"""By so much of theirs they may shrink when layers move from one device to another."""

_Sizes = NDArray[np.int64]


class Open(NamedTuple):
    """What is left to the solver where the devices hold less than everything."""

    least: int
    """Headroom in bytes below which a part goes to RAM."""
    layers: bool
    """Whole layers may; otherwise only experts."""
    experts: bool
    """Experts may before whole layers do."""
    split: bool
    """Layers may lie otherwise on the devices."""
    faster: bool
    """And do so too where they fit as they are."""


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
    apart: list[list[bool]]
    """Whether another split over the devices may hold everything, as far as sums tell."""


class _Sums(NamedTuple):
    """Bytes by file type and context, while everything lies where the settings say."""

    weights: _Sizes
    """By file type, on all devices."""
    in_use: NDArray[np.bool_]
    """Per device (last axis), whether anything lies there."""
    added: _Sizes
    """Per device, with caches and buffers."""
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
        added=added,
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
    open_: Open | None,
) -> Judgements:
    """Judge all cells. ``open_``: None where the settings say where everything lies."""
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
        # A run in RAM is judged by devices only where they lack room for what is copied to them.
        short = np.where(sums.in_use & ~unsure, sums.left, 0).min(axis=2, initial=0)
        smallest = np.where(short < 0, short, host)
        unknown = np.full(host.shape, space.host is None)
    missing = ~np.array([column.known for column in columns], dtype=bool) & np.ones_like(unknown)
    unknown |= missing
    verdict = np.where(smallest < margin, TIGHT, FITS)
    # With cards in the rig, a run that lies wholly in RAM does not fit them either.
    if placement.offloads and space.free:
        verdict[:] = OFFLOAD
    if space.host is not None:
        verdict[host < 0] = NO
    elif placement.offloads:
        verdict[:] = UNSURE
    verdict[smallest < 0] = NO
    verdict[unknown] = UNSURE
    blocks = experts = np.zeros_like(verdict)
    lacking = verdict == NO
    apart = np.zeros_like(lacking)
    if open_ is not None:
        lacking |= ~unknown & (smallest < open_.least)
    if open_ is not None and open_.faster and len(space.free) > 1 and not unsure.any():
        apart = ~unknown & ~lacking
    if open_ is not None and lacking.any():
        lacks = _lacks(sums, columns[0].settings)
        if open_.split and len(space.free) > 1 and not unsure.any():
            buffers = np.array([sum(column.buffers) for column in columns], dtype=np.int64)
            apart |= lacking & (lacks <= buffers * _LESS)
        if unsure.any() or space.host is None:
            verdict[lacking] = UNSURE
        else:
            caches = np.array([column.caches for column in columns], dtype=np.int64)
            moved = np.minimum(np.maximum(lacks, 0), sums.weights + caches)
            spilled = _spill(models, sums, moved, space, open_, columns)
            # What only lacks the margin, and RAM cannot take, stays.
            lacking &= (verdict == NO) | (spilled != NO)
            verdict[lacking] = spilled[lacking]
            leaving = lacking & (verdict != NO)
            blocks, experts = what_moves(
                models, moved, caches, leaving, experts_first=open_.experts
            )
    return Judgements(
        verdict=verdict.tolist(),
        headroom=_known(smallest, unknown),
        device_total=_known(sums.device_total, missing),
        host_total=_known(sums.host_total, missing),
        blocks=blocks.tolist(),
        experts=experts.tolist(),
        apart=apart.tolist(),
    )


def _lacks(sums: _Sums, settings: RunSettings) -> _Sizes:
    """Bytes that the devices lack together for the margin; less than 0 where they have more."""
    lacks = settings.margin - sums.left
    match settings.split_mode:
        case "layer":
            return lacks.sum(axis=2)
        case "none":
            # No other device takes a part.
            return lacks.sum(axis=2, where=sums.in_use)
        case _:
            # Every device keeps its share of what stays, so the tightest decides.
            shares = sums.added / np.maximum(sums.added.sum(axis=2, keepdims=True), 1)
            return (lacks / np.maximum(shares, 1e-3)).max(axis=2).astype(np.int64)


def _known(sizes: _Sizes, unknown: NDArray[np.bool_]) -> list[list[int | None]]:
    found = cast("list[list[int | None]]", sizes.tolist())
    if unknown.any():
        for row, column in np.argwhere(unknown).tolist():
            found[row][column] = None
    return found


def _spill(  # noqa: PLR0917 - judge's own arguments
    models: Sequence[Model],
    sums: _Sums,
    moved: _Sizes,
    space: Room,
    open_: Open,
    columns: Sequence[Column],
) -> _Sizes:
    """Whether RAM can hold what the devices cannot. ``moved``: bytes that would leave them."""
    ram = space.host or 0
    # What leaves a unified device stays in the same memory.
    needed = sums.host_total + np.where(sums.shared != 0, sums.shared, moved)
    # Whole layers move, so the sum is too small by up to a layer per device.
    tables = [weight_table(model, "cpu", load_mtp=columns[0].settings.load_mtp) for model in models]
    largest = [table.largest for table in tables]
    rest = (1 + len(space.free)) * np.array(largest, dtype=np.int64)[:, None]
    less = _SLACK + np.array([column.pipelining for column in columns], dtype=np.int64)
    caches = np.array([column.caches for column in columns], dtype=np.int64)
    # Where all that can leave does, buffers decide.
    never, near = needed > ram + less, (needed > ram - rest) | (moved == sums.weights + caches)
    if not open_.layers:
        most = np.array([sum(table.experts) for table in tables], dtype=np.int64)[:, None]
        never |= moved > most + _SLACK
        near |= moved > most - rest
    return np.where(never, NO, np.where(near, NEAR, OFFLOAD))
