"""Which constants of the speed model a device takes."""

import functools
from typing import Final

from advisor.hardware.rig import Backend, Device, Rig
from advisor.sizing.speed_data import SpeedClass, speed_data
from advisor.units import MIB

HBM_GBS: Final = 1200.0
"""Ampere cards with more bandwidth than this have HBM (A100); GDDR6X ends at 1,008 GB/s."""


@functools.cache
def _stand_ins() -> dict[str, float]:
    return {rate.card: rate.tflops for rate in speed_data().matrix_rates}


@functools.cache
def _shares() -> dict[tuple[str, Backend | None], float]:
    return {(of.architecture, of.backend): of.share for of in speed_data().matrix_shares}


def matrix_tflops(device: Device) -> float | None:
    """FP16 matrix rate that llama.cpp can reach, or what stands in; None where neither is known."""
    if device.fp16_tflops is not None:
        shares, name = _shares(), device.architecture or ""
        share = shares.get((name, device.backend), shares.get((name, None), 1.0))
        return device.fp16_tflops * share
    return _stand_ins().get(device.table_id or device.name)


def watts(device: Device) -> float | None:
    """What a card may draw: its limit, or less where it would not draw that much by itself.

    None where that is not known, or others have a part in it: the host's memory and processor, or
    the other slices of one card (MIG).
    """
    known = [w for w in (device.power_limit_w, device.power_default_w) if w]
    return None if device.unified or device.mig else min(known, default=None)


def clocked(device: Device, tflops: float, fitted: SpeedClass) -> float:
    """What its watts make of a card's matrix rate, ``tflops``, in a prompt, as a factor.

    1 for one with as many watts for its rate as the cards have that were measured.
    """
    own = watts(device)
    if own is None or fitted.watts_per_tflops is None:
        return 1.0
    return float((own / tflops / fitted.watts_per_tflops) ** speed_data().watts.exponent)


def spill_room(rig: Rig) -> int:
    """Bytes to be left on every card for a speed to be known; 0 where no driver spills."""
    spill = speed_data().spill
    spills = any(d.backend in spill.backends and not d.unified for d in rig.devices)
    return spill.least_mib * MIB if spills else 0


def architecture_key(architecture: str, bandwidth_gbs: float | None) -> str:
    """Class part of a GPU architecture: ``"hbm"``, ``"rdna"``, ``"apple-m1"``, ``"apple"`` …"""
    gbs = bandwidth_gbs or 0.0
    if architecture in {"hopper", "volta"} or (architecture == "ampere" and gbs > HBM_GBS):
        return "hbm"
    if architecture == "blackwell-datacenter":
        return "hbm"  # nobody measured a B200, whose memory outruns its cores too
    if architecture in {"rdna3", "rdna4"}:
        return "rdna"
    if architecture.startswith("apple") and architecture != "apple-m1":
        return "apple"
    return architecture


NVIDIA: Final = frozenset(
    {
        "pascal",
        "pascal-gp100",
        "volta",
        "turing",
        "ampere",
        "ada",
        "hopper",
        "blackwell",
        "blackwell-datacenter",
    }
)


SHARING: Final = frozenset({"rdna", "rdna2"})
"""Of cards that a processor's own graphics of the same design stand apart from: its memory is the
computer's, and its few cores share the processor's watts."""


def class_key(
    backend: str, architecture: str, bandwidth_gbs: float | None, *, shared: bool = False
) -> str:
    """Key of ``SpeedData.classes``. ``shared``: its memory is the computer's."""
    if backend == "vulkan" and architecture in NVIDIA:
        return "vulkan-nvidia"
    name = architecture_key(architecture, bandwidth_gbs)
    return f"{backend}-{name}-shared" if shared and name in SHARING else f"{backend}-{name}"


@functools.cache
def _find(
    backend: Backend, architecture: str, bandwidth: float | None, *, shared: bool
) -> tuple[str, SpeedClass, float] | None:
    key = class_key(backend, architecture, bandwidth, shared=shared)
    own = speed_data().classes.get(key)
    if own is not None:
        return key, own, 1.0
    return _borrowed(backend, key.removeprefix(f"{backend}-"))


def _borrowed(backend: Backend, name: str) -> tuple[str, SpeedClass, float] | None:
    data = speed_data()
    for other in data.borrowed:
        if other.backend == backend and other.architecture == name:
            return other.like, data.classes[other.like], other.widen
    return None


def class_of(device: Device) -> tuple[str, SpeedClass, float] | None:
    """Key, constants and widening of a device's class; None where there is no basis."""
    if device.architecture is None:
        return None
    return _find(device.backend, device.architecture, device.bandwidth_gbs, shared=device.unified)
