"""What the file types of a model share at one context, whatever is free: caches and buffers."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from advisor.llm.model import Model
from advisor.sizing.allocation import Allocation, allocate
from advisor.sizing.placement import HOST, Placement
from advisor.sizing.settings import RunSettings


class Column(NamedTuple):
    """One context. Sizes in bytes."""

    settings: RunSettings
    placement: Placement
    known: bool
    """False where caches or buffers are not known; the sizes are 0 then."""
    fixed: tuple[int, ...]
    """Per device, caches and buffers, and what runs beside the model."""
    host: int
    """On the host, everything but weights."""
    caches: int
    """Bytes of caches on devices."""
    buffers: tuple[int, ...]
    """Per device, compute buffers."""
    pipelining: int
    """On the host, buffers that may go as soon as anything else lies there: those of a pipeline."""


class Columns(NamedTuple):
    """Every context, and the same sizes as arrays (the first axis)."""

    each: tuple[Column, ...]
    known: NDArray[np.bool_]
    fixed: NDArray[np.int64]
    host: NDArray[np.int64]
    caches: NDArray[np.int64]
    pipelining: NDArray[np.int64]


def _column(allocation: Allocation, settings: RunSettings) -> Column:
    context, compute, output = allocation.context, allocation.compute, allocation.output
    placement = allocation.placement
    n_devices = len(allocation.weights.devices)
    beside = [allocation.companions_on(device) for device in (*range(n_devices), HOST)]
    known = [size for size in beside if size is not None]
    if context is None or compute is None or output is None or len(known) < len(beside):
        nothing = (0,) * n_devices
        return Column(settings, placement, False, nothing, 0, 0, nothing, 0)
    return Column(
        settings=settings,
        placement=placement,
        known=True,
        fixed=tuple(
            sum(parts) for parts in zip(context.devices, compute.devices, known[:-1], strict=True)
        ),
        host=context.host + compute.host + output + known[HOST],
        caches=sum(context.devices),
        buffers=compute.devices,
        pipelining=compute.host if placement.n_copies > 1 else 0,
    )


def columns(
    model: Model,
    settings: RunSettings,
    contexts: Sequence[int],
    backends: tuple[str, ...],
    free: tuple[int | None, ...],
    *,
    placement: Placement,
) -> Columns:
    """One column per context.

    ``model``: any of the file types; where buffers depend on the type, each has columns of its own.
    """
    made: list[Column] = []
    for ctx in contexts:
        wanted = settings.model_copy(update={"ctx": ctx})
        allocation = allocate(model, wanted, backends, free, placement=placement)
        made.append(_column(allocation, wanted))
    fixed = np.array([column.fixed for column in made], dtype=np.int64)
    return Columns(
        each=tuple(made),
        known=np.array([column.known for column in made], dtype=np.bool_),
        fixed=fixed.reshape(len(made), len(backends)),
        host=np.array([column.host for column in made], dtype=np.int64),
        caches=np.array([column.caches for column in made], dtype=np.int64),
        pipelining=np.array([column.pipelining for column in made], dtype=np.int64),
    )
