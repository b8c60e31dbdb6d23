"""Imagined rigs: from text ("2x RTX 4090 + 128 GB DDR5-6000"), from JSON, and by editing a rig."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from advisor.errors import RigError
from advisor.hardware import table
from advisor.hardware.imagined import (
    SIZE,
    gigabytes,
    imagined_device,
    named_memory,
    theoretical_bandwidth,
    unlisted_device,
    with_field,
)
from advisor.hardware.network import join, split_machines
from advisor.hardware.rig import Device, Host, Rig
from advisor.hardware.saved import rig_from_json
from advisor.units import GIB

_COUNT = re.compile(r"^(\d{1,3})\s*[x×*]\s*(?=\S)", re.IGNORECASE)
_COUNT_AFTER = re.compile(r"(?:\s+|(?<=[\d)]))[x×*]\s*(\d{1,3})$", re.IGNORECASE)
_COUNT_WORDS = {"single": 1, "one": 1, "dual": 2, "two": 2, "triple": 3, "three": 3, "quad": 4}
_COUNT_WORDS.update({"four": 4, "six": 6, "eight": 8, "twelve": 12})
_DDR = re.compile(r"\b(lp)?ddr([345])(x)?(?:[\s-]*(\d{3,5}))?\b", re.IGNORECASE)
_CHANNELS = re.compile(
    r"\b(\d{1,2}|single|dual|quad|two|four|six|eight|twelve)[\s-]*channels?\b", re.IGNORECASE
)
_BANDWIDTH = re.compile(r"\b(\d+(?:\.\d+)?)\s*gb/s", re.IGNORECASE)
_CPU = re.compile(
    r"\b(ryzen|epyc|threadripper|xeon|core ultra|core i\d|i[3579]-\d|athlon|celeron|pentium|ampere"
    r" altra|graviton)\b",
    re.IGNORECASE,
)
_CPU_ONLY = re.compile(r"\b(cpu[\s-]*only|no gpu|without (?:a )?gpu)\b", re.IGNORECASE)
# A comma in brackets belongs to a name ("Ryzen AI Max+ 395 (Strix Halo, 128GB)"), one within a
# number to it ("1,024 GB").
_PARTS = re.compile(r"[+;\n&]|,(?!\d{3}\b)(?![^()]*\))")
_RAM_WORD = re.compile(r"\b(ram|memory|system memory)\b", re.IGNORECASE)
MAX_DEVICES = 128


@dataclass
class _HostParts:
    ram_total: int | None = None
    ram_type: str | None = None
    bandwidth: float | None = None
    bandwidth_source: str | None = None
    cpu: str = ""
    sources: dict[str, str] = field(default_factory=dict[str, str])


def _split_count(part: str) -> tuple[int, str]:
    found = _COUNT.match(part)
    if found:
        return int(found[1]), part[found.end() :]
    found = _COUNT_AFTER.search(part)
    if found:
        return int(found[1]), part[: found.start()]
    first, _, rest = part.partition(" ")
    if first.lower() in _COUNT_WORDS and rest and "channel" not in rest.lower():
        return _COUNT_WORDS[first.lower()], rest
    return 1, part


def _is_ram(part: str) -> bool:
    return bool(_DDR.search(part) or _RAM_WORD.search(part))


def _gpu_beside_ram(part: str) -> str | None:
    """The GPU of a part such as "M4 Max 128 GB RAM", where the words about memory are its own."""
    bare = " ".join(_RAM_WORD.sub(" ", _DDR.sub(" ", part)).split())
    return bare if table.candidates(_split_count(bare)[1]) else None


def _read_ram(part: str, host: _HostParts) -> None:
    size = re.search(r"(?:(\d+)\s*[x×*]\s*)?" + SIZE + r"(?!/s)", part, re.IGNORECASE)
    if size:
        host.ram_total = gigabytes(size[2], size[3]) * int(size[1] or 1)
        host.sources["ram_total"] = "as you wrote"
    stated = _BANDWIDTH.search(part)
    ddr = _DDR.search(part)
    if ddr:
        kind = f"{'LP' if ddr[1] else ''}DDR{ddr[2]}{'X' if ddr[3] else ''}"
        host.ram_type = f"{kind}-{ddr[4]}" if ddr[4] else kind
        host.sources["ram_type"] = "as you wrote"
    if stated:
        host.bandwidth, host.bandwidth_source = float(stated[1]), "as you wrote"
    elif ddr and ddr[4]:
        given = _CHANNELS.search(part)
        channels = 2
        if given:
            word = given[1].lower()
            channels = int(word) if word.isdigit() else _COUNT_WORDS[word]
        host.bandwidth, host.bandwidth_source = theoretical_bandwidth(
            int(ddr[4]), channels, assumed=given is None
        )


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
    return Host(
        cpu=parts.cpu,
        ram_total=total,
        ram_available=total,
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
    separated = re.sub(r"\s+(?:and|with|plus)\s+", "+", text, flags=re.IGNORECASE)
    separated = _CPU_ONLY.sub("+", separated)
    separated = re.sub(r"\bmax\+", "max", separated, flags=re.IGNORECASE)  # "Ryzen AI Max+ 395"
    return [part.strip(" .") for part in _PARTS.split(separated)]


def parse_rig(text: str) -> Rig:
    """An imagined rig from words. Raises RigError that says which part is not understood.

    ``"2x RTX 4090 + 128 GB DDR5-6000"``, ``"M3 Ultra 512GB"``, ``"CPU only 64 GB DDR5-5600"``,
    ``"8x H200 + 2 TB 12-channel DDR5-4800"``. Two memory channels are assumed unless stated.
    ``"2x RTX 3090 + 64 GB DDR4-3200 over 10GbE with M2 Ultra 192GB"`` is several machines, each
    joined to the first.
    """
    if not text.strip():
        raise RigError('Write what is in the rig, for example "2x RTX 4090 + 128 GB DDR5-6000".')
    (_, first), *further = split_machines(" ".join(text.split()))
    rig = _machine(first)
    for link, words in further:
        rig = join(rig, _machine(words), link)
    return rig


def _machine(text: str) -> Rig:
    host = _HostParts()
    devices: list[Device] = []
    pool: int | None = None
    for written in _parts(text):
        if not written or written.lower() == "cpu":
            continue
        part = _gpu_beside_ram(written) or written
        if _is_ram(part):
            _read_ram_and_cpu(part, host)
            continue
        count, name = _split_count(part)
        if _CPU.search(name) and not (table.same_product(name) or table.candidates(name)):
            host.cpu = " ".join(name.split())
            host.sources["cpu"] = "as you wrote"
            continue
        if re.fullmatch(SIZE, name, re.IGNORECASE) and host.ram_total is None:
            _read_ram(name, host)
            continue
        device = _unlisted(name) or imagined_device(name)
        pool = _pool_of(name, device) or pool
        if not 0 < count <= MAX_DEVICES - len(devices):
            raise RigError(
                f"A rig has between 1 and {MAX_DEVICES} GPUs; “{part}” asks for {count}."
            )
        devices += [device] * count
    if not devices and host.ram_total is None and not host.cpu:
        raise RigError(f"“{text}” names neither a GPU nor memory.")
    shared = [device for device in devices if device.unified]
    if len(shared) > 1:
        raise RigError(
            f"“{text}” is more than one machine, since each {shared[0].name} has its own memory. "
            f"Say what joins them: “{shared[0].name} over 10GbE with {shared[-1].name}”."
        )
    name = " ".join(text.split())
    return Rig(
        name=name, devices=tuple(devices), hosts=(_host(host, devices, pool),), imagined=True
    )


def _unlisted(text: str) -> Device | None:
    """A card that its owner describes whole: ``"Weird 9000 48GB 700 GB/s"``."""
    bandwidth = _BANDWIDTH.search(text)
    bare = _BANDWIDTH.sub(" ", text)
    memory = named_memory(bare)
    if bandwidth is None or memory is None:
        return None
    name = " ".join(re.sub(SIZE, " ", bare, flags=re.IGNORECASE).split())
    if not name or table.candidates(" ".join(bare.split())):
        return None
    return unlisted_device(name, memory, bandwidth_gbs=float(bandwidth[1]))


def device_words(device: Device, host: Host) -> str:
    """A device as `parse_rig` reads it: with its pool, or with what its owner says of it."""
    if device.unified and host.ram_total:
        return f"{device.name} {host.ram_total / GIB:.0f}GB"
    if device.table_id is None and device.memory_total and device.bandwidth_gbs:
        size = "" if named_memory(device.name) else f" {device.memory_total / GIB:.0f}GB"
        return f"{device.name}{size} {device.bandwidth_gbs:g} GB/s"
    return device.name


def _read_ram_and_cpu(part: str, host: _HostParts) -> None:
    """A part about RAM, which may name a CPU too ("EPYC 9654 12-channel DDR5-4800 768 GB")."""
    _read_ram(part, host)
    rest = part
    for pattern in (_DDR, _RAM_WORD, _CHANNELS, _BANDWIDTH):
        rest = pattern.sub(" ", rest)
    rest = re.sub(r"(?:\d+\s*[x×*]\s*)?" + SIZE, " ", rest, flags=re.IGNORECASE)
    rest = " ".join(
        re.sub(r"\b(of|ecc|reg|rdimm|udimm|system|server|at)\b|[@()]", " ", rest).split()
    )
    rest = rest.strip(" -")
    if not rest or rest.lower() in {"cpu", "desktop", "laptop"}:
        return
    if _CPU.search(rest):
        host.cpu = rest
        host.sources["cpu"] = "as you wrote"
        return
    _, name = _split_count(rest)
    raise RigError(
        f"“{part}” is not understood: “{name}” stands beside the memory. "
        "Separate parts with “+”, for example “RTX 4090 + 64 GB DDR5-5600”."
    )


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


def _spec_device(spec: _GpuSpec) -> Device:
    memory = None if spec.memory_gib is None else int(spec.memory_gib * GIB)
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
        device = _spec_device(gpu)
        named = gpu.name if gpu.memory_gib is None else f"{gpu.memory_gib:g}GB"
        pool = _pool_of(named, device) or pool
        devices += [device] * gpu.count
    parts = _HostParts(cpu=parsed.cpu, ram_type=parsed.ram_type)
    if parsed.ram_gib is not None:
        parts.ram_total = int(parsed.ram_gib * GIB)
        parts.sources["ram_total"] = "as you wrote"
    if parsed.ram_bandwidth_gbs is not None:
        parts.bandwidth, parts.bandwidth_source = parsed.ram_bandwidth_gbs, "as you wrote"
    name = parsed.name or describe(devices, parts.ram_total)
    return Rig(
        name=name, devices=tuple(devices), hosts=(_host(parts, devices, pool),), imagined=True
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
        joint = f" over {link.name} with " if link else " with " if index else ""
        ram = None if shared else host.ram_total
        named = [d.model_copy(update={"name": device_words(d, host)}) for d in inside]
        parts = describe(named, ram)
        kind = f" {host.ram_type}" if host.ram_type and ram is not None else ""
        words += joint + parts + kind
    return words


def describe(devices: list[Device] | tuple[Device, ...], ram_total: int | None) -> str:
    """``"2x RTX 4090 + RTX 3090 + 128 GB"``."""
    counts: dict[str, int] = {}
    for device in devices:
        counts[device.name] = counts.get(device.name, 0) + 1
    parts = [name if count == 1 else f"{count}x {name}" for name, count in counts.items()]
    if ram_total is not None:
        parts.append(
            f"{ram_total / GIB:g} GB" if ram_total % GIB == 0 else f"{ram_total / GIB:.0f} GB"
        )
    return " + ".join(parts) or "CPU only"
