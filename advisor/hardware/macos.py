"""Apple silicon: its GPU, and the part of the memory that Metal lets it use."""

import json
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, cast

from advisor.hardware import table
from advisor.hardware.completed import sold_as, with_reason, with_table
from advisor.hardware.rig import Device
from advisor.hardware.table import MemoryLimit
from advisor.units import MIB

_TIMEOUT_S = 10
_STATISTICS = re.compile(r'^\s*"PerformanceStatistics"\s*=\s*\{(.*)\}\s*$', re.MULTILINE)
_PAIR = re.compile(r'"([^"]+)"=(\d+)')
_NEW_LIMIT = 26
"""First macOS whose Metal lets the GPU use more of the memory."""


def run(*command: str) -> str:
    """What a program of the system prints; empty when it fails or takes ten seconds."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def read_devices() -> tuple[Device, ...]:
    """This Mac's GPUs. Empty on other systems."""
    if sys.platform != "darwin":
        return ()
    displays = run("/usr/sbin/system_profiler", "-json", "SPDisplaysDataType")
    names = ("hw.memsize", "iogpu.wired_limit_mb", "machdep.cpu.brand_string")
    version = platform.mac_ver()[0].partition(".")[0]
    found = parse(displays, run("/usr/sbin/sysctl", *names), int(version or 0))
    used = in_use(statistics())
    return tuple(
        _with_used(device, used) if device.vendor == "Apple" else device for device in found
    )


def statistics() -> Mapping[str, int] | None:
    """What the driver of this Mac's GPU counts in the I/O registry, None where it does not."""
    return read_statistics(
        run("/usr/sbin/ioreg", "-r", "-d", "1", "-w", "0", "-c", "IOAccelerator")
    )


def read_statistics(output: str) -> Mapping[str, int] | None:
    """The first GPU's statistics of ``ioreg -r -d 1 -w 0 -c IOAccelerator``."""
    found = _STATISTICS.search(output)
    return {name: int(value) for name, value in _PAIR.findall(found[1])} if found else None


def in_use(known: Mapping[str, int] | None) -> int | None:
    """Bytes of the pool that programs have given to the GPU."""
    return None if known is None else known.get("In use system memory")


def _with_used(device: Device, used: int | None) -> Device:
    if used is None:
        unknown = device.unknown | {"memory_used": "its driver does not say"}
        return device.model_copy(update={"unknown": unknown})
    sources = device.sources | {"memory_used": "ioreg: memory that the GPU's driver has in use"}
    return device.model_copy(update={"memory_used": used, "sources": sources})


def parse(displays: str, sysctl: str, version: int = _NEW_LIMIT) -> tuple[Device, ...]:
    """GPUs from ``system_profiler -json SPDisplaysDataType`` and ``sysctl`` output.

    ``version``: of macOS, its first number.
    """
    facts = dict(re.findall(r"^([\w.]+):\s*(.*)$", sysctl, re.MULTILINE))
    memory = int(facts["hw.memsize"]) if facts.get("hw.memsize", "").isdigit() else None
    try:
        listed: Any = json.loads(displays).get("SPDisplaysDataType", [])
    except (json.JSONDecodeError, AttributeError):
        listed = []
    if not isinstance(listed, list):
        return ()
    shown = [
        cast("Mapping[str, Any]", i) for i in cast("list[object]", listed) if isinstance(i, dict)
    ]
    rule = table.gpu_table().memory_limits["apple-26" if version >= _NEW_LIMIT else "apple"]
    reason = "macOS tells it to administrators only"
    return tuple(
        with_reason(_gpu(item, memory, facts, rule), reason) for item in shown if _is_gpu(item)
    )


def _is_gpu(item: Mapping[str, Any]) -> bool:
    return str(item.get("sppci_device_type", "spdisplays_gpu")) == "spdisplays_gpu"


def _gpu(
    item: Mapping[str, Any], memory: int | None, facts: Mapping[str, str], rule: MemoryLimit
) -> Device:
    name = str(
        item.get("sppci_model") or item.get("_name") or facts.get("machdep.cpu.brand_string")
    )
    sources = {"name": "system_profiler"}
    if not name.startswith("Apple"):
        # Intel Macs: llama.cpp's Metal backend runs there, but their video memory is their own.
        return _discrete(name, item, sources)
    cores = str(item.get("sppci_cores", ""))
    entry = table.find(f"{name} {cores}-core") or sold_as(name, (memory, 0) if memory else None)
    total: int | None = None
    limit = facts.get("iogpu.wired_limit_mb", "0")
    if limit.isdigit() and int(limit) > 0:
        total, source = int(limit) * MIB, "sysctl iogpu.wired_limit_mb, set by its owner"
        sources["memory_total"] = source
    elif memory is not None:
        total = rule.usable(memory)
        sources["memory_total"] = f"Metal's limit for this much memory: {rule.source}"
    device = Device(
        name=name.removeprefix("Apple "),
        vendor="Apple",
        backend="metal",
        memory_total=total,
        multiprocessors=int(cores) if cores.isdigit() else None,
        unified=True,
        integrated=True,
        sources=sources,
        unknown={} if total is not None else {"memory_total": "sysctl does not report hw.memsize"},
    )
    device = with_table(device, entry)
    if entry is None or not (entry.multiprocessors and entry.fp16_tflops and cores.isdigit()):
        return device
    # Sold with fewer GPU cores too, at the same memory bandwidth.
    rate = entry.fp16_tflops * int(cores) / entry.multiprocessors
    words = f"{entry.origin('fp16_tflops')}, {cores} of {entry.multiprocessors} cores"
    sources = device.sources | {"fp16_tflops": words}
    return device.model_copy(update={"fp16_tflops": round(rate, 2), "sources": sources})


def _discrete(name: str, item: Mapping[str, Any], sources: dict[str, str]) -> Device:
    text = str(item.get("spdisplays_vram") or item.get("_spdisplays_vram") or "")
    found = re.match(r"(\d+)\s*(MB|GB)", text)
    total = int(found[1]) * (1024 * MIB if found[2] == "GB" else MIB) if found else None
    integrated = "Intel" in name
    device = Device(
        name=name,
        backend="metal",
        memory_total=total,
        integrated=integrated,
        unified=integrated,
        sources=sources | ({"memory_total": "system_profiler"} if total else {}),
        unknown={} if total else {"memory_total": "system_profiler does not report it"},
    )
    return with_table(device, None if integrated else table.find(name, memory=total))
