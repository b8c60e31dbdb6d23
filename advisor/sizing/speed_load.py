"""Who does what: the constants of every device of a rig, and the work that a placement gives it."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from advisor.hardware.rig import Backend, Device, Rig
from advisor.llm.tensor import TYPES
from advisor.sizing import speed_sums as sums
from advisor.sizing.calibration import Calibration
from advisor.sizing.interconnect import pcie_gbs
from advisor.sizing.placement import HOST, Placement
from advisor.sizing.settings import RunSettings, first_device
from advisor.sizing.speed_data import (
    BackendCosts,
    HostCosts,
    SpeedClass,
    class_of,
    matrix_tflops,
    speed_data,
)
from advisor.sizing.speed_sums import GROUPS, Floats, ModelSums
from advisor.sizing.speed_terms import BEND_POSITIONS, ENTRIES, Constants, Number, unpacked

LOW_GROUPS = [GROUPS.index("q3"), GROUPS.index("q2")]
"""Types of less than 4 bits, which the CPU unpacks more slowly than RAM delivers them."""
_PICO = 1e-9
_BYTES = (sums.DENSE, sums.EXPERTS, sums.ALL_EXPERTS, sums.HARD_DENSE, sums.HARD_EXPERTS)


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
    """Operations per second at FP16; None: prefill has no basis."""
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
    """Effective bandwidth of RAM at 4 bits, GB/s (``host_times``)."""
    hard_times: Floats
    """Of the types ``speed_sums.HARD``, over one of a 4-bit type (``hard_times``)."""
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
    calibration: Calibration
    rig: Rig

    @property
    def kinds(self) -> set[tuple[str, str]]:
        """Distinct cards in use."""
        return {(d.gpu, d.backend) for d in self.devices.values()}


def _copy_rate(device: Device) -> float | None:
    if device.unified:
        return None if device.bandwidth_gbs is None else device.bandwidth_gbs * 1e9
    generation = device.pcie.max_generation or device.pcie.generation
    width = device.pcie.max_width or device.pcie.width
    rate = pcie_gbs(generation, width) if generation and width else None
    return None if rate is None else rate * speed_data().host.copy_share * 1e9


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
    experts[GROUPS.index("bf16")] *= costs.bf16_experts
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
        moe=costs.moe,
        recurrent=costs.recurrent,
        mla=costs.mla,
        vector=costs.vector,
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


def _device(device: Device, calibration: Calibration) -> DeviceSpeed | str:
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
        matrix_rate=None if rate is None else rate * 1e12,
        copy_rate=_copy_rate(device),
        host_index=device.host_index,
    )


def machine(
    rig: Rig, placement: Placement, calibration: Calibration, *, first: int = 0
) -> Machine | str:
    """Constants of everything that the placement uses, or why there are none.

    ``first``: the device that llama.cpp counts first.
    """
    devices: dict[int, DeviceSpeed] = {}
    for index in sorted(placement.places - {HOST}):
        found = _device(rig.devices[index], calibration)
        if isinstance(found, str):
            return found
        devices[index] = found
    host = speed_data().host
    nominal = rig.host.ram_bandwidth_gbs
    unprobed = None if nominal is None else host.effective(nominal)
    high = calibration.host_bandwidth_gbs
    rate = calibration.host_prefill_tflops
    target = next((device for device in rig.devices[first:] if not device.host_index), None)
    return Machine(
        devices=devices,
        host=host,
        host_gbs=unprobed if high is None else high,
        hard_times=hard_times(unprobed, rig.host.cores),
        host_rate=None if rate is None else rate * 1e12,
        host_attention=(rig.host.cores or host.cores) * host.attention_gflops * 1e9,
        copies_to=target,
        copy_rate=None if target is None else _copy_rate(target),
        calibration=calibration,
        rig=rig,
    )


@dataclass(slots=True)
class Load:
    """Work of one token on one device or on the host."""

    where: int
    columns: Floats
    cache_bytes: float
    attention_flops: float
    """At ``settings.depth``."""
    prefill_attention: Floats
    """Mean over the prompt: ``speed_terms.FLOPS`` to ``CAMPED``."""
    moved_experts: Floats
    """Bytes by group of all experts, and of what ``-ot`` moved, that lie in RAM while their block
    lies on this device."""
    beside: float = 0.0
    """Of the host: how many blocks have their experts in RAM while they lie on a device."""


def loads(
    known: ModelSums,
    settings: RunSettings,
    placement: Placement,
    *,
    scale: float,
    by_hand: sums.Moved = {},  # noqa: B006 - never written to
) -> list[Load]:
    """Work by place, the host last. ``scale``: actual over computed file size.

    ``by_hand``: weights that ``-ot`` puts elsewhere.
    """
    owner = np.array(placement.layer_device)
    n = len(known.layers)
    if len(owner) != n:
        owner = np.append(owner[: n - 1], owner[-1:])
    cached, flops, prompt = layer_caches(known, settings)
    kept = np.zeros(n, dtype=bool)
    if placement.experts_on_host:
        kept[[il for il in placement.experts_on_host if il < n - 1]] = True
        kept &= owner != HOST
    rows, experts_by_group = _left_in_place(known, by_hand)
    rows, lent = _lent(rows, kept)
    if HOST in by_hand:
        lent[sums.ARITHMETIC] += by_hand[HOST][0][owner != HOST][:, sums.ARITHMETIC].sum(axis=0)
    computes = first_device(settings)
    computes = computes if computes in placement.places else max(placement.places)
    result: list[Load] = []
    on_host = np.zeros(sums.COLUMNS)
    host_cache = host_flops = 0.0
    host_prompt = np.zeros(ENTRIES)
    places: Sequence[int] = sorted(placement.places, reverse=True)
    for place in places:
        mask = owner == place
        columns = rows[mask].sum(axis=0)
        moved = np.zeros(len(GROUPS))
        if kept.any():
            away = mask & kept
            taken = rows[away].sum(axis=0)
            for part in (sums.EXPERTS, sums.ALL_EXPERTS, sums.HARD_EXPERTS):
                on_host[part] += taken[part]
                columns[part] -= taken[part]
            on_host[sums.MOE] += taken[sums.MOE]
            moved = experts_by_group[away].sum(axis=0)
        if by_hand:
            given, taken, experts = _put_by_hand(by_hand, place, mask)
            columns, on_host, moved = columns + given, on_host + taken, moved + experts
        load = Load(
            where=place,
            columns=columns + lent if place == computes else columns,
            cache_bytes=float(cached[mask].sum()),
            attention_flops=float(flops[mask].sum()),
            prefill_attention=prompt[mask].sum(axis=0),
            moved_experts=moved * scale,
        )
        if not placement.kv_offload and place != HOST:
            host_cache += load.cache_bytes
            host_flops += load.attention_flops
            host_prompt = host_prompt + load.prefill_attention
            load.cache_bytes = load.attention_flops = 0.0
            load.prefill_attention = np.zeros(ENTRIES)
        result.append(load)
    if on_host.any() or host_cache or host_flops:
        _add_to_host(result, on_host, host_cache, host_flops, host_prompt)
        result[-1].beside = float(on_host[sums.MOE])
    for load in result:
        load.columns = load.columns.copy()
        for part in _BYTES:
            load.columns[part] *= scale
    return result


def _lent(rows: Floats, kept: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """``rows`` without the arithmetic of experts in RAM, and its sum: the first device's.

    It gets them copied for a batch, whatever device their block lies on.
    """
    lent = np.zeros(sums.COLUMNS)
    if kept.any():
        rows = rows.copy()
        for part in (sums.EXPERTS_Q, sums.EXPERTS_16):
            lent[part] = rows[kept, part].sum()
            rows[kept, part] = 0.0
    return rows, lent


def _add_to_host(
    result: list[Load], columns: Floats, cache: float, flops: float, prompt: Floats
) -> None:
    last = result[-1] if result and result[-1].where == HOST else None
    if last is None:
        last = Load(
            HOST, np.zeros(sums.COLUMNS), 0.0, 0.0, np.zeros(ENTRIES), np.zeros(len(GROUPS))
        )
        result.append(last)
    last.columns = last.columns + columns
    last.cache_bytes += cache
    last.attention_flops += flops
    last.prefill_attention = last.prefill_attention + prompt


def cut_across(parts: Sequence[Load]) -> list[Load]:
    """The same work with every matrix cut across the devices (``-sm tensor``), by their layers.

    Bytes and arithmetic are shared; every device starts the kernels of every block.
    """
    whole = sum((part.columns for part in parts), np.zeros(sums.COLUMNS))
    blocks = max(float(whole[sums.BLOCKS]), 1.0)
    cut: list[Load] = []
    for part in parts:
        share = float(part.columns[sums.BLOCKS]) / blocks
        columns = whole * share
        columns[sums.ATTENTION :] = whole[sums.ATTENTION :]
        cut.append(
            Load(
                where=part.where,
                columns=columns,
                cache_bytes=share * sum(p.cache_bytes for p in parts),
                attention_flops=share * sum(p.attention_flops for p in parts),
                prefill_attention=share
                * sum((p.prefill_attention for p in parts), np.zeros(ENTRIES)),
                moved_experts=share * sum((p.moved_experts for p in parts), np.zeros(len(GROUPS))),
            )
        )
    return cut


def _left_in_place(known: ModelSums, by_hand: sums.Moved) -> tuple[Floats, Floats]:
    """``layers`` and ``experts_by_group`` without what ``-ot`` puts elsewhere."""
    rows, by_group = known.layers, known.experts_by_group
    for taken, experts in by_hand.values():
        rows, by_group = np.maximum(rows - taken, 0), np.maximum(by_group - experts, 0)
    if by_hand:
        # A block routes to its experts wherever they lie.
        rows[:, sums.MOE] = known.layers[:, sums.MOE]
    return rows, by_group


def _put_by_hand(
    by_hand: sums.Moved, place: int, mask: NDArray[np.bool_]
) -> tuple[Floats, Floats, Floats]:
    """What ``-ot`` adds to a place, takes from its blocks to the host, and bytes to be copied."""
    columns, on_host = np.zeros(sums.COLUMNS), np.zeros(sums.COLUMNS)
    moved = np.zeros(len(GROUPS))
    for device, (taken, experts) in by_hand.items():
        if device == place != HOST:
            columns += taken.sum(axis=0)
        elif device == HOST and place == HOST:
            columns += taken[mask].sum(axis=0)
        elif device == HOST:
            mine = taken[mask].sum(axis=0)
            mine[sums.ARITHMETIC] = 0.0
            on_host += mine
            moved += experts[mask].sum(axis=0)
    return columns, on_host, moved


def layer_caches(known: ModelSums, settings: RunSettings) -> tuple[Floats, Floats, Floats]:
    """Per block: bytes and arithmetic of one token at the depth, arithmetic along the prompt.

    The last has another axis: ``speed_terms.FLOPS`` to ``CAMPED``.
    """
    return _layer_caches(known, settings.ctk, settings.ctv, settings.depth, settings.n_prompt)


@functools.lru_cache(maxsize=64)
def _layer_caches(
    known: ModelSums, ctk: str, ctv: str, depth: int, n_prompt: int
) -> tuple[Floats, Floats, Floats]:
    """A search asks for the same again with every rig. Nobody writes to what comes back."""
    k_type, v_type = TYPES[ctk.upper()], TYPES[ctv.upper()]
    k_size, v_size = k_type.size / k_type.block, v_type.size / v_type.block
    n = len(known.layers)
    cached, flops, prompt = np.zeros(n), np.zeros(n), np.zeros((n, ENTRIES))
    middle = depth + n_prompt / 2
    for cache in known.caches:
        positions = cache.positions(depth)
        cached += positions * (cache.k_values * k_size + cache.v_values * v_size)
        flops += positions * cache.flops
        prompt += attention_along(cache, cache.positions(middle))
    for table in (cached, flops, prompt):
        table.flags.writeable = False
    return cached, flops, prompt


def attention_along(cache: sums.CacheSums, positions: float) -> Floats:
    """Arithmetic of one token against so many positions: by block, in ``speed_terms``' entries."""
    flops = positions * cache.flops
    far, shared = flops * positions / BEND_POSITIONS, flops * cache.sharing
    camped = flops * cache.camping
    return np.stack([flops, far, shared, positions * cache.scores, camped], axis=-1)


@functools.cache
def host_times() -> Floats:
    """How long RAM takes for a byte by type group, over one of a 4-bit type.

    Below 4 bits the processor is the limit. Of other types it unpacks some faster than others, much
    as devices do: on one thread a byte of Q8_0 took 0.92 of the time of one of Q4_K, on devices
    0.93 too (``SpeedData.groups``); ``HostCosts.types`` are those that differ.
    """
    return type_times(speed_data().host)


def type_times(host: HostCosts) -> Floats:
    """``host_times`` by other constants than the shipped ones."""
    groups = speed_data().groups
    times = np.array([host.types.get(g, groups["q4"] / groups[g]) for g in GROUPS])
    times[LOW_GROUPS] = host.low
    return times


@functools.lru_cache(maxsize=256)
def hard_times(ram_gbs: float | None, cores: int | None) -> Floats:
    """How much longer than a byte of its group one of ``speed_sums.HARD`` takes, in the unit of
    ``host_times``.

    ``ram_gbs``: what RAM delivers at 4 bits before any probe. A byte takes as long as RAM or all
    cores take for it, whichever is longer; a core gets no more of 4 bits than it can unpack. Where
    RAM is not known the processor is the limit. A probe scales all types alike.
    """
    host = speed_data().host
    unpacks = host.core_gbs["q4"]
    fed = unpacks if ram_gbs is None else min(ram_gbs / (cores or host.cores), unpacks)
    groups = host_times()[[GROUPS.index(sums.HARD_GROUPS[name]) for name in sums.HARD]]
    return np.maximum(fed / np.array([host.core_gbs[name] for name in sums.HARD]) - groups, 0.0)


def few_bits(columns: Floats) -> float:
    """Share of the time of reading weights in RAM that types of less than 4 bits have, 0 to 1."""
    times = (columns[sums.DENSE] + columns[sums.EXPERTS]) * host_times()
    return float(times[LOW_GROUPS].sum() / max(times.sum(), _PICO))


def host_seconds(
    box: Machine,
    columns: Floats,
    cache_bytes: Number,
    attention_flops: Number,
    beside: Number = 0.0,
) -> tuple[Number, Number, Number, Number]:
    """Seconds per token that the host takes: weights, experts, caches, latency.

    ``columns``: of one load, or of every layer (last axis). ``beside``: experts layers of blocks
    that lie on a device, for each of which the two wait for each other. A processor computes
    attention more slowly than RAM delivers the caches, unless it has many cores.
    """
    host, high = box.host, (box.host_gbs or _PICO) * 1e9
    times = type_times(host)
    weights = columns[..., sums.DENSE] @ times + columns[..., sums.HARD_DENSE] @ box.hard_times
    weights = (weights + columns[..., sums.STATE]) / high
    experts = columns[..., sums.EXPERTS] @ times + columns[..., sums.HARD_EXPERTS] @ box.hard_times
    if box.devices:
        experts = experts * host.experts
    blocks = columns[..., sums.BLOCKS] + columns[..., sums.MOE]
    latency = blocks * host.tau_us * box.calibration.host_latency_factor
    latency = latency + np.asarray(beside) * host.beside_us
    attention = np.asarray(attention_flops) / box.host_attention
    return weights, experts / high, np.maximum(cache_bytes / high, attention), latency * 1e-6
