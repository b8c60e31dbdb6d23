"""The report's part about the machine."""

from collections.abc import Sequence

from advisor.basis import Basis
from advisor.hardware.rig import Device, Rig
from advisor.report.document import Block, Cell, Column, Heading, Paragraph, Table
from advisor.units import UNKNOWN, cores, gib

_COLUMNS = (
    Column(title="Device", weight=2.6),
    Column(title="Memory", align="right", weight=1.2),
    Column(title="In use by others", align="right", weight=1.3),
    Column(title="Bandwidth", align="right", weight=1.2),
    Column(title="Link", weight=1.2),
    Column(title="Power limit", align="right", weight=1.0),
)


def machine_blocks(rig: Rig) -> list[Block]:
    """Devices and host in one table, with a paragraph for those who have never heard of VRAM."""
    imagined = (
        f"This rig is imagined: “{rig.name}”. Nothing on it was measured. " if rig.imagined else ""
    )
    text = (
        "A language model is fast only while it fits into the memory of the graphics card (VRAM); "
        "what does not fit runs from the computer's own memory (RAM), several times slower."
    )
    if rig.devices and all(device.unified for device in rig.devices):
        text = (
            "Graphics and processor share one memory here: a language model runs from it at the "
            "graphics unit's speed as far as the system lets graphics use it."
        )
    if len(rig.hosts) > 1:
        text += (
            f" These are {len(rig.hosts)} computers that work on one model together: what one has "
            "worked out travels over a network to the next."
        )
    rows: list[tuple[Cell, ...]] = []
    for index in range(len(rig.hosts)):
        mine = [device for device in rig.devices if device.host_index == index]
        rows += [_device_row(alike, imagined=rig.imagined) for alike in _alike(mine)]
        rows.append(_host_row(rig, index))
    if not rig.devices:
        text += " This one has no graphics card that was found: models run on its processor."
    return [
        Heading(text="The machine"),
        Paragraph(text=imagined + text),
        Table(columns=_COLUMNS, rows=tuple(rows)),
    ]


def _alike(devices: Sequence[Device]) -> list[list[Device]]:
    """Devices that would give the same row, together."""
    groups: dict[object, list[Device]] = {}
    for device in devices:
        link = device.pcie
        key = (
            device.name,
            device.memory_total,
            device.memory_used,
            device.bandwidth_gbs,
            (link.generation, link.width, link.max_generation, link.max_width),
            device.power_limit_w,
        )
        groups.setdefault(key, []).append(device)
    return list(groups.values())


def _device_row(alike: Sequence[Device], *, imagined: bool) -> tuple[Cell, ...]:
    device = alike[0]
    count = f"{len(alike)}x " if len(alike) > 1 else ""
    sensed = None if imagined else Basis.MEASURED
    link = device.pcie
    generation, width = link.generation, link.width
    if imagined:
        generation, width = link.max_generation, link.max_width
    kinds = [word for word, is_so in (("laptop", device.laptop), ("MIG", device.mig)) if is_so]
    if device.unified:
        kinds.append("shares the computer's memory")
    known = device.bandwidth_gbs is not None
    wired = f"PCIe {generation}.0 x{width}" if generation and width else UNKNOWN
    return (
        Cell(text=count + device.name, second=", ".join(kinds), strong=True),
        Cell(
            text=gib(device.memory_total) + (" each" if len(alike) > 1 else ""),
            basis=sensed if device.memory_total else None,
        ),
        Cell(
            text="–" if imagined else gib(device.memory_used),
            basis=sensed if device.memory_used is not None else None,
        ),
        Cell(text=f"{device.bandwidth_gbs:,.0f} GB/s" if known else UNKNOWN),
        Cell(text="–" if device.unified else wired),
        Cell(text=f"{device.power_limit_w:,.0f} W" if device.power_limit_w else UNKNOWN),
    )


def _host_row(rig: Rig, index: int) -> tuple[Cell, ...]:
    host, link = rig.hosts[index], rig.link_to(index) if index else None
    used = None
    if host.ram_total is not None and host.ram_available is not None:
        used = host.ram_total - host.ram_available
    sensed = None if rig.imagined else Basis.MEASURED
    taken = Cell(text=gib(used), basis=sensed if used is not None else None)
    if rig.imagined:
        taken = Cell(text=gib(used), second="left to the system") if used else Cell(text="–")
    gbs, _ = host.ram_shown
    read = Basis.MEASURED if host.ram_read_gbs is not None else None
    number = cores(host.cores) if host.cores else ""
    which = f"computer {index + 1} of {len(rig.hosts)}" if len(rig.hosts) > 1 else ""
    about = ", ".join(text for text in (which, number, host.ram_type or "", host.os) if text)
    over = "–" if link is None else f"{link.name or 'network'}, {link.bandwidth_gbs:,.2f} GB/s"
    return (
        Cell(text=host.cpu or "Computer", second=about, strong=True),
        Cell(text=f"{gib(host.ram_total)} RAM", basis=sensed if host.ram_total else None),
        taken,
        Cell(text=UNKNOWN if gbs is None else f"{gbs:,.0f} GB/s", basis=read),
        Cell(text=over),
        Cell(text="–"),
    )
