"""The verdicts of all cells of a matrix at once, by the rules of ``verdict.judge``."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from advisor.sizing.allocation import Room
from advisor.sizing.matrix_loads import Loads
from advisor.sizing.plan import Verdict
from advisor.sizing.spill import what_moves

VERDICTS: Final[tuple[Verdict, ...]] = ("fits", "tight", "offload", "no", "unknown", "unknown")
FITS, TIGHT, OFFLOAD, NO, UNSURE, NEAR = range(6)
"""Indices into ``VERDICTS``; ``NEAR`` lies so near the border of RAM that only a placement tells
"offload" from "no". The first three run."""

_UNKNOWN: Final = -(1 << 62)
"""Stands for an unknown amount of memory in arrays."""

MOST_BLOCKS: Final = 1 << 12
"""More than any model has (llama-hparams.h:LLAMA_MAX_LAYERS)."""
NOWHERE: Final = -1

_Sizes = NDArray[np.int64]
_Flags = NDArray[np.bool_]


class Judgements(NamedTuple):
    """Every cell of every model, in the order of ``Loads``."""

    verdict: list[int]
    headroom: list[int | None]
    """In bytes; None where it is not known."""
    moves: list[int]
    """What would go to RAM: blocks × ``MOST_BLOCKS`` + blocks whose experts would; 0 where
    everything lies where the settings say."""
    runs: list[int]
    """The same where it runs and its speed is known, else ``NOWHERE``."""

    def between(self, start: int, end: int) -> "Judgements":
        """Some of the cells."""
        return Judgements(
            self.verdict[start:end],
            self.headroom[start:end],
            self.moves[start:end],
            self.runs[start:end],
        )


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


def _joined(parts: Sequence[_Sizes]) -> _Sizes:
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)


def judge(
    models: Sequence[Loads], space: Room, *, margin: int, may_spill: bool, spare: int
) -> Judgements:
    """Judge the cells of several models at once, all of them under the same settings.

    ``may_spill``: whether what the devices cannot hold may go to RAM. ``spare``: bytes to be left
    on devices for a speed to be known.
    """
    devices = _devices(space)
    counts = [len(model.host) for model in models]
    used = _joined([model.added for model in models])
    in_use = used > 0
    used = used + devices.driver[:, None]
    left = devices.free[:, None] - used
    shared = used[devices.unified].sum(axis=0)
    host_total = _joined([model.host for model in models])
    host = (space.host or 0) - host_total - shared
    on_device = np.repeat([model.on_device for model in models], counts)
    offloads = np.repeat([model.offloads for model in models], counts)
    smallest: _Sizes = host
    unknown: _Flags = np.zeros_like(host, dtype=np.bool_)
    unknown[:] = space.host is None
    if len(in_use):
        most = np.iinfo(np.int64).max
        tightest = np.where(in_use & ~devices.unsure[:, None], left, most).min(axis=0)
        # A run in RAM is judged by devices only where they lack room for what is copied to them.
        lacks = np.minimum(host, np.where(tightest < 0, tightest, most))
        smallest = np.where(on_device, tightest, lacks)
        unsure = in_use[devices.unsure].any(axis=0) | ~in_use.any(axis=0)
        unknown = np.where(on_device, unsure, unknown)
    unknown = unknown | np.concatenate([model.missing for model in models])
    verdict = np.where(offloads, OFFLOAD, np.where(smallest < margin, TIGHT, FITS))
    if space.host is None:
        verdict[offloads] = UNSURE
    else:
        verdict[host < 0] = NO
    verdict[smallest < 0] = NO
    verdict[unknown] = UNSURE
    moves = np.zeros_like(verdict)
    lacking = verdict == NO
    if may_spill and lacking.any():
        if devices.unsure.any() or space.host is None:
            verdict[lacking] = UNSURE
        else:
            moved = np.maximum((margin - left).sum(axis=0), 0)
            moved = np.minimum(moved, _joined([model.may_leave for model in models]))
            # What leaves a unified device stays in the same memory.
            needed = host_total + np.where(shared != 0, shared, moved)
            spilled = _spill(models, needed, space)
            verdict[lacking] = spilled[lacking]
            moves = _moves(models, lacking & (verdict != NO), moved)
    full = (smallest >= 0) & (smallest < spare) & on_device
    headroom = cast("list[int | None]", smallest.tolist())
    for cell in np.flatnonzero(unknown).tolist():
        headroom[cell] = None
    return Judgements(
        verdict=verdict.tolist(),
        headroom=headroom,
        moves=moves.tolist(),
        runs=np.where((verdict <= OFFLOAD) & ~full, moves, NOWHERE).tolist(),
    )


def _spill(models: Sequence[Loads], needed: _Sizes, space: Room) -> NDArray[np.int64]:
    """Whether RAM can hold what the devices cannot. ``needed``: bytes that it would have to."""
    ram = space.host or 0
    slack = _joined([model.slack for model in models])
    # Whole layers move, so the sum is too small by up to a layer per device.
    near = ram - (1 + len(space.free)) * _joined([m.largest for m in models])
    return np.where(needed > ram + slack, NO, np.where(needed > near, NEAR, OFFLOAD))


def _moves(models: Sequence[Loads], leaving: _Flags, moved: _Sizes) -> _Sizes:
    """See ``Judgements.moves``. ``leaving``: the cells of which a part leaves the devices."""
    moves = np.zeros_like(moved)
    start = 0
    for model in models:
        end = start + len(model.host)
        cells = np.flatnonzero(leaving[start:end])
        if cells.size:
            file_types = cells // model.n_contexts
            blocks, experts = what_moves(
                model.tables.blocks, file_types, moved[start + cells], model.caches[cells]
            )
            moves[start + cells] = blocks * MOST_BLOCKS + experts
        start = end
    return moves
