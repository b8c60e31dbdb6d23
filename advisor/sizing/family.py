"""The file types of one model side by side, as arrays: what a matrix judges all at once.

Rows of every array are the file types. They are made once and kept while the models live.
"""

import weakref
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from advisor.llm.model import Model
from advisor.sizing.allocation import place_weights
from advisor.sizing.placement import Placement
from advisor.sizing.settings import RunSettings
from advisor.sizing.tables import PerModel
from advisor.sizing.weights import weight_table

Counts = NDArray[np.int64]


class Weights(NamedTuple):
    """Bytes of weights."""

    devices: Counts
    """Per device (last axis)."""
    host: Counts


class Blocks(NamedTuple):
    """Bytes of the first so many blocks (last axis) as the host would hold them."""

    experts: Counts
    dense: Counts


class Family:
    """Tables of some file types of one model; the models themselves belong to the caller."""

    def __init__(self, models: Sequence[Model]) -> None:
        self._models = [weakref.ref(model) for model in models]
        self._blocks: Blocks | None = None
        self._largest: dict[bool, Counts] = {}

    def is_of(self, models: Sequence[Model]) -> bool:
        """Whether these are its models, in this order."""
        return all(ref() is model for ref, model in zip(self._models, models, strict=True))

    def models(self) -> list[Model]:
        """Those of its models that are still there."""
        return [model for ref in self._models if (model := ref()) is not None]

    def weights(
        self,
        settings: RunSettings,
        placement: Placement,
        backends: tuple[str, ...],
        free: tuple[int | None, ...],
    ) -> Weights:
        """Where the weights lie."""
        placed = [
            place_weights(model, settings, placement, backends, free) for model in self.models()
        ]
        devices = np.array([found.devices for found in placed], dtype=np.int64)
        return Weights(
            devices.reshape(len(placed), len(backends)),
            np.array([found.host for found in placed], dtype=np.int64),
        )

    @property
    def blocks(self) -> Blocks:
        """The sums of what leaves the devices block by block."""
        if self._blocks is None:
            tables = [weight_table(model, "cpu", load_mtp=False) for model in self.models()]
            experts = np.array([table.experts for table in tables], dtype=np.int64)
            dense = np.array([table.dense for table in tables], dtype=np.int64)
            self._blocks = Blocks(experts.cumsum(axis=1), dense.cumsum(axis=1))
        return self._blocks

    def largest(self, *, load_mtp: bool) -> Counts:
        """Bytes of the largest block, experts included."""
        if load_mtp not in self._largest:
            tables = [weight_table(model, "cpu", load_mtp=load_mtp) for model in self.models()]
            sizes = [table.largest for table in tables]
            self._largest[load_mtp] = np.array(sizes, dtype=np.int64)
        return self._largest[load_mtp]


_families: PerModel[tuple[int, ...], list[Family]] = PerModel(lambda _model, _key: [])
"""By the identities of the models; one that is gone may have left its number to another."""


def family(models: Sequence[Model]) -> Family:
    """The tables of these file types of one model."""
    slot = _families(models[0], tuple(map(id, models)))
    if not slot or not slot[0].is_of(models):
        slot[:] = [Family(models)]
    return slot[0]
