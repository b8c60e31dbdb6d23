"""Bytes of all cells of one model, one after the other, whatever is free."""

from collections.abc import Sequence
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from advisor.llm.model import Model
from advisor.sizing import refusals
from advisor.sizing.allocation import Room, is_cut
from advisor.sizing.family import Family
from advisor.sizing.matrix_columns import Columns, columns
from advisor.sizing.placement import Placement
from advisor.sizing.settings import RunSettings
from advisor.sizing.tables import PerModel

_SLACK = 1 << 29
"""Bytes by which compute buffers may shrink at least when layers move to RAM."""

_REMEMBER = 64
"""Placements kept per model and its file types; more start anew."""

_Sizes = NDArray[np.int64]


class Loads(NamedTuple):
    """Sizes in bytes while everything lies where the settings say, cell by cell.

    The cells of one file type follow each other, in the order of the contexts.
    """

    tables: Family
    columns: Columns
    on_device: bool
    offloads: bool
    """Whether a part of it, or all, lies in RAM though the rig has devices."""
    added: _Sizes
    """Per device (first axis), all of llama.cpp's."""
    host: _Sizes
    missing: NDArray[np.bool_]
    """Where caches or buffers are not known."""
    may_leave: _Sizes
    """Weights and caches on devices."""
    slack: _Sizes
    """By how much buffers may shrink when layers move to RAM."""
    largest: _Sizes
    """The file type's largest block."""
    caches: _Sizes
    """On devices."""
    device_totals: list[int | None]
    """None where it is not known."""
    host_totals: list[int | None]

    @property
    def n_contexts(self) -> int:
        """Cells per file type."""
        return len(self.columns.each)


_Shared = tuple[RunSettings, tuple[int, ...], tuple[str, ...], tuple[int | None, ...], Placement]
"""Settings, contexts, and per device its backend and free memory; where layers go."""


def loads(
    tables: Family,
    first: Model,
    settings: RunSettings,
    contexts: tuple[int, ...],
    space: Room,
    *,
    placement: Placement,
) -> Loads:
    """The cells of some file types of one model, remembered while the models live.

    ``tables``: of those models. ``first``: the first of them, or another file type that shares
    caches and buffers with them. Raises SettingsError where
    llama.cpp would refuse to start.
    """
    # Free memory decides where layers go, and beyond that only how matrices are cut and where a
    # draft model goes.
    counts = is_cut(settings, space.backends) or settings.spec_type == "draft-simple"
    free = space.free if counts else (None,) * len(space.free)
    return _known(first, (tables, (settings, contexts, space.backends, free, placement)))


def _make(first: Model, asked: tuple[Family, _Shared]) -> Loads:
    tables, shared = asked
    settings, _contexts, backends, free, placement = shared
    models = tables.models()
    made = _columns(first, shared)
    _check(models, first, settings)
    placed = tables.weights(settings, placement, backends, free)
    n_types, n_contexts = len(models), len(made.each)
    weights = placed.devices.T[:, :, None]
    added = (weights + made.fixed.T[:, None, :]).reshape(len(backends), n_types * n_contexts)
    missing = np.tile(~made.known, n_types)
    host = (placed.host[:, None] + made.host).ravel()
    caches = np.tile(made.caches, n_types)
    device_totals = cast("list[int | None]", added.sum(axis=0).tolist())
    host_totals = cast("list[int | None]", host.tolist())
    for cell in np.flatnonzero(missing).tolist():
        device_totals[cell] = host_totals[cell] = None
    return Loads(
        tables=tables,
        columns=made,
        on_device=placement.on_device,
        offloads=placement.offloads and bool(backends),
        added=added,
        host=host,
        missing=missing,
        may_leave=np.repeat(placed.devices.sum(axis=1), n_contexts) + caches,
        slack=np.tile(np.maximum(made.pipelining, _SLACK), n_types),
        largest=np.repeat(tables.largest(load_mtp=settings.load_mtp), n_contexts),
        caches=caches,
        device_totals=device_totals,
        host_totals=host_totals,
    )


_known = PerModel(_make, _REMEMBER)


def _make_columns(model: Model, asked: _Shared) -> Columns:
    settings, contexts, backends, free, placement = asked
    refusals.check(model, settings)
    return columns(model, settings, contexts, backends, free, placement=placement)


_columns = PerModel(_make_columns, _REMEMBER)


def _check(models: Sequence[Model], like: Model, settings: RunSettings) -> None:
    """Refuse what llama.cpp would refuse, where ``like`` is accepted. Raises SettingsError."""
    for model in models:
        # File types of one catalogue model differ in types only, and those do not matter here.
        if model is not like and (model.hp is not like.hp or model.source == "gguf"):
            refusals.check(model, settings)
