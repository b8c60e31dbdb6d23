"""Graphics within a processor that read the RAM through its own channels: as fast as the RAM is.

Radeon 780M, 890M and their like; the table knows no bandwidth of theirs. A Strix Halo or a Mac is
sold with its memory, whose bandwidth the table has.
"""

from advisor.hardware import table
from advisor.hardware.rig import Device, Host, Rig


def reads_the_ram(device: Device) -> bool:
    """Whether the GPU has the bandwidth of whatever RAM it was built with."""
    if not device.unified or device.table_id is None:
        return False
    return any(
        entry.name == device.table_id and entry.bandwidth_gbs is None
        for entry in table.gpu_table().gpus
    )


def without_displaced(devices: tuple[Device, ...]) -> tuple[Device, ...]:
    """Devices that llama.cpp uses: what reads the RAM is left out beside a card of its machine."""
    cards = {device.host_index for device in devices if not reads_the_ram(device)}
    return tuple(d for d in devices if not reads_the_ram(d) or d.host_index not in cards)


def with_share_of(devices: tuple[Device, ...], ram: int) -> tuple[Device, ...]:
    """The devices; those of the first machine that read its RAM with what drivers lend of that."""
    known = table.gpu_table()
    entries = {entry.name: entry for entry in known.gpus}
    return tuple(
        device.model_copy(
            update={"memory_total": known.usable_memory(entries[device.table_id], ram)}
        )
        if reads_the_ram(device) and device.table_id is not None and not device.host_index
        else device
        for device in devices
    )


def with_ram_bandwidth(rig: Rig) -> Rig:
    """The rig with its hosts' bandwidth, in GB/s, for the GPUs that read their RAM."""
    devices = tuple(
        _as_fast(device, rig.hosts[device.host_index]) if reads_the_ram(device) else device
        for device in rig.devices
    )
    return rig if devices == rig.devices else rig.model_copy(update={"devices": devices})


def _as_fast(device: Device, host: Host) -> Device:
    sources = {k: v for k, v in device.sources.items() if k != "bandwidth_gbs"}
    unknown = {k: v for k, v in device.unknown.items() if k != "bandwidth_gbs"}
    if host.ram_bandwidth_gbs is None:
        why = host.unknown.get("ram_bandwidth_gbs", "not known")
        unknown["bandwidth_gbs"] = f"that of the RAM, which it shares: {why}"
    else:
        sources["bandwidth_gbs"] = f"the RAM, which it shares: {host.ram_bandwidth_source}"
    update = {"bandwidth_gbs": host.ram_bandwidth_gbs, "sources": sources, "unknown": unknown}
    return device.model_copy(update=update)
