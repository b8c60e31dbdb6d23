"""A detected device completed from the GPU table; nothing that was read is replaced."""

from advisor.hardware import table
from advisor.hardware.rig import Device, PcieLink, Reading
from advisor.hardware.table import GpuEntry
from advisor.units import GIB


def sold_as(name: str, pool: tuple[int, int] | None) -> GpuEntry | None:
    """The unified-memory machine of that name and RAM: an M3 Max has two kinds of GPU.

    Systems show a little less than was sold, so the nearest size counts.
    """
    entries = [entry for entry in table.same_product(name) if entry.unified]
    if not entries or pool is None:
        return entries[0] if len(entries) == 1 else None
    sizes = {gib for entry in entries for gib in entry.memory_options_gib or (entry.memory_gib,)}
    nearest = min(sizes, key=lambda gib: abs(gib * GIB - pool[0]))
    fitting = [e for e in entries if nearest in (e.memory_options_gib or (e.memory_gib,))]
    return fitting[0] if len(fitting) == 1 else None


def with_table(device: Device, entry: GpuEntry | None) -> Device:
    """A detected device with what the GPU table adds; nothing that was read is replaced."""
    if entry is None:
        reason = "not in the GPU table; nothing is guessed"
        names = ("table_id", "bandwidth_gbs", "fp16_tflops", "architecture")
        missing = {n: reason for n in names if getattr(device, n) is None}
        return device.model_copy(update={"unknown": missing | device.unknown})
    update: dict[str, object] = {
        "name": entry.short_name,
        "table_id": entry.name,
        "vendor": entry.vendor,
        "laptop": entry.laptop,
        "unified": entry.unified,
        "integrated": entry.integrated,
    }
    sources, unknown = dict(device.sources), dict(device.unknown)
    facts = {"power_default_w": "tdp_w", "nvlink_gbs": "nvlink_gbs"}
    names = ("bandwidth_gbs", "fp16_tflops", "architecture", "multiprocessors")
    for name, column in ({n: n for n in names} | facts).items():
        value = getattr(entry, column)
        if getattr(device, name) is None and value is not None:
            update[name], sources[name] = value, entry.origin(column)
            unknown.pop(name, None)
        elif getattr(device, name) is None:
            unknown.setdefault(name, "not in the GPU table")
    alternatives = dict(device.alternatives)
    if device.name != entry.short_name:
        known = alternatives.get("name", ())
        where = device.sources.get("name", "driver")
        alternatives["name"] = (*known, Reading(value=device.name, source=where))
    update |= {"sources": sources, "unknown": unknown, "alternatives": alternatives}
    return device.model_copy(update=update)


_SENSORS = ("power_w", "temperature_c", "clock_mhz", "utilisation", "power_limit_w")


def with_reason(device: Device, reason: str) -> Device:
    """A device that says of each sensor that was not read why: ``reason``, where no other is."""
    missing = {name: reason for name in _SENSORS if getattr(device, name) is None}
    if device.pcie == PcieLink() and not device.integrated:
        missing["pcie"] = reason
    return device.model_copy(update={"unknown": missing | device.unknown})
