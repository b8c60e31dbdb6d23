"""Puts what every source saw together into one rig."""

import os
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from advisor.hardware import corrections, kfd, nvml, others
from advisor.hardware.host import read_host, without_gpu_memory
from advisor.hardware.nvml import NvmlReading
from advisor.hardware.rig import Device, Host, Peer, Rig
from advisor.hardware.shared_memory import reads_the_ram, with_ram_bandwidth
from advisor.hardware.visible import visible

NAME = "This machine"
_GRACE = re.compile(r"\b(GH|GB)[23]00\b")
"""GPUs whose memory the kernel of their Grace host counts as its own; GB10 shares one pool."""


def detect(
    engine_devices: Sequence[Mapping[str, object]] = (),
    *,
    models: Path | None = None,
    root: Path = Path("/"),
) -> Rig:
    """This machine; see `advisor.hardware.detect`. ``root`` is where / is, for tests."""
    host = read_host(models, root=root)
    pool = None
    if host.ram_total is not None and host.ram_available is not None:
        pool = (host.ram_total, host.ram_available)
    nvidia = nvml.read_devices(pool)
    if any(_GRACE.search(device.name) for device in nvidia.devices):
        host = without_gpu_memory(host, root)
    rest = others.read_devices(pool, root=root, without_nvml=not nvidia.usable)
    problems = [*nvidia.problems, *rest.problems]
    if not nvidia.devices and not nvidia.problems:
        problems += others.without_driver(root)
    devices = (*nvidia.devices, *rest.devices)
    devices = others.with_engine(devices, engine_devices, pool)
    devices = corrections.applied(devices)
    shown, hidden = visible(devices, os.environ, kfd.nodes(root))
    counted, ignored = set_aside(shown)
    rig = Rig(
        name=NAME,
        devices=counted,
        hosts=(_shared(host, counted),),
        peers=_between(nvidia, counted),
        problems=tuple(problems),
        ignored=(*nvidia.ignored, *ignored, *hidden),
        detected_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    return with_ram_bandwidth(rig)


def _between(nvidia: NvmlReading, counted: Sequence[Device]) -> tuple[Peer, ...]:
    """What lies between NVIDIA's cards that count, by their places among all that do."""
    places = {_identity(device): place for place, device in enumerate(counted)}
    now = dict(enumerate(places.get(_identity(device)) for device in nvidia.devices))
    found: list[Peer] = []
    for peer in nvidia.peers:
        first, second = now.get(peer.first), now.get(peer.second)
        if first is not None and second is not None:
            ends = {"first": min(first, second), "second": max(first, second)}
            found.append(peer.model_copy(update=ends))
    return tuple(found)


def _identity(device: Device) -> tuple[str | None, str | None]:
    return device.uuid, device.pci_address


def set_aside(devices: Sequence[Device]) -> tuple[tuple[Device, ...], tuple[Device, ...]]:
    """Devices that count, and integrated graphics that do not.

    llama.cpp leaves integrated GPUs out when there is another one (`llama_model_load_from_file`).
    Those with a wide memory bus (the table's unified machines) count as the GPUs they are; those
    of the table that read the RAM through the CPU's channels count where they are alone: prompts
    are read several times as fast as on the CPU. Others are left out: they do nothing faster.
    """
    known = tuple(d for d in devices if not d.integrated or d.table_id is not None)
    counted = tuple(d for d in known if not reads_the_ram(d)) or known[:1]
    reason = (
        "integrated graphics: llama.cpp leaves it out beside a graphics card"
        if any(not d.integrated for d in counted)
        else "integrated graphics: it reads the CPU's RAM, no faster than the CPU does"
    )
    ignored = tuple(
        d.model_copy(update={"unknown": d.unknown | {"use": reason}})
        for d in devices
        if d not in counted
    )
    return counted, ignored


def _shared(host: Host, devices: Sequence[Device]) -> Host:
    """A host whose memory a wide-bus GPU shares has that GPU's bandwidth."""
    unified = next((d for d in devices if d.unified and d.bandwidth_gbs), None)
    update: dict[str, object] = {}
    if unified is not None and host.ram_bandwidth_gbs is None:
        source = f"shared with {unified.name}"
        update["ram_bandwidth_gbs"] = unified.bandwidth_gbs
        update["ram_bandwidth_source"] = source
        update["sources"] = host.sources | {"ram_bandwidth_gbs": source}
        update["unknown"] = {k: v for k, v in host.unknown.items() if k != "ram_bandwidth_gbs"}
    if host.laptop is None and any(device.laptop for device in devices):
        update["laptop"] = True
    return host.model_copy(update=update) if update else host
