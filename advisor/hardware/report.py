"""Every fact of a rig with its sources, as rows for the screen and as text for a bug tracker."""

import getpass
import os
import platform
import re
from typing import cast

from pydantic import BaseModel, ConfigDict

from advisor import __version__, units
from advisor.hardware.doctor import examine
from advisor.hardware.rig import Device, Host, PcieLink, Rig

_BYTES = {
    *("memory_total", "memory_used", "memory_reserved", "ram_total", "ram_available"),
    *("swap_total", "swap_used", "disk_free"),
}
_UNITS = {
    **dict.fromkeys(("bandwidth_gbs", "ram_bandwidth_gbs", "ram_read_gbs", "nvlink_gbs"), "GB/s"),
    **dict.fromkeys(("power_w", "power_limit_w", "power_default_w", "power_idle_w"), "W"),
    **dict.fromkeys(("clock_mhz", "clock_max_mhz", "memory_clock_mhz"), "MHz"),
    "temperature_c": "°C",
    "fp16_tflops": "TFLOPS",
}
# Facts that identify this very machine or its owner stay out of reports.
_PRIVATE = {"uuid", "pci_address", "disk_path", "processes", "name", "host_index"}
_HOMES = re.compile(
    r"((?:/home|/Users|[A-Z]:[/\\]+Users)[/\\]+)"
    r"(?:[^/\\\s,:;]+(?: [^/\\\s,:;]+){0,3}(?=[/\\])|[^/\\\s]+)",
    re.IGNORECASE,
)
# Quoted or bare, with blanks in it as far as a separator follows; the kernel's own stay.
_START = r"(?:(?:file|smb|nfs|cifs|sftp)://|//|\\\\|[A-Za-z]:[/\\]|~[/\\]|/(?!(?:sys|proc|dev)/))"
_PATHS = re.compile(
    rf"(?<=')(?={_START})[^']+|(?<=\")(?={_START})[^\"]+"
    rf"|(?<![\w/\\.:]){_START}[^\s'\"]+(?: (?:[^\s'\"]+ ){{0,3}}[^\s'\"/\\]+[/\\][^\s'\"]*)*"
)
_IDENTIFIERS = re.compile(
    r"\b(?:(?:GPU|MIG)-)?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"
    r"|\b[0-9a-f]{2}(?::[0-9a-f]{2}){5}\b",
    re.IGNORECASE,
)
_COMMON = {"root", "user", "admin", "host", "localhost"}
_SHORT = 4
_INTERNAL = {
    *("sources", "alternatives", "unknown", "unified", "integrated", "mig", "wsl"),
    *("ram_bandwidth_source", "ram_read_source", "simd"),
}


class Fact(BaseModel):
    """One fact as it is shown: its value, where it is from, and what other sources say."""

    model_config = ConfigDict(frozen=True)

    name: str
    """Field name of Device or Host."""
    value: str
    """With its unit; ``"unknown"``."""
    source: str
    """Where it was read; for an unknown fact, why it could not be."""
    others: tuple[str, ...] = ()
    known: bool = True


def facts(item: Device | Host) -> tuple[Fact, ...]:
    """Every fact of a device or host, in the order of its fields, unknown ones included."""
    rows: list[Fact] = []
    alternatives = item.alternatives if isinstance(item, Device) else {}
    for name in type(item).model_fields:
        value = getattr(item, name)
        reason = item.unknown.get(name)
        if name in _INTERNAL or (value in {None, ""} and reason is None):
            continue
        if name in {"processes", "throttle"} and not value and reason is None:
            continue
        others = tuple(
            f"{_shown(name, other.value)} ({other.source})" for other in alternatives.get(name, ())
        )
        known = value is not None and not (value in ((), PcieLink()) and reason)
        source = (_source(item, name) if known else reason) or ""
        shown = _shown(name, value) if known else units.UNKNOWN
        rows.append(Fact(name=name, value=shown, source=source, others=others, known=known))
    return tuple(rows)


def _source(item: Device | Host, name: str) -> str | None:
    if isinstance(item, Host) and name == "ram_bandwidth_gbs":
        return item.ram_bandwidth_source or item.sources.get(name)
    return item.sources.get(name)


def _shown(name: str, value: object) -> str:
    match value:
        case PcieLink():
            text = _link(value)
        case bool():
            text = "yes" if value else "no"
        case int() | float() if name in _BYTES:
            text = units.size(int(value))
        case float() if name in {"utilisation", "memory_utilisation"}:
            text = f"{value:.0%}"
        case float():
            text = f"{value:,g} {_UNITS.get(name, '')}".strip()
        case tuple():
            items = cast("tuple[object, ...]", value)
            between = "." if name == "compute_capability" else ", "
            text = between.join(str(getattr(item, "name", item)) for item in items)
        case _:
            text = str(value)
    return text


def _link(link: PcieLink) -> str:
    now = f"PCIe {link.generation or '?'} x{link.width or '?'}"
    best = f"PCIe {link.max_generation or '?'} x{link.max_width or '?'}"
    return f"{now} now, {best} at best"


def report(rig: Rig) -> str:
    """Text to paste into a bug tracker: what was read from where, with nothing personal in it.

    No user, host or program names, no serial numbers, no paths.
    """
    lines = [f"Rig Advisor {__version__}: detection report", ""]
    lines.append(
        f"Rig: {'imagined' if rig.imagined else 'detected'} {rig.detected_at or ''}".strip()
    )
    for index, host in enumerate(rig.hosts):
        lines += ["", f"Host {index}", *_rows(host)]
    for kind, devices in (("Device", rig.devices), ("Not counted", rig.ignored)):
        for index, device in enumerate(devices):
            lines += ["", f"{kind} {index}: {device.name}", *_rows(device)]
            held = [p.memory for p in device.processes if p.memory]
            if device.processes:
                total = units.size(sum(held)) if held else units.UNKNOWN
                lines.append(f"  programs: {len(device.processes)}, holding {total}")
    for peer in rig.peers:
        reach = {True: "peer to peer", False: "no peer to peer", None: "peer to peer unknown"}
        lines.append(
            f"Between {peer.first} and {peer.second}: {peer.path}, {reach[peer.peer_to_peer]}"
        )
    for link in rig.links:
        reach = link.latency_range_us
        likely = f" ({reach[0]:g} to {reach[1]:g})" if reach else ""
        lines.append(
            f"Network between hosts {link.from_host} and {link.to_host}: {link.name}, "
            f"{link.bandwidth_gbs:g} GB/s, {link.latency_us:g} µs{likely} [{link.source}]"
        )
    lines += ["", "Findings"]
    # Titles only where the text would name programs.
    for finding in examine(rig):
        text = "" if finding.code == "memory-held" else f" {finding.text}"
        lines.append(f"  {finding.severity}: {finding.subject}: {finding.title}.{text}")
    return without_names(_PATHS.sub("PATH", "\n".join(lines) + "\n"))


def _rows(item: Device | Host) -> list[str]:
    rows: list[str] = []
    for fact in facts(item):
        if fact.name in _PRIVATE:
            continue
        others = f"; also {'; '.join(fact.others)}" if fact.others else ""
        source = f" [{fact.source}{others}]" if fact.source or others else ""
        rows.append(f"  {fact.name}: {fact.value}{source}")
    return rows


def without_names(text: str) -> str:
    """The text without what tells whose computer this is, wherever it stands.

    That is its user, home folder and host name, other people's home folders, and identifiers of
    devices (UUIDs, MAC addresses).
    """
    home = os.path.expanduser("~")  # noqa: PTH111 - Path.home raises where there is none
    steps = [step for step in re.split(r"[/\\]+", home) if step]
    if steps:
        # Windows does not mind the case, and messages double its backslashes.
        own = r"[/\\]+".join(re.escape(step) for step in steps)
        root = r"[/\\]+" if home[0] in "/\\" else ""
        text = re.sub(rf"{root}{own}(?![\w-])", "~", text, flags=re.IGNORECASE)
    text = _HOMES.sub(r"\1USER", text)
    text = _IDENTIFIERS.sub("IDENTIFIER", text)
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = ""
    host = platform.node()
    called = {user: "USER", host: "HOST", host.split(".")[0]: "HOST"}
    if len(steps) > 1:
        called.setdefault(steps[-1], "USER")  # can be longer than the user's name
    for name, stand_in in sorted(called.items(), key=lambda known: -len(known[0])):
        if not name or name.lower() in _COMMON:
            continue
        # Short words are parts of the report's own sentences; in a path they are names.
        around = (r"\b", r"\b") if len(name) >= _SHORT else (r"(?<=[/\\])", r"(?=[/\\\s]|$)")
        pattern = around[0] + re.escape(name) + around[1]
        text = re.sub(pattern, stand_in, text, flags=re.IGNORECASE | re.MULTILINE)
    return text
