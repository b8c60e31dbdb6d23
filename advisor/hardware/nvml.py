"""NVIDIA GPUs as NVML sees them. Every field stands alone: one that cannot be read says why."""

import contextlib
import os
import re
from dataclasses import dataclass

import psutil

from advisor.hardware import table
from advisor.hardware.nvml_fields import SOURCE, Fields, architecture_of, read_memory, short_name
from advisor.hardware.nvml_library import (
    FUNCTION_NOT_FOUND,
    LOST,
    NO_DRIVER,
    NOT_SUPPORTED,
    NvmlError,
    NvmlLibrary,
)
from advisor.hardware.nvml_mig import read_slices
from advisor.hardware.rig import Device, PcieLink, Peer, Process
from advisor.hardware.table import GpuEntry

_MAX_LINKS = 18
"""NVLinks of one GPU (Blackwell, Hopper); NVML has room for more."""
_FIELD_NVLINK_MBPS = 90
"""NVML_FI_DEV_NVLINK_SPEED_MBPS_COMMON: MB/s of one active link, one direction."""

# nvml.h, nvmlClocksEventReasons: bits that hold a clock down, in words.
_THROTTLE = {
    0x04: "power limit",
    0x08: "hardware slowdown",
    0x10: "kept in step with another GPU",
    0x20: "temperature (software)",
    0x40: "temperature (hardware)",
    0x80: "power supply brake",
}
POWER_LIMITED = frozenset({_THROTTLE[0x04], _THROTTLE[0x10]})
"""How a card works under load as it is set up: no fault, and no different the next time."""
# nvml.h, nvmlGpuTopologyLevel_t.
_PATHS = {
    0: "the same board",
    10: "one PCIe switch",
    20: "several PCIe switches",
    30: "one PCIe host bridge",
    40: "the CPU's PCIe host bridges",
    50: "the link between two CPUs",
}
# CUDA cores per SM by compute capability (CUDA C programming guide, arithmetic throughput).
_CORES_PER_SM = {(6, 0): 64, (6, 1): 128, (7, 0): 64, (7, 5): 64, (8, 0): 64}
_UNIFIED_NAME = re.compile(r"\b(GB10|Orin|Thor|Xavier|Tegra)\b")


@dataclass(frozen=True)
class NvmlReading:
    """What NVML told. ``usable`` is False where there is no NVIDIA driver at all."""

    devices: tuple[Device, ...] = ()
    peers: tuple[Peer, ...] = ()
    problems: tuple[str, ...] = ()
    ignored: tuple[Device, ...] = ()
    usable: bool = True


def read_devices(
    pool: tuple[int, int] | None = None, library: NvmlLibrary | None = None
) -> NvmlReading:
    """Every NVIDIA GPU, in NVML's order (PCI bus order, which CUDA_DEVICE_ORDER can change).

    ``pool``: total and available bytes of RAM, for GPUs that share it. Never raises.
    """
    try:
        with library or NvmlLibrary() as nvml:
            return _read_all(nvml, pool)
    except NvmlError as error:
        if error.code in NO_DRIVER:
            return NvmlReading(usable=False)
        return NvmlReading(problems=(f"NVIDIA GPUs cannot be read: {error.reason}.",), usable=False)


def _read_all(nvml: NvmlLibrary, pool: tuple[int, int] | None) -> NvmlReading:
    count = int(nvml.call("nvmlDeviceGetCount"))
    system = _System(
        driver=nvml.optional("nvmlSystemGetDriverVersion"),
        cuda=nvml.optional("nvmlSystemGetCudaDriverVersion"),
        pool=pool,
    )
    devices: list[Device] = []
    handles: list[object] = []
    problems: list[str] = []
    slices: list[Device] = []
    for index in range(count):
        name = f"GPU {index}"
        try:
            handle = nvml.call("nvmlDeviceGetHandleByIndex", index)
            known = nvml.optional("nvmlDeviceGetName", handle)
            name = f"{name}, {known}," if known else name
            mig = nvml.optional("nvmlDeviceGetMigMode", handle)
            if mig and mig[0] == 1:
                whole = _device(nvml, handle, system)
                slices += read_slices(nvml, handle, whole, problems)
                continue
            devices.append(_device(nvml, handle, system))
            handles.append(handle)
        except NvmlError as error:
            problems.append(f"{name} cannot be used: {error.reason}.")
    ignored: list[Device] = []
    if slices:
        # CUDA uses one MIG slice per process, and no other GPU beside it (MIG user guide).
        named = os.environ.get("CUDA_VISIBLE_DEVICES", "").partition(",")[0].strip()
        chosen = [s for s in slices if named and (s.uuid or "").startswith(named)] or slices
        slices = [chosen[0], *(s for s in slices if s is not chosen[0])]
        reason = "llama.cpp can use one MIG slice at a time; choose it with CUDA_VISIBLE_DEVICES"
        ignored = [
            device.model_copy(update={"unknown": device.unknown | {"use": reason}})
            for device in (*slices[1:], *devices)
        ]
        devices, handles = slices[:1], []
    return NvmlReading(
        devices=tuple(devices),
        peers=_peers(nvml, handles),
        problems=tuple(problems),
        ignored=tuple(ignored),
    )


@dataclass(frozen=True)
class _System:
    driver: str | None
    cuda: int | None
    pool: tuple[int, int] | None


def _device(nvml: NvmlLibrary, handle: object, system: _System) -> Device:
    found = Fields()
    reported = str(found.read("name", lambda: nvml.call("nvmlDeviceGetName", handle)) or "")
    found.read("uuid", lambda: nvml.call("nvmlDeviceGetUUID", handle))
    pci_id = _read_pci(nvml, handle, found)
    total = read_memory(nvml, handle, found)
    _read_system(system, found)
    capability = found.read(
        "compute_capability", lambda: tuple(nvml.call("nvmlDeviceGetCudaComputeCapability", handle))
    )
    entry = table.find(reported, memory=total, pci_id=pci_id)
    if total is None:
        entry = _unified(reported, entry, system, found)
    _read_speed(nvml, handle, found)
    _read_state(nvml, handle, found)
    found.values["processes"] = _processes(nvml, handle, found)
    found.values["pcie"] = _pcie(nvml, handle, found)
    _read_nvlink(nvml, handle, found)
    _from_table(entry, capability, found)
    return _build(reported, entry, found)


def _build(reported: str, entry: GpuEntry | None, found: Fields) -> Device:
    laptop = "laptop" in reported.lower() or (entry is not None and entry.laptop)
    values = dict(found.values)
    values["name"] = entry.short_name if entry else short_name(reported) or "NVIDIA GPU"
    if reported:
        found.also("name", reported, SOURCE)
    if entry is None:
        found.unknown["table_id"] = (
            "no entry of the GPU table fits its PCI id, name and memory; nothing is guessed"
        )
    else:
        found.sources["table_id"] = "its PCI id, name and memory"
    told = {"vendor": SOURCE, "backend": "what llama.cpp runs best with on it"}
    told["laptop"] = "its name" if "laptop" in reported.lower() else "the GPU table"
    found.sources |= told
    return Device(
        vendor="NVIDIA",
        backend="cuda",
        table_id=entry.name if entry else None,
        laptop=laptop,
        sources=found.sources,
        unknown=found.unknown,
        alternatives=found.alternatives,
        **values,
    )


def _read_pci(nvml: NvmlLibrary, handle: object, found: Fields) -> str | None:
    try:
        info = nvml.call("nvmlDeviceGetPciInfo", handle)
    except NvmlError as error:
        if error.code in LOST:
            raise
        found.unknown["pci_id"] = f"{SOURCE}: {error.reason}"
        return None
    vendor, device = int(info.pciDeviceId) & 0xFFFF, int(info.pciDeviceId) >> 16
    pci_id = f"{vendor:04x}:{device:04x}"
    found.put("pci_id", pci_id, SOURCE)
    address = info.busId.decode("ascii", "replace") if isinstance(info.busId, bytes) else info.busId
    found.put("pci_address", str(address).lower(), SOURCE)
    return pci_id


def _unified(
    reported: str, entry: GpuEntry | None, system: _System, found: Fields
) -> GpuEntry | None:
    """A GPU without memory of its own uses the machine's; anything else stays unknown."""
    known = entry is not None and entry.unified
    if not known and not _UNIFIED_NAME.search(reported):
        # Without its memory, a card with several variants must not be told apart by guess.
        return entry if entry and len(table.same_product(reported)) == 1 else None
    found.values["unified"] = True
    found.values["integrated"] = True
    if system.pool is not None:
        total, available = system.pool
        source = "the machine's RAM, which this GPU shares; NVML does not report it"
        found.put("memory_total", total, source)
        found.put("memory_used", total - available, source)
        found.unknown.pop("memory_reserved", None)
    return entry


def _read_system(system: _System, found: Fields) -> None:
    if system.driver:
        found.put("driver", system.driver, SOURCE)
    else:
        found.unknown["driver"] = f"{SOURCE} does not report the driver's version"
    if system.cuda:
        # nvmlSystemGetCudaDriverVersion: 1000 x major + 10 x minor.
        version = f"{system.cuda // 1000}.{system.cuda % 1000 // 10}"
        found.put("cuda", version, SOURCE)
    else:
        found.unknown["cuda"] = f"{SOURCE} does not report the CUDA version"


def _read_speed(nvml: NvmlLibrary, handle: object, found: Fields) -> None:
    """Memory bandwidth and multiprocessors as the hardware reports them, as second sources."""
    try:
        clock = int(nvml.call("nvmlDeviceGetMaxClockInfo", handle, 2))
        width = int(nvml.call("nvmlDeviceGetMemoryBusWidth", handle))
    except NvmlError as error:
        if error.code in LOST:
            raise
        found.unknown["bandwidth_gbs"] = f"{SOURCE}: {error.reason}"
    else:
        if clock > 0 and width > 0 and not found.values.get("unified"):
            # Two transfers per clock as NVML counts it: 10,501 MHz × 384 bit is a 4090's 1008 GB/s.
            speed = round(2 * clock * width / 8 / 1000, 1)
            found.put("bandwidth_gbs", speed, f"{SOURCE}: 2 × {clock} MHz × {width} bit / 8")
    cores = nvml.optional("nvmlDeviceGetNumGpuCores", handle)
    capability = found.values.get("compute_capability")
    if cores and capability:
        per_sm = _CORES_PER_SM.get(capability, 128)
        found.put("multiprocessors", int(cores) // per_sm, f"{SOURCE}: {cores} cores / {per_sm}")


def _watts(milliwatts: int) -> float:
    return milliwatts / 1000


def _read_state(nvml: NvmlLibrary, handle: object, found: Fields) -> None:
    ask = nvml.call
    found.read("power_limit_w", lambda: _watts(ask("nvmlDeviceGetEnforcedPowerLimit", handle)))
    found.read(
        "power_default_w", lambda: _watts(ask("nvmlDeviceGetPowerManagementDefaultLimit", handle))
    )
    found.read("power_w", lambda: _watts(ask("nvmlDeviceGetPowerUsage", handle)))
    found.read("temperature_c", lambda: float(ask("nvmlDeviceGetTemperature", handle, 0)))
    rates = found.read("utilisation", lambda: ask("nvmlDeviceGetUtilizationRates", handle))
    if rates is None:
        found.unknown["memory_utilisation"] = found.unknown["utilisation"]
    else:
        found.put("utilisation", rates.gpu / 100, SOURCE)
        found.put("memory_utilisation", rates.memory / 100, SOURCE)
    found.read("clock_mhz", lambda: float(ask("nvmlDeviceGetClockInfo", handle, 1)))
    found.read("clock_max_mhz", lambda: float(ask("nvmlDeviceGetMaxClockInfo", handle, 1)))
    found.read("memory_clock_mhz", lambda: float(ask("nvmlDeviceGetClockInfo", handle, 2)))
    found.read("ecc", lambda: bool(ask("nvmlDeviceGetEccMode", handle)[0]))
    found.read("display", lambda: bool(ask("nvmlDeviceGetDisplayActive", handle)))
    found.read("display_attached", lambda: bool(ask("nvmlDeviceGetDisplayMode", handle)))
    found.read("throttle", lambda: throttle_words(clock_events(nvml, handle)))
    model = nvml.optional("nvmlDeviceGetDriverModel", handle)
    if model is not None:
        found.put("driver_model", {0: "WDDM", 1: "TCC", 2: "MCDM"}.get(int(model[0])), SOURCE)


def clock_events(nvml: NvmlLibrary, handle: object) -> int:
    """Why the clocks are as they are, under its present or its former name."""
    try:
        return int(nvml.call("nvmlDeviceGetCurrentClocksEventReasons", handle))
    except NvmlError as error:
        if error.code != FUNCTION_NOT_FOUND:
            raise
    return int(nvml.call("nvmlDeviceGetCurrentClocksThrottleReasons", handle))


def throttle_words(bits: int) -> tuple[str, ...]:
    """NVML's clock event bits in words; idle and chosen clocks are no throttling."""
    return tuple(word for bit, word in _THROTTLE.items() if bits & bit)


def _processes(nvml: NvmlLibrary, handle: object, found: Fields) -> tuple[Process, ...]:
    processes, reason = read_processes(nvml, handle)
    if reason:
        found.unknown["processes"] = f"{SOURCE}: {reason}"
    else:
        found.sources["processes"] = SOURCE
    return processes


def read_processes(nvml: NvmlLibrary, handle: object) -> tuple[tuple[Process, ...], str | None]:
    """Programs that hold memory on a GPU, largest first, or why they cannot be listed.

    Raises NvmlError for a lost GPU.
    """
    held: dict[int, int | None] = {}
    reason: str | None = None
    readable = False
    for kind in ("Compute", "Graphics"):
        try:
            listed = nvml.processes(handle, kind)
        except NvmlError as error:
            if error.code in LOST:
                raise
            reason = error.reason
            continue
        readable = True
        for item in listed:
            memory = None if item.usedGpuMemory is None else int(item.usedGpuMemory)
            known = held.get(int(item.pid))
            held[int(item.pid)] = max((m for m in (memory, known) if m is not None), default=None)
    processes = (
        Process(pid=pid, name=_process_name(nvml, pid), memory=m) for pid, m in held.items()
    )
    return tuple(sorted(processes, key=lambda p: -(p.memory or 0))), None if readable else reason


def _process_name(nvml: NvmlLibrary, pid: int) -> str:
    with contextlib.suppress(psutil.Error):
        name = psutil.Process(pid).name()
        if name:
            return name
    path = nvml.optional("nvmlSystemGetProcessName", pid)
    # Only the program's name: its path and arguments can hold private things.
    name = re.split(r"[/\\]", str(path or "").split(" --")[0])[-1]
    return name or "another user's program"


def _pcie(nvml: NvmlLibrary, handle: object, found: Fields) -> PcieLink:
    calls = {
        "generation": "nvmlDeviceGetCurrPcieLinkGeneration",
        "width": "nvmlDeviceGetCurrPcieLinkWidth",
        "max_generation": "nvmlDeviceGetMaxPcieLinkGeneration",
        "max_width": "nvmlDeviceGetMaxPcieLinkWidth",
    }
    values: dict[str, int] = {}
    if found.values.get("unified"):
        # NVML makes up a PCIe 1.0 x1 link for a GB10 (nvtop#426).
        found.unknown["pcie"] = "joined to its processor without PCIe"
        return PcieLink()
    for name, call in calls.items():
        try:
            value = int(nvml.call(call, handle))
        except NvmlError as error:
            if error.code in LOST:
                raise
            found.unknown["pcie"] = f"{SOURCE}: {error.reason}"
            continue
        if value > 0:
            values[name] = value
    if values:
        found.sources["pcie"] = SOURCE
    return PcieLink(**values)


def _read_nvlink(nvml: NvmlLibrary, handle: object, found: Fields) -> None:
    active, failure = 0, None
    for link in range(_MAX_LINKS):
        try:
            active += int(nvml.call("nvmlDeviceGetNvLinkState", handle, link)) == 1
        except NvmlError as error:
            if error.code in LOST:
                raise
            # 2: beyond this GPU's number of links.
            if error.code not in {NOT_SUPPORTED, 2}:
                failure = error.reason
            break
    if failure and not active:
        found.unknown["nvlink_gbs"] = found.unknown["nvlink_links"] = f"{SOURCE}: {failure}"
        return
    found.put("nvlink_links", active, SOURCE)
    if active == 0:
        found.put("nvlink_gbs", 0.0, f"{SOURCE}: no link is up")
        return
    values = nvml.optional("nvmlDeviceGetFieldValues", handle, [_FIELD_NVLINK_MBPS])
    if values and values[0].nvmlReturn == 0 and values[0].value.uiVal > 0:
        speed = int(values[0].value.uiVal)
        found.put(
            "nvlink_gbs",
            round(2 * active * speed / 1000, 1),
            f"{SOURCE}: {active} links × {speed} MB/s × 2 directions",
        )
    else:
        found.unknown["nvlink_gbs"] = f"{SOURCE} does not report the speed of its {active} links"


def _from_table(entry: GpuEntry | None, capability: tuple[int, int] | None, found: Fields) -> None:
    """Fill what NVML does not know; where both do, keep the reviewed figure and note the other."""
    if entry is None:
        architecture = architecture_of(capability)
        if architecture:
            found.put("architecture", architecture, f"compute capability {capability}")
        else:
            found.unknown["architecture"] = "neither the GPU table nor its capability tells"
        found.unknown["fp16_tflops"] = "not in the GPU table"
        return
    found.put("architecture", entry.architecture, entry.origin("architecture"))
    for name in ("bandwidth_gbs", "fp16_tflops", "multiprocessors"):
        value = getattr(entry, name)
        if value is None:
            if name not in found.values:
                found.unknown[name] = "not in the GPU table"
            continue
        if name in found.values:
            found.also(name, found.values[name], found.sources[name])
        found.put(name, value, entry.origin(name))
    for name, value in (("power_default_w", entry.tdp_w), ("nvlink_gbs", entry.nvlink_gbs)):
        if value is not None:
            found.also(name, value, entry.origin("tdp_w" if name == "power_default_w" else name))


def _peers(nvml: NvmlLibrary, handles: list[object]) -> tuple[Peer, ...]:
    peers: list[Peer] = []
    for second in range(len(handles)):
        for first in range(second):
            pair = (handles[first], handles[second])
            try:
                level = nvml.optional("nvmlDeviceGetTopologyCommonAncestor", *pair)
                reads = nvml.optional("nvmlDeviceGetP2PStatus", *pair, 0)
                linked = nvml.optional("nvmlDeviceGetP2PStatus", *pair, 2)
            except NvmlError:
                continue
            path = "NVLink" if linked == 0 else _PATHS.get(-1 if level is None else int(level))
            if path:
                reachable = None if reads is None else reads == 0
                peers.append(Peer(first=first, second=second, path=path, peer_to_peer=reachable))
    return tuple(peers)
