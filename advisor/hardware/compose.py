"""Imagined rigs: from text ("2x RTX 4090 + 128 GB DDR5-6000"), from JSON, and by editing a rig."""

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from advisor.errors import RigError
from advisor.hardware import table
from advisor.hardware.channels import channels_of
from advisor.hardware.external_links import as_pcie
from advisor.hardware.imagined import (
    described_device,
    imagined_device,
    named_memory,
    theoretical_bandwidth,
    unlisted_device,
    with_field,
)
from advisor.hardware.network import STATED, join, same_machines, split_machines
from advisor.hardware.processors import simd_of_name
from advisor.hardware.rig import Device, Host, NetworkLink, Rig
from advisor.hardware.saved import rig_from_json
from advisor.hardware.shared_memory import reads_the_ram, with_ram_bandwidth
from advisor.hardware.table import Processors
from advisor.hardware.words import MachineWords, Slot, memory_size, read_words
from advisor.units import GIB

_WRITTEN: Final = "as you wrote"
_CPU_ONLY = re.compile(r"\b(cpu[\s-]*only|no gpu|without (?:a )?gpu)\b", re.IGNORECASE)
# A comma in brackets belongs to a name ("Ryzen AI Max+ 395 (Strix Halo, 128GB)"), one within a
# number to it ("1,024 GB").
_PARTS = re.compile(r"[+;\n&]|,(?!\d{3}\b)(?![^()]*\))")
MAX_DEVICES = 128
MAX_MACHINES = 16
_MOST_RAM = 64 << 40
"""Bytes: what eight sockets of a server take."""
_SYSTEM = 4 * GIB
"""RAM that is left to the system of a machine that nobody reads: Windows 11 asks for as much
(learn.microsoft.com/windows/whats-new/windows-11-requirements). A quarter where there is little."""


@dataclass
class _HostParts:
    ram_total: int | None = None
    ram_type: str | None = None
    bandwidth: float | None = None
    bandwidth_source: str | None = None
    cpu: str = ""
    sources: dict[str, str] = field(default_factory=dict[str, str])


def _read_ram(words: list[str], host: _HostParts, *, server: bool) -> None:
    """Words of the RAM, see `MachineWords.ram`; of a server's board where they don't say."""
    modules, channels, speed, kind = 1, None, None, ""
    for word in words:
        size = memory_size(word)
        ddr = re.fullmatch(r"(lp)?(ddr[345])(x)?(?:-(\d+))?", word)
        if size is not None:
            host.ram_total = size * modules
            if host.ram_total > _MOST_RAM:
                raise RigError(
                    f"{host.ram_total / GIB:,.0f} GB of RAM are more than any machine has."
                )
            host.sources["ram_total"] = _WRITTEN
        elif ddr:
            kind = f"{(ddr[1] or '')}{ddr[2]}{ddr[3] or ''}".upper()
            speed = int(ddr[4]) if ddr[4] else speed
        elif word.endswith("x"):
            modules = int(word[:-1])
        elif word.endswith("-channel"):
            channels = int(word.removesuffix("-channel"))
        elif word.endswith("gb/s"):
            if not float(word[:-4]):
                raise RigError("RAM without bandwidth is none: write how fast it is, or nothing.")
            host.bandwidth, host.bandwidth_source = float(word[:-4]), _WRITTEN
        else:
            speed = int(word[1:])
    if kind:
        host.ram_type = f"{kind}-{speed}" if speed else kind
        host.sources["ram_type"] = _WRITTEN
    known = channels_of(host.cpu) if channels is None else None
    if speed and host.bandwidth is None:
        host.bandwidth, host.bandwidth_source = theoretical_bandwidth(
            speed, channels or known, host.ram_total, server=server
        )
        if known is not None and known > 1:
            one = re.sub(r"^\d+x ", "", host.cpu)
            host.bandwidth_source += f": all channels that one {one} has"


def _host(parts: _HostParts, devices: list[Device], pool: int | None) -> Host:
    unknown: dict[str, str] = {}
    total = parts.ram_total
    bandwidth, bandwidth_source = parts.bandwidth, parts.bandwidth_source
    if pool is not None and total is None:
        total = pool
        parts.sources["ram_total"] = "the memory that CPU and GPU share"
        if bandwidth is None:
            bandwidth = next((d.bandwidth_gbs for d in devices if d.unified), None)
            bandwidth_source = "shared with the GPU"
    if total is None:
        unknown["ram_total"] = 'not stated: add for example "+ 64 GB DDR5-5600"'
    if bandwidth is None:
        bandwidth_source = None
        unknown["ram_bandwidth_gbs"] = 'not stated: add its type and speed, as in "DDR5-5600"'
    available = None
    if total is not None:
        available = total - min(_SYSTEM, total // 4)
        parts.sources["ram_available"] = "RAM less what its system is assumed to take"
    return Host(
        cpu=parts.cpu,
        simd=simd_of_name(parts.cpu),
        ram_total=total,
        ram_available=available,
        ram_type=parts.ram_type,
        ram_bandwidth_gbs=bandwidth,
        ram_bandwidth_source=bandwidth_source,
        laptop=any(device.laptop for device in devices) or None,
        sources=parts.sources,
        unknown=unknown,
    )


def _pool_of(name: str, device: Device) -> int | None:
    """The shared memory of a unified machine, all of it."""
    if not device.unified or device.table_id is None:
        return None
    entry = next(e for e in table.gpu_table().gpus if e.name == device.table_id)
    return named_memory(name) or int(entry.memory_gib * GIB)


def _parts(text: str) -> list[str]:
    separated = re.sub(r"\s+(?:and|with(?!\s+max-q)|plus)\s+", "+", text, flags=re.IGNORECASE)
    separated = _CPU_ONLY.sub("+", separated)
    separated = re.sub(r"\b(max)\+", r"\1", separated, flags=re.IGNORECASE)  # "Ryzen AI Max+ 395"
    separated = re.sub(r"(\d[gt]b)((?:lp)?ddr\d)", r"\1 \2", separated, flags=re.IGNORECASE)
    return [part.strip(" .") for part in _PARTS.split(separated)]


def parse_rig(text: str) -> Rig:
    """An imagined rig from words. Raises RigError that says which part is not understood.

    ``"2x RTX 4090 + 128 GB DDR5-6000"``, ``"M3 Ultra 512GB"``, ``"CPU only 64 GB DDR5-5600"``,
    ``"8x H200 + 2 TB 12-channel DDR5-4800"``. Two memory channels are assumed unless stated,
    eight beyond 256 GB and beside modules of a server's board.
    A processor that is named without a card brings the graphics that llama.cpp would use within it;
    ``CPU only`` does without.
    ``"2x RTX 3090 + 64 GB DDR4-3200 over 10GbE with M2 Ultra 192GB"`` is several machines, each
    joined to the first; ``"2x DGX Spark over 200GbE"`` and ``"3 machines with RTX 3090 over
    10GbE"`` are several alike.
    """
    if not text.strip():
        raise RigError('Write what is in the rig, for example "2x RTX 4090 + 128 GB DDR5-6000".')
    (_, first), *further = split_machines(_alike(" ".join(text.split())))
    rig = _machine(first)
    for link, words in further:
        rig = join(rig, _machine(words), link)
    return rig


def _alike(text: str) -> str:
    """Machines that are counted, written one by one: “2x DGX Spark over 200GbE”."""
    if len(split_machines(text)) > 1:
        return text
    alike = same_machines(text)
    if alike is None:
        return text
    count, machine, link = alike
    if link is not None and count == 1:
        count, machine = _counted_pools(machine)
    if link is not None and count == 1 and as_pcie(link.lower()) != link.lower():
        return text  # “RTX 4090 over Thunderbolt 4”: a card outside its machine
    if link is None or not 1 < count <= MAX_MACHINES:
        by = link or "10GbE"
        raise RigError(
            f"“{text}” does not say which machines are joined and by what: write each, between "
            f"them the network, as in “RTX 4090 + 64 GB over {by} with RTX 3090 + 32 GB” (at most "
            f"{MAX_MACHINES})."
        )
    return f" over {link} with ".join([machine] * count)


def _counted_pools(machine: str) -> tuple[int, str]:
    """“2x DGX Spark” is two machines, since each has its own memory."""
    words = read_words(_parts(machine))
    counts = [(count, name) for count, name in words.gpus if _shares_memory(name)]
    return counts[0] if len(words.gpus) == len(counts) == 1 else (1, machine)


def _machine(text: str) -> Rig:
    words = read_words(_parts(text))
    host = _HostParts(cpu=words.cpu)
    if words.cpu:
        host.sources["cpu"] = _WRITTEN
    entries = [entry for _, name in words.gpus for entry in table.candidates(name)[:1]]
    _read_ram(words.ram, host, server=any(table.is_module(entry.name) for entry in entries))
    devices: list[Device] = []
    pool: int | None = None
    graphics = _within(text, words, host)
    named = [*words.gpus, *([(1, _with_own_memory(graphics))] if graphics else [])]
    for place, (count, written) in enumerate(named):
        name = written
        if host.ram_total is not None and _shares_memory(name):
            pool = named_memory(name)
            if pool not in {None, host.ram_total}:
                raise RigError(
                    f"“{text}” gives two sizes: CPU and GPU of {written} share one memory. Write "
                    "one of them."
                )
            # The RAM is all the memory there is.
            name = written if pool else f"{written} {host.ram_total / GIB:g}GB"
            host.ram_total = None
        device = described_device(name) or imagined_device(name)
        if device.memory_total == 0:
            raise RigError(f"“{written}” has no memory to put a model into: write how much it has.")
        pool = _pool_of(name, device) or pool
        each = table.dies(name)
        if not 0 < count <= (MAX_DEVICES - len(devices)) // each:
            raise RigError(
                f"A rig has between 1 and {MAX_DEVICES} GPUs; “{text}” asks for {count}."
            )
        devices += [_in_slot(device, words.slots.get(place))] * (count * each)
    if not devices and host.ram_total is None and not host.cpu:
        raise RigError(
            f"“{text}” names neither a GPU nor memory. Write for example “M4 Max 64GB” or "
            "“RTX 4090 + 64 GB DDR5-5600”."
        )
    if graphics is not None:
        devices = [_of_processor(device, host.cpu, graphics) for device in devices]
    shared = [device for device in devices if device.unified]
    if len(shared) > 1:
        raise RigError(
            f"“{text}” is more than one machine, since each {shared[0].name} has its own memory. "
            f"Say what joins them: “{shared[0].name} over 10GbE with {shared[-1].name}”."
        )
    within = next((device for device in devices if reads_the_ram(device)), None)
    if within is not None and len(devices) > 1:
        raise RigError(
            f"llama.cpp leaves {within.name}, graphics within a processor, out beside a graphics "
            "card. Write the card and the RAM alone."
        )
    name = " ".join(text.split())
    return with_ram_bandwidth(
        Rig(name=name, devices=tuple(devices), hosts=(_host(host, devices, pool),), imagined=True)
    )


def _within(text: str, words: MachineWords, host: _HostParts) -> Processors | None:
    """What llama.cpp computes on in a processor that is named without a card, as on such a machine.

    Nothing where the text wants the processor alone, or its memory is not told.
    """
    if words.gpus or _CPU_ONLY.search(text):
        return None
    known = table.within(words.cpu)
    told = host.ram_total is not None or (known is not None and known.memory_gib is not None)
    return known if told else None


def _with_own_memory(known: Processors) -> str:
    """The graphics' name, with the memory that is part of the processor."""
    return known.graphics if known.memory_gib is None else f"{known.graphics} {known.memory_gib}GB"


def _in_slot(device: Device, slot: Slot | None) -> Device:
    """A card joined as the text says: no faster than its own link is, nor than that slot."""
    if slot is None or device.unified:
        return device
    own = device.pcie
    generation = _least(own.max_generation, slot.generation)
    width = _least(own.max_width, slot.width)
    link = {"generation": generation, "width": width}
    link |= {"max_generation": generation, "max_width": width}
    return device.model_copy(
        update={
            "pcie": own.model_copy(update=link),
            "sources": {**device.sources, "pcie": _WRITTEN},
        }
    )


def _least(own: int | None, said: int | None) -> int | None:
    return min((value for value in (own, said) if value is not None), default=None)


def _of_processor(device: Device, cpu: str, known: Processors) -> Device:
    name = f"within the {cpu} ({known.source}, {known.date})"
    update = {"laptop": not known.desktop, "sources": {**device.sources, "name": name}}
    return device.model_copy(update=update)


def _shares_memory(name: str) -> bool:
    entries = table.candidates(name)
    return bool(entries) and all(entry.memory_limit is not None for entry in entries)


def device_words(device: Device, host: Host) -> str:
    """A device as `parse_rig` reads it: with its pool, or with what its owner says of it."""
    if device.unified and host.ram_total:
        return f"{device.name} {host.ram_total / GIB:.0f}GB"
    if device.table_id is None and device.memory_total and device.bandwidth_gbs:
        size = "" if named_memory(device.name) else f" {device.memory_total / GIB:.0f}GB"
        return f"{device.name}{size} {device.bandwidth_gbs:g} GB/s{_slot_words(device)}"
    return device.name + _slot_words(device)


def _slot_words(device: Device) -> str:
    """The slot that somebody wrote; empty for a card in its own."""
    link = device.pcie
    if device.sources.get("pcie") != _WRITTEN or None in {link.max_generation, link.max_width}:
        return ""
    return f" PCIe {link.max_generation}.0 x{link.max_width}"


class _GpuSpec(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    count: int = Field(default=1, ge=1, le=MAX_DEVICES)
    memory_gib: float | None = Field(default=None, gt=0, le=4096)
    memory_used_gib: float = Field(default=0, ge=0)
    bandwidth_gbs: float | None = Field(default=None, gt=0)


class _RigSpec(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str | None = None
    gpus: tuple[_GpuSpec, ...] = ()
    cpu: str = ""
    ram_gib: float | None = Field(default=None, gt=0)
    ram_bandwidth_gbs: float | None = Field(default=None, gt=0)
    ram_type: str | None = None


def _spec_device(spec: _GpuSpec, dies: int) -> Device:
    memory = None if spec.memory_gib is None else int(spec.memory_gib * GIB / dies)
    try:
        device = imagined_device(spec.name, memory)
    except RigError:
        # Any card is usable once its memory is given; what is not known stays unknown.
        if memory is None or table.same_product(spec.name):
            raise
        device = unlisted_device(spec.name, memory)
    if not device.unified and memory is not None:
        device = device.model_copy(update={"memory_total": memory})
    if spec.bandwidth_gbs is not None:
        device = with_field(device, "bandwidth_gbs", spec.bandwidth_gbs)
    if spec.memory_used_gib:
        device = with_field(device, "memory_used", int(spec.memory_used_gib * GIB))
    return device


def rig_from_spec(spec: Mapping[str, Any] | str) -> Rig:
    """A rig from the batch contract: text, or ``{"gpus": [{"name", "count", "memory_gib"}],
    "ram_gib", "ram_bandwidth_gbs"}``, or a rig as ``detect --json`` wrote it. Raises RigError.

    ``"this"`` is resolved by the caller, who can detect.
    """
    if isinstance(spec, str):
        return parse_rig(spec)
    if "hosts" in spec or "devices" in spec:
        return rig_from_json(spec)
    try:
        parsed = _RigSpec.model_validate(spec)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"])
        raise RigError(f"The rig is not understood: {where}: {first['msg']}.") from error
    devices: list[Device] = []
    pool: int | None = None
    for gpu in parsed.gpus:
        memory = None if gpu.memory_gib is None else int(gpu.memory_gib * GIB)
        each = table.dies(gpu.name, memory)
        device = _spec_device(gpu, each)
        named = gpu.name if gpu.memory_gib is None else f"{gpu.memory_gib:g}GB"
        pool = _pool_of(named, device) or pool
        devices += [device] * (gpu.count * each)
    parts = _HostParts(cpu=parsed.cpu, ram_type=parsed.ram_type)
    if parsed.ram_gib is not None:
        parts.ram_total = int(parsed.ram_gib * GIB)
        parts.sources["ram_total"] = _WRITTEN
    if parsed.ram_bandwidth_gbs is not None:
        parts.bandwidth, parts.bandwidth_source = parsed.ram_bandwidth_gbs, _WRITTEN
    name = parsed.name or describe(devices, parts.ram_total)
    return with_ram_bandwidth(
        Rig(name=name, devices=tuple(devices), hosts=(_host(parts, devices, pool),), imagined=True)
    )


def describe_rig(rig: Rig) -> str:
    """The parts of a rig as `parse_rig` reads them, machine by machine:
    ``"RTX 4090 + 64 GB DDR5-5600 over 10GbE with M4 Pro 48GB"``.
    """
    words = ""
    for index, host in enumerate(rig.hosts):
        inside = [d for d in rig.devices if d.host_index == index and d.backend != "cpu"]
        shared = any(d.unified for d in inside)
        link = rig.link_to(index)
        joint = f" over {_link_words(link)} with " if link else " with " if index else ""
        ram = None if shared else host.ram_total
        named = [d.model_copy(update={"name": device_words(d, host)}) for d in inside]
        parts = describe(named, ram)
        kind = f" {_ram_words(host)}" if ram is not None else ""
        words += joint + parts + kind.rstrip()
    return words


def _link_words(link: NetworkLink) -> str:
    """A network as `read_link` reads it, with its latency where somebody stated that."""
    return f"{link.name} at {link.latency_us:g} µs" if link.source == STATED else link.name


def _ram_words(host: Host) -> str:
    """The RAM's kind, and its channels or bandwidth where somebody or its processor told them."""
    kind, source = host.ram_type or "", host.ram_bandwidth_source or ""
    if source == _WRITTEN:
        return f"{kind} {host.ram_bandwidth_gbs:g} GB/s".strip()
    channels = re.match(r"(\d+) channels? ×", source)
    return f"{channels[1]}-channel {kind}" if channels and "assumed" not in source else kind


def describe(devices: list[Device] | tuple[Device, ...], ram_total: int | None) -> str:
    """``"2x RTX 4090 + RTX 3090 + 128 GB"``, in the devices' order."""
    runs = itertools.groupby(device.name for device in devices)
    counted = [(name, sum(1 for _ in run)) for name, run in runs]
    parts = [name if count == 1 else f"{count}x {name}" for name, count in counted]
    if ram_total is not None:
        parts.append(
            f"{ram_total / GIB:g} GB" if ram_total % GIB == 0 else f"{ram_total / GIB:.0f} GB"
        )
    return " + ".join(parts) or "CPU only"
