"""Who computes: the constants of every device of a rig and of its host."""

import functools
import math
from dataclasses import dataclass

import numpy as np

from advisor.hardware.rig import Backend, Device, Host, Rig
from advisor.sizing import speed_sums as sums
from advisor.sizing.calibration import Calibration
from advisor.sizing.interconnect import pcie_gbs
from advisor.sizing.placement import HOST, Placement
from advisor.sizing.settings import RunSettings
from advisor.sizing.speed_class import class_of, clocked, matrix_tflops
from advisor.sizing.speed_data import BackendCosts, HostCosts, SpeedClass, speed_data
from advisor.sizing.speed_sums import GROUPS, Floats
from advisor.sizing.speed_terms import Constants, Number, unpacked

LOW_GROUPS = [GROUPS.index("q3"), GROUPS.index("q2")]
"""Types of less than 4 bits, of which the processor may be the limit."""
_PICO = 1e-9


@dataclass(frozen=True, slots=True)
class DeviceSpeed:
    """One device with its constants."""

    title: str
    gpu: str
    """Name in the GPU table where it is known: how measured rows name it."""
    backend: Backend
    class_key: str
    fitted: SpeedClass
    costs: BackendCosts
    widen: float
    constants: Constants
    matrix_rate: float | None
    """Operations per second at FP16, at the clock that its watts allow; None: prefill has no
    basis."""
    clocked: float
    """What that clock makes of the table's rate, as a factor (``speed_class.clocked``)."""
    copy_rate: float | None
    """Bytes per second from the host's memory; None when the link is not known."""
    host_index: int


@dataclass(frozen=True, slots=True)
class Machine:
    """The rig as the speed model sees it."""

    devices: dict[int, DeviceSpeed]
    """By index, those that the placement uses."""
    host: HostCosts
    host_gbs: float | None
    """What the processor reads of RAM at 4 bits, GB/s (``ram_rate``)."""
    host_times: Floats
    """How long a byte takes by group of types, over one of a 4-bit type (``byte_times``)."""
    hard_times: Floats
    """How much longer one of ``speed_sums.HARD`` takes than its group's, in the same unit."""
    host_rate: float | None
    """Operations per second of the CPU in prefill."""
    host_attention: float
    """Operations per second of the CPU in attention while decoding."""
    copies_to: Device | None
    """The first device of the host itself: it takes all batches' work on what lies in RAM, whether
    it holds layers or not (ggml-backend.cpp:ggml_backend_sched_backend_id_from_cur); ggml-rpc.cpp
    takes none."""
    copy_rate: float | None
    """Bytes per second from RAM to that device; None when its link is not known."""
    cache_rate: float | None
    """The same of caches, which are never page-locked (llama-kv-cache.cpp: without a device's own
    buffer they get ``ggml_backend_cpu_buffer_type``); the processor's where the link is not
    known."""
    batches: tuple[int, DeviceSpeed] | None
    """Index and constants of ``copies_to``; None where its speed is not known."""
    calibration: Calibration
    rig: Rig

    @property
    def backends(self) -> set[Backend]:
        """Of the devices in use, and of the one that takes batches."""
        batches = [] if self.batches is None else [self.batches[1]]
        return {device.backend for device in (*self.devices.values(), *batches)}

    @property
    def kinds(self) -> set[tuple[str, str]]:
        """Distinct cards in use."""
        return {(d.gpu, d.backend) for d in self.devices.values()}


def _copy_rate(device: Device, ram: float | None, *, mmap: bool) -> float | None:
    """``mmap``: whether what lies in RAM is mapped from its file; ``ram``: see ``ram_gbs``.

    llama.cpp then takes no page-locked buffer for it, be it named by -ot and --n-cpu-moe or not
    (llama-model-loader.cpp, "avoid using a host buffer when using mmap"), and the driver copies it
    through one of its own on the processor.
    """
    if device.unified:
        return None if device.bandwidth_gbs is None else device.bandwidth_gbs * 1e9
    generation = device.pcie.max_generation or device.pcie.generation
    width = device.pcie.max_width or device.pcie.width
    rate = pcie_gbs(generation, width) if generation and width else None
    if rate is None:
        return None
    costs = speed_data().host
    locked = rate * costs.copy_share
    return 1e9 * (min(locked, _mapped(costs, ram)) if mmap else locked)


def _mapped(costs: HostCosts, ram: float | None) -> float:
    """GB/s at which the processor hands over what is mapped from a file."""
    limit = math.inf if ram is None else costs.mapped_share * ram
    return min(costs.pageable_gbs, limit)


@functools.lru_cache(maxsize=256)
def _constants(  # noqa: PLR0917 - what a device is
    key: str,
    backend: Backend,
    bandwidth: float,
    rate: float | None,
    factors: tuple[float, float],
    cores: int | None,
) -> Constants:
    data = speed_data()
    bandwidth_factor, latency_factor = factors
    fitted, costs = data.classes[key], data.backends[backend]
    groups = np.array([data.groups[name] for name in GROUPS])
    if cores and key in data.unpacking.classes:
        rates = np.array([data.unpacking.gbs[name] for name in GROUPS]) * 1e9 * cores
        groups = unpacked(groups, fitted.eta * bandwidth * 1e9, rates)
    experts = groups * costs.gather
    return Constants(
        bandwidth=bandwidth * 1e9 * bandwidth_factor,
        # Attention is a small part of decode; 50 TFLOPS is the rate of a small discrete card.
        rate=(rate or 50.0) * 1e12 * bandwidth_factor,
        eta=fitted.eta,
        tau=fitted.tau_us * 1e-6 * latency_factor,
        rho=fitted.rho,
        attention=fitted.attention,
        groups=groups,
        expert_groups=experts,
        step=fitted.bf16_step_us * 1e-6,
        kernels=np.array([costs.kernels[name] for name in sums.KERNEL_KINDS]),
        mla_attention=costs.mla_attention,
    )


def attention_effort(backend: Backend, settings: RunSettings) -> float:
    """Times the arithmetic of attention over an F16 cache while decoding."""
    cache = speed_data().quantized_cache
    plain = {"f16", "bf16", "f32"}
    if backend not in cache.backends or {settings.ctk.lower(), settings.ctv.lower()} <= plain:
        return 1.0
    return cache.slower


@functools.cache
def _costs(backend: Backend, architecture: str | None) -> BackendCosts:
    data = speed_data()
    costs, without = data.backends[backend], data.without_bf16
    if backend == without.backend and architecture in without.architectures:
        return costs
    return costs.model_copy(update={"bf16_prefill": 1.0})


def _device(
    device: Device, calibration: Calibration, ram: float | None, *, mmap: bool
) -> DeviceSpeed | str:
    if device.bandwidth_gbs is None:
        return (
            f"Speed is unknown: the memory bandwidth of {device.name} is not known. A probe "
            "measures it."
        )
    found = class_of(device)
    if found is None:
        return (
            f"Speed is unknown: there are no measurements of cards like {device.name} "
            f"({device.architecture or 'unknown architecture'}, {device.backend}). A probe "
            "measures it."
        )
    key, fitted, widen = found
    rate = matrix_tflops(device)
    clock = 1.0 if rate is None else clocked(device, rate, fitted)
    return DeviceSpeed(
        title=device.name,
        gpu=device.table_id or device.name,
        backend=device.backend,
        class_key=key,
        fitted=fitted,
        costs=_costs(device.backend, device.architecture),
        widen=widen,
        constants=_constants(
            key,
            device.backend,
            device.bandwidth_gbs,
            rate,
            (calibration.bandwidth_factor, calibration.latency_factor),
            device.multiprocessors,
        ),
        matrix_rate=None if rate is None else rate * 1e12 * clock,
        clocked=clock,
        copy_rate=_copy_rate(device, ram, mmap=mmap),
        host_index=device.host_index,
    )


def machine(
    rig: Rig, placement: Placement, calibration: Calibration, *, first: int = 0, mmap: bool = True
) -> Machine | str:
    """Constants of everything that the placement uses, or why there are none.

    ``first``: the device that llama.cpp counts first. ``mmap``: see ``_copy_rate``.
    """
    host = speed_data().host
    ram = ram_gbs(host, rig.host)
    devices: dict[int, DeviceSpeed] = {}
    for index in sorted(placement.places - {HOST}):
        found = _device(rig.devices[index], calibration, ram, mmap=mmap)
        if isinstance(found, str):
            return found
        devices[index] = found
    unprobed, times = _shipped(ram, rig.host.cores)
    high = calibration.host_bandwidth_gbs
    rate = calibration.host_prefill_tflops
    index = next(
        (at for at in range(first, len(rig.devices)) if not rig.devices[at].host_index), -1
    )
    target = None if index < 0 else rig.devices[index]
    computes = None
    # Metal has no buffers of the host (make_cpu_buft_list): where it holds no layer their weights
    # may be repacked for the processor, which no device reads.
    if target is not None and (index in devices or target.backend != "metal"):
        computes = devices.get(index) or _device(target, calibration, ram, mmap=mmap)
    return Machine(
        devices=devices,
        host=host,
        host_gbs=unprobed if high is None else high,
        host_times=times[: len(GROUPS)],
        hard_times=times[len(GROUPS) :],
        host_rate=None if rate is None else rate * 1e12,
        host_attention=(rig.host.cores or host.cores) * host.attention_gflops * 1e9,
        copies_to=target,
        copy_rate=None if target is None else _copy_rate(target, ram, mmap=mmap),
        cache_rate=None
        if target is None
        else _copy_rate(target, ram, mmap=True) or _mapped(host, ram) * 1e9,
        batches=(index, computes) if isinstance(computes, DeviceSpeed) else None,
        calibration=calibration,
        rig=rig,
    )


def ram_gbs(costs: HostCosts, host: Host) -> float | None:
    """What a host's RAM delivers to any number of cores, GB/s; None where nothing is known of it.

    By what reading it with every core reached where that was measured: on many desktops the
    processor's fabric, not its modules, is the limit.
    """
    if host.ram_read_gbs is not None:
        return costs.read * host.ram_read_gbs
    nominal = host.ram_bandwidth_gbs
    return None if nominal is None else costs.delivered(nominal)


def ram_rate(host: Host, costs: HostCosts | None = None) -> float | None:
    """What its cores read of a host's RAM at 4 bits, GB/s; None where nothing is known of it."""
    if costs is None:
        return _shipped(ram_gbs(speed_data().host, host), host.cores)[0]
    return _rate(costs, ram_gbs(costs, host), host.cores)


def _rate(costs: HostCosts, ram: float | None, cores: int | None) -> float | None:
    return None if ram is None else 1 / float(_seconds(costs, ram, cores)[_FOUR_BITS])


_KINDS = (*GROUPS, *sums.HARD)
_FOUR_BITS = GROUPS.index("q4")


def _seconds(costs: HostCosts, ram: float | None, cores: int | None) -> Floats:
    """Nanoseconds of a byte of each of ``_KINDS``.

    Reading and unpacking overlap in part: together they take the root of both times' squares (on
    eight cores of a Xeon Q4_K came at 68 GB/s, IQ4_XS at 54, IQ3_XXS at 36 and IQ2_XXS at 25).
    Where RAM is not known the processor is the limit.
    """
    unpacked = np.array([costs.core_gbs[kind] for kind in _KINDS]) * (cores or costs.cores)
    return np.hypot(0.0 if ram is None else 1 / ram, 1 / unpacked)


def byte_times(costs: HostCosts, ram: float | None, cores: int | None) -> Floats:
    """How long a byte of each of ``speed_sums.GROUPS`` takes, over one of a 4-bit type, and after
    them how much longer one of ``speed_sums.HARD`` takes than its group's.

    ``ram``: see ``ram_gbs``. A probe scales all types alike.
    """
    times = _seconds(costs, ram, cores)
    times = times / times[_FOUR_BITS]
    of_groups = [GROUPS.index(sums.HARD_GROUPS[kind]) for kind in sums.HARD]
    return np.concatenate([times[: len(GROUPS)], times[len(GROUPS) :] - times[of_groups]])


@functools.lru_cache(maxsize=256)
def _shipped(ram: float | None, cores: int | None) -> tuple[float | None, Floats]:
    """``ram_rate`` and ``byte_times`` by the shipped constants."""
    costs = speed_data().host
    return _rate(costs, ram, cores), byte_times(costs, ram, cores)


@functools.cache
def least_times() -> Floats:
    """The least that a byte by type group takes on any host, over one of a 4-bit type: one where
    RAM is the limit, what a core's rates say where they are."""
    rates = speed_data().host.core_gbs
    return np.minimum(1.0, [rates["q4"] / rates[group] for group in GROUPS])


def few_bits(columns: Floats) -> float:
    """Share of the bytes of weights that a token reads which types of less than 4 bits have."""
    sizes = columns[sums.DENSE] + columns[sums.EXPERTS]
    return float(sizes[LOW_GROUPS].sum() / max(sizes.sum(), _PICO))


def host_seconds(
    box: Machine,
    columns: Floats,
    cache_bytes: Number,
    attention_flops: Number,
    beside: Number = 0.0,
) -> tuple[Number, Number, Number, Number, Number]:
    """Seconds per token that the host takes: weights, experts, caches, latency, recurrent state.

    ``columns``: of one load, or of every layer (last axis). ``beside``: experts layers of blocks
    that lie on a device, for each of which the two wait for each other. A processor computes
    attention more slowly than RAM delivers the caches, unless it has many cores.
    """
    host, high = box.host, (box.host_gbs or _PICO) * 1e9
    times, hard = box.host_times, box.hard_times
    cores = box.rig.host.cores or host.cores
    weights = columns[..., sums.DENSE] @ times + columns[..., sums.HARD_DENSE] @ hard
    state = columns[..., sums.STATE] / (cores * host.state_gbs * 1e9)
    experts = columns[..., sums.EXPERTS] @ times + columns[..., sums.HARD_EXPERTS] @ hard
    if box.devices:
        experts = experts * host.experts
    blocks = columns[..., sums.BLOCKS] + columns[..., sums.MOE]
    latency = blocks * host.tau_us * box.calibration.host_latency_factor
    latency = latency + np.asarray(beside) * host.beside_us
    attention = np.asarray(attention_flops) / box.host_attention
    caches = np.maximum(cache_bytes / high, attention)
    return weights / high, experts / high, caches, latency * 1e-6, state
