"""What-if: a rig with a device or machine more, fewer or another, or with other memory."""

from advisor.errors import RigError
from advisor.hardware import network
from advisor.hardware.compose import describe_rig, parse_rig
from advisor.hardware.rig import Device, Host, Rig
from advisor.hardware.shared_memory import without_displaced


def _changed(rig: Rig, devices: tuple[Device, ...]) -> Rig:
    used = without_displaced(devices)
    changed = rig.model_copy(update={"devices": used, "imagined": True})
    return changed.model_copy(update={"name": describe_rig(changed)})


def _at(rig: Rig, index: int) -> Device:
    if not 0 <= index < len(rig.devices):
        raise RigError(f"The rig has {len(rig.devices)} GPUs; there is no number {index + 1}.")
    return rig.devices[index]


def add(rig: Rig, text: str) -> Rig:
    """The rig with what ``text`` names: GPUs, other RAM, or "over 10GbE with …" a machine.

    Raises RigError.
    """
    machine = network.split_addition(text)
    if machine is not None:
        return add_machine(rig, machine[1], machine[0])
    more = parse_rig(text)
    if more.host.ram_total is not None and not any(device.unified for device in more.devices):
        rig = _with_memory(rig, more.host)
        if not more.devices:
            return rig
    return add_devices(rig, text)


def add_devices(rig: Rig, text: str, host_index: int = 0) -> Rig:
    """The rig with more GPUs: ``"RTX 3090"``, ``"2x RTX 4090"``. Raises RigError."""
    more = parse_rig(text)
    if len(more.hosts) > 1:
        raise RigError("To add a machine, begin with its network: “over 10GbE with RTX 3090”.")
    if not more.devices:
        raise RigError(f"“{text}” names no GPU.")
    added = tuple(d.model_copy(update={"host_index": host_index}) for d in more.devices)
    # Behind the others of its machine; the far machines' stand before the first one's.
    at = max(
        (i + 1 for i, d in enumerate(rig.devices) if d.host_index == host_index),
        default=0 if host_index else len(rig.devices),
    )
    return _changed(rig, rig.devices[:at] + added + rig.devices[at:])


def add_machine(rig: Rig, text: str, link: str) -> Rig:
    """The rig with one more machine, joined to its first by ``link`` ("10GbE"). Raises RigError."""
    joined = network.join(rig, parse_rig(text), link)
    return joined.model_copy(update={"name": describe_rig(joined)})


def remove_machine(rig: Rig, host: int) -> Rig:
    """The rig without one of its further machines. Raises RigError."""
    left = network.without_host(rig, host)
    return left.model_copy(update={"name": describe_rig(left)})


def remove_device(rig: Rig, index: int) -> Rig:
    """The rig without one of its GPUs, counted from 0. Raises RigError.

    A further machine goes with its last GPU.
    """
    host = _at(rig, index).host_index
    if host and sum(device.host_index == host for device in rig.devices) == 1:
        return remove_machine(rig, host)
    return _changed(rig, rig.devices[:index] + rig.devices[index + 1 :])


def swap_device(rig: Rig, index: int, text: str) -> Rig:
    """The rig with one GPU replaced by what ``text`` names, in its place. Raises RigError."""
    old = _at(rig, index)
    more = parse_rig(text)
    if not more.devices:
        raise RigError(f"“{text}” names no GPU.")
    new = tuple(d.model_copy(update={"host_index": old.host_index}) for d in more.devices)
    return _changed(rig, rig.devices[:index] + new + rig.devices[index + 1 :])


def edit_device(rig: Rig, index: int, device: Device) -> Rig:
    """The rig with one GPU's facts as the user filled them in."""
    _at(rig, index)
    return _changed(rig, (*rig.devices[:index], device, *rig.devices[index + 1 :]))


def set_memory(rig: Rig, text: str) -> Rig:
    """The rig with other RAM in its first host: ``"128 GB DDR5-6000"``. Raises RigError."""
    read = parse_rig(text)
    if read.devices or read.host.ram_total is None:
        raise RigError(f"“{text}” is not an amount of memory. Write for example 64 GB DDR5-5600.")
    return _with_memory(rig, read.host)


def _with_memory(rig: Rig, read: Host) -> Rig:
    fields = ("ram_total", "ram_available", "ram_type", "ram_bandwidth_gbs", "ram_bandwidth_source")
    fields += ("ram_read_gbs", "ram_read_source")
    kept = {k: v for k, v in rig.host.unknown.items() if k not in fields}
    unknown = kept | {k: v for k, v in read.unknown.items() if k in fields}
    host = rig.host.model_copy(
        update={name: getattr(read, name) for name in fields}
        | {"sources": rig.host.sources | read.sources, "unknown": unknown}
    )
    changed = rig.model_copy(update={"hosts": (host, *rig.hosts[1:])})
    return _changed(changed, rig.devices)
