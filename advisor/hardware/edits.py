"""What-if: a rig with a device more, fewer or another, with other memory, or joined to one."""

from advisor.errors import RigError
from advisor.hardware.compose import describe, parse_rig
from advisor.hardware.rig import Device, NetworkLink, Rig


def _changed(rig: Rig, devices: tuple[Device, ...], **update: object) -> Rig:
    name = describe(devices, rig.host.ram_total)
    return rig.model_copy(update={"devices": devices, "imagined": True, "name": name} | update)


def _at(rig: Rig, index: int) -> Device:
    if not 0 <= index < len(rig.devices):
        raise RigError(f"The rig has {len(rig.devices)} GPUs; there is no number {index + 1}.")
    return rig.devices[index]


def add_devices(rig: Rig, text: str, host_index: int = 0) -> Rig:
    """The rig with more GPUs: ``"RTX 3090"``, ``"2x RTX 4090"``. Raises RigError."""
    more = parse_rig(text)
    if not more.devices:
        raise RigError(f"“{text}” names no GPU.")
    added = tuple(d.model_copy(update={"host_index": host_index}) for d in more.devices)
    return _changed(rig, rig.devices + added)


def remove_device(rig: Rig, index: int) -> Rig:
    """The rig without one of its GPUs, counted from 0. Raises RigError."""
    _at(rig, index)
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
    fields = ("ram_total", "ram_available", "ram_type", "ram_bandwidth_gbs", "ram_bandwidth_source")
    kept = {k: v for k, v in rig.host.unknown.items() if k not in fields}
    unknown = kept | {k: v for k, v in read.host.unknown.items() if k in fields}
    host = rig.host.model_copy(
        update={name: getattr(read.host, name) for name in fields}
        | {"sources": rig.host.sources | read.host.sources, "unknown": unknown}
    )
    name = describe(rig.devices, host.ram_total)
    update = {"hosts": (host, *rig.hosts[1:]), "imagined": True, "name": name}
    return rig.model_copy(update=update)


def join(rig: Rig, other: Rig, *, bandwidth_gbs: float, latency_us: float) -> Rig:
    """Two rigs as one, joined by a network as llama.cpp's RPC backend joins them.

    ``bandwidth_gbs`` in GB/s (10 Gbit Ethernet is 1.25), ``latency_us`` one way in microseconds.
    """
    if bandwidth_gbs <= 0 or latency_us < 0:
        raise RigError("A network link needs a bandwidth above zero and a latency of zero or more.")
    first = len(rig.hosts)
    moved = tuple(d.model_copy(update={"host_index": d.host_index + first}) for d in other.devices)
    links = tuple(
        link.model_copy(
            update={"from_host": link.from_host + first, "to_host": link.to_host + first}
        )
        for link in other.links
    )
    link = NetworkLink(
        from_host=0, to_host=first, bandwidth_gbs=bandwidth_gbs, latency_us=latency_us
    )
    return rig.model_copy(
        update={
            "name": f"{rig.name} ⇄ {other.name}",
            "devices": rig.devices + moved,
            "hosts": rig.hosts + other.hosts,
            "links": (*rig.links, *links, link),
            "imagined": True,
        }
    )
