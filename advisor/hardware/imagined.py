"""One imagined device: an entry of the GPU table, or a card filled in by its owner."""

import re
from typing import Any

from advisor.errors import RigError
from advisor.hardware import table
from advisor.hardware.rig import Device, PcieLink
from advisor.hardware.table import GpuEntry
from advisor.units import GIB

SIZE = r"(?<![a-zA-Z\d.])(\d+(?:\.\d+)?)\s*(gib|gb|g|tib|tb)\b"
"""A memory size in text: number and unit."""
_BANDWIDTH = re.compile(r"\b(\d+(?:\.\d+)?)\s*gb/s", re.IGNORECASE)
_ENDS = re.compile(r"^(?:and|with|plus|over|via)\s+|\s+(?:and|with|plus|over|via)$", re.IGNORECASE)
"""Of a described card's name, what would part it from another."""
_OF_RAM = re.compile(r"\b(?:ram|memory|(?:lp)?ddr[345]x?)\b", re.IGNORECASE)


def gigabytes(number: str, unit: str) -> int:
    """Bytes of a written size: memory is sold in binary gigabytes whatever the label says."""
    return int(float(number) * (1024 if unit.lower().startswith("t") else 1) * GIB)


def device_from_entry(
    entry: GpuEntry, *, memory: int | None = None, said: str = "as sold", host_index: int = 0
) -> Device:
    """An imagined device of the table. ``memory``: bytes that replace the size as sold.

    For unified memory that size is the whole pool; the device gets what the driver allows of it.
    """
    usable = table.gpu_table().usable_memory(entry, memory)
    sources = {"name": "imagined" if entry.dies == 1 else f"imagined; {of_a_module(entry)}"}
    if entry.memory_limit is not None:
        limit = table.gpu_table().memory_limits[entry.memory_limit]
        sources["memory_total"] = f"the share of one pool that the driver allows: {limit.source}"
    elif memory is None:
        known = "memory_gib" if entry.memory_reported_mib is None else "memory_reported_mib"
        what = "nominal size" if known == "memory_gib" else "the driver's total"
        sources["memory_total"] = f"{what}, {entry.origin(known)}"
    else:
        sources["memory_total"] = said
    facts: dict[str, Any] = {
        "bandwidth_gbs": entry.bandwidth_gbs,
        "fp16_tflops": entry.fp16_tflops,
        "compute_capability": entry.compute_capability,
        "multiprocessors": entry.multiprocessors,
        "nvlink_gbs": entry.nvlink_gbs,
        "power_default_w": entry.tdp_w,
        "power_limit_w": entry.tdp_w,
    }
    unknown = {name: "not in the GPU table" for name, value in facts.items() if value is None}
    field_of = {"power_default_w": "tdp_w", "power_limit_w": "tdp_w"}
    sources |= {
        name: entry.origin(field_of.get(name, name))
        for name, value in facts.items()
        if value is not None
    }
    unknown["memory_used"] = "an imagined device: nothing runs on it"
    return Device(
        name=entry.short_name,
        vendor=entry.vendor,
        backend=entry.backend,
        table_id=entry.name,
        memory_total=usable,
        architecture=entry.architecture,
        pcie=PcieLink(
            generation=entry.pcie_gen,
            width=entry.pcie_lanes,
            max_generation=entry.pcie_gen,
            max_width=entry.pcie_lanes,
        ),
        unified=entry.unified,
        integrated=entry.integrated,
        laptop=entry.laptop,
        host_index=host_index,
        sources=sources | {"architecture": entry.origin("architecture")},
        unknown=unknown,
        **facts,
    )


def of_a_module(entry: GpuEntry) -> str:
    """What one die of a module is to llama.cpp."""
    return (
        f"one of a module's {entry.dies} dies, each a device with {entry.memory_gib:g} GB of its "
        "own to drivers and llama.cpp"
    )


def imagined_device(name: str, memory: int | None = None) -> Device:
    """An imagined device by name. Raises RigError with the nearest names for one we don't know.

    A product we know in another memory size keeps what does not depend on memory; its bandwidth is
    then unknown, since another size often means another memory bus.
    """
    text = name if memory is None else with_memory(name, memory)
    found = table.candidates(text)
    if len(found) == 1:
        unified = found[0].memory_limit is not None
        size = memory if memory is not None else named_memory(name) if unified else None
        return device_from_entry(found[0], memory=size, said="as you wrote")
    if len(found) > 1:
        sizes = "; ".join(entry.short_name for entry in found)
        raise RigError(f"“{name}” can be more than one card. Say which: {sizes}.")
    size = memory if memory is not None else named_memory(name)
    same = table.same_product(name)
    if same and size is not None:
        return _other_memory(same, size)
    near = table.suggest(name)
    hint = (
        f"Did you mean {' or '.join(near)}? One that is not in it wants its memory and bandwidth: "
        "“My card 24GB 900 GB/s”."
        if near
        else "Write its maker's name for it, or its memory and bandwidth: “My card 24GB 900 GB/s”."
    )
    raise RigError(f"“{name}” is not in the GPU table. {hint}")


def with_memory(name: str, memory: int) -> str:
    """A product name that carries this size and no other."""
    stripped = re.sub(SIZE, " ", name, flags=re.IGNORECASE)
    return f"{stripped} {memory / GIB:g}GB"


def named_memory(name: str) -> int | None:
    """Bytes of the size that a product name carries."""
    found = re.search(SIZE, name, re.IGNORECASE)
    return gigabytes(found[1], found[2]) if found else None


def _other_memory(same: list[GpuEntry], memory: int) -> Device:
    entry = same[0]
    sold = ", ".join(sorted({f"{size:g}" for e in same for size in _sizes(e)}, key=float))
    too_large = memory > max(max(_sizes(e)) for e in same) * GIB
    if entry.unified and (too_large or len(same) > 1):
        raise RigError(
            f"{entry.short_name} is not sold with {memory / GIB:g} GB. Sizes known: {sold} GB."
        )
    reason = f"the table knows {entry.short_name} with {sold} GB only; another size can differ"
    device = device_from_entry(entry, memory=memory, said="as you wrote")
    if entry.unified:
        return device
    lost = ("bandwidth_gbs", "multiprocessors", "fp16_tflops")
    base = re.sub(SIZE, "", entry.short_name, flags=re.IGNORECASE).strip()
    return device.model_copy(
        update={
            "name": f"{' '.join(base.split())} {memory / GIB:g}GB",
            "table_id": None,
            **dict.fromkeys(lost),
            "sources": {k: v for k, v in device.sources.items() if k not in lost},
            "unknown": device.unknown | dict.fromkeys(lost, reason),
        }
    )


def _sizes(entry: GpuEntry) -> tuple[float, ...]:
    return entry.memory_options_gib or (entry.memory_gib,)


def unlisted_device(name: str, memory: int, *, bandwidth_gbs: float | None = None) -> Device:
    """A card that the table does not know, filled in by its owner. Vulkan runs on any of them."""
    reason = "this card is not in the GPU table"
    device = Device(
        name=name,
        backend="vulkan",
        memory_total=memory,
        sources={"memory_total": "as you wrote"},
        unknown=dict.fromkeys(("bandwidth_gbs", "fp16_tflops", "architecture"), reason),
    )
    return device if bandwidth_gbs is None else with_field(device, "bandwidth_gbs", bandwidth_gbs)


def with_field(device: Device, name: str, value: object) -> Device:
    """A device with one fact stated by the user, which replaces what was read or unknown."""
    return device.model_copy(
        update={
            name: value,
            "sources": device.sources | {name: "as you wrote"},
            "unknown": {k: v for k, v in device.unknown.items() if k != name},
        }
    )


_DESKTOP_RAM = 256 * GIB
"""Boards with two channels take no more: four modules of 64 GB (Intel Core Ultra 200S, AMD AM5)."""


def theoretical_bandwidth(
    mts: int, channels: int | None, total: int | None = None, *, server: bool = False
) -> tuple[float, str]:
    """GB/s of DDR memory and the words for its source: channels × MT/s × 8 bytes (JEDEC).

    Where the channels are not known, as many are assumed as boards have that take ``total`` bytes,
    or as a ``server`` has.
    """
    doubt = ""
    if channels is None:
        server = server or (total is not None and total > _DESKTOP_RAM)
        channels = 8 if server else 2
        board = "eight channels assumed: a server" if server else "two channels assumed: a desktop"
        doubt = f" ({board} board)"
    lanes = "1 channel" if channels == 1 else f"{channels} channels"
    source = f"{lanes} × {mts} MT/s × 8 B{doubt}, theoretical"
    return channels * mts * 8 / 1000, source


def described_device(text: str) -> Device | None:
    """A card that its owner describes whole: ``"Weird 9000 48GB 700 GB/s"``."""
    bandwidth = _BANDWIDTH.search(text)
    bare = _BANDWIDTH.sub(" ", text)
    memory = named_memory(bare)
    if bandwidth is None or memory is None or _OF_RAM.search(bare):
        return None
    name = " ".join(re.sub(SIZE, " ", bare, flags=re.IGNORECASE).split())
    name = _ENDS.sub("", name)
    if not float(bandwidth[1]):
        raise RigError(f"“{text}” is a card without bandwidth: write what its maker says.")
    if not name or table.candidates(" ".join(bare.split())):
        return None
    return unlisted_device(name, memory, bandwidth_gbs=float(bandwidth[1]))
