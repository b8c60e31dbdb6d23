"""AMD, Intel, Apple and integrated GPUs: from the kernel, the registry, macOS, and the engine."""

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from advisor.hardware import linux_gpus, macos, table, windows
from advisor.hardware.completed import sold_as, with_reason, with_table
from advisor.hardware.nvml_fields import short_name
from advisor.hardware.rig import Backend, Device, Reading

_BACKENDS: dict[str, Backend] = {
    "CUDA": "cuda",
    "ROCm": "rocm",
    "HIP": "rocm",
    "Vulkan": "vulkan",
    "MTL": "metal",
    "Metal": "metal",
    "SYCL": "sycl",
}
ENGINE = "llama.cpp's device list"


@dataclass(frozen=True)
class OtherReading:
    """Devices that NVML does not know, and what could not be used."""

    devices: tuple[Device, ...] = ()
    problems: tuple[str, ...] = ()


def read_devices(
    pool: tuple[int, int] | None, *, root: Path = Path("/"), without_nvml: bool = False
) -> OtherReading:
    """GPUs of every vendor but NVIDIA; on Windows NVIDIA's too ``without_nvml``.

    ``pool``: total and available RAM in bytes.
    """
    if sys.platform == "darwin":
        return OtherReading(devices=macos.read_devices())
    if sys.platform == "win32":
        return OtherReading(devices=windows.read_devices(pool, without_nvml=without_nvml))
    return OtherReading(devices=linux_gpus.read_devices(pool, root=root))


def without_driver(root: Path = Path("/")) -> list[str]:
    """NVIDIA cards that the kernel sees while NVML is not there: their driver is missing."""
    if sys.platform in {"darwin", "win32"}:
        return []
    return [
        f"An NVIDIA GPU ({card.pci_id}) is installed, but NVIDIA's driver is not: llama.cpp cannot "
        f"use it with CUDA. It is driven by {card.driver or 'nothing'} now."
        for card in linux_gpus.cards(root)
        if card.vendor == 0x10DE
    ]


def with_engine(
    devices: Sequence[Device],
    engine_devices: Sequence[Mapping[str, object]],
    pool: tuple[int, int] | None,
) -> tuple[Device, ...]:
    """The devices with the engine's opinion of each noted, and those that only it sees added."""
    merged = list(devices)
    taken: set[int] = set()
    for seen in engine_devices:
        if _kind(seen) not in {"GPU", "IGPU"}:
            continue
        place = _same(merged, seen, taken)
        if place is None:
            merged.append(_from_engine(seen, pool))
            taken.add(len(merged) - 1)
        else:
            merged[place] = _noted(merged[place], seen)
            taken.add(place)
    return tuple(merged)


def _kind(seen: Mapping[str, object]) -> str:
    """``"GPU"`` from xllamacpp's enumeration or its name."""
    kind = seen.get("type")
    text = str(getattr(kind, "name", kind)).upper()
    numbered = {"0": "CPU", "1": "GPU", "2": "IGPU", "3": "ACCEL"}
    return numbered.get(text, text.rsplit("_", 1)[-1].split(":")[0].strip("<> "))


def _address(text: object) -> str:
    found = re.search(r"([0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f])$", str(text or "").lower())
    return found[1] if found else ""


def _same(devices: Sequence[Device], seen: Mapping[str, object], taken: set[int]) -> int | None:
    address = _address(seen.get("device_id"))
    wanted = {table.key(name).words for name in _names(seen)}
    for place, device in enumerate(devices):
        if address and _address(device.pci_address) == address:
            return place
    for place, device in enumerate(devices):
        known_as = [device.name, device.table_id or "", *_reported(device)]
        if place not in taken and any(table.key(n).words in wanted for n in known_as if n):
            return place
    return None


def _names(seen: Mapping[str, object]) -> list[str]:
    """What the engine calls it, and that without a Vulkan driver's addition in brackets."""
    full = str(seen.get("description") or seen.get("name") or "GPU")
    bare = re.sub(r"\s*\([A-Z][^)]*\)$", "", full)
    return list(dict.fromkeys((full, bare or full)))


def _reported(device: Device) -> list[str]:
    return [str(reading.value) for reading in device.alternatives.get("name", ())]


def _number(seen: Mapping[str, object], name: str) -> int | None:
    value = seen.get(name)
    return value if isinstance(value, int) and value > 0 else None


def _noted(device: Device, seen: Mapping[str, object]) -> Device:
    total, free = _number(seen, "memory_total"), _number(seen, "memory_free")
    if total is None:
        return device
    # Of a shared pool the GPU gets what its driver allows, which llama.cpp asks and we derive.
    if device.memory_total is None or (device.unified and total != device.memory_total):
        known = device.alternatives.get("memory_total", ())
        if device.memory_total is not None:
            derived = device.sources.get("memory_total", "")
            known += (Reading(value=float(device.memory_total), source=derived),)
        sources = device.sources | {"memory_total": ENGINE, "memory_used": ENGINE}
        gone = {"memory_total", "memory_used"}
        unknown = {k: v for k, v in device.unknown.items() if k not in gone}
        used = None if free is None else total - free
        if device.unified:
            # What the engine calls used of a pool is what its own process holds.
            used = device.memory_used
            sources["memory_used"] = device.sources.get("memory_used", "")
            unknown = {k: v for k, v in device.unknown.items() if k != "memory_total"}
        alternatives = device.alternatives | ({"memory_total": known} if known else {})
        update = {"memory_total": total, "memory_used": used, "alternatives": alternatives}
        return device.model_copy(update=update | {"sources": sources, "unknown": unknown})
    earlier = device.alternatives.get("memory_total", ())
    reading = Reading(value=float(total), source=ENGINE)
    alternatives = device.alternatives | {"memory_total": (*earlier, reading)}
    return device.model_copy(update={"alternatives": alternatives})


def _from_engine(seen: Mapping[str, object], pool: tuple[int, int] | None) -> Device:
    names = _names(seen)
    name = names[-1]
    label = str(seen.get("name"))
    backend: Backend = "vulkan"
    for prefix, known in _BACKENDS.items():
        if label.startswith(prefix):
            backend = known
    total, free = _number(seen, "memory_total"), _number(seen, "memory_free")
    integrated = _kind(seen) == "IGPU"
    size = None if integrated else total
    entries = (sold_as(n, pool) or table.find(n, memory=size) for n in names)
    entry = next((known for known in entries if known is not None), None)
    device = Device(
        name=short_name(name),
        backend=backend,
        memory_total=total,
        memory_used=None if total is None or free is None else total - free,
        integrated=integrated,
        unified=integrated,
        pci_address=str(seen.get("device_id") or "") or None,
        sources={"name": ENGINE, "memory_total": ENGINE, "memory_used": ENGINE},
        unknown={} if total is not None else {"memory_total": f"{ENGINE} does not say"},
    )
    return with_reason(with_table(device, entry), f"{ENGINE} does not say")
