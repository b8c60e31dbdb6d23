"""What stands in the way of a rig, in plain words, each with what to do about it."""

from collections import Counter
from collections.abc import Iterator

from advisor import units
from advisor.hardware import table
from advisor.hardware.corrections import STATED
from advisor.hardware.doctor_driver import driver_findings
from advisor.hardware.finding import Finding, Severity
from advisor.hardware.imagined import of_a_module
from advisor.hardware.rig import OWN_PROGRAMS, Device, Host, Rig
from advisor.hardware.table import GpuEntry
from advisor.hardware.visible import BUILDS, SEEN
from advisor.units import GIB

_HELD = 3 * GIB // 2
"""Memory that other programs hold before it is worth a word: a desktop takes about 1 GiB."""
_UNLISTED = GIB // 2
_HOT_C = 85.0
_LITTLE_DISK = 20 * GIB
_SWAP = 256 << 20


def examine(rig: Rig) -> tuple[Finding, ...]:
    """Everything worth saying about a rig, the gravest first. Pure: it reads the rig alone."""
    found = [*_problems(rig)]
    for index, device in enumerate(rig.devices):
        here = (*_facts(device), *(() if rig.imagined else _state(device, rig.host)))
        found += [finding.model_copy(update={"device_index": index}) for finding in here]
    found += _ignored(rig)
    found += _host(rig.host, imagined=rig.imagined)
    order: dict[Severity, int] = {"problem": 0, "warning": 1, "info": 2}
    return tuple(sorted(found, key=lambda finding: order[finding.severity]))


def _problems(rig: Rig) -> Iterator[Finding]:
    for problem in rig.problems:
        yield Finding(
            code="not-usable",
            severity="problem",
            subject="Rig",
            title="Something was found that cannot be used",
            text=problem,
            advice="Restart the machine if the driver was updated or a card is gone; otherwise "
            "check the card's seat and power, and the driver.",
        )
    if not rig.devices and not rig.problems and not rig.imagined:
        yield Finding(
            code="no-gpu",
            severity="info",
            subject="Rig",
            title="No GPU that counts was found" if rig.ignored else "No GPU was found",
            text="Models run on the CPU, at the speed of the RAM.",
        )
    modules = {e.name: e for device in rig.devices if (e := _entry(device)) and e.dies > 1}
    for entry in modules.values():
        yield Finding(
            code="dies",
            severity="info",
            subject=entry.short_name,
            title=f"{entry.short_name} is {of_a_module(entry)}",
            text="A model that is larger than one die's memory is split between them.",
        )
    slots = [device for device in rig.devices if not device.unified]
    if len({device.bandwidth_gbs for device in slots if device.bandwidth_gbs}) > 1:
        slow = min((d for d in slots if d.bandwidth_gbs), key=lambda d: d.bandwidth_gbs or 0)
        yield Finding(
            code="mixed-speeds",
            severity="info",
            subject="Rig",
            title="The GPUs differ in speed",
            text=f"Layers on {slow.name} take longest: {slow.bandwidth_gbs:,.0f} GB/s.",
            advice="Give it fewer layers (-ts), or leave it out where the model fits without it.",
        )


def _ignored(rig: Rig) -> Iterator[Finding]:
    alike = Counter(
        (device.name, device.unknown.get("use", "llama.cpp does not use it"))
        for device in rig.ignored
    )
    for (name, reason), count in alike.items():
        title = f"{name} is not counted" if count == 1 else f"{count}x {name} are not counted"
        text = _sentence(reason)
        yield Finding(code="ignored", severity="info", subject=name, title=title, text=text)


def _sentence(reason: str) -> str:
    """A reason as a sentence; llama.cpp keeps its small letter."""
    first = reason[:1] if reason.startswith("llama.cpp") else reason[:1].upper()
    return f"{first}{reason[1:]}."


def _entry(device: Device) -> GpuEntry | None:
    known = (entry for entry in table.gpu_table().gpus if entry.name == device.table_id)
    return next(known, None)


def _facts(device: Device) -> Iterator[Finding]:
    """What is not known of a device, or known twice and differently."""
    if device.memory_total is None:
        yield Finding(
            code="memory-unknown",
            severity="warning",
            subject=device.name,
            title="Its memory is not known",
            text=device.unknown.get("memory_total", "No source tells.").rstrip(".") + ".",
            advice="Enter its memory under Facts…, or update the driver.",
        )
    if device.bandwidth_gbs is None:
        yield Finding(
            code="bandwidth-unknown",
            severity="warning",
            subject=device.name,
            title="Its memory bandwidth is not known",
            text="Without it no speed can be predicted: "
            + device.unknown.get("bandwidth_gbs", "no source tells").rstrip(".")
            + ".",
            advice="Enter it under Facts…, or run a probe, which measures the speed.",
        )
    elif device.table_id is None and not device.mig:
        yield Finding(
            code="unlisted",
            severity="info",
            subject=device.name,
            title="This card is not in the GPU table",
            text="Its figures come from the driver alone; nothing was guessed from its name.",
        )
    for name, what, unit, tolerance in (
        ("bandwidth_gbs", "memory bandwidth", "GB/s", 0.03),
        ("memory_total", "memory", "GiB", 0.05),
    ):
        yield from _conflicts(device, name, what, unit, tolerance)


def _conflicts(
    device: Device, name: str, what: str, unit: str, tolerance: float
) -> Iterator[Finding]:
    used = getattr(device, name)
    if used is None or device.unified or device.sources.get(name) == STATED:
        return
    scale = GIB if unit == "GiB" else 1
    for other in device.alternatives.get(name, ()):
        if not isinstance(other.value, int | float) or not used:
            continue
        if abs(other.value / used - 1) > tolerance:
            yield Finding(
                code="conflict",
                severity="warning",
                subject=device.name,
                title=f"Two sources disagree about its {what}",
                text=f"{used / scale:,.1f} {unit}: {device.sources.get(name, 'the source used')}. "
                f"{other.value / scale:,.1f} {unit}: {other.source}. The first is used.",
                advice="If the second is right, correct it under Facts… and send us the report.",
            )


def _state(device: Device, host: Host) -> Iterator[Finding]:
    """How a device that is here is doing."""
    if SEEN in device.unknown:
        yield Finding(
            code="seen",
            severity="warning",
            subject=device.name,
            title="It may be hidden from llama.cpp",
            text=_sentence(device.unknown[SEEN]),
        )
    if BUILDS in device.unknown:
        yield Finding(
            code="builds",
            severity="info",
            subject=device.name,
            title="Not every build of llama.cpp sees it",
            text=_sentence(device.unknown[BUILDS]),
        )
    yield from _link(device)
    yield from _power(device)
    yield from driver_findings(device)
    held = device.memory_used or 0
    if device.memory_total and held > _HELD and not device.unified:
        yield Finding(
            code="memory-held",
            severity="warning",
            subject=device.name,
            title=f"Other programs hold {units.gib(held)} of its {units.gib(device.memory_total)}",
            text=_holders(device),
            advice="Close what you don't need; that memory then counts for models.",
        )
    if device.unified and host.ram_total and device.memory_total:
        yield from _pool_limit(device, device.memory_total, host.ram_total)


def _pool_limit(device: Device, allowed: int, ram: int) -> Iterator[Finding]:
    """How much of one pool a driver lets its GPU use, where its owner can change that."""
    raise_it = {
        "Apple": (
            f"macOS lets the GPU use {units.gib(allowed)} of {units.gib(ram)}",
            (
                "sudo sysctl iogpu.wired_limit_mb=… raises it until the next restart; leave "
                "8 GB or more to the system."
            ),
        ),
        "AMD": (
            f"The driver lets the GPU use {units.gib(allowed)} of {units.gib(ram)}",
            (
                "Linux: the kernel parameter ttm.pages_limit raises it (262,144 per GiB). "
                "Windows: AMD Software, Performance, Tuning, Variable Graphics Memory. Leave "
                "8 GB to the system."
            ),
        ),
        "Intel": (
            f"The driver lets the GPU use {units.gib(allowed)} of {units.gib(ram)}",
            (
                "Windows: Intel Graphics Software, Shared GPU Memory Override. Linux: the "
                "environment variable ANV_SYS_MEM_LIMIT, in percent. Leave 8 GB to the system."
            ),
        ),
    }
    known = raise_it.get(device.vendor or "")
    if known is None or allowed > 0.95 * ram:
        return
    yield Finding(
        code="memory-limit",
        severity="info",
        subject=device.name,
        title=known[0],
        text="The limit is the system's default or what was set for it.",
        advice=known[1],
    )


def _holders(device: Device) -> str:
    known = [p for p in device.processes if p.memory]
    if not known:
        why = device.unknown.get("processes")
        return (
            f"Which ones is not known: {why}." if why else "The driver does not say how much each."
        )
    named = [f"{p.name} {units.size(p.memory)}" for p in known[:5]]
    if len(known) > 5:
        named.append(f"and {len(known) - 5} more")
    rest = (device.memory_used or 0) - sum(p.memory or 0 for p in known)
    untold = ", ".join([p.name for p in device.processes if not p.memory][:3])
    if rest > _UNLISTED and OWN_PROGRAMS in device.sources.get("processes", ""):
        named.append(f"and {units.size(rest)} that the system and other users' programs hold")
    elif rest > _UNLISTED and untold:
        named.append(f"and {units.size(rest)} of others, whose shares are not told ({untold})")
    return f"{', '.join(named)}."


def _link(device: Device) -> Iterator[Finding]:
    entry = _entry(device)
    width, best = device.pcie.max_width, entry.pcie_lanes if entry else None
    if device.laptop or entry is None:
        return
    if width and best and width < best:
        yield Finding(
            code="pcie-width",
            severity="warning",
            subject=device.name,
            title=f"It sits in an x{width} slot; the card has x{best}",
            text="Loading models takes longer, and so do prompts when layers or experts are in "
            "RAM or the model is split by tensor. Decoding on this card alone is not slower.",
            advice="Move it to a slot with more lanes, if the board has one free.",
        )
    generation, newest = device.pcie.max_generation, entry.pcie_gen
    if generation and newest and generation < newest:
        yield Finding(
            code="pcie-generation",
            severity="info",
            subject=device.name,
            title=f"It runs at PCIe {generation}; the card can do PCIe {newest}",
            text="The board or a riser limits it, or the firmware is set so.",
        )


def _power(device: Device) -> Iterator[Finding]:
    limit, usual = device.power_limit_w, device.power_default_w
    if limit and usual and limit < 0.95 * usual:
        yield Finding(
            code="power-limit",
            severity="info",
            subject=device.name,
            title=f"Its power is limited to {limit:.0f} W of {usual:.0f} W",
            text="Prompts are read more slowly; decoding is bound by memory and hardly suffers.",
            advice=f"nvidia-smi -pl {usual:.0f} sets the default again."
            if device.vendor == "NVIDIA"
            else "Whoever set it with the driver's tools can set the default again.",
        )
    if device.throttle:
        yield Finding(
            code="throttled",
            severity="warning",
            subject=device.name,
            title="Its clock is being held down",
            text=f"The driver's reason: {', '.join(device.throttle)}.",
            advice="Check cooling and power supply before trusting a measurement.",
        )
    if device.temperature_c is not None and device.temperature_c >= _HOT_C:
        yield Finding(
            code="hot",
            severity="warning",
            subject=device.name,
            title=f"It is at {device.temperature_c:.0f} °C",
            text="Near its limit a GPU lowers its clock.",
            advice="Improve the airflow, or let it cool before a probe.",
        )


def _host(host: Host, *, imagined: bool) -> Iterator[Finding]:
    if host.ram_bandwidth_gbs is None:
        yield Finding(
            code="ram-bandwidth",
            severity="info",
            subject="Host",
            title="The RAM's bandwidth is not known",
            text="Without it the speed of layers or experts in RAM is unknown ("
            + host.unknown.get("ram_bandwidth_gbs", "no source tells").rstrip(".")
            + ").",
            advice='Say its type, as in "DDR5-5600".' if imagined else "Measure it.",
        )
    elif host.ram_bandwidth_source and "1 channel " in host.ram_bandwidth_source:
        yield Finding(
            code="one-channel",
            severity="warning",
            subject="Host",
            title="The RAM runs on one channel",
            text=f"{host.ram_bandwidth_gbs:.0f} GB/s is half of what two modules would give.",
            advice="Add a second module of the same kind in the other channel's slot.",
        )
    if imagined:
        return
    yield from _host_state(host)


def _host_state(host: Host) -> Iterator[Finding]:
    if host.limited_to:
        yield Finding(
            code="processors",
            severity="warning",
            subject="Host",
            title=f"{units.cores(host.limited_to)} may be used here, fewer than the machine has",
            text="A container or what started this program allows no more. llama.cpp begins a "
            "thread for every core of the machine all the same, and they hold each other up.",
            advice=f"Give llama.cpp -t {host.limited_to}; a probe here does.",
        )
    if host.swap_used and host.swap_used > _SWAP:
        yield Finding(
            code="swap",
            severity="warning",
            subject="Host",
            title=f"{units.size(host.swap_used)} of RAM have been swapped out",
            text="A model that has to come back from disk answers very slowly.",
            advice="Close programs before loading a large model.",
        )
    if host.wsl and host.ram_total:
        yield Finding(
            code="wsl-memory",
            severity="info",
            subject="Host",
            title=f"WSL shows {units.gib(host.ram_total)} of the PC's RAM",
            text="By default that is half of it; the rest is invisible from here.",
            advice="Set memory= under [wsl2] in .wslconfig and run wsl --shutdown to change it.",
        )
    if host.on_battery:
        yield Finding(
            code="battery",
            severity="warning",
            subject="Host",
            title="Running on battery",
            text="CPU and GPU hold back, and measurements come out low.",
            advice="Plug it in before a probe.",
        )
    if host.disk_free is not None and host.disk_free < _LITTLE_DISK:
        yield Finding(
            code="disk",
            severity="warning",
            subject="Host",
            title=f"Only {units.size(host.disk_free)} are free where models live",
            text="Most models need more than that.",
            advice="Free some space or choose another folder.",
        )
