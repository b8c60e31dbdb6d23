"""Memory modules from the firmware's table (SMBIOS), where the system lets us read it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from advisor.hardware.imagined import theoretical_bandwidth

# SMBIOS reference specification 3.7, 7.18.2: Memory Device, Type.
_TYPES = {0x18: "DDR3", 0x1A: "DDR4", 0x1E: "LPDDR4", 0x22: "DDR5", 0x23: "LPDDR5"}
_ENCLOSURE = 3
_MEMORY_DEVICE = 17
_END = 127


@dataclass(frozen=True)
class Module:
    """One populated memory module."""

    size: int
    """Bytes."""
    kind: str
    """``"DDR5"``."""
    speed_mts: int | None
    width_bits: int
    locator: str
    bank: str


def parse(blob: bytes) -> tuple[Module, ...]:
    """Populated modules of a raw SMBIOS structure table; damaged tables end where they break."""
    found = (
        _module(body, strings)
        for kind, body, strings in _structures(blob)
        if kind == _MEMORY_DEVICE and len(body) >= 0x17
    )
    return tuple(module for module in found if module is not None)


def chassis(blob: bytes) -> int | None:
    """Type of the machine's first enclosure (7.4.1), None where the table has none."""
    bodies = (body for kind, body, _ in _structures(blob) if kind == _ENCLOSURE and len(body) > 5)
    first = next(bodies, None)
    return None if first is None else first[5] & 0x7F  # bit 7: it has a lock


def _structures(blob: bytes) -> Iterator[tuple[int, bytes, list[bytes]]]:
    """Kind, fields and strings of each structure."""
    at = 0
    while at + 4 <= len(blob):
        kind, length = blob[at], blob[at + 1]
        if length < 4 or kind == _END:
            return
        end = blob.find(b"\0\0", at + length)
        if end < 0:
            return
        yield kind, blob[at : at + length], blob[at + length : end].split(b"\0")
        at = end + 2


def _word(body: bytes, at: int, size: int = 2) -> int:
    return int.from_bytes(body[at : at + size], "little") if len(body) >= at + size else 0


def _module(body: bytes, strings: list[bytes]) -> Module | None:
    def text(at: int) -> str:
        number = body[at] if len(body) > at else 0
        known = 0 < number <= len(strings)
        return strings[number - 1].decode("ascii", "replace").strip() if known else ""

    # 7.18: size in MiB (bit 15: KiB), 0x7FFF means the extended size at 0x1C.
    size = _word(body, 0x0C)
    if size in {0, 0xFFFF}:
        return None
    mib = _word(body, 0x1C, 4) if size == 0x7FFF else size & 0x7FFF
    nbytes = mib << (10 if size != 0x7FFF and size & 0x8000 else 20)
    speed = _word(body, 0x20) or _word(body, 0x15)
    return Module(
        size=nbytes,
        kind=_TYPES.get(body[0x12], ""),
        speed_mts=speed if 0 < speed < 0xFFFF else None,
        width_bits=_word(body, 0x0A) or 64,
        locator=text(0x10),
        bank=text(0x11),
    )


def channels(modules: tuple[Module, ...]) -> int | None:
    """Distinct memory channels, by the names boards give their slots; None when they don't tell."""
    found: set[str] = set()
    for module in modules:
        text = f"{module.bank} {module.locator}".upper()
        hit = (
            re.search(r"(?:P(\d+)[ _]?)?CHANNEL[ _]?([A-P])", text)
            or re.search(r"(?:P(\d+)[-_ ]?)?DIMM[-_ ]?([A-P])\d?\b", text)
            or re.search(r"(?:CPU(\d+)[-_ ]?)?\b([A-P])\d\b", text)
        )
        if hit is None:
            return None
        found.add(f"{hit[1] or 0}{hit[2]}")
    return len(found) or None


def summary(modules: tuple[Module, ...]) -> tuple[str | None, float | None, str | None]:
    """Type (``"DDR5-6000"``), theoretical bandwidth in GB/s, and its source in words.

    Each is None when the modules differ or do not tell.
    """
    if not modules:
        return None, None, None
    kinds = {module.kind for module in modules}
    speeds = {module.speed_mts for module in modules}
    kind = kinds.pop() if len(kinds) == 1 else ""
    speed = min((s for s in speeds if s is not None), default=None)
    if not kind:
        return None, None, None
    if speed is None:
        return kind, None, None
    lanes = channels(modules)
    if lanes is None:
        return f"{kind}-{speed}", None, None
    bandwidth, words = theoretical_bandwidth(speed, lanes)
    return f"{kind}-{speed}", bandwidth, f"SMBIOS: {words}"
