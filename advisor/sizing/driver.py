"""Memory that a driver takes on each GPU outside llama.cpp's own count, until it is measured."""

import functools

from pydantic import BaseModel, ConfigDict, Field

from advisor import resources
from advisor.hardware.rig import Device
from advisor.units import MIB


class DriverContext(BaseModel):
    """What one backend takes on one class of GPU. Sizes in MiB."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backend: str
    architectures: tuple[str, ...] = ()
    """Device classes it was seen on; empty: all of this backend."""
    base_mib: float = Field(ge=0)
    per_multiprocessor_mib: float = Field(ge=0)
    pools_mib: float = Field(ge=0)
    low_factor: float = Field(gt=0, le=1)
    high_factor: float = Field(ge=1)
    unknown_device_mib: float = Field(ge=0)
    """For a GPU whose number of multiprocessors is not known."""
    source: str
    date: str


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    about: str
    entries: tuple[DriverContext, ...]


class DriverBytes(BaseModel):
    """An estimate with its range and where it comes from, in bytes."""

    model_config = ConfigDict(frozen=True)

    low: int
    mid: int
    high: int
    formula: str
    source: str


@functools.cache
def _entries() -> tuple[DriverContext, ...]:
    return resources.load(_File, "driver_context.json").entries


@functools.lru_cache(maxsize=256)
def _estimate(
    backend: str, architecture: str | None, multiprocessors: int | None
) -> DriverBytes | None:
    for entry in _entries():
        if entry.backend != backend:
            continue
        if entry.architectures and architecture not in entry.architectures:
            continue
        if multiprocessors is None or not entry.per_multiprocessor_mib:
            mid = entry.unknown_device_mib
            formula = f"{mid:.0f} MiB"
        else:
            mid = entry.base_mib + entry.per_multiprocessor_mib * multiprocessors + entry.pools_mib
            formula = (
                f"{entry.base_mib:.0f} MiB + {entry.per_multiprocessor_mib:.2f} MiB × "
                f"{multiprocessors} multiprocessors + {entry.pools_mib:.0f} MiB of pools"
            )
        return DriverBytes(
            low=round(mid * entry.low_factor * MIB),
            mid=round(mid * MIB),
            high=round(mid * entry.high_factor * MIB),
            formula=formula,
            source=f"{entry.source} ({entry.date})",
        )
    return None


def driver_context(device: Device) -> DriverBytes | None:
    """Estimate for one device; None where nothing was ever measured on its kind."""
    return _estimate(device.backend, device.architecture, device.multiprocessors)
