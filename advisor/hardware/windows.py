"""GPUs on Windows that NVML does not tell of: their drivers' registry keys, and DXGI's list."""

import contextlib
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from advisor.hardware import dxgi, table
from advisor.hardware.completed import with_reason, with_table
from advisor.hardware.dxgi import Adapter
from advisor.hardware.nvml_fields import short_name
from advisor.hardware.rig import Device, Reading

_CLASS = r"SYSTEM\CurrentControlSet\Control\Class\{4d36e968-e325-11ce-bfc1-08002be10318}"
_VALUES = (
    "DriverDesc",
    "ProviderName",
    "DriverVersion",
    "MatchingDeviceId",
    "HardwareInformation.qwMemorySize",
    "HardwareInformation.MemorySize",
)
# What drivers write into the 32-bit size of a card that has more (oshi#2907, llmfit#830).
_CAPS = {0x7FFFF000, 0xFFF00000, 0xFFFFF000, 0xFFFFFFFF}
_VENDORS = {"1002": "AMD", "8086": "Intel", "10de": "NVIDIA"}
_DXGI = "DXGI"
_CARVE_OUT = 2 << 30
"""Bytes: integrated graphics that no list knows set aside no more than this; a card has more."""
_ARC_CARD = re.compile(r"\bArc\(?(?:TM\))?\s+(?:Pro\s+)?[AB]\d{2,3}M?\b", re.IGNORECASE)
"""Intel's cards; "Arc(TM) Graphics" and "Arc(TM) 140V" are within processors."""


def read_devices(pool: tuple[int, int] | None, *, without_nvml: bool = False) -> tuple[Device, ...]:
    """This PC's AMD and Intel GPUs; NVIDIA's too ``without_nvml``. Empty on other systems."""
    return parse(_display_keys(), pool, dxgi.adapters(), without_nvml=without_nvml)


def _display_keys() -> list[dict[str, Any]]:
    if sys.platform != "win32":
        return []
    import winreg  # noqa: PLC0415 - exists on Windows alone

    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, _CLASS) as parent:
            names = [winreg.EnumKey(parent, i) for i in range(winreg.QueryInfoKey(parent)[0])]
            numbered = [name for name in names if re.fullmatch(r"\d{4}", name)]
            return [values for name in numbered if (values := _read_values(winreg, parent, name))]
    except OSError:
        return []


def _read_values(winreg: Any, parent: object, name: str) -> dict[str, Any]:  # noqa: ANN401 - a Windows module
    """One adapter's values; empty for a key that cannot be read."""
    values: dict[str, Any] = {}
    with contextlib.suppress(OSError), winreg.OpenKey(parent, name) as key:
        for value in _VALUES:
            with contextlib.suppress(OSError):
                values[value] = winreg.QueryValueEx(key, value)[0]
    return values


def _memory(values: Mapping[str, Any]) -> int | None:
    for name in ("HardwareInformation.qwMemorySize", "HardwareInformation.MemorySize"):
        value = values.get(name)
        if isinstance(value, bytes):
            value = int.from_bytes(value, "little")
        if isinstance(value, int) and value > 0:
            return value if name.endswith("qwMemorySize") or value not in _CAPS else None
    return None


def parse(
    keys: Iterable[Mapping[str, Any]],
    pool: tuple[int, int] | None,
    adapters: Sequence[Adapter] = (),
    *,
    without_nvml: bool = False,
) -> tuple[Device, ...]:
    """GPUs from the values of the display class's registry keys. NVIDIA's are NVML's business.

    ``adapters``: what DXGI lists; where it lists any, a key without one is of a card that was
    taken out, which the registry remembers. ``without_nvml``: NVIDIA's cards are told by these
    sources; only those that DXGI lists, which have a driver that works.
    """
    devices: list[Device] = []
    seen: set[tuple[str, str]] = set()
    here = list(adapters)
    for place, values in enumerate(keys):
        matching = str(values.get("MatchingDeviceId", "")).lower()
        found = re.search(r"ven_([0-9a-f]{4})&dev_([0-9a-f]{4})", matching)
        if found is None or found[1] not in _VENDORS:
            continue
        pci_id = f"{found[1]}:{found[2]}"
        nvidia = _VENDORS[found[1]] == "NVIDIA"
        if nvidia and not (without_nvml and adapters):
            continue
        identity = (found[0], str(place if _memory(values) else values.get("DriverDesc")))
        if identity in seen:
            continue
        seen.add(identity)
        adapter = next((known for known in here if known.pci_id == pci_id), None)
        if adapters and adapter is None:
            continue
        if adapter is not None:
            here.remove(adapter)
        devices.append(_gpu(values, pci_id, _VENDORS[found[1]], pool, adapter))
    return tuple(devices)


def _within_processor(described: str, pci_id: str, total: int | None, *, capped: bool) -> bool:
    if table.integrated_name(pci_id) is not None:
        return True
    if pci_id.startswith("10de:"):
        return False
    if pci_id.startswith("8086:"):
        return _ARC_CARD.search(described) is None
    return not capped and (total is None or total <= _CARVE_OUT)


def _own_memory(values: Mapping[str, Any], adapter: Adapter | None) -> tuple[int | None, str]:
    """Memory of its own, and where that was read; None where neither tells."""
    written = _memory(values)
    if written is None and adapter is not None and adapter.dedicated:
        return adapter.dedicated, _DXGI
    return written, "registry: HardwareInformation.qwMemorySize"


def _gpu(
    values: Mapping[str, Any],
    pci_id: str,
    vendor: str,
    pool: tuple[int, int] | None,
    adapter: Adapter | None,
) -> Device:
    described = str(values.get("DriverDesc") or f"{vendor} GPU")
    total, source = _own_memory(values, adapter)
    entry = table.find(described, memory=total, pci_id=pci_id)
    shared = entry is not None and entry.unified
    capped = total is None and "HardwareInformation.MemorySize" in values
    within = _within_processor(described, pci_id, total, capped=capped)
    if total is None and entry is not None and not shared:
        total = table.gpu_table().usable_memory(entry)
        source = f"nominal, {entry.origin('memory_gib')}: its driver writes a capped size"
    integrated = shared or (entry is None and within)
    lent = adapter.shared if adapter is not None else None
    if integrated and lent is not None:
        total, source = (total or 0) + lent, f"{_DXGI}: its own memory and the RAM it may use"
    elif entry is not None and shared and pool is not None and (total or 0) <= _CARVE_OUT:
        total = table.gpu_table().usable_memory(entry, pool[0])
        source = "the share of the RAM that its driver lends, by the GPU table"
    elif integrated and not shared and pool is not None:
        # Windows lets a GPU use half of the RAM as shared memory (WDDM's default).
        total, source = (total or 0) + pool[0] // 2, "its carve-out plus half of the RAM (WDDM)"
    device = Device(
        name=table.integrated_name(pci_id) or short_name(described),
        vendor=vendor,
        backend=entry.backend if entry else "vulkan",
        pci_id=pci_id,
        memory_total=total,
        driver=str(values["DriverVersion"]) if values.get("DriverVersion") else None,
        integrated=integrated,
        unified=integrated,
        sources={"name": "registry"} | ({"memory_total": source} if total is not None else {}),
        unknown={"memory_used": "Windows reports it per adapter only while sampling"}
        | ({} if total is not None else {"memory_total": "its driver does not write it"}),
    )
    device = with_table(_with_budget(device, adapter), entry)
    return with_reason(device, "Windows leaves it to its maker's own tools")


def _with_budget(device: Device, adapter: Adapter | None) -> Device:
    """The device with what DXGI says of a card's memory; of a pool it is no second opinion."""
    if adapter is None or device.unified or device.memory_total is None:
        return device
    update: dict[str, object] = {}
    if device.sources.get("memory_total") != _DXGI and adapter.dedicated:
        reading = Reading(value=float(adapter.dedicated), source=_DXGI)
        update["alternatives"] = device.alternatives | {"memory_total": (reading,)}
    if adapter.budget is not None:
        update["memory_used"] = max(0, device.memory_total - adapter.budget)
        source = f"{_DXGI}: what Windows would not give one program now"
        update["sources"] = device.sources | {"memory_used": source}
        left = {name: why for name, why in device.unknown.items() if name != "memory_used"}
        update["unknown"] = left
    return device.model_copy(update=update)
