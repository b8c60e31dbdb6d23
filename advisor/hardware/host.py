"""The computer around the devices: CPU, memory, disk, power. Nothing personal is kept."""

import os
import platform
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from advisor import paths
from advisor.files import is_missing
from advisor.hardware import cgroups, macos, smbios
from advisor.hardware.bandwidth import cached_ram_bandwidth
from advisor.hardware.processors import simd_of_flags, simd_of_name
from advisor.hardware.rig import Host

# SMBIOS 7.4.1, chassis types that are carried about.
_PORTABLE = {8, 9, 10, 11, 14, 30, 31, 32}
_UNTOLD = {None, 1, 2}
"""Other and unknown, as virtual machines have it."""
_TABLE = "sys/firmware/dmi/tables/DMI"


def read_host(models: Path | None = None, *, root: Path = Path("/")) -> Host:
    """This computer. ``models``: the folder whose disk matters; ``root``: where / is, for tests.

    Each fact that cannot be read is None, with the reason under its name in ``unknown``.
    """
    sources: dict[str, str] = {}
    unknown: dict[str, str] = {}
    values: dict[str, Any] = {}
    kernel = _text(root / "proc/sys/kernel/osrelease")
    wsl = "microsoft" in kernel.lower()
    values["os"], values["wsl"] = _system(root, kernel, wsl=wsl), wsl
    values["cpu"] = _cpu(root)
    if not values["cpu"]:
        unknown["cpu"] = "the system does not name its processor"
    values["simd"] = simd_of_flags(_flags(root)) or simd_of_name(values["cpu"])
    values |= _processors(root, sources, unknown, wsl=wsl)
    values |= _memory(root, sources)
    values |= _memory_type(root, values, sources, unknown)
    values |= _power(root, unknown)
    values |= _disk(models or paths.data(), unknown)
    told = {name: "operating system" for name, value in values.items() if value is not None}
    del told["wsl"]
    for name in list(told):
        if name.startswith(("ram_type", "ram_bandwidth", "ram_read")):
            del told[name]
    return Host(**values, sources=told | sources, unknown=unknown)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _system(root: Path, kernel: str, *, wsl: bool) -> str:
    if sys.platform == "darwin":
        return f"macOS {platform.mac_ver()[0]}"
    if sys.platform == "win32":
        return f"Windows {platform.release()} ({platform.version()})"
    release = re.search(r'^PRETTY_NAME="?([^"\n]+)', _text(root / "etc/os-release"), re.MULTILINE)
    name = release[1] if release else platform.system()
    return f"{name} in WSL 2" if wsl else f"{name}, kernel {kernel}" if kernel else name


def _cpu(root: Path) -> str:
    if sys.platform == "win32":
        return _windows_cpu()
    if sys.platform == "darwin":
        # The standard library knows the family only: "arm".
        named = macos.run("/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string")
        return " ".join(named.split()) or platform.processor()
    info = _text(root / "proc/cpuinfo")
    found = re.search(r"^(?:model name|Model|Hardware)\s*:\s*(.+)$", info, re.MULTILINE)
    return " ".join(found[1].split()) if found else platform.processor()


def _processors(
    root: Path, sources: dict[str, str], unknown: dict[str, str], *, wsl: bool
) -> dict[str, Any]:
    cores, threads = psutil.cpu_count(logical=False), psutil.cpu_count()
    if cores is None:
        unknown["cores"] = "the system does not report physical cores"
        return {"cores": cores, "threads": threads}
    lent = not wsl and _lent_threads(root, cores, threads)
    limited, allowed = _allowed(root, cores, threads or cores)
    usable = limited if limited < cores else None
    if usable is not None:
        sources["cores"] = sources["limited_to"] = f"those of {cores} that this program may use"
    if lent:
        limited = max(1, limited // 2)
        sources["cores"] = (
            "half of the virtual machine's processors, each of which is one thread of a core as a "
            "rule"
        ) + (f"; {allowed} of {threads} may be used" if allowed < (threads or 0) else "")
    return {"cores": limited, "threads": allowed, "limited_to": usable}


def _allowed(root: Path, cores: int, threads: int) -> tuple[int, int]:
    """Of the cores and threads those that this program may use: by its affinity (taskset, a
    container's cpuset) and by its share of their time (a container's quota)."""
    # Windows tells those of one of its processor groups, and macOS none.
    own = os.sched_getaffinity(0) if sys.platform == "linux" else set[int]()
    if own and len(own) < (os.cpu_count() or 1):
        threads = min(threads, len(own))
        folder = root / "sys/devices/system/cpu"
        siblings = {_text(folder / f"cpu{n}/topology/thread_siblings_list") or str(n) for n in own}
        cores = min(cores, len(siblings))
    quota = cgroups.processors(root)
    if quota is not None:
        whole = max(1, round(quota))
        cores, threads = min(cores, whole), min(threads, whole)
    return cores, threads


def _lent_threads(root: Path, cores: int, threads: int | None) -> bool:
    """Whether every core that Linux counts is a thread that a hypervisor lends.

    Clouds lend threads: 16 "cores" of a Xeon unpacked weights as fast as eight do
    (packaging/bench_host.jsonl). One that shows which threads share a core is believed.
    """
    return 1 < cores == threads and "hypervisor" in _flags(root).split()


def _flags(root: Path) -> str:
    """What Linux says that an x86 processor can do."""
    found = re.search(r"^flags\s*:(.*)$", _text(root / "proc/cpuinfo"), re.MULTILINE)
    return found[1] if found else ""


def _windows_cpu() -> str:
    if sys.platform != "win32":
        return ""
    import winreg  # noqa: PLC0415 - exists on Windows alone

    key = r"HARDWARE\DESCRIPTION\System\CentralProcessor\0"
    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, key) as opened:
            return " ".join(str(winreg.QueryValueEx(opened, "ProcessorNameString")[0]).split())
    except OSError:
        return platform.processor()


def available_memory() -> int:
    """Bytes of RAM that this program can be given now."""
    available, limit = psutil.virtual_memory().available, cgroups.memory_limit()
    return available if limit is None else min(available, limit.left())


def _memory(root: Path, sources: dict[str, str]) -> dict[str, Any]:
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    total, available = memory.total, memory.available
    sources["ram_total"] = "operating system"
    limit = cgroups.memory_limit(root)
    if limit is not None:
        available = min(available, limit.left())
        if limit.total < total:
            total = limit.total
            sources["ram_total"] = "limit of the container this runs in"
    return {
        "ram_total": total,
        "ram_available": available,
        "swap_total": swap.total,
        "swap_used": swap.used,
    }


def without_gpu_memory(host: Host, root: Path = Path("/")) -> Host:
    """The host of a Grace machine less what Linux counts as its RAM but is its GPUs' memory.

    NVIDIA's driver hands HBM to the kernel as memory nodes without processors (Grace Hopper
    documentation, "coherent driver-based memory management").
    """
    if host.ram_total is None:
        return host
    foreign = 0
    for node in sorted((root / "sys/devices/system/node").glob("node[0-9]*")):
        known = re.search(r"MemTotal:\s*(\d+) kB", _text(node / "meminfo"))
        if known and (node / "cpulist").exists() and not _text(node / "cpulist"):
            foreign += int(known[1]) << 10
    if not 0 < foreign < host.ram_total:
        return host
    total = host.ram_total - foreign
    source = "operating system, less the GPUs' memory that it counts in"
    update: dict[str, Any] = {"ram_total": total, "sources": host.sources | {"ram_total": source}}
    if host.ram_available is not None:
        update["ram_available"] = min(host.ram_available, total)
    return host.model_copy(update=update)


def _memory_type(
    root: Path, values: Mapping[str, Any], sources: dict[str, str], unknown: dict[str, str]
) -> dict[str, Any]:
    kind, bandwidth, source = smbios.summary(smbios.parse(_firmware_table(root)))
    measured = cached_ram_bandwidth(values["cpu"], psutil.virtual_memory().total)
    if kind:
        sources["ram_type"] = "SMBIOS"
    else:
        unknown["ram_type"] = _why_no_type(root)
    read: dict[str, Any] = {}
    if measured is not None:
        read = {"ram_read_gbs": measured.gbs, "ram_read_source": measured.source}
        sources["ram_read_gbs"] = measured.source
        if bandwidth is None:
            bandwidth, source = measured.gbs, measured.source
    if bandwidth is None:
        unknown["ram_bandwidth_gbs"] = "not readable here; measuring it takes a second"
    elif source:
        sources["ram_bandwidth_gbs"] = source
    told = {"ram_type": kind, "ram_bandwidth_gbs": bandwidth, "ram_bandwidth_source": source}
    return told | read


def _why_no_type(root: Path) -> str:
    table = root / _TABLE
    if table.exists() and not os.access(table, os.R_OK):
        return "the firmware's table needs administrator rights"
    return "the firmware does not tell"


def _firmware_table(root: Path) -> bytes:
    if sys.platform == "win32":
        return _windows_firmware_table()
    try:
        return (root / _TABLE).read_bytes()
    except OSError:
        return b""


def _windows_firmware_table() -> bytes:
    """The raw SMBIOS table: GetSystemFirmwareTable("RSMB"), less its 8-byte header."""
    if sys.platform != "win32":
        return b""
    import ctypes  # noqa: PLC0415 - needed on Windows alone

    ask = ctypes.windll.kernel32.GetSystemFirmwareTable
    provider = int.from_bytes(b"RSMB", "big")
    size = int(ask(provider, 0, None, 0))
    buffer = ctypes.create_string_buffer(size)
    return buffer.raw[8:] if size and int(ask(provider, 0, buffer, size)) == size else b""


def _power(root: Path, unknown: dict[str, str]) -> dict[str, Any]:
    told = _text(root / "sys/class/dmi/id/chassis_type")
    chassis = int(told) if told.isdigit() else smbios.chassis(_firmware_table(root))
    ask: Any = getattr(psutil, "sensors_battery", None)  # not on every system
    battery = ask() if ask is not None else None
    # To Windows the battery that feeds a desktop while the mains fail is one like any other.
    laptop: bool | None = None if chassis in _UNTOLD else chassis in _PORTABLE
    if laptop is None:
        laptop = True if battery is not None else None
    if laptop is None:
        unknown["laptop"] = "neither chassis nor battery is reported"
    plugged: bool | None = None if battery is None else battery.power_plugged
    if battery is not None and plugged is None:
        unknown["on_battery"] = "the battery does not say whether it is charged"
    return {"laptop": laptop, "on_battery": None if plugged is None else not plugged}


def _disk(folder: Path, unknown: dict[str, str]) -> dict[str, Any]:
    here = folder
    while is_missing(here) and here != here.parent:
        here = here.parent
    try:
        free = shutil.disk_usage(here).free
    except OSError as error:
        unknown["disk_free"] = error.strerror or str(error)
        return {"disk_free": None, "disk_path": private_path(folder)}
    return {"disk_free": free, "disk_path": private_path(folder)}


def private_path(path: Path) -> str:
    """A path without the user's name: the home folder becomes ``~``."""
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 - Path.home raises where there is none
    return str(Path("~") / path.relative_to(home)) if path.is_relative_to(home) else str(path)
