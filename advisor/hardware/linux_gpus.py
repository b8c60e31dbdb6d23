"""GPUs as the Linux kernel shows them: /sys/class/drm with amdgpu, i915 and xe."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from advisor.hardware import table
from advisor.hardware.completed import with_reason, with_table
from advisor.hardware.drm_clients import DrmClients
from advisor.hardware.drm_memory import lent_memory, own_memory
from advisor.hardware.rig import OWN_PROGRAMS, Device, PcieLink, Reading

AMD, INTEL, NVIDIA = 0x1002, 0x8086, 0x10DE
SOURCE = "kernel (sysfs)"
_APU_METRICS = 2
"""gpu_metrics files of this format revision and later are an APU's (kgd_pp_interface.h)."""
_PCI_FOLDER = re.compile(r"[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f]")
_PORTS = 2
"""Of a switch, between a GPU and its slot."""
# Transfer rates that sysfs prints, by PCIe generation (PCI Express base specification).
_GENERATION = {"2.5": 1, "5.0": 2, "8.0": 3, "16.0": 4, "32.0": 5, "64.0": 6}


@dataclass(frozen=True)
class Card:
    """One graphics device of /sys/class/drm."""

    folder: Path
    vendor: int
    device: int
    revision: int
    address: str
    driver: str | None

    @property
    def pci_id(self) -> str:
        """``vendor:device:revision`` in hexadecimal."""
        return f"{self.vendor:04x}:{self.device:04x}:{self.revision:02x}"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _number(path: Path, base: int = 10) -> int | None:
    try:
        return int(_text(path), base)
    except ValueError:
        return None


def cards(root: Path = Path("/")) -> tuple[Card, ...]:
    """Every card with a PCI identity, in the kernel's order."""
    found: list[Card] = []
    folder = root / "sys/class/drm"
    names = sorted(folder.glob("card*")) if folder.is_dir() else []
    for link in names:
        if not re.fullmatch(r"card\d+", link.name):
            continue
        device = link / "device"
        vendor, number = _number(device / "vendor", 16), _number(device / "device", 16)
        if vendor is None or number is None:
            continue
        uevent = _text(device / "uevent")
        address = re.search(r"^PCI_SLOT_NAME=(\S+)", uevent, re.MULTILINE)
        driver = re.search(r"^DRIVER=(\S+)", uevent, re.MULTILINE)
        found.append(
            Card(
                folder=device,
                vendor=vendor,
                device=number,
                revision=_number(device / "revision", 16) or 0,
                address=address[1] if address else "",
                driver=driver[1] if driver else None,
            )
        )
    return tuple(found)


def read_devices(pool: tuple[int, int] | None, *, root: Path = Path("/")) -> tuple[Device, ...]:
    """AMD and Intel GPUs. ``pool``: total and available RAM, for those without their own."""
    found = [card for card in cards(root) if card.vendor in {AMD, INTEL}]
    clients = DrmClients(root)
    if found:
        clients.look(everywhere=True)
    return tuple(
        with_reason(
            _amd(card, pool, clients) if card.vendor == AMD else _intel(card, pool, clients, root),
            f"{card.driver or 'the kernel'} does not report it",
        )
        for card in found
    )


def _whose() -> str:
    """Whose programs the kernel lets us look at."""
    everybody = hasattr(os, "geteuid") and os.geteuid() == 0
    return "kernel (fdinfo)" if everybody else f"kernel (fdinfo): {OWN_PROGRAMS}"


def _link(folder: Path) -> PcieLink:
    """What joins the card to its slot, now and at best: as far as both ends of it go."""
    card = _own_port(folder.resolve())
    ends = (card, card.parent) if _PCI_FOLDER.fullmatch(card.parent.name) else (card,)
    return PcieLink(
        generation=_generation(card, "current"),
        width=_width(card, "current"),
        max_generation=min(filter(None, (_generation(end, "max") for end in ends)), default=None),
        max_width=min(filter(None, (_width(end, "max") for end in ends)), default=None),
    )


def _own_port(device: Path) -> Path:
    """Where a card meets its slot.

    AMD's cards since Vega and Intel's have a switch of their own, an upstream and a downstream
    port. What the GPU says is the link within: always the best (nokyan/resources#512), with
    Intel's Alchemist PCIe 1.0 x1 (Syllo/nvtop#344).
    """
    vendor, port = _text(device / "vendor"), device
    for _ in range(_PORTS):
        above = port.parent
        # The uppermost of all is the root port, which may be of the same maker.
        root = not _PCI_FOLDER.fullmatch(above.parent.name)
        if root or not _PCI_FOLDER.fullmatch(above.name) or _text(above / "vendor") != vendor:
            break
        port = above
    return port


def _generation(port: Path, which: str) -> int | None:
    return _GENERATION.get(_text(port / f"{which}_link_speed").split(" ")[0])


def _width(port: Path, which: str) -> int | None:
    lanes = _number(port / f"{which}_link_width")
    return lanes if lanes and lanes < 64 else None


def _hwmon(folder: Path, *names: str) -> float | None:
    for sensor in sorted((folder / "hwmon").glob("hwmon*")) if (folder / "hwmon").is_dir() else []:
        for name in names:
            value = _number(sensor / name)
            if value is not None:
                return float(value)
    return None


def _scaled(value: float | None, by: float) -> float | None:
    return None if value is None else value / by


def _within_processor(card: Card, vram: int | None, gtt: int | None) -> bool:
    """Whether an AMD GPU is part of a processor, however large its carve-out is."""
    if table.integrated_name(card.pci_id) is not None:
        return True
    try:
        with (card.folder / "gpu_metrics").open("rb") as metrics:
            header = metrics.read(4)
    except OSError:
        header = b""
    if len(header) == 4:
        return header[2] >= _APU_METRICS
    # Neither tells: a card has more VRAM than this, and no GTT beyond half of the RAM.
    return vram is not None and gtt is not None and vram <= 2 << 30 and gtt > vram


def _amd(card: Card, pool: tuple[int, int] | None, clients: DrmClients) -> Device:
    folder = card.folder
    vram, used = _number(folder / "mem_info_vram_total"), _number(folder / "mem_info_vram_used")
    gtt, gtt_used = _number(folder / "mem_info_gtt_total"), _number(folder / "mem_info_gtt_used")
    entry = table.find("", memory=None, pci_id=card.pci_id)
    shared = entry is not None and entry.unified
    if not shared:
        entry = table.find("", memory=vram, pci_id=card.pci_id)
    integrated = shared or (entry is None and _within_processor(card, vram, gtt))
    # llama.cpp's Vulkan counts carve-out and GTT of an APU together (all heaps of its memory).
    total, source = vram, f"{SOURCE}: mem_info_vram_total"
    if integrated and vram is not None and gtt is not None:
        total, used = vram + gtt, (used or 0) + (gtt_used or 0)
        source = f"{SOURCE}: VRAM carve-out plus the GTT limit on RAM"
        if pool is not None:
            total = min(total, vram + pool[0])
    unknown = {} if total is not None else {"memory_total": "amdgpu does not report it"}
    asleep = _text(folder / "power" / "runtime_status") == "suspended"
    if asleep:
        reason = "its driver has put it to sleep; reading it would wake it"
        unknown |= dict.fromkeys(("power_w", "temperature_c", "utilisation"), reason)

    def sensor(*names: str) -> float | None:
        return None if asleep else _hwmon(folder, *names)

    busy = None if asleep else _number(folder / "gpu_busy_percent")
    device = Device(
        name=_text(folder / "product_name")
        or table.integrated_name(card.pci_id)
        or f"AMD GPU {card.pci_id}",
        vendor="AMD",
        backend=entry.backend if entry else "vulkan",
        pci_id=card.pci_id,
        pci_address=card.address or None,
        memory_total=total,
        memory_used=used,
        driver=card.driver,
        pcie=_link(folder),
        integrated=integrated,
        unified=integrated,
        power_limit_w=_scaled(_hwmon(folder, "power1_cap"), 1e6),
        power_default_w=_scaled(_hwmon(folder, "power1_cap_default"), 1e6),
        power_w=_scaled(sensor("power1_average", "power1_input"), 1e6),
        temperature_c=_scaled(sensor("temp1_input"), 1e3),
        utilisation=_scaled(busy, 100),
        processes=clients.processes(card.address, unified=integrated),
        sources={
            "name": SOURCE,
            "memory_total": source,
            "memory_used": source,
            "pcie": SOURCE,
            "processes": _whose(),
        },
        unknown=unknown,
    )
    return with_table(device, entry)


def _intel(card: Card, pool: tuple[int, int] | None, clients: DrmClients, root: Path) -> Device:
    own = own_memory(card.folder, card.driver, root=root)
    entry = table.find(
        "", memory=own.total if own else None, pci_id=f"{card.vendor:04x}:{card.device:04x}"
    )
    # Integrated graphics sit in the processor: bus 0, device 2 on every generation.
    within = entry is None and bool(re.fullmatch(r"(0000:)?00:02\.0", card.address))
    integrated = own is None and (within or (entry is not None and entry.unified))
    total, source = None, ""
    unknown: dict[str, str] = {}
    if own is not None:
        total, source = own.total, own.source
    elif integrated and pool is not None:
        total, source = lent_memory(card.folder, card.driver, pool[0], root=root)
    else:
        unknown["memory_total"] = (
            "it has what is lent of the RAM, whose size is not known"
            if integrated
            else "its driver tells it to the group “render” only"
        )
    sources = {"name": SOURCE, "processes": _whose()}
    if total is not None:
        sources["memory_total"] = source
    processes = clients.processes(card.address, unified=integrated)
    used: int | None = None
    if integrated:
        unknown["memory_used"] = "it has no memory of its own"
    elif own is not None and own.used is not None:
        used, sources["memory_used"] = own.used, source
    elif processes:
        used = sum(process.memory or 0 for process in processes)
        sources["memory_used"] = f"sum over programs, {_whose()}"
    else:
        unknown["memory_used"] = "the kernel tells it to administrators only"
    device = Device(
        name="Intel integrated graphics" if integrated else f"Intel GPU {card.pci_id}",
        vendor="Intel",
        backend="vulkan",
        pci_id=card.pci_id,
        pci_address=card.address or None,
        memory_total=total,
        memory_used=used,
        driver=card.driver,
        pcie=_link(card.folder) if not integrated else PcieLink(),
        integrated=integrated,
        unified=integrated,
        power_limit_w=_scaled(_hwmon(card.folder, "power1_cap", "power1_max"), 1e6),
        temperature_c=_scaled(_hwmon(card.folder, "temp2_input", "temp1_input"), 1e3),
        processes=processes,
        sources=sources,
        unknown=unknown,
    )
    device = with_table(device, entry)
    if entry is not None and own is not None:
        reading = Reading(
            value=float(table.gpu_table().usable_memory(entry)), source=entry.origin("memory_gib")
        )
        others = device.alternatives | {"memory_total": (reading,)}
        return device.model_copy(update={"alternatives": others})
    if entry is not None and not integrated and device.memory_total is None:
        nominal = table.gpu_table().usable_memory(entry)
        sources = device.sources | {"memory_total": f"nominal, {entry.origin('memory_gib')}"}
        left = {k: v for k, v in device.unknown.items() if k != "memory_total"}
        update = {"memory_total": nominal, "sources": sources, "unknown": left}
        return device.model_copy(update=update)
    return device
